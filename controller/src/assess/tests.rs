//! How one workload stands: a table of reports and verdicts, and what no report can make it say.

use longshore_plan::desired::{DesiredSet, DriftMode};
use longshore_plan::hash::SpecHash;
use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, FailureReason, Health, Observed, Retry};
use longshore_plan::spec::RestartPolicy;

use super::*;
use crate::fixtures::{self, failure, key, object, report, running, set, stranger, workload};

mod failures;
mod properties;
mod verdicts;

/// A workload on a device, and what the device says.
#[derive(Debug, Clone)]
struct Case {
    workload: DesiredWorkload,
    observed: Observed,
    accepted: bool,
    paused: bool,
    refused: Option<String>,
}

impl Case {
    /// `hello` with one container, which runs as declared.
    fn new() -> Self {
        let workload = workload("hello", &[("web", "hello:1")]);
        Self {
            observed: running(std::slice::from_ref(&workload)),
            workload,
            accepted: true,
            paused: false,
            refused: None,
        }
    }

    /// Two containers, `db` and `web`, both as declared.
    fn two() -> Self {
        let workload = workload("hello", &[("db", "db:1"), ("web", "hello:1")]);
        Self {
            observed: running(std::slice::from_ref(&workload)),
            workload,
            ..Self::new()
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The first container's state is another one.
    fn state(self, state: ContainerState, health: Health) -> Self {
        self.with(|case| {
            case.observed.containers[0].state = state;
            case.observed.containers[0].health = health;
        })
    }

    /// The image of `web` is declared anew.
    fn changed(mut self) -> Self {
        self.workload = workload("hello", &[("web", "hello:2")]);
        self
    }

    fn judge(&self) -> OnDevice {
        let desired = DesiredSet {
            paused: self.paused,
            ..set(std::slice::from_ref(&self.workload))
        };
        let plan = longshore_plan::plan(&desired, &self.observed);
        let drift = longshore_plan::drift::drift(&desired, &self.observed);
        let report = Report {
            drift,
            ..report(self.observed.clone(), "")
        };
        assess(
            &self.workload,
            &Evidence {
                report: &report,
                plan: &plan,
                accepted: self.accepted,
                paused: self.paused,
                refused: self.refused.as_deref(),
            },
        )
    }

    /// `kind reason: message`.
    fn verdict(&self) -> String {
        words(&self.judge().verdict)
    }
}

fn words(verdict: &Verdict) -> String {
    let of = |kind: &str, t: &Trouble| format!("{kind} {}: {}", t.reason, t.message);
    match verdict {
        Verdict::Progressing(message) => format!("Progressing: {message}"),
        Verdict::Retrying(trouble) => of("Retrying", trouble),
        Verdict::Stalled(trouble) => of("Stalled", trouble),
        Verdict::Unhealthy(trouble) => of("Unhealthy", trouble),
        Verdict::OnHold(trouble) => of("OnHold", trouble),
        Verdict::Offline(message) => format!("Offline: {message}"),
        Verdict::Ready | Verdict::Unconfirmed { .. } | Verdict::Removing => verdict.word().to_owned(),
    }
}

#[test]
fn every_verdict_has_a_word_and_what_failed_has_its_words() {
    let trouble = Trouble::new("Some", "words");
    for (verdict, word, message, fails) in [
        (Verdict::Ready, "Ready", None, false),
        (
            Verdict::Progressing("on".into()),
            "Progressing",
            Some("on"),
            false,
        ),
        (Verdict::Retrying(trouble.clone()), "Some", Some("words"), true),
        (Verdict::Stalled(trouble.clone()), "Some", Some("words"), true),
        (Verdict::Unhealthy(trouble.clone()), "Some", Some("words"), true),
        (Verdict::OnHold(trouble), "Some", Some("words"), false),
        (
            Verdict::Offline("away".into()),
            "DeviceOffline",
            Some("away"),
            false,
        ),
        (
            Verdict::Unconfirmed { was_ready: true },
            "Unconfirmed",
            None,
            false,
        ),
        (
            Verdict::Unconfirmed { was_ready: false },
            "Unconfirmed",
            None,
            false,
        ),
        (Verdict::Removing, "Removing", None, false),
    ] {
        assert_eq!(verdict.word(), word);
        assert_eq!(verdict.message(), message);
        assert_eq!(verdict.failure().is_some(), fails, "{verdict:?}");
    }
}

#[test]
fn all_problems_of_a_rendering_are_one_sentence_and_the_gravest_gives_its_reason() {
    let missing = |name: &str| RenderProblem::MissingContent {
        field: "spec.x".into(),
        kind: crate::render::ContentKind::Secret,
        name: name.into(),
        key: None,
    };
    let invalid = RenderProblem::Invalid {
        field: "spec.y".into(),
        reason: "must not".into(),
    };
    let trouble = Trouble::of_problems(&[missing("s")]);
    assert_eq!(trouble.reason, reason::CONTENT_MISSING);
    assert_eq!(trouble.message, "spec.x: Secret \"s\" does not exist");
    let trouble = Trouble::of_problems(&[missing("s"), invalid]);
    assert_eq!(trouble.reason, reason::INVALID_SPEC, "it does not heal by itself");
    assert_eq!(
        trouble.message,
        "spec.x: Secret \"s\" does not exist; spec.y: must not"
    );
    let many: Vec<RenderProblem> = (0..9).map(|n| missing(&n.to_string())).collect();
    let trouble = Trouble::of_problems(&many);
    assert!(
        trouble.message.ends_with("\"7\" does not exist; and more"),
        "{}",
        trouble.message
    );
    assert_eq!(Trouble::of_problems(&[]).reason, reason::INVALID_SPEC);
}

#[test]
fn what_runs_well_is_counted_and_what_does_not_is_not() {
    let both = Case::two().judge();
    assert_eq!((both.desired, both.ready, both.updated), (2, 2, true));
    assert_eq!(
        both.revision.as_deref(),
        Some(Case::two().workload.revision.as_str())
    );
    let one = Case::two()
        .state(ContainerState::Running, Health::Starting)
        .judge();
    assert_eq!((one.desired, one.ready, one.updated), (2, 1, true));
    let old = Case::new().changed().judge();
    assert_eq!((old.desired, old.ready, old.updated), (1, 0, false));
    assert_eq!(
        old.revision.as_deref(),
        Some(Case::new().workload.revision.as_str())
    );
    let none = Case::new().with(|c| c.observed = running(&[])).judge();
    assert_eq!((none.desired, none.ready, none.revision), (1, 0, None));
}

#[test]
fn containers_of_two_revisions_have_none_together() {
    let case = Case::two().with(|c| {
        c.workload.containers[1].hash = fixtures::container("hello", "web", "hello:2").hash;
        c.observed.containers[1].revision = "another".into();
    });
    assert_eq!(case.judge().revision, None);
}

#[test]
fn drift_is_that_of_the_workload_and_of_no_other() {
    let other = workload("other", &[("x", "i")]);
    let mut case = Case::new();
    case.observed
        .applied
        .push(fixtures::applied(&other, &other.containers[0]));
    assert!(!case.judge().drifted);
    case.observed.containers.clear();
    assert!(case.judge().drifted);
}
