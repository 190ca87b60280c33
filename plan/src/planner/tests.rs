mod clashes;
mod containers;
mod failures;
mod properties;
mod removals;

use crate::arbitrary::ready;
use crate::check::check;
use crate::desired::{DesiredContainer, DesiredSet, DesiredWorkload};
use crate::explain::explain;
use crate::hash::config_digest;
use crate::names::ContainerKey;
use crate::observed::{Failure, FailureReason, Observed, Retry};
use crate::plan;
use crate::step::{HeldCause, Plan};

/// A ready device with nothing on it.
fn empty() -> Observed {
    Observed {
        runtime: ready(),
        ..Observed::default()
    }
}

fn set(workloads: Vec<DesiredWorkload>) -> DesiredSet {
    DesiredSet {
        workloads,
        ..DesiredSet::default()
    }
}

/// The plan, which must pass the checker, and its words.
fn planned(desired: &DesiredSet, observed: &Observed) -> (Plan, Vec<String>) {
    let plan = plan(desired, observed);
    assert_eq!(check(&plan, desired, observed), vec![], "{plan:#?}");
    let words = explain(&plan, desired, observed);
    (plan, words)
}

/// The words of the plan without reasons and without what the inputs add: what is done, in order.
fn acts(desired: &DesiredSet, observed: &Observed) -> Vec<String> {
    let (plan, _) = planned(desired, observed);
    let act = |line: String| line.split(", because").next().unwrap_or_default().to_owned();
    plan.steps.iter().map(|s| act(s.to_string())).collect()
}

/// Why the container is held, if it is.
fn held(desired: &DesiredSet, observed: &Observed, key: &ContainerKey) -> Vec<HeldCause> {
    let (plan, _) = planned(desired, observed);
    plan.held
        .into_iter()
        .filter(|h| &h.key == key)
        .map(|h| h.cause)
        .collect()
}

/// A failed attempt to bring about `want`.
fn failure(workload: &str, want: &DesiredContainer, reason: FailureReason, retry: Retry) -> Failure {
    Failure {
        key: crate::arbitrary::key(workload, want.name.as_str()),
        hash: want.hash.clone(),
        config_digest: config_digest(&want.config),
        reason,
        message: "no such thing".into(),
        retry,
        attempts: 1,
    }
}
