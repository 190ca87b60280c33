//! Planted faults: each rule finds the plan that breaks it, and a good plan breaks none.

use super::check;
use crate::arbitrary::{applied, container, key, label, object, other_hash, ready, workload};
use crate::desired::{DesiredSet, DriftMode, Removal, RemovalReason};
use crate::hash::config_digest;
use crate::names::EngineId;
use crate::observed::{ContainerState, Failure, FailureReason, Observed, Retry, RuntimeState};
use crate::spec::{Dependency, DependencyCondition};
use crate::step::{Action, Plan, Precondition, Reason, Step};

/// Workload `app` with `db` and `web` (which depends on it), both of image `i:2`; `gone` is ordered away.
fn desired() -> DesiredSet {
    let mut web = container("app", "web", "i:2");
    web.behaviour.depends_on = vec![Dependency {
        container: label("db"),
        condition: DependencyCondition::Started,
    }];
    DesiredSet {
        workloads: vec![workload("app", vec![web, container("app", "db", "i:2")])],
        removals: vec![Removal {
            workload: label("gone"),
            reason: RemovalReason::Deleted,
        }],
        ..DesiredSet::default()
    }
}

/// Old ones of both run, and one each of `gone` and of a workload nobody knows.
fn observed() -> Observed {
    let mut containers = vec![
        object("app", &container("app", "db", "i:1"), "db1"),
        object("app", &container("app", "web", "i:1"), "web1"),
        object("gone", &container("gone", "x", "i:1"), "gone1"),
        object("lost", &container("lost", "x", "i:1"), "lost1"),
    ];
    for container in &mut containers[..2] {
        container.hash = other_hash("i:1");
    }
    Observed {
        runtime: ready(),
        containers,
        ..Observed::default()
    }
}

fn good() -> Plan {
    let plan = crate::plan(&desired(), &observed());
    assert_eq!(check(&plan, &desired(), &observed()), vec![]);
    assert_eq!(plan.steps.len(), 5, "{plan:#?}");
    plan
}

fn step(workload: &str, action: Action, id: &str, reason: Reason) -> Step {
    let precondition = if id.is_empty() {
        Precondition::None
    } else {
        Precondition::Is {
            id: EngineId(id.into()),
        }
    };
    Step {
        workload: label(workload),
        action,
        precondition,
        reason,
    }
}

fn remove(workload: &str, name: &str, id: &str, reason: Reason) -> Step {
    step(
        workload,
        Action::RemoveContainer {
            container: label(name),
        },
        id,
        reason,
    )
}

fn rules(plan: &Plan, desired: &DesiredSet, observed: &Observed) -> Vec<&'static str> {
    let mut rules: Vec<_> = check(plan, desired, observed)
        .into_iter()
        .map(|v| v.rule)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// The rules broken by the good plan after `spoil`.
fn spoilt(spoil: impl FnOnce(&mut Plan)) -> Vec<&'static str> {
    let mut plan = good();
    spoil(&mut plan);
    rules(&plan, &desired(), &observed())
}

#[test]
fn orphans_strangers_and_the_not_ordered_are_not_to_be_touched() {
    let deleted = Reason::Removed {
        cause: Some(RemovalReason::Deleted),
    };
    let orphan = remove("lost", "x", "lost1", deleted.clone());
    assert_eq!(spoilt(|p| p.steps.push(orphan)), ["orphaned", "removal"]);
    assert_eq!(
        spoilt(|p| p.steps.push(remove("gone", "x", "strange", deleted))),
        ["foreign"]
    );
    let wrong = Reason::Removed {
        cause: Some(RemovalReason::MovedAway),
    };
    assert_eq!(spoilt(|p| p.steps[2].reason = wrong), ["removal"]);
    let declared = remove("app", "db", "db1", Reason::Removed { cause: None });
    assert!(spoilt(|p| p.steps.push(declared)).contains(&"removal"));
    let network = step(
        "app",
        Action::RemoveNetwork {
            name: "other.net".into(),
        },
        "",
        Reason::Declared,
    );
    assert_eq!(spoilt(|p| p.steps.push(network)), ["foreign"]);
    let volume = step(
        "app",
        Action::RemoveVolume { name: "v".into() },
        "",
        Reason::Declared,
    );
    assert_eq!(spoilt(|p| p.steps.push(volume)), ["foreign", "removal"]);
}

#[test]
fn images_come_before_anything_is_stopped() {
    assert_eq!(spoilt(|p| drop(p.steps.remove(0))), ["pull"]);
    assert_eq!(spoilt(|p| p.steps.swap(1, 2)), ["pull"]);
    let other = Action::PullImage {
        container: label("db"),
        image: "other".into(),
    };
    assert_eq!(spoilt(|p| p.steps[0].action = other), ["pull"]);
}

#[test]
fn dependencies_come_first() {
    assert_eq!(spoilt(|p| p.steps.swap(3, 4)), ["dependency"]);
    let mut circle = desired();
    circle.workloads[0].containers[1].behaviour.depends_on = vec![Dependency {
        container: label("web"),
        condition: DependencyCondition::Started,
    }];
    assert_eq!(rules(&good(), &circle, &observed()), ["dependency"]);
}

#[test]
fn every_step_on_an_object_names_it_and_every_creation_demands_absence() {
    for wrong in [Precondition::None, Precondition::Absent] {
        assert!(spoilt(|p| p.steps[3].precondition = wrong).contains(&"precondition"));
    }
    let create = step(
        "app",
        Action::CreateContainer {
            container: label("db"),
        },
        "db1",
        Reason::Declared,
    );
    assert_eq!(spoilt(|p| p.steps[3] = create), ["at-most-one", "precondition"]);
}

#[test]
fn nothing_is_made_or_started_beside_another() {
    let mut observed = observed();
    let mut second = observed.containers[0].clone();
    second.id = EngineId("db2".into());
    second.engine_name = "app.db.prev".into();
    observed.containers.push(second);
    assert_eq!(rules(&good(), &desired(), &observed), ["at-most-one"]);

    let plan = crate::plan(&desired(), &observed);
    assert_eq!(check(&plan, &desired(), &observed), vec![]);
    let mut plan = plan;
    plan.steps
        .insert(0, remove("app", "db", "db1", Reason::Duplicate));
    assert!(rules(&plan, &desired(), &observed).contains(&"removal"));
}

#[test]
fn the_one_that_runs_is_not_the_one_too_many() {
    let mut observed = observed();
    let mut second = observed.containers[0].clone();
    second.id = EngineId("db2".into());
    second.state = ContainerState::Created;
    observed.containers.push(second);
    let plan = Plan {
        steps: vec![remove("app", "db", "db1", Reason::Duplicate)],
        held: vec![],
    };
    assert_eq!(rules(&plan, &desired(), &observed), ["removal"]);
}

#[test]
fn a_stop_makes_way_for_a_higher_priority_and_nothing_else() {
    let stop = |reason| {
        step(
            "app",
            Action::StopContainer {
                container: label("web"),
            },
            "web1",
            reason,
        )
    };
    assert!(spoilt(|p| p.steps.push(stop(Reason::Changed))).contains(&"stop"));
    assert!(
        spoilt(|p| p.steps.insert(
            3,
            stop(Reason::NeededBy {
                container: label("db")
            })
        ))
        .contains(&"stop"),
        "an equal priority"
    );
}

#[test]
fn what_is_as_desired_is_left_alone() {
    let desired = desired();
    let mut observed = observed();
    for (object, want) in observed.containers[..2].iter_mut().zip(["db", "web"]) {
        object.hash = desired.container(&key("app", want)).unwrap().1.hash.clone();
    }
    assert_eq!(rules(&good(), &desired, &observed), ["needless"]);
    for action in [
        Action::UpdateContainer {
            container: label("db"),
        },
        Action::RenameContainer {
            container: label("db"),
        },
        Action::UnpauseContainer {
            container: label("db"),
        },
        Action::StartContainer {
            container: label("db"),
        },
    ] {
        let plan = Plan {
            steps: vec![step("app", action.clone(), "db1", Reason::Changed)],
            held: vec![],
        };
        assert_eq!(rules(&plan, &desired, &observed), ["needless"], "{action:?}");
    }
}

#[test]
fn paused_suspended_blocked_and_observed_are_left_alone() {
    let mut paused = desired();
    paused.paused = true;
    assert_eq!(rules(&good(), &paused, &observed()), ["paused"]);
    assert_eq!(
        rules(
            &good(),
            &desired(),
            &Observed {
                runtime: RuntimeState::default(),
                ..observed()
            }
        ),
        ["paused"]
    );
    let mut suspended = desired();
    suspended.workloads[0].suspend = true;
    assert_eq!(rules(&good(), &suspended, &observed()), ["suspended"]);

    let desired = desired();
    let db = &desired.workloads[0].containers[1];
    for (reason, retry, broken) in [
        (FailureReason::RolledBack, Retry::Blocked, true),
        (FailureReason::ImagePullFailed, Retry::Waiting, true),
        (FailureReason::ImagePullFailed, Retry::Due, false),
        (FailureReason::UpdateFailed, Retry::Blocked, false),
    ] {
        let failure = Failure {
            key: key("app", "db"),
            hash: db.hash.clone(),
            config_digest: config_digest(&db.config),
            reason,
            message: String::new(),
            retry,
            attempts: 1,
        };
        let observed = Observed {
            failures: vec![failure],
            ..observed()
        };
        let expected: &[&str] = if broken { &["failed"] } else { &[] };
        assert_eq!(rules(&good(), &desired, &observed), expected);
    }

    let mut watched = desired.clone();
    watched.workloads[0].drift = DriftMode::Observe;
    let observed = Observed {
        applied: vec![applied("app", db)],
        ..observed()
    };
    assert_eq!(rules(&good(), &watched, &observed), ["drift"]);
}

#[test]
fn a_missing_container_is_made_or_explained() {
    let mut observed = observed();
    observed.containers.retain(|c| c.key.workload.as_str() != "app");
    assert_eq!(rules(&Plan::default(), &desired(), &observed), ["silent"]);
}
