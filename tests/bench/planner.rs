//! (f) The planner alone: pure code, so its arms are compared in processor time of one thread.
//!
//! The baseline is `serde_json` writing the same desired set. It must be written anyway to send the plan,
//! goes over the same data once, and is as fast as such code gets: planning at a small multiple of it is
//! not what a change waits for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_plan::desired::DesiredSet;
use longshore_plan::observed::Observed;
use longshore_plan::plan;

use crate::fixtures;
use crate::measure::{Effort, Outcome, Row, calls_for, seconds_per_call};

const CONTAINERS: usize = 50;

/// Measures it.
pub(crate) fn measure(effort: Effort) -> Result<Outcome> {
    let desired = fixtures::desired(CONTAINERS, "registry.example/server:1")?;
    let newer = fixtures::desired(CONTAINERS, "registry.example/server:2")?;
    let settled = fixtures::settled(&desired);
    let cases = [
        ("everything is made", &desired, fixtures::bare()),
        ("everything is replaced", &newer, settled.clone()),
        ("nothing is to be done", &desired, settled),
    ];
    let rows: Result<Vec<Row>> = cases
        .into_iter()
        .map(|(what, desired, observed)| compare(what, desired, &observed, effort))
        .collect();
    Ok(Outcome::Rows(rows?))
}

fn compare(what: &str, desired: &DesiredSet, observed: &Observed, effort: Effort) -> Result<Row> {
    let steps = plan(desired, observed).steps.len();
    ensure!(
        plan(desired, observed).held.is_empty(),
        "the planner holds something back"
    );
    let length = serde_json::to_vec(desired)
        .context("encoding the desired set")?
        .len();
    let planning = || plan(desired, observed);
    let encoding = || serde_json::to_vec(desired);
    let turn = effort.pick(Duration::from_millis(2), Duration::from_millis(20));
    let (plans, encodings) = (calls_for(turn, planning), calls_for(turn, encoding));

    let mut row = Row::new(
        format!("plan, {what}"),
        format!("serde_json writing the desired set, {} kB", length / 1000),
        "µs",
    );
    for _ in 0..effort.pick(10, 100) {
        let seconds = seconds_per_call(plans, planning);
        row.ours.push(seconds * 1e6);
        row.baseline.push(seconds_per_call(encodings, encoding) * 1e6);
    }
    let plans_a_second = 1e6 / row.ours.percentile(50);
    let note = if steps == 0 {
        format!("no steps; {plans_a_second:.0} such plans per second and core")
    } else {
        let count = f64::from(u32::try_from(steps).context("counting steps")?);
        format!(
            "{steps} steps; {:.0} steps per second and core",
            plans_a_second * count
        )
    };
    row.notes.push(note);
    Ok(row)
}
