//! The journaled plan, step by step, and again from what is observed where it was cut short.

use std::collections::{BTreeMap, BTreeSet};

use longshore_plan::desired::DesiredSet;
use longshore_plan::names::DnsLabel;
use longshore_plan::observed::FailureReason;
use longshore_plan::step::{Action, NumberedStep, PlanCommand, Reason, Step, StepOutcome};

use super::concerning::declared;
use super::ending::{same, skipped};
use super::{Executor, Interrupt};
use crate::answers::{CANCELLED, SUPERSEDED};
use crate::ledger::{FailureRecord, LedgerState, Next};

/// A step to run, with the id its answer carries if it has one.
pub(super) struct Queued {
    pub(super) id: Option<String>,
    pub(super) step: Step,
}

/// Why a step is not run.
enum Barred {
    /// This one and its like.
    Workload(String),
    /// It and everything after it.
    Everything(&'static str),
}

impl Executor {
    /// Brings the journaled plan to its end, or as far as a newer one lets it.
    pub(super) async fn finish_plan(&mut self, next: Next) -> Result<(), Interrupt> {
        let queue = if self.stale {
            self.made_again(&next).await?
        } else {
            as_given(&next)
        };
        let desired = next.command.desired.clone();
        self.run_queue(&desired, queue, Some(&next)).await?;
        self.end_plan().await?;
        // Whatever comes next was not begun before.
        self.stale = false;
        Ok(())
    }

    /// The steps that are still to be done, from what is really there. A step that the plan had too keeps
    /// its id, so that it is answered.
    async fn made_again(&self, next: &Next) -> Result<Vec<Queued>, Interrupt> {
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let plan = longshore_plan::plan(&next.command.desired, &snapshot.observed);
        let mut open: Vec<&NumberedStep> = next
            .command
            .steps
            .iter()
            .filter(|s| !next.outcomes.contains_key(&s.correlation_id))
            .collect();
        let numbered = plan.steps.into_iter().map(|step| {
            let at = open.iter().position(|s| same(&s.step, &step));
            let id = at.map(|at| open.remove(at).correlation_id.clone());
            Queued { id, step }
        });
        Ok(numbered.collect())
    }

    /// Runs steps in their order. One that fails bars the later ones of its workload.
    pub(super) async fn run_queue(
        &mut self,
        desired: &DesiredSet,
        queue: Vec<Queued>,
        plan: Option<&Next>,
    ) -> Result<bool, Interrupt> {
        let mut failed: BTreeSet<DnsLabel> = BTreeSet::new();
        let mut all_done = true;
        for at in 0..queue.len() {
            if self.inputs.stop.is_cancelled() {
                return Err(Interrupt::Stopping);
            }
            let Queued { id, step } = &queue[at];
            let barred = self.barred(&queue, at, plan, &failed);
            let because = match barred {
                None => {
                    let outcome = self.run_step(desired, step, id.as_deref()).await?;
                    if !matches!(outcome, StepOutcome::Done { .. }) {
                        failed.insert(step.workload.clone());
                        all_done = false;
                    }
                    continue;
                }
                Some(Barred::Everything(because)) if plan.is_none() => {
                    tracing::info!(because, "the local plan ends early");
                    return Ok(false);
                }
                Some(Barred::Everything(because)) => because.to_owned(),
                Some(Barred::Workload(because)) => because,
            };
            all_done = false;
            failed.insert(step.workload.clone());
            if let Some(id) = id {
                self.record_ends(vec![(id.clone(), skipped(because))]).await?;
            }
        }
        Ok(all_done)
    }

    fn barred(
        &self,
        queue: &[Queued],
        at: usize,
        plan: Option<&Next>,
        failed: &BTreeSet<DnsLabel>,
    ) -> Option<Barred> {
        let state = self.tools.ledger.state();
        let step = &queue[at].step;
        match plan {
            Some(_) if state.pending.is_some() => return Some(Barred::Everything(SUPERSEDED)),
            Some(next) if self.tools.cancellations.has(next.correlation_id) => {
                return Some(Barred::Everything(CANCELLED));
            }
            None if state.next.is_some() => return Some(Barred::Everything(SUPERSEDED)),
            None if *self.inputs.supervised.borrow() => {
                return Some(Barred::Everything("a controller is in charge again"));
            }
            _ => {}
        }
        let cancelled = match &queue[at].id {
            Some(id) => self.is_cancelled(id),
            // A plan that was made again holds once more what was cancelled in it.
            None => plan.is_some() && was_cancelled(&state, step),
        };
        if cancelled {
            return Some(Barred::Workload(CANCELLED.to_owned()));
        }
        if failed.contains(&step.workload) {
            return Some(Barred::Workload(
                "an earlier step of its workload was not done".to_owned(),
            ));
        }
        // Nothing is stopped for a step that will not be taken.
        if let (Action::StopContainer { .. }, Reason::NeededBy { .. }) = (&step.action, &step.reason) {
            let beneficiary = queue[at + 1..]
                .iter()
                .find(|q| !matches!(q.step.action, Action::StopContainer { .. }));
            if beneficiary.is_some_and(|q| failed.contains(&q.step.workload)) {
                return Some(Barred::Workload(
                    "the step it makes way for is not taken".to_owned(),
                ));
            }
        }
        None
    }
}

/// Whether the running plan asked for the same in a step that ended as cancelled.
fn was_cancelled(state: &LedgerState, step: &Step) -> bool {
    let ended = |next: &Next, id: &str| {
        let outcome = next.outcomes.get(id);
        matches!(outcome, Some(StepOutcome::Skipped { because }) if because == CANCELLED)
    };
    state.next.as_ref().is_some_and(|next| {
        let mut steps = next.command.steps.iter();
        steps.any(|s| same(&s.step, step) && ended(next, &s.correlation_id))
    })
}

fn as_given(next: &Next) -> Vec<Queued> {
    next.command
        .steps
        .iter()
        .filter(|s| !next.outcomes.contains_key(&s.correlation_id))
        .map(|s| Queued {
            id: Some(s.correlation_id.clone()),
            step: s.step.clone(),
        })
        .collect()
}

/// What a report shows for a plan that could not be written down.
pub(crate) fn unrecorded_failures(
    command: &PlanCommand,
    outcomes: &BTreeMap<String, StepOutcome>,
) -> Vec<FailureRecord> {
    let mut failures: Vec<FailureRecord> = Vec::new();
    for step in command
        .steps
        .iter()
        .filter(|s| !outcomes.contains_key(&s.correlation_id))
    {
        let wanted = step
            .step
            .container()
            .and_then(|key| Some((command.desired.container(&key)?.1, key)));
        if let Some((wanted, key)) = wanted
            && !failures.iter().any(|f| f.key == key)
        {
            let (hash, config_digest) = declared(wanted);
            failures.push(FailureRecord {
                key,
                hash,
                config_digest,
                reason: FailureReason::LedgerUnavailable,
                message: "the agent's ledger cannot be written, so nothing is changed".to_owned(),
                blocked: false,
                attempts: 1,
                stops: 0,
            });
        }
    }
    failures
}
