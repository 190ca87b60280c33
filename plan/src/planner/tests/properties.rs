//! What holds of every plan, whatever the device and whatever is desired.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::arbitrary::{CONTAINERS, Json, Shape, Situation, WORKLOADS, change, key, label, ready, situation};
use crate::check::check;
use crate::desired::DesiredSet;
use crate::drift::drift;
use crate::explain::explain;
use crate::model::{Micro, ModelDevice};
use crate::names::ContainerKey;
use crate::observed::{ContainerState, FailureReason, Observed};
use crate::plan;
use crate::planner::rests;
use crate::step::{Action, HeldCause, Plan, Step, StepOutcome};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: cases(128),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// `PROPTEST_CASES` for long runs.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

/// Plans and applies until nothing is left to do. `None` if that never comes.
fn converge(device: &mut ModelDevice, desired: &DesiredSet) -> Option<usize> {
    (0..12).find(|_| {
        device.elapse();
        let plan = plan(desired, &device.observed());
        let violations = check(&plan, desired, &device.observed());
        assert_eq!(violations, vec![]);
        device.apply(desired, &plan);
        plan.steps.is_empty()
    })
}

/// What is desired, not held, and neither runs from the right spec nor rests.
fn missing(device: &ModelDevice, desired: &DesiredSet) -> Vec<ContainerKey> {
    let observed = device.observed();
    let held = plan(desired, &observed).held;
    let keys = desired
        .workloads
        .iter()
        .flat_map(|w| w.containers.iter().map(move |c| (w.key(c), c)));
    keys.filter(|(key, want)| {
        let right = observed.containers.iter().any(|c| {
            c.key == *key && c.hash == want.hash && (c.state.is_up() || rests(c, want.config.restart_policy))
        });
        let completed = observed
            .applied
            .iter()
            .any(|a| a.key == *key && a.completed && a.hash == want.hash);
        !right && !completed && !held.iter().any(|h| h.key == *key)
    })
    .map(|(key, _)| key)
    .collect()
}

fn fresh() -> ModelDevice {
    ModelDevice::new(
        Observed {
            runtime: ready(),
            ..Observed::default()
        },
        &DesiredSet::default(),
    )
}

fn running(device: &ModelDevice) -> BTreeSet<ContainerKey> {
    let observed = device.observed();
    observed
        .containers
        .iter()
        .filter(|c| c.state.is_up())
        .map(|c| c.key.clone())
        .collect()
}

fn words(situation: &Situation) -> Vec<String> {
    let Situation { desired, observed } = situation;
    explain(&plan(desired, observed), desired, observed)
}

/// Another order, by a small random generator.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for i in (1..list.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        list.swap(i, usize::try_from((state >> 33) % (i as u64 + 1)).unwrap());
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_plan_breaks_a_rule(it in situation(Shape::Any)) {
        let plan = plan(&it.desired, &it.observed);
        prop_assert_eq!(check(&plan, &it.desired, &it.observed), vec![], "{:#?}", words(&it));
    }

    #[test]
    fn the_order_of_the_input_changes_nothing(it in situation(Shape::Any), seed in any::<u64>()) {
        let Situation { mut desired, mut observed } = it.clone();
        shuffle(&mut desired.workloads, seed);
        shuffle(&mut desired.removals, seed);
        shuffle(&mut observed.containers, seed);
        shuffle(&mut observed.applied, seed);
        shuffle(&mut observed.networks, seed);
        shuffle(&mut observed.volumes, seed);
        shuffle(&mut observed.unmanaged, seed);
        shuffle(&mut observed.failures, seed);
        prop_assert_eq!(plan(&desired, &observed), plan(&it.desired, &it.observed));
        prop_assert_eq!(drift(&desired, &observed), drift(&it.desired, &it.observed));
    }

    /// Totality: everything occurs twice, with other content.
    #[test]
    fn nonsense_makes_no_panic_and_no_broken_rule(a in situation(Shape::Any), b in situation(Shape::Any)) {
        let mut desired = a.desired;
        desired.workloads.extend(b.desired.workloads);
        desired.removals.extend(b.desired.removals);
        for workload in &mut desired.workloads {
            workload.containers.extend(workload.containers.clone());
        }
        let mut observed = a.observed;
        observed.containers.extend(b.observed.containers);
        observed.applied.extend(b.observed.applied);
        observed.failures.extend(b.observed.failures);
        observed.unmanaged.extend(b.observed.unmanaged);
        let plan = plan(&desired, &observed);
        prop_assert!(plan.steps.len() <= 8 * (desired.workloads.len() * 8 + observed.containers.len()));
        drift(&desired, &observed);
        check(&plan, &desired, &observed);
        explain(&plan, &desired, &observed);
    }

    /// Invariant 15, and 3: what is not ours never changes, and a missing workload changes nothing.
    #[test]
    fn absence_removes_nothing(it in situation(Shape::Any), gone in select(WORKLOADS.to_vec())) {
        let gone = label(gone);
        let mut desired = it.desired;
        desired.workloads.retain(|w| w.name != gone);
        desired.removals.retain(|r| r.workload != gone);
        let mut device = ModelDevice::new(it.observed, &desired);
        let before = device.observed();
        let plan = plan(&desired, &before);
        prop_assert!(plan.steps.iter().all(|s| s.workload != gone));
        device.apply(&desired, &plan);
        let after = device.observed();
        let of = |o: &Observed| -> Vec<_> {
            o.containers.iter().filter(|c| c.key.workload == gone).cloned().collect()
        };
        prop_assert_eq!(of(&before), of(&after));
        for container in of(&before) {
            let told = plan.held.iter().any(|h| h.key == container.key && h.cause == HeldCause::Orphaned);
            prop_assert!(told);
        }
        prop_assert_eq!(before.unmanaged, after.unmanaged);
    }

    /// Invariants 4 and 6: the plug is pulled anywhere, twice, and the engine may have started anew.
    #[test]
    fn a_crash_anywhere_still_converges(
        (Json(before), Json(after)) in change(),
        at in any::<(Index, Index)>(),
        restarts in any::<(bool, bool)>(),
    ) {
        let mut device = fresh();
        prop_assert!(converge(&mut device, &before).is_some(), "before");
        prop_assert_eq!(missing(&device, &before), vec![]);
        let rehearse = |device: &ModelDevice, plan: &Plan| {
            let mut rehearsal = device.clone();
            rehearsal.apply(&after, plan);
            rehearsal.calls() - device.calls()
        };
        for (at, restart) in [(at.0, restarts.0), (at.1, restarts.1)] {
            let plan = plan(&after, &device.observed());
            let calls = rehearse(&device, &plan);
            device.crash_after(Some(at.index(calls + 1)));
            device.apply(&after, &plan);
            if restart {
                device.restart_engine();
            }
            device.recover();
        }
        prop_assert!(converge(&mut device, &after).is_some(), "after: {:?}", device.observed());
        prop_assert_eq!(missing(&device, &after), vec![]);
        prop_assert_eq!(device.broken(), &[] as &[String]);
    }

    /// Invariant 5: whatever call fails for the new one, what ran runs, unless it was ordered away or
    /// makes way for a higher priority.
    #[test]
    fn a_failure_leaves_running_what_ran(
        (Json(before), Json(after)) in change(),
        faults in vec((select(WORKLOADS.to_vec()), select(CONTAINERS.to_vec()), select(CALLS.to_vec())), 1..4),
    ) {
        let mut device = fresh();
        prop_assert!(converge(&mut device, &before).is_some());
        let ran = running(&device);
        for (workload, container, call) in faults {
            let key = key(workload, container);
            if let Some((_, want)) = after.container(&key) {
                device.inject(key, want.hash.clone(), call);
            }
        }
        for _ in 0..3 {
            let observed = device.observed();
            let plan = plan(&after, &observed);
            prop_assert_eq!(check(&plan, &after, &observed), vec![]);
            let excused: BTreeSet<ContainerKey> = plan
                .steps
                .iter()
                .filter(|s| matches!(s.action, Action::StopContainer { .. } | Action::RemoveContainer { .. }))
                .filter_map(Step::container)
                .collect();
            let up = running(&device);
            device.apply(&after, &plan);
            let lost: Vec<_> = up.difference(&running(&device)).filter(|k| !excused.contains(*k)).cloned().collect();
            let lost: Vec<_> = lost.into_iter().filter(|k| !rested(&device, k)).collect();
            prop_assert!(lost.is_empty(), "{lost:?} of {ran:?} ran, {plan:?}");
            prop_assert_eq!(device.broken(), &[] as &[String]);
            device.elapse();
        }
        // And when the world is well again, so is the device; what was blocked stays blocked.
        device.clear_faults();
        prop_assert!(converge(&mut device, &after).is_some());
    }

    /// Invariant 8: a plan that arrives twice has its effect once.
    #[test]
    fn a_plan_takes_effect_once((Json(before), Json(after)) in change()) {
        let mut device = fresh();
        prop_assert!(converge(&mut device, &before).is_some());
        let plan = plan(&after, &device.observed());
        device.apply(&after, &plan);
        let once = device.observed();
        device.apply(&after, &plan);
        prop_assert_eq!(once.containers, device.observed().containers);
    }

    /// Invariant 2: whatever restarts, nothing of an unchanged spec is made anew.
    #[test]
    fn an_unchanged_spec_makes_nothing_anew((Json(before), _) in change(), paused in any::<bool>()) {
        let mut device = fresh();
        prop_assert!(converge(&mut device, &before).is_some());
        let ids = |device: &ModelDevice| -> Vec<_> {
            device.observed().containers.into_iter().map(|c| (c.key, c.id)).collect()
        };
        let made = ids(&device);
        device.restart_engine();
        device.meddle(|observed| {
            for container in &mut observed.containers {
                container.config.resources.cpu_shares = Some(2);
                if paused && container.state.is_up() {
                    container.state = ContainerState::Paused;
                }
            }
        });
        prop_assert!(converge(&mut device, &before).is_some(), "{:?}", plan(&before, &device.observed()));
        // A port that got free may have let in one that was held.
        let now = ids(&device);
        prop_assert!(made.iter().all(|one| now.contains(one)), "{made:?} {now:?}");
    }

    #[test]
    fn a_paused_device_gets_no_steps(mut it in situation(Shape::Any)) {
        it.desired.paused = true;
        prop_assert!(plan(&it.desired, &it.observed).steps.is_empty());
    }

    /// Invariant 1. What was held for another container's sake may find its way free now.
    #[test]
    fn planning_again_on_the_result_yields_nothing(it in situation(Shape::Any)) {
        let mut device = ModelDevice::new(it.observed.clone(), &it.desired);
        let first = plan(&it.desired, &device.observed());
        let outcomes = device.apply(&it.desired, &first);
        prop_assert!(outcomes.iter().all(|o| matches!(o, StepOutcome::Done { .. })), "{outcomes:?}");
        prop_assert_eq!(device.broken(), &[] as &[String]);
        let after = Situation { desired: it.desired, observed: device.observed() };
        let second = plan(&after.desired, &after.observed);
        let in_the_way = |cause: &HeldCause| matches!(
            cause,
            HeldCause::PortConflict { .. }
                | HeldCause::NameConflict { .. }
                | HeldCause::Failed { reason: FailureReason::DependencyNotReady, .. }
        );
        let waiting = |workload| first.held.iter().any(|h| &h.key.workload == workload && in_the_way(&h.cause));
        let unexpected: Vec<_> = second.steps.iter().filter(|s| !waiting(&s.workload)).collect();
        prop_assert!(unexpected.is_empty(), "{unexpected:?} second: {after:?}");
        if second.steps.is_empty() {
            return Ok(());
        }
        let converged = (0..8).any(|_| {
            let again = plan(&after.desired, &device.observed());
            device.apply(&after.desired, &again);
            again.steps.is_empty()
        });
        prop_assert!(converged, "never ends: {after:?}");
    }
}

/// The calls that can fail for a new container.
const CALLS: [Micro; 8] = [
    Micro::Journal,
    Micro::Pull,
    Micro::Create,
    Micro::SetPolicy,
    Micro::Rename,
    Micro::Update,
    Micro::Start,
    Micro::Healthy,
];

/// Whether a container came to its own end.
fn rested(device: &ModelDevice, key: &ContainerKey) -> bool {
    let observed = device.observed();
    let mut of_key = observed.containers.iter().filter(|c| &c.key == key);
    of_key.any(|c| matches!(c.state, ContainerState::Exited { exit_code: 0, .. }))
}
