//! What was tried and did not work.

use super::*;

fn failed(reason: FailureReason, retry: Retry) -> Case {
    Case::new().changed().with(|c| {
        let failed = failure(&c.workload, &c.workload.containers[0], reason, retry);
        c.observed.failures.push(failed);
    })
}

#[test]
fn a_failure_is_tried_again_or_is_not() {
    for (reason, retry, wanted) in [
        (
            FailureReason::ImageTagNotFound,
            Retry::Waiting,
            "Retrying ImageTagNotFound: web: words of ImageTagNotFound (image hello:2)",
        ),
        (
            FailureReason::RegistryAuthenticationFailed,
            Retry::Due,
            "Retrying RegistryAuthenticationFailed: web: words of RegistryAuthenticationFailed (image hello:2)",
        ),
        (
            FailureReason::RolledBack,
            Retry::Blocked,
            "Stalled RolledBack: web: words of RolledBack (image hello:2)",
        ),
        (
            FailureReason::StartFailed,
            Retry::Waiting,
            "Retrying StartFailed: web: words of StartFailed",
        ),
        (
            FailureReason::Unhealthy,
            Retry::Blocked,
            "Stalled Unhealthy: web: words of Unhealthy",
        ),
    ] {
        assert_eq!(failed(reason, retry).verdict(), wanted);
    }
}

#[test]
fn words_that_name_the_image_are_left_as_they_are() {
    let case = failed(FailureReason::ImageNotFound, Retry::Waiting)
        .with(|c| c.observed.failures[0].message = "pull hello:2: no such image".into());
    assert_eq!(
        case.verdict(),
        "Retrying ImageNotFound: web: pull hello:2: no such image"
    );
}

#[test]
fn the_failure_of_another_declaration_says_nothing_of_this_one() {
    let before = || failed(FailureReason::RolledBack, Retry::Blocked);
    let hash = before().with(|c| c.observed.failures[0].hash = SpecHash("v1:other".into()));
    assert_eq!(hash.verdict(), "Progressing: web: its image is being pulled");
    let config = before().with(|c| c.observed.failures[0].config_digest = "other".into());
    assert_eq!(config.verdict(), "Progressing: web: its image is being pulled");
    let container = before().with(|c| c.observed.failures[0].key = key("hello", "other"));
    assert_eq!(container.verdict(), "Progressing: web: its image is being pulled");
}

#[test]
fn what_is_not_tried_again_is_told_before_what_is() {
    let mut case = Case::two();
    let [db, web] = [0, 1].map(|i| case.workload.containers[i].clone());
    let waits = failure(
        &case.workload,
        &db,
        FailureReason::ImagePullFailed,
        Retry::Waiting,
    );
    let blocked = failure(&case.workload, &web, FailureReason::CreateFailed, Retry::Blocked);
    case.observed.failures = vec![waits.clone(), blocked];
    assert_eq!(case.verdict(), "Stalled CreateFailed: web: words of CreateFailed");
    case.observed.failures = vec![waits];
    assert_eq!(
        case.verdict(),
        "Retrying ImagePullFailed: db: words of ImagePullFailed (image db:1)"
    );
}

#[test]
fn a_port_or_name_somebody_else_has_stalls_and_names_who_has_it() {
    let mut case = Case::new();
    fixtures::publish(&mut case.workload.containers[0], 8080);
    case.observed = running(&[]);
    case.observed.unmanaged.push(stranger("nginx", 8080));
    assert_eq!(
        case.verdict(),
        "Stalled PortConflict: web: host port 8080 is held by nginx"
    );
    let taken = Case::new().with(|c| {
        c.observed = running(&[]);
        c.observed.unmanaged.push(stranger("hello.web", 1));
    });
    assert_eq!(
        taken.verdict(),
        "Stalled NameConflict: web: the name hello.web is held by hello.web"
    );
}

#[test]
fn a_conflict_is_told_although_drift_is_only_watched() {
    let case = Case::new().with(|c| {
        c.workload.drift = DriftMode::Observe;
        c.observed.containers[0].engine_name = "hello.web.next".into();
        c.observed.unmanaged.push(stranger("hello.web", 1));
    });
    assert_eq!(
        case.verdict(),
        "Stalled NameConflict: web: the name hello.web is held by hello.web"
    );
}

#[test]
fn one_too_many_that_cannot_be_removed_is_tried_again_and_nothing_is_on_its_way_till_then() {
    let case = Case::new().with(|c| {
        let mut old = object(&c.workload, &c.workload.containers[0]);
        old.id = EngineId("old".into());
        old.hash = SpecHash("v1:old".into());
        old.engine_name = "hello.web.prev".into();
        let rests = ContainerState::Exited {
            exit_code: 0,
            oom_killed: false,
        };
        old.state = rests.clone();
        let mut stuck = failure(
            &c.workload,
            &c.workload.containers[0],
            FailureReason::RemoveFailed,
            Retry::Waiting,
        );
        stuck.hash = old.hash.clone();
        c.observed.failures.push(stuck);
        c.observed.containers.push(old);
        c.observed.containers[0].state = rests;
    });
    assert_eq!(
        case.verdict(),
        "Retrying RemoveFailed: web: words of RemoveFailed"
    );
}

#[test]
fn a_refusal_is_told_before_anything_else_the_device_does() {
    let case = failed(FailureReason::RolledBack, Retry::Blocked).with(|c| c.refused = Some("no".into()));
    assert_eq!(case.verdict(), "Stalled PlanRefused: no");
}
