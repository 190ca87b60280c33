//! How a plan ends: what becomes of the steps nobody ran, and the one answer to the whole.
//!
//! Promises: whatever was accepted is answered, and a step counts as done only where what it was for is
//! there.

use std::collections::{BTreeMap, BTreeSet};

use longshore_bus::envelope::{CorrelationId, Status, error_code};
use longshore_plan::names::ContainerKey;
use longshore_plan::observed::Observed;
use longshore_plan::step::{Action, NumberedStep, Plan, Precondition, Step, StepOutcome};
use serde_json::json;

use super::step::correlation;
use super::{Executor, Interrupt};
use crate::answers::{Answer, CANCELLED, SUPERSEDED, cancelled, superseded};
use crate::ledger::{CommandOutcome, LedgerError, LedgerState, Next, Record};

/// Steps and how they ended.
type Ends = Vec<(String, StepOutcome)>;

impl Executor {
    /// Answers what is left, notes what converged without a step, and lets the next plan have its turn.
    pub(super) async fn end_plan(&mut self) -> Result<(), Interrupt> {
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let Some(next) = self.tools.ledger.state().next.clone() else {
            return Ok(());
        };
        let left: Vec<&NumberedStep> = still_open(&next).collect();
        if !left.is_empty() {
            // Only a plan that was made again leaves some: what they were for is there, or is held.
            let now = longshore_plan::plan(&next.command.desired, &snapshot.observed);
            let withdrawn = self.withdrawal(&self.tools.ledger.state(), &next);
            let ends = left.into_iter().map(|numbered| {
                let outcome = match undone(&numbered.step, &snapshot.observed, &now) {
                    None => StepOutcome::Done { changed: false },
                    Some(because) => skipped(withdrawn.map_or(because, str::to_owned)),
                };
                (numbered.correlation_id.clone(), outcome)
            });
            self.record_ends(ends.collect()).await?;
        }
        let converged = self.found_applied(&next.command.desired, &snapshot);
        self.close_plan(converged).await?;
        self.collect_unused().await;
        Ok(())
    }

    /// Why a plan as a whole is not carried out any further.
    pub(super) fn withdrawal(&self, state: &LedgerState, next: &Next) -> Option<&'static str> {
        if state.pending.is_some() {
            return Some(SUPERSEDED);
        }
        let cancelled = self.tools.cancellations.has(next.correlation_id);
        cancelled.then_some(CANCELLED)
    }

    /// Records how steps ended, and answers them.
    pub(super) async fn record_ends(&self, ends: Ends) -> Result<(), LedgerError> {
        let topic = self
            .tools
            .ledger
            .state()
            .next
            .as_ref()
            .map(|n| n.response_topic.clone());
        let records = ends.iter().map(|(id, outcome)| Record::StepEnded {
            id: id.clone(),
            outcome: outcome.clone(),
            at: self.stamp(),
        });
        self.append(records.collect()).await?;
        for (id, outcome) in &ends {
            self.answer_step(id, topic.as_deref().unwrap_or_default(), outcome);
        }
        Ok(())
    }

    /// Records the end of a plan whose steps have all ended, and answers it.
    pub(super) async fn close_plan(&mut self, mut records: Vec<Record>) -> Result<(), LedgerError> {
        let state = self.tools.ledger.state();
        let Some(next) = &state.next else { return Ok(()) };
        let outcome = self.plan_outcome(&state, next, &next.outcomes);
        records.push(Record::PlanEnded {
            outcome: outcome.clone(),
        });
        // Somebody may have asked for it since it was looked at.
        let mut ended = next.clone();
        let recorded = self.tools.ledger.append_if(|state| {
            if let Some(now) = &state.next {
                ended.also.clone_from(&now.also);
            }
            Some(records)
        });
        recorded.await?;
        self.answer_plan(&ended, &next.outcomes, &outcome);
        let steps = next.command.steps.iter();
        let mut over: BTreeSet<_> = steps.filter_map(|s| correlation(&s.correlation_id)).collect();
        over.insert(next.correlation_id);
        self.tools.cancellations.forget(|id| over.contains(&id));
        self.tools.view.compose();
        Ok(())
    }

    pub(super) fn plan_outcome(
        &self,
        state: &LedgerState,
        next: &Next,
        outcomes: &BTreeMap<String, StepOutcome>,
    ) -> CommandOutcome {
        Counts::of(outcomes).outcome(self.withdrawal(state, next), self.stamp())
    }

    pub(super) fn answer_plan(
        &self,
        next: &Next,
        outcomes: &BTreeMap<String, StepOutcome>,
        outcome: &CommandOutcome,
    ) {
        let answer = Answer {
            result: Some(Counts::of(outcomes).words()),
            ..Answer::of_outcome(outcome, serde_json::Value::Null)
        };
        for (id, topic) in next.requesters() {
            self.tools.answers.end(id, topic, answer.clone());
        }
    }

    pub(super) fn answer_step(&self, id: &str, topic: &str, outcome: &StepOutcome) {
        if let Some(id) = correlation(id).filter(|_| !topic.is_empty()) {
            self.tools.answers.end(id, topic, Answer::of_step(outcome));
        }
    }

    /// Whether somebody cancelled a step, or the plan that is being carried out.
    pub(super) fn is_cancelled(&self, id: &str) -> bool {
        let asked = |id: CorrelationId| self.tools.cancellations.has(id);
        let of_plan = || {
            let state = self.tools.ledger.state();
            let plan = state.next.as_ref();
            plan.is_some_and(|next| asked(next.correlation_id) && next.has_step(id))
        };
        correlation(id).is_some_and(asked) || of_plan()
    }
}

pub(super) fn skipped(because: String) -> StepOutcome {
    StepOutcome::Skipped { because }
}

pub(super) fn still_open(next: &Next) -> impl Iterator<Item = &NumberedStep> {
    let steps = next.command.steps.iter();
    steps.filter(|s| !next.outcomes.contains_key(&s.correlation_id))
}

/// Whether two steps ask for the same. What is to go must be the very object; what is to come may have been
/// planned for another one that was there then.
pub(super) fn same(a: &Step, b: &Step) -> bool {
    let of_object = matches!(
        a.action,
        Action::RemoveContainer { .. } | Action::StopContainer { .. }
    );
    a.workload == b.workload && a.action == b.action && (!of_object || a.precondition == b.precondition)
}

/// Why what a step was for is not there, by what is seen now and what would be planned for it; `None` if
/// it is there, or needed no more.
fn undone(step: &Step, observed: &Observed, now: &Plan) -> Option<String> {
    if now.steps.iter().any(|s| same(s, step)) {
        return Some("it is still to be done".to_owned());
    }
    let held = |key: &ContainerKey| {
        let held = now.held.iter().find(|h| h.key == *key);
        held.map(|h| h.cause.to_string())
    };
    let object = |key: &ContainerKey| {
        let Precondition::Is { id } = &step.precondition else {
            return None;
        };
        observed.containers.iter().find(|c| c.key == *key && c.id == *id)
    };
    let there = |gone: bool| (!gone).then(|| "it is still there".to_owned());
    let key = match &step.action {
        Action::PullImage { container, .. } => {
            Some(ContainerKey::new(step.workload.clone(), container.clone()))
        }
        _ => step.container(),
    };
    match (&step.action, &key) {
        (Action::StopContainer { .. }, Some(key)) => {
            let up = object(key).is_some_and(|c| c.state.is_up());
            up.then(|| "what it makes way for is not done".to_owned())
        }
        (Action::RemoveContainer { .. }, Some(key)) => {
            object(key).and_then(|_| held(key).or_else(|| there(false)))
        }
        (_, Some(key)) => held(key).or_else(|| {
            let unfinished = now.steps.iter().any(|s| s.container().as_ref() == Some(key));
            unfinished.then(|| "its container is not as desired yet".to_owned())
        }),
        (Action::RemoveNetwork { name }, None) => there(!observed.networks.contains(name)),
        (Action::RemoveVolume { name }, None) => there(observed.volumes.iter().all(|v| v.name != *name)),
        (Action::CreateNetwork { name }, None) => needless(observed.networks.contains(name)),
        (Action::CreateVolume { name }, None) => needless(observed.volumes.iter().any(|v| v.name == *name)),
        (_, None) => None,
    }
}

/// What is not there and would not be made: nobody who needs it is worked on.
fn needless(there: bool) -> Option<String> {
    (!there).then(|| "what needs it is not worked on".to_owned())
}

/// How a plan's steps ended.
#[derive(Debug, Default)]
struct Counts {
    changed: usize,
    unchanged: usize,
    failed: usize,
    refused: usize,
    skipped: usize,
}

impl Counts {
    fn of(outcomes: &BTreeMap<String, StepOutcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes.values() {
            *match outcome {
                StepOutcome::Done { changed: true } => &mut counts.changed,
                StepOutcome::Done { changed: false } => &mut counts.unchanged,
                StepOutcome::Failed { .. } => &mut counts.failed,
                StepOutcome::PreconditionFailed { .. } => &mut counts.refused,
                StepOutcome::Skipped { .. } => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    fn words(&self) -> serde_json::Value {
        let Self {
            changed,
            unchanged,
            failed,
            refused,
            skipped,
        } = self;
        json!({
            "changed": changed, "unchanged": unchanged, "failed": failed,
            "refused": refused, "skipped": skipped,
        })
    }

    fn outcome(&self, withdrawal: Option<&'static str>, at: u64) -> CommandOutcome {
        let done = self.changed + self.unchanged;
        let not_done = self.failed + self.refused + self.skipped;
        match withdrawal {
            // One without steps that was withdrawn may have been looked at by nobody.
            _ if not_done == 0 && (done > 0 || withdrawal.is_none()) => {
                return CommandOutcome {
                    status: Status::Succeeded,
                    code: 200,
                    error: None,
                    at,
                };
            }
            Some(SUPERSEDED) => return superseded(at),
            Some(_) => return cancelled(at),
            None => {}
        }
        let refused = self.failed == 0 && self.refused > 0;
        let (code, error) = if refused {
            (409, error_code::PRECONDITION_FAILED)
        } else {
            (500, error_code::STEP_FAILED)
        };
        let words = format!(
            "{} steps failed, {} were refused, {} skipped",
            self.failed, self.refused, self.skipped
        );
        CommandOutcome {
            status: Status::Failed,
            code,
            error: Some((error.to_owned(), words)),
            at,
        }
    }
}

#[cfg(test)]
mod tests;
