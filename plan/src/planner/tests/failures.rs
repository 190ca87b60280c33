//! What failed before: when it is tried again, and what it holds meanwhile.

use super::containers::{device, exited, hello};
use super::{acts, empty, failure, held, planned};
use crate::arbitrary::{container, key};
use crate::observed::{ContainerState, FailureReason, Observed, Retry};
use crate::spec::RestartPolicy;
use crate::step::{Action, HeldCause, Reason};

#[test]
fn a_failed_change_waits_is_due_or_is_blocked() {
    let desired = hello("i:2");
    let web = desired.workloads[0].containers[0].clone();
    let mut observed = device(&hello("i:1"), ContainerState::Running);
    for retry in [Retry::Waiting, Retry::Blocked] {
        observed.failures = vec![failure("hello", &web, FailureReason::RolledBack, retry)];
        let cause = HeldCause::Failed {
            reason: FailureReason::RolledBack,
            message: "no such thing".into(),
            blocked: retry == Retry::Blocked,
        };
        assert_eq!(held(&desired, &observed, &key("hello", "web")), [cause]);
        assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    }
    observed.failures[0].retry = Retry::Due;
    let (plan, _) = planned(&desired, &observed);
    assert_eq!(plan.steps[1].reason, Reason::Retry);
}

#[test]
fn a_blocked_change_does_not_keep_the_old_one_down() {
    let desired = hello("i:2");
    let web = desired.workloads[0].containers[0].clone();
    let mut observed = device(&hello("i:1"), exited(1));
    observed.failures = vec![failure("hello", &web, FailureReason::RolledBack, Retry::Blocked)];
    assert_eq!(acts(&desired, &observed), ["start hello.web"]);
    observed.containers[0].engine_name = "hello.web.prev".into();
    observed.containers[0].config.restart_policy = RestartPolicy::Never;
    assert_eq!(acts(&desired, &observed), ["rename hello.web", "start hello.web"]);
}

#[test]
fn a_blocked_hash_with_nothing_there_is_held_all_the_same() {
    let desired = hello("i:2");
    let web = desired.workloads[0].containers[0].clone();
    let failures = vec![failure("hello", &web, FailureReason::RolledBack, Retry::Blocked)];
    let observed = Observed { failures, ..empty() };
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    assert_eq!(held(&desired, &observed, &key("hello", "web")).len(), 1);
}

#[test]
fn failures_of_another_hash_or_configuration_say_nothing() {
    let desired = hello("i:2");
    let web = desired.workloads[0].containers[0].clone();
    let mut observed = device(&hello("i:1"), ContainerState::Running);
    let mut other = failure("hello", &web, FailureReason::RolledBack, Retry::Blocked);
    other.config_digest = "another".into();
    observed.failures = vec![
        other,
        failure(
            "hello",
            &container("hello", "web", "i:3"),
            FailureReason::RolledBack,
            Retry::Blocked,
        ),
    ];
    assert_eq!(acts(&desired, &observed).len(), 2);
}

#[test]
fn a_refused_update_holds_the_update_and_nothing_else() {
    let mut desired = hello("i:1");
    desired.workloads[0].containers[0].config.resources.pids_limit = Some(5);
    let web = desired.workloads[0].containers[0].clone();
    let mut observed = device(&hello("i:1"), ContainerState::Paused);
    for retry in [Retry::Waiting, Retry::Blocked] {
        observed.failures = vec![failure("hello", &web, FailureReason::UpdateFailed, retry)];
        assert_eq!(acts(&desired, &observed), ["unpause hello.web"]);
        assert_eq!(held(&desired, &observed, &key("hello", "web")).len(), 1);
    }
    observed.failures[0].retry = Retry::Due;
    assert_eq!(
        acts(&desired, &observed),
        ["update hello.web in place", "unpause hello.web"]
    );
}

#[test]
fn a_rename_that_failed_waits_for_its_time_whatever_the_reason() {
    let desired = hello("i:1");
    let web = desired.workloads[0].containers[0].clone();
    for reason in [FailureReason::UpdateFailed, FailureReason::NameConflict] {
        let mut observed = device(&desired, ContainerState::Running);
        observed.containers[0].engine_name = "by-hand".into();
        observed.failures = vec![failure("hello", &web, reason, Retry::Waiting)];
        assert_eq!(acts(&desired, &observed), Vec::<String>::new(), "{reason:?}");
        observed.failures[0].retry = Retry::Due;
        assert_eq!(acts(&desired, &observed).len(), 1, "{reason:?}");
    }
}

#[test]
fn drift_that_could_not_be_undone_is_still_drift_when_it_is_tried_again() {
    let desired = hello("i:1");
    let web = desired.workloads[0].containers[0].clone();
    let mut observed = device(&desired, ContainerState::Running);
    observed.containers[0].config.resources.memory_limit_bytes = Some(64 << 20);
    observed.failures = vec![failure("hello", &web, FailureReason::UpdateFailed, Retry::Due)];
    let (plan, _) = planned(&desired, &observed);
    let step = &plan.steps[0];
    assert!(matches!(step.action, Action::UpdateContainer { .. }), "{step}");
    // An agent replaces a container whose declared change an engine refuses in place; never for drift.
    let fields = vec!["resources.memory".to_owned()];
    assert_eq!(step.reason, Reason::Drifted { fields });
}
