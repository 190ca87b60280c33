//! The replacement, with the plug pulled between any two of its calls.

use super::{Micro, ModelDevice};
use crate::arbitrary::{container, key, ready, workload};
use crate::desired::{DesiredSet, OnFailure};
use crate::observed::{ContainerState, FailureReason, Observed, Retry};
use crate::plan;
use crate::spec::RestartPolicy;
use crate::step::StepOutcome;

fn hello(image: &str) -> DesiredSet {
    let workloads = vec![workload("hello", vec![container("hello", "web", image)])];
    DesiredSet {
        workloads,
        ..DesiredSet::default()
    }
}

/// A device on which `hello:1` runs.
fn device() -> ModelDevice {
    let mut device = ModelDevice::new(
        Observed {
            runtime: ready(),
            ..Observed::default()
        },
        &hello("hello:1"),
    );
    apply(&mut device, &hello("hello:1"));
    device
}

fn apply(device: &mut ModelDevice, desired: &DesiredSet) -> Vec<StepOutcome> {
    let plan = plan(desired, &device.observed());
    device.apply(desired, &plan)
}

/// The one container, with its state and policy, and whether it is of that image.
fn the_one(device: &ModelDevice, image: &str) -> (ContainerState, RestartPolicy, bool) {
    let observed = device.observed();
    assert_eq!(observed.containers.len(), 1, "{:?}", observed.containers);
    let found = &observed.containers[0];
    assert_eq!(found.engine_name, "hello.web");
    let right = found.hash == hello(image).workloads[0].containers[0].hash;
    (found.state.clone(), found.config.restart_policy, right)
}

#[test]
fn a_replacement_takes_twelve_calls_and_ends_well() {
    let mut device = device();
    let before = device.calls();
    apply(&mut device, &hello("hello:2"));
    assert_eq!(device.calls() - before, 12);
    assert_eq!(
        the_one(&device, "hello:2"),
        (ContainerState::Running, RestartPolicy::Always, true)
    );
    assert!(plan(&hello("hello:2"), &device.observed()).steps.is_empty());
}

#[test]
fn wherever_the_plug_is_pulled_the_new_one_runs_in_the_end_and_never_both() {
    for calls in 0..=12 {
        for restart in [false, true] {
            let mut device = device();
            device.crash_after(Some(calls));
            apply(&mut device, &hello("hello:2"));
            let up = |d: &ModelDevice| d.observed().containers.iter().filter(|c| c.state.is_up()).count();
            if restart {
                device.restart_engine();
            }
            assert!(up(&device) <= 1, "after {calls}");
            device.recover();
            assert_eq!(
                up(&device),
                1,
                "after {calls}: somebody serves before the next plan is even made"
            );
            apply(&mut device, &hello("hello:2"));
            assert_eq!(
                the_one(&device, "hello:2"),
                (ContainerState::Running, RestartPolicy::Always, true)
            );
            assert_eq!(device.broken(), &[] as &[String]);
        }
    }
}

#[test]
fn whatever_call_fails_the_old_one_runs_under_its_policy() {
    let hash = hello("hello:2").workloads[0].containers[0].hash.clone();
    for (call, reason) in [
        (Micro::Pull, FailureReason::ImagePullFailed),
        (Micro::Journal, FailureReason::LedgerUnavailable),
        (Micro::Create, FailureReason::CreateFailed),
        (Micro::Rename, FailureReason::NameConflict),
        (Micro::Start, FailureReason::StartFailed),
        (Micro::Healthy, FailureReason::RolledBack),
    ] {
        let mut device = device();
        device.inject(key("hello", "web"), hash.clone(), call);
        let outcomes = apply(&mut device, &hello("hello:2"));
        assert!(
            outcomes
                .iter()
                .any(|o| matches!(o, StepOutcome::Failed { reason: r, .. } if *r == reason)),
            "{call:?} {outcomes:?}"
        );
        assert_eq!(
            the_one(&device, "hello:1"),
            (ContainerState::Running, RestartPolicy::Always, true)
        );
        assert!(
            plan(&hello("hello:2"), &device.observed()).steps.is_empty(),
            "{call:?} waits"
        );
        // Due again, and well again: all but what was rolled back.
        device.clear_faults();
        device.elapse();
        apply(&mut device, &hello("hello:2"));
        let blocked = device
            .observed()
            .failures
            .iter()
            .any(|f| f.retry == Retry::Blocked);
        assert_eq!(blocked, call == Micro::Healthy);
        assert_eq!(the_one(&device, "hello:2").2, !blocked, "{call:?}");
    }
}

#[test]
fn told_to_continue_an_ill_one_stays() {
    let mut desired = hello("hello:2");
    desired.workloads[0].on_failure = OnFailure::Continue;
    let mut device = device();
    let hash = desired.workloads[0].containers[0].hash.clone();
    device.inject(key("hello", "web"), hash, Micro::Healthy);
    apply(&mut device, &desired);
    assert!(the_one(&device, "hello:2").2);
}

/// `docker stop` of a container under `Always` comes back at the engine's next start: why the old one's
/// policy is taken from it first.
#[test]
fn the_engine_starts_again_what_was_stopped_under_always() {
    let mut device = device();
    device.meddle(|o| {
        o.containers[0].state = ContainerState::Exited {
            exit_code: 143,
            oom_killed: false,
        }
    });
    device.restart_engine();
    assert_eq!(device.observed().containers[0].state, ContainerState::Running);
}
