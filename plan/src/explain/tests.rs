use super::explain;
use crate::arbitrary::{container, key, object, ready, workload};
use crate::desired::{DesiredSet, Removal, RemovalReason};
use crate::hash::spec_hash;
use crate::names::EngineId;
use crate::observed::{FailureReason, Observed};
use crate::plan;
use crate::spec::{ContentDigest, ContentRef, EnvSource, EnvVar, RestartPolicy};
use crate::step::{Action, Held, HeldCause, Plan, Precondition, Reason, Step};

#[test]
fn a_plan_reads_like_a_story() {
    let mut web = container("hello", "web", "hello:2");
    web.hash = crate::hash::SpecHash("v1:new".into());
    let mut old = object("hello", &container("hello", "web", "hello:1"), "0123456789abcdef");
    old.hash = crate::hash::SpecHash("v1:old".into());
    let mut db = container("hello", "db", "db:1");
    db.config.restart_policy = RestartPolicy::Never;
    let mut drifted = object("hello", &db, "id2");
    drifted.config.restart_policy = RestartPolicy::Always;
    drifted.engine_name = "mine".into();
    let gone = object("gone", &container("gone", "x", "i"), "id3");
    let orphan = object("who", &container("who", "x", "i"), "id4");
    let desired = DesiredSet {
        workloads: vec![workload("hello", vec![web, db])],
        removals: vec![Removal {
            workload: crate::arbitrary::label("gone"),
            reason: RemovalReason::Deleted,
        }],
        ..DesiredSet::default()
    };
    let observed = Observed {
        runtime: ready(),
        containers: vec![old, drifted, gone, orphan],
        ..Observed::default()
    };
    let plan = plan(&desired, &observed);
    assert_eq!(
        explain(&plan, &desired, &observed),
        [
            "pull hello:2 for hello.web, because web needs it",
            "remove gone.x (id3) with its anonymous volumes, because its workload is being deleted",
            "replace hello.web: image hello:2 (spec v1:old → v1:new), because its declaration changed",
            "rename hello.db: mine → hello.db, because of drift in name",
            "update hello.db in place: restartPolicy Always → Never, because its declaration changed",
            "hold who.x: its workload is unknown here; it is kept until removed explicitly",
        ]
    );
}

/// Invariant 10: whatever a container is told, no value of it is.
#[test]
fn no_value_of_the_environment_is_ever_shown() {
    let mut web = container("hello", "web", "hello:2");
    web.spec.env = vec![
        EnvVar {
            name: "A".into(),
            source: EnvSource::Value("hunter2".into()),
        },
        EnvVar {
            name: "B".into(),
            source: EnvSource::Content(ContentRef {
                digest: ContentDigest("cafe".repeat(16)),
                secret: true,
            }),
        },
    ];
    web.spec.args = vec!["--password=hunter2".into()];
    web.hash = spec_hash(&web.spec);
    let observed = Observed {
        runtime: ready(),
        containers: vec![object("hello", &container("hello", "web", "hello:1"), "id1")],
        ..Observed::default()
    };
    let desired = DesiredSet {
        workloads: vec![workload("hello", vec![web])],
        ..DesiredSet::default()
    };
    let words = explain(&plan(&desired, &observed), &desired, &observed).join("\n");
    assert!(words.contains("replace hello.web"));
    assert!(!words.contains("hunter2") && !words.contains("cafe"), "{words}");
}

#[test]
fn every_act_reason_and_cause_has_one_line() {
    let c = || crate::arbitrary::label("web");
    let actions = [
        Action::PullImage {
            container: c(),
            image: "i".into(),
        },
        Action::CreateNetwork {
            name: "hello.net".into(),
        },
        Action::RemoveNetwork {
            name: "hello.net".into(),
        },
        Action::CreateVolume {
            name: "hello.v".into(),
        },
        Action::RemoveVolume {
            name: "hello.v".into(),
        },
        Action::CreateContainer { container: c() },
        Action::StartContainer { container: c() },
        Action::StopContainer { container: c() },
        Action::UnpauseContainer { container: c() },
        Action::RenameContainer { container: c() },
        Action::UpdateContainer { container: c() },
        Action::ReplaceContainer { container: c() },
        Action::RemoveContainer { container: c() },
    ];
    let reasons = [
        Reason::Declared,
        Reason::Changed,
        Reason::Drifted {
            fields: vec!["state".into(), "name".into()],
        },
        Reason::Exited,
        Reason::Removed { cause: None },
        Reason::Removed {
            cause: Some(RemovalReason::Deleted),
        },
        Reason::Removed {
            cause: Some(RemovalReason::MovedAway),
        },
        Reason::Removed {
            cause: Some(RemovalReason::Decommissioned),
        },
        Reason::Duplicate,
        Reason::NeededBy { container: c() },
        Reason::Retry,
    ];
    let causes = [
        HeldCause::DevicePaused,
        HeldCause::WorkloadSuspended,
        HeldCause::DriftObserved {
            fields: vec!["state".into()],
        },
        HeldCause::Failed {
            reason: FailureReason::DiskFull,
            message: "no\nspace\u{1b}[0m".into(),
            blocked: false,
        },
        HeldCause::Failed {
            reason: FailureReason::RolledBack,
            message: "ill".into(),
            blocked: true,
        },
        HeldCause::PortConflict {
            port: 80,
            with: "nginx".into(),
        },
        HeldCause::NameConflict {
            name: "x".into(),
            with: "y.z".into(),
        },
        HeldCause::RuntimeUnavailable,
        HeldCause::Orphaned,
    ];
    let mut plan = Plan::default();
    for action in &actions {
        for reason in &reasons {
            plan.steps.push(Step {
                workload: crate::arbitrary::label("hello"),
                action: action.clone(),
                precondition: Precondition::Is {
                    id: EngineId("0123456789abcdef".into()),
                },
                reason: reason.clone(),
            });
        }
    }
    plan.held = causes
        .into_iter()
        .map(|cause| Held {
            key: key("hello", "web"),
            cause,
        })
        .collect();
    let words = explain(&plan, &DesiredSet::default(), &Observed::default());
    assert_eq!(words.len(), plan.steps.len() + plan.held.len());
    assert!(words.iter().all(|line| !line.contains('\n') && !line.is_empty()));
    let distinct: std::collections::BTreeSet<_> = words.iter().collect();
    assert_eq!(distinct.len(), words.len());
    assert!(words.contains(&"hold hello.web: DiskFull for now: no space [0m".to_owned()));
}
