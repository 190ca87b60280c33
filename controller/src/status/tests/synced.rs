//! Whether a device has what it should have: said only when it was seen.

use longshore_plan::observed::{FailureReason, Observed, Retry, RuntimeState};
use proptest::prelude::*;

use super::device::{World, conditions_of, hello};
use super::*;
use crate::dispatch::Standing;
use crate::finalizer::Ending;
use crate::fixtures::{self, failure, report, running};

fn synced(world: &World) -> String {
    let status = world.status();
    let condition = conditions::find(&status.conditions, ConditionType::Synced).unwrap();
    format!("{} {}: {}", condition.status, condition.reason, condition.message)
}

fn connected(observed: Observed) -> World {
    World::new().birth().reports(observed)
}

#[test]
fn what_keeps_a_device_from_being_synced() {
    let good = || connected(running(&[hello()]));
    assert_eq!(synced(&good()), "True Synced: it has what it should have");

    let mut refused = good();
    refused.standing = Standing::Refused {
        code: "UnsupportedField".into(),
        message: "gpu".into(),
    };
    assert_eq!(synced(&refused), "False PlanRefused: UnsupportedField: gpu");

    let missing = connected(running(&[]));
    assert_eq!(
        synced(&missing),
        "False Applying: hello.web: its image is being pulled"
    );

    let untold = good().hear(report(running(&[hello()]), "of another set"));
    assert_eq!(
        synced(&untold),
        "False Applying: a plan is on its way or being carried out"
    );

    let mut busy = report(running(&[hello()]), &good().decision().digest);
    busy.busy = true;
    busy.state_hash = "busy".into();
    assert_eq!(
        synced(&good().hear(busy)),
        "False Applying: a plan is on its way or being carried out"
    );
}

#[test]
fn what_is_held_back_is_told_with_the_reason() {
    let mut rolled_back = hello();
    rolled_back.containers = fixtures::workload("hello", &[("web", "hello:2")]).containers;
    let mut observed = running(&[hello()]);
    observed.failures = vec![failure(
        &rolled_back,
        &rolled_back.containers[0],
        FailureReason::RolledBack,
        Retry::Blocked,
    )];
    let mut world = World::new().birth();
    world.declared = vec![rolled_back];
    assert_eq!(
        synced(&world.reports(observed)),
        "False Held: hello: web: words of RolledBack (image hello:2)"
    );

    let mut watched = hello();
    watched.drift = longshore_plan::desired::DriftMode::Observe;
    let mut observed = running(std::slice::from_ref(&watched));
    observed.containers[0].engine_name = "by-hand".into();
    let mut world = World::new().birth();
    world.declared = vec![watched];
    assert_eq!(
        synced(&world.reports(observed)),
        "False Held: hello.web: differs in name, which is only observed"
    );

    let mut paused = World::new().birth();
    paused.device.spec.paused = Some(true);
    assert_eq!(
        synced(&paused.reports(running(&[]))),
        "False Held: hello: web is not as declared, and its device is paused"
    );
}

#[test]
fn a_container_that_should_be_gone_and_cannot_be_removed_is_held() {
    let two = fixtures::workload("hello", &[("old", "hello:0"), ("web", "hello:1")]);
    let mut observed = running(std::slice::from_ref(&two));
    observed.failures = vec![failure(
        &two,
        &two.containers[0],
        FailureReason::RemoveFailed,
        Retry::Waiting,
    )];
    assert_eq!(
        synced(&connected(observed)),
        "False Held: hello.old: RemoveFailed for now: words of RemoveFailed"
    );
}

#[test]
fn an_orphan_keeps_nobody_from_being_synced() {
    let other = fixtures::workload("other", &[("x", "i")]);
    let world = connected(running(&[hello(), other]));
    assert_eq!(world.status().orphans, ["other.x"]);
    assert_eq!(synced(&world), "True Synced: it has what it should have");
}

#[test]
fn a_workload_that_is_not_well_is_where_it_should_be() {
    let mut observed = running(&[hello()]);
    observed.containers[0].health = longshore_plan::observed::Health::Unhealthy;
    let world = connected(observed);
    assert_eq!(world.status().workloads[0].state, "Unhealthy");
    assert_eq!(synced(&world), "True Synced: it has what it should have");
}

#[test]
fn a_runtime_that_was_not_asked_yet_tells_nothing() {
    let mut observed = running(&[hello()]);
    observed.runtime = RuntimeState::Unknown;
    let status = connected(observed).status();
    assert_eq!(
        conditions_of(&status)[1..3],
        ["Unknown Unconfirmed", "Unknown Unconfirmed"]
    );
    assert_eq!(status.runtime, None);
}

#[test]
fn a_device_that_is_being_deleted_and_told_nothing_is_held() {
    let mut world = connected(running(&[hello()]));
    world.ending = Ending::Unexplained;
    assert_eq!(synced(&world), "False Held: the device is being deleted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_report_makes_a_status_say_more_than_it_does(
        observed in crate::fixtures::arbitrary::observed(),
        declared in crate::fixtures::arbitrary::desired("a"),
    ) {
        let mut world = World::new().birth();
        world.declared = vec![declared];
        let world = world.reports(observed.clone());
        let status = world.status();
        let [connected, runtime, synced, _] = conditions_of(&status);
        prop_assert_eq!(connected, "True AgentConnected");
        let answers = matches!(observed.runtime, RuntimeState::Ready { .. });
        prop_assert_eq!(runtime.starts_with("True"), answers);
        if synced.starts_with("True") {
            prop_assert!(answers);
            let plan = world.decision().plan.unwrap();
            prop_assert!(plan.steps.is_empty());
            let orphaned = |h: &longshore_plan::step::Held| h.cause == longshore_plan::step::HeldCause::Orphaned;
            prop_assert!(plan.held.iter().all(orphaned), "{:?}", plan.held);
        }
        let ready = status.workloads.iter().filter(|w| w.state == "Ready").count();
        prop_assert_eq!(status.ready_workloads, Some(format!("{ready}/{}", status.workloads.len())));
    }

    #[test]
    fn an_empty_report_claims_no_readiness(declared in crate::fixtures::arbitrary::desired("a")) {
        let mut world = World::new().birth();
        world.declared = vec![declared];
        let status = world.reports(Observed::default()).status();
        for kind in [ConditionType::RuntimeReady, ConditionType::Synced, ConditionType::Drifted] {
            prop_assert!(!conditions::is_true(&status.conditions, kind));
        }
        prop_assert_eq!(status.ready_workloads.as_deref(), Some("0/1"));
        prop_assert_eq!(status.workloads[0].ready, 0);
        prop_assert_eq!(&status.workloads[0].revision, &None);
    }
}
