//! One container at a time: what is there, what is wanted, what is done.

use super::{acts, empty, failure, held, planned, set};
use crate::arbitrary::{applied, container, key, object, workload};
use crate::desired::{DesiredSet, DriftMode};
use crate::hash::SpecHash;
use crate::names::EngineId;
use crate::observed::{ContainerState, FailureReason, Observed, Retry, RuntimeState};
use crate::spec::{ContainerSpec, Dependency, DependencyCondition, RestartPolicy};
use crate::step::{Action, HeldCause, Precondition, Reason};

/// `hello.web` of `image`, desired.
pub(super) fn hello(image: &str) -> DesiredSet {
    set(vec![workload("hello", vec![container("hello", "web", image)])])
}

fn with_policy(policy: RestartPolicy) -> DesiredSet {
    let mut web = container("hello", "web", "i:1");
    web.config.restart_policy = policy;
    set(vec![workload("hello", vec![web])])
}

/// What the device has when `desired` has been brought about, in `state`.
pub(super) fn device(desired: &DesiredSet, state: ContainerState) -> Observed {
    let web = &desired.workloads[0].containers[0];
    let mut found = object("hello", web, "id1");
    found.state = state;
    Observed {
        containers: vec![found],
        applied: vec![applied("hello", web)],
        ..empty()
    }
}

pub(super) fn exited(exit_code: i64) -> ContainerState {
    ContainerState::Exited {
        exit_code,
        oom_killed: false,
    }
}

#[test]
fn what_is_as_desired_needs_nothing() {
    let desired = hello("i:1");
    assert_eq!(
        acts(&desired, &device(&desired, ContainerState::Running)),
        Vec::<String>::new()
    );
}

#[test]
fn a_new_container_is_pulled_and_made() {
    let (plan, words) = planned(&hello("i:1"), &empty());
    assert_eq!(
        words,
        [
            "pull i:1 for hello.web, because web needs it",
            "create hello.web: image i:1, because it is declared and not there"
        ]
    );
    assert_eq!(plan.steps[1].precondition, Precondition::Absent);
}

#[test]
fn another_spec_replaces_and_only_the_object_that_was_seen() {
    let (plan, _) = planned(&hello("i:2"), &device(&hello("i:1"), ContainerState::Running));
    assert!(matches!(plan.steps[0].action, Action::PullImage { .. }));
    assert!(matches!(plan.steps[1].action, Action::ReplaceContainer { .. }));
    assert_eq!(
        plan.steps[1].precondition,
        Precondition::Is {
            id: EngineId("id1".into())
        }
    );
    assert_eq!(plan.steps[1].reason, Reason::Changed);
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn a_hash_of_an_unknown_version_is_adopted_and_its_configuration_compared() {
    let desired = hello("i:1");
    let mut observed = device(&desired, ContainerState::Running);
    observed.containers[0].hash = SpecHash("v0:abc".into());
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    observed.containers[0].config.resources.pids_limit = Some(7);
    assert_eq!(acts(&desired, &observed), ["update hello.web in place"]);
}

#[test]
fn states_are_brought_back() {
    let always = with_policy(RestartPolicy::Always);
    for (state, act) in [
        (ContainerState::Running, None),
        (ContainerState::Restarting { exit_code: 1 }, None),
        (ContainerState::Paused, Some("unpause hello.web")),
        (ContainerState::Created, Some("start hello.web")),
        (exited(0), Some("start hello.web")),
        (exited(1), Some("start hello.web")),
    ] {
        let words = format!("{state:?}");
        let expected: Vec<&str> = act.into_iter().collect();
        assert_eq!(acts(&always, &device(&always, state)), expected, "{words}");
    }
}

#[test]
fn the_dead_are_removed_and_made_again() {
    let desired = hello("i:1");
    let acts = acts(&desired, &device(&desired, ContainerState::Dead));
    assert_eq!(
        acts,
        [
            "pull i:1 for hello.web",
            "remove hello.web (id1) with its anonymous volumes",
            "create hello.web"
        ]
    );
}

#[test]
fn a_policy_decides_who_rests() {
    use RestartPolicy::{Always, Never, OnFailure, UnlessStopped};
    for (policy, exit_code, restarts, rests) in [
        (Never, 0, 0, true),
        (Never, 1, 0, true),
        (OnFailure { max_retries: 0 }, 0, 0, true),
        (OnFailure { max_retries: 0 }, 1, 9, false),
        (OnFailure { max_retries: 3 }, 1, 2, false),
        (OnFailure { max_retries: 3 }, 1, 3, true),
        (Always, 0, 0, false),
        (UnlessStopped, 0, 0, false),
    ] {
        let desired = with_policy(policy);
        let mut observed = device(&desired, exited(exit_code));
        observed.containers[0].restarts = restarts;
        let expected: &[&str] = if rests { &[] } else { &["start hello.web"] };
        assert_eq!(
            acts(&desired, &observed),
            expected,
            "{policy:?} {exit_code} {restarts}"
        );
    }
}

#[test]
fn what_was_stopped_before_its_end_runs_again_whatever_its_exit_code() {
    for (policy, exit_code) in [
        (RestartPolicy::Never, 0),
        (RestartPolicy::Never, 143),
        (RestartPolicy::OnFailure { max_retries: 3 }, 0),
    ] {
        let desired = with_policy(policy);
        let mut observed = device(&desired, exited(exit_code));
        observed.containers[0].interrupted = true;
        assert_eq!(
            acts(&desired, &observed),
            ["start hello.web"],
            "{policy:?} {exit_code}"
        );
    }
}

#[test]
fn what_completed_is_never_made_again_for_its_hash() {
    let desired = with_policy(RestartPolicy::Never);
    let mut observed = device(&desired, exited(0));
    observed.containers.clear();
    observed.applied[0].completed = true;
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    let mut changed = with_policy(RestartPolicy::Never);
    changed.workloads[0].containers[0].hash = crate::arbitrary::other_hash("i:2");
    assert_eq!(acts(&changed, &observed).len(), 2);
    assert_eq!(
        acts(&hello("i:1"), &observed).len(),
        2,
        "under Always it runs again"
    );
}

#[test]
fn one_that_was_removed_by_hand_is_drift() {
    let desired = hello("i:1");
    let mut observed = device(&desired, ContainerState::Running);
    observed.containers.clear();
    let (plan, _) = planned(&desired, &observed);
    assert_eq!(
        plan.steps[1].reason,
        Reason::Drifted {
            fields: vec!["existence".into()]
        }
    );
}

#[test]
fn several_differences_come_in_order() {
    let desired = hello("i:1");
    let mut observed = device(&desired, exited(1));
    observed.containers[0].engine_name = "hello.web.prev".into();
    observed.containers[0].config.restart_policy = RestartPolicy::Never;
    assert_eq!(
        acts(&desired, &observed),
        ["rename hello.web", "update hello.web in place", "start hello.web"]
    );
}

#[test]
fn a_declared_change_and_drift_of_one_field_are_told_apart() {
    let mut desired = hello("i:1");
    let observed = device(&desired, ContainerState::Running);
    desired.workloads[0].containers[0]
        .config
        .resources
        .memory_limit_bytes = Some(1 << 20);
    assert_eq!(planned(&desired, &observed).0.steps[0].reason, Reason::Changed);
    let mut drifted = device(&desired, ContainerState::Running);
    drifted.containers[0].config.resources.memory_limit_bytes = None;
    let fields = vec!["resources.memory".to_owned()];
    assert_eq!(
        planned(&desired, &drifted).0.steps[0].reason,
        Reason::Drifted { fields }
    );
}

#[test]
fn observed_drift_is_told_and_a_declared_change_still_applied() {
    let mut desired = hello("i:1");
    desired.workloads[0].drift = DriftMode::Observe;
    let mut observed = device(&desired, ContainerState::Paused);
    observed.containers[0].engine_name = "mine".into();
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    let fields = vec!["name".to_owned(), "paused".to_owned()];
    assert_eq!(
        held(&desired, &observed, &key("hello", "web")),
        [HeldCause::DriftObserved { fields }]
    );

    let mut changed = hello("i:2");
    changed.workloads[0].drift = DriftMode::Observe;
    assert_eq!(
        acts(&changed, &observed),
        ["pull i:2 for hello.web", "replace hello.web"]
    );
    observed.containers.clear();
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
}

#[test]
fn paused_suspended_and_speechless_devices_are_left_alone_and_say_why() {
    let mut desired = hello("i:2");
    let mut observed = device(&hello("i:1"), ContainerState::Running);
    desired.paused = true;
    assert_eq!(
        held(&desired, &observed, &key("hello", "web")),
        [HeldCause::DevicePaused]
    );
    desired.paused = false;
    desired.workloads[0].suspend = true;
    assert_eq!(
        held(&desired, &observed, &key("hello", "web")),
        [HeldCause::WorkloadSuspended]
    );
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    desired.workloads[0].suspend = false;
    observed.runtime = RuntimeState::Unavailable {
        message: "gone".into(),
    };
    assert_eq!(
        held(&desired, &observed, &key("hello", "web")),
        [HeldCause::RuntimeUnavailable]
    );
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
}

#[test]
fn of_several_the_one_that_runs_stays() {
    let desired = hello("i:1");
    let mut observed = device(&desired, ContainerState::Created);
    let mut old = object("hello", &container("hello", "web", "i:0"), "id0");
    old.engine_name = "hello.web.prev".into();
    observed.containers.push(old);
    assert_eq!(
        acts(&desired, &observed),
        [
            "remove hello.web (id1) with its anonymous volumes",
            "pull i:1 for hello.web",
            "rename hello.web",
            "replace hello.web"
        ]
    );
    observed.containers[0].state = ContainerState::Running;
    assert_eq!(
        acts(&desired, &observed),
        ["remove hello.web (id0) with its anonymous volumes"]
    );
}

#[test]
fn nothing_starts_beside_one_too_many_that_cannot_be_removed() {
    let desired = hello("i:1");
    let mut observed = device(&desired, exited(1));
    let mut second = observed.containers[0].clone();
    second.id = EngineId("id2".into());
    second.engine_name = "hello.web.prev".into();
    observed.containers.push(second);
    let web = &desired.workloads[0].containers[0];
    observed.failures = vec![failure("hello", web, FailureReason::RemoveFailed, Retry::Waiting)];
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    assert_eq!(held(&desired, &observed, &key("hello", "web")).len(), 1);
    observed.failures[0].retry = Retry::Due;
    assert_eq!(acts(&desired, &observed).len(), 2);
}

fn dependent(name: &str, on: &[&str]) -> crate::desired::DesiredContainer {
    let mut made = container("app", name, &format!("{name}:1"));
    made.behaviour.depends_on = on
        .iter()
        .map(|on| Dependency {
            container: crate::arbitrary::label(on),
            condition: DependencyCondition::Healthy,
        })
        .collect();
    made
}

#[test]
fn images_first_then_init_containers_then_dependencies_before_dependents() {
    let mut init = container("app", "prepare", "prepare:1");
    init.init = true;
    init.config.restart_policy = RestartPolicy::Never;
    let desired = set(vec![workload(
        "app",
        vec![dependent("web", &["db"]), dependent("db", &[]), init],
    )]);
    assert_eq!(
        acts(&desired, &empty()),
        [
            "pull prepare:1 for app.prepare",
            "pull db:1 for app.db",
            "pull web:1 for app.web",
            "create app.prepare",
            "create app.db",
            "create app.web"
        ]
    );
}

#[test]
fn a_circle_of_dependencies_is_held_and_what_runs_of_it_kept() {
    let desired = set(vec![workload(
        "app",
        vec![
            dependent("a", &["b"]),
            dependent("b", &["a"]),
            dependent("c", &["a"]),
            dependent("d", &[]),
        ],
    )]);
    assert_eq!(acts(&desired, &empty()), ["pull d:1 for app.d", "create app.d"]);
    for name in ["a", "b"] {
        let causes = held(&desired, &empty(), &key("app", name));
        assert!(
            matches!(causes[..], [HeldCause::Failed { blocked: true, .. }]),
            "{name}: {causes:?}"
        );
    }
    let causes = held(&desired, &empty(), &key("app", "c"));
    assert!(
        matches!(causes[..], [HeldCause::Failed { blocked: false, .. }]),
        "{causes:?}"
    );

    let mut stopped = object("app", &desired.workloads[0].containers[0], "id1");
    stopped.state = exited(1);
    let observed = Observed {
        containers: vec![stopped],
        ..empty()
    };
    assert!(acts(&desired, &observed).contains(&"start app.a".to_owned()));
}

#[test]
fn a_container_whose_dependency_cannot_come_up_is_held_with_it() {
    let desired = set(vec![workload(
        "app",
        vec![dependent("db", &[]), dependent("web", &["db"])],
    )]);
    let db = desired.workloads[0].containers[0].clone();
    let failures = vec![failure("app", &db, FailureReason::ImageNotFound, Retry::Waiting)];
    let observed = Observed { failures, ..empty() };
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    // An old one of it that runs will do.
    let old = object("app", &container("app", "db", "db:0"), "id1");
    let observed = Observed {
        containers: vec![old],
        ..observed
    };
    assert_eq!(
        acts(&desired, &observed),
        ["pull web:1 for app.web", "create app.web"]
    );
}

#[test]
fn a_failed_init_container_holds_the_others() {
    let mut init = container("app", "prepare", "prepare:1");
    init.init = true;
    init.config.restart_policy = RestartPolicy::Never;
    let mut ended = object("app", &init, "id1");
    ended.state = exited(3);
    let desired = set(vec![workload(
        "app",
        vec![init, container("app", "web", "web:1")],
    )]);
    let mut observed = Observed {
        containers: vec![ended],
        ..empty()
    };
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    assert_eq!(held(&desired, &observed, &key("app", "web")).len(), 1);
    observed.containers[0].state = exited(0);
    assert_eq!(
        acts(&desired, &observed),
        ["pull web:1 for app.web", "create app.web"]
    );
}

#[test]
fn higher_priorities_come_first() {
    let mut desired = set(vec![
        workload("aa", vec![container("aa", "x", "i")]),
        workload("bb", vec![container("bb", "x", "i")]),
    ]);
    desired.workloads[1].priority = 1;
    assert_eq!(
        acts(&desired, &empty()),
        ["pull i for bb.x", "pull i for aa.x", "create bb.x", "create aa.x"]
    );
}

#[test]
fn an_unused_field_of_a_spec_is_no_difference() {
    // The hash decides, not the spec that happens to travel along.
    let mut desired = hello("i:1");
    let observed = device(&desired, ContainerState::Running);
    desired.workloads[0].containers[0].spec = ContainerSpec {
        image: "other".into(),
        ..ContainerSpec::default()
    };
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
}
