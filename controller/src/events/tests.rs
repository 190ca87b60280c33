//! Events: one for each thing that happened between two reports, and none for what did not.

use longshore_plan::desired::DesiredWorkload;
use longshore_plan::names::EngineId;
use longshore_plan::observed::{FailureReason, Observed, Retry};

use super::*;
use crate::fixtures::{self, drift, failure, key, report, running, workload};

mod properties;
mod queue;

fn hello() -> DesiredWorkload {
    workload("hello", &[("web", "hello:1")])
}

/// `hello` as it runs.
fn before() -> Report {
    report(running(&[hello()]), "")
}

/// The same, with something else about it.
fn after(change: impl FnOnce(&mut Report)) -> Report {
    let mut after = before();
    change(&mut after);
    after
}

/// What is told between two reports: `warning|normal reason about: words`.
fn told(before: &Report, after: &Report) -> Vec<String> {
    let declared = &hello().containers[0];
    let images = BTreeMap::from([(key("hello", "web"), (declared.hash.clone(), "hello:1".to_owned()))]);
    let notes = transitions("dev1", before, after, &images);
    let lines = notes.into_iter().map(|(about, note)| {
        let kind = if note.warning { "warning" } else { "normal" };
        let about = match about {
            About::Device => "the device".to_owned(),
            About::Workload(name) => name,
        };
        format!("{kind} {} {about}: {}", note.reason, note.words)
    });
    lines.collect()
}

fn state(state: ContainerState, health: Health) -> Report {
    after(|r| {
        r.observed.containers[0].state = state;
        r.observed.containers[0].health = health;
    })
}

fn restarting() -> Report {
    state(ContainerState::Restarting { exit_code: 3 }, Health::Unhealthy)
}

fn unhealthy() -> Report {
    state(ContainerState::Running, Health::Unhealthy)
}

fn unavailable() -> Report {
    after(|r| {
        r.observed.runtime = RuntimeState::Unavailable {
            message: "no such socket".into(),
        };
    })
}

fn failing(reason: FailureReason) -> Report {
    after(|r| {
        let failed = failure(&hello(), &hello().containers[0], reason, Retry::Waiting);
        r.observed.failures.push(failed);
    })
}

fn drifted(field: &str) -> Report {
    after(|r| r.drift.push(drift(key("hello", "web"), field, "that", "this")))
}

fn empty() -> Report {
    report(running(&[]), "")
}

#[test]
fn each_reason_has_its_event() {
    for (before, after, wanted) in [
        (
            empty(),
            before(),
            "normal Created hello: created web from hello:1 on dev1",
        ),
        (
            before(),
            after(|r| r.observed.containers[0].id = EngineId("another".into())),
            "normal Replaced hello: replaced web by one from hello:1 on dev1",
        ),
        (
            before(),
            after(|r| r.observed.applied[0].config_digest = "another".into()),
            "normal Updated hello: updated web in place on dev1",
        ),
        (
            // Of a former hash: nobody here knows from what it was made.
            before(),
            after(|r| {
                r.observed.containers[0].id = EngineId("former".into());
                r.observed.containers[0].hash = workload("hello", &[("web", "hello:0")]).containers[0]
                    .hash
                    .clone();
            }),
            "normal Replaced hello: replaced web by one on dev1",
        ),
        (before(), empty(), "normal Removed hello: removed web on dev1"),
        (
            before(),
            unhealthy(),
            "warning Unhealthy hello: web is not healthy on dev1",
        ),
        (
            before(),
            restarting(),
            "warning CrashLoopBackOff hello: web exits with code 3 and is started again on dev1",
        ),
        (
            before(),
            drifted("name"),
            "warning DriftDetected hello: web: name is this instead of that on dev1",
        ),
        (
            drifted("name"),
            before(),
            "normal DriftUndone hello: web: name is as declared again on dev1",
        ),
        (
            before(),
            unavailable(),
            "warning RuntimeUnavailable the device: no such socket",
        ),
        (
            unavailable(),
            before(),
            "normal RuntimeReady the device: docker 27.1 answers",
        ),
    ] {
        assert_eq!(told(&before, &after), [wanted]);
    }
}

#[test]
fn every_failure_an_agent_reports_is_a_warning_under_its_own_reason() {
    for reason in [
        FailureReason::ImageNotFound,
        FailureReason::ImageTagNotFound,
        FailureReason::RegistryUnavailable,
        FailureReason::RegistryAuthenticationFailed,
        FailureReason::ImagePullFailed,
        FailureReason::ImageNeverPull,
        FailureReason::CreateFailed,
        FailureReason::StartFailed,
        FailureReason::RolledBack,
        FailureReason::Unhealthy,
        FailureReason::PortConflict,
        FailureReason::NameConflict,
        FailureReason::ContentMissing,
        FailureReason::DependencyNotReady,
        FailureReason::NetworkFailed,
        FailureReason::VolumeFailed,
        FailureReason::UpdateFailed,
        FailureReason::RemoveFailed,
        FailureReason::RuntimeUnavailable,
        FailureReason::LedgerUnavailable,
        FailureReason::DiskFull,
    ] {
        let word = reason.as_str();
        let wanted = format!("warning {word} hello: web: words of {word} on dev1");
        assert_eq!(told(&before(), &failing(reason)), [wanted]);
        assert_eq!(
            told(&failing(reason), &before()),
            [""; 0],
            "its end is another event's"
        );
    }
}

#[test]
fn what_was_told_is_not_told_again() {
    for report in [
        before(),
        unhealthy(),
        restarting(),
        unavailable(),
        drifted("name"),
        failing(FailureReason::RolledBack),
    ] {
        assert_eq!(told(&report, &report), [""; 0]);
    }
    // Another try, and other words for it, are the same failure.
    let again = failing(FailureReason::ImagePullFailed);
    let mut later = again.clone();
    later.observed.failures[0].attempts = 7;
    later.observed.failures[0].retry = Retry::Due;
    later.observed.failures[0].message = "timed out after 31 s".into();
    assert_eq!(told(&again, &later), [""; 0]);
    // Another declaration that fails in the same way is not.
    later.observed.failures[0].config_digest = "another".into();
    assert_eq!(told(&again, &later).len(), 1);
}

#[test]
fn a_container_that_is_missed_was_not_removed_by_us() {
    let gone = after(|r| r.observed.containers.clear());
    assert_eq!(told(&before(), &gone), [""; 0], "it is still in the ledger");
    let missed = after(|r| {
        r.observed = running(&[]);
        r.drift = vec![drift(key("hello", "web"), "existence", "present", "absent")];
    });
    assert_eq!(
        told(&before(), &missed),
        ["warning DriftDetected hello: web: existence is absent instead of present on dev1"]
    );
}

#[test]
fn a_container_gets_worse_once_and_its_recovery_is_no_news() {
    assert_eq!(
        told(&restarting(), &unhealthy()),
        [""; 0],
        "between two restarts it is up for a moment"
    );
    assert_eq!(told(&unhealthy(), &restarting()).len(), 1, "that is worse");
    assert_eq!(told(&unhealthy(), &before()), [""; 0]);
    let starting = state(ContainerState::Running, Health::Starting);
    assert_eq!(told(&starting, &before()), [""; 0]);
    assert_eq!(told(&starting, &unhealthy()).len(), 1);
}

#[test]
fn only_an_answer_and_its_absence_are_news_of_a_runtime() {
    let unasked = after(|r| r.observed.runtime = RuntimeState::Unknown);
    assert_eq!(told(&unasked, &before()), [""; 0]);
    assert_eq!(told(&before(), &unasked), [""; 0]);
    assert_eq!(told(&unasked, &unavailable()), [""; 0]);
    let mut other = unavailable();
    other.observed.runtime = RuntimeState::Unavailable {
        message: "in other words".into(),
    };
    assert_eq!(told(&unavailable(), &other), [""; 0]);
}

#[test]
fn of_two_objects_of_a_container_the_one_that_is_up_counts() {
    let replaced = after(|r| {
        let mut new = r.observed.containers[0].clone();
        new.id = EngineId("new".into());
        r.observed.containers[0].state = ContainerState::Exited {
            exit_code: 0,
            oom_killed: false,
        };
        r.observed.containers.push(new);
    });
    assert_eq!(
        told(&before(), &replaced),
        ["normal Replaced hello: replaced web by one from hello:1 on dev1"]
    );
    let done = after(|r| r.observed.containers[0].id = EngineId("new".into()));
    assert_eq!(told(&replaced, &done), [""; 0], "told already");
}

#[test]
fn each_container_and_field_has_an_event_of_its_own() {
    let two = workload("hello", &[("db", "db:1"), ("web", "hello:1")]);
    let created = told(&empty(), &report(running(&[two]), ""));
    assert_eq!(
        created,
        [
            "normal Created hello: created db on dev1",
            "normal Created hello: created web from hello:1 on dev1",
        ]
    );
    let fields = after(|r| {
        r.drift = vec![
            drift(key("hello", "web"), "name", "a", "b"),
            drift(key("hello", "web"), "state", "c", "d"),
        ];
    });
    assert_eq!(told(&before(), &fields).len(), 2);
    assert_eq!(told(&drifted("name"), &fields).len(), 1, "the other one is known");
    // What the API aggregates by tells them apart as well.
    let notes = transitions("dev1", &before(), &fields, &BTreeMap::new());
    assert_ne!(notes[0].1.action, notes[1].1.action);
}

#[test]
fn no_secret_has_a_place_in_an_event() {
    let secret = "s3cret";
    let conceal = |observed: &mut Observed| {
        for container in &mut observed.containers {
            container.revision = secret.into();
            container.image_id = secret.into();
            container.started_at = secret.into();
            container.config.networks = vec![secret.into()];
            let file = longshore_plan::spec::ContentFile {
                path: secret.into(),
                content: longshore_plan::spec::ContentRef {
                    digest: longshore_plan::spec::ContentDigest(secret.into()),
                    secret: true,
                },
                mode: None,
            };
            container.config.content = BTreeMap::from([("v".to_owned(), vec![file])]);
        }
        observed.networks = vec![secret.into()];
        observed.unmanaged = vec![fixtures::stranger(secret, 80)];
    };
    let mut all = Vec::new();
    for (mut before, mut after) in [
        (empty(), before()),
        (before(), empty()),
        (
            before(),
            after(|r| r.observed.containers[0].id = EngineId("another".into())),
        ),
        (
            before(),
            after(|r| r.observed.applied[0].config_digest = "another".into()),
        ),
        (before(), restarting()),
        (before(), failing(FailureReason::CreateFailed)),
        (before(), drifted("content")),
    ] {
        conceal(&mut before.observed);
        conceal(&mut after.observed);
        all.extend(transitions("dev1", &before, &after, &BTreeMap::new()));
    }
    assert_eq!(all.len(), 7);
    assert!(!format!("{all:?}").contains(secret));
}

#[test]
fn a_container_that_is_put_back_is_no_replacement() {
    let former = workload("hello", &[("web", "hello:0")]);
    let mut put_back = report(running(std::slice::from_ref(&former)), "");
    put_back.observed.containers[0].id = EngineId("former".into());
    put_back.observed.failures.push(failure(
        &hello(),
        &hello().containers[0],
        FailureReason::RolledBack,
        Retry::Blocked,
    ));
    let told = told(&before(), &put_back);
    assert!(
        told.iter()
            .any(|line| line.starts_with("warning RolledBack hello")),
        "{told:?}"
    );
    assert!(!told.iter().any(|line| line.contains("Replaced")), "{told:?}");
}
