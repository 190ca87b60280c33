//! Plans: the journaled one, brought to its end, and the local ones made while nobody is in charge.

use std::collections::{BTreeMap, BTreeSet};

use longshore_bus::envelope::Status;
use longshore_plan::desired::DesiredSet;
use longshore_plan::names::DnsLabel;
use longshore_plan::observed::FailureReason;
use longshore_plan::step::{Action, NumberedStep, PlanCommand, Reason, Step, StepOutcome};
use serde_json::json;
use tokio::time::Instant;

use super::step::{correlation, declared};
use super::{Executor, Interrupt, LOCAL_PAUSE, Turn};
use crate::answers::{Answer, CANCELLED, SUPERSEDED, superseded};
use crate::ledger::{CommandOutcome, FailureRecord, LedgerState, Next, Record};
use crate::local;

/// A step to run, with the id its answer carries if it has one.
struct Queued {
    id: Option<String>,
    step: Step,
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
            let same = |s: &&NumberedStep| s.step.workload == step.workload && s.step.action == step.action;
            let id = open
                .iter()
                .position(same)
                .map(|at| open.remove(at).correlation_id.clone());
            Queued { id, step }
        });
        Ok(numbered.collect())
    }

    /// Runs steps in their order. One that fails bars the later ones of its workload.
    async fn run_queue(
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
                self.skip(id, because).await?;
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
        if queue[at].id.as_deref().is_some_and(|id| self.is_cancelled(id)) {
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

    pub(super) fn is_cancelled(&self, id: &str) -> bool {
        correlation(id).is_some_and(|id| self.tools.cancellations.has(id))
    }

    async fn skip(&self, id: &str, because: String) -> Result<(), Interrupt> {
        let outcome = StepOutcome::Skipped { because };
        self.record_end(id, outcome).await
    }

    async fn record_end(&self, id: &str, outcome: StepOutcome) -> Result<(), Interrupt> {
        let state = self.tools.ledger.state();
        let topic = state.next.as_ref().map(|next| next.response_topic.clone());
        let answer = Answer::of_step(&outcome);
        self.append(vec![Record::StepEnded {
            id: id.to_owned(),
            outcome,
            at: self.stamp(),
        }])
        .await?;
        if let (Some(id), Some(topic)) = (correlation(id), topic) {
            self.tools.answers.send(id, &topic, answer);
        }
        Ok(())
    }

    /// Answers what is left, notes what converged without a step, and lets the next plan have its turn.
    async fn end_plan(&mut self) -> Result<(), Interrupt> {
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let state = self.tools.ledger.state();
        let Some(next) = state.next.clone() else {
            return Ok(());
        };
        let overtaken = state.pending.is_some();
        for step in &next.command.steps {
            if !next.outcomes.contains_key(&step.correlation_id) {
                // Only a plan that was made again leaves some: they were not needed any more.
                self.record_end(&step.correlation_id, StepOutcome::Done { changed: false })
                    .await?;
            }
        }
        let mut records = self.found_applied(&next.command.desired, &snapshot);
        let state = self.tools.ledger.state();
        let counts = Counts::of(state.next.as_ref().map(|n| &n.outcomes));
        let outcome = counts.outcome(overtaken, self.stamp());
        let answer = Answer {
            result: Some(counts.words()),
            ..Answer::of_outcome(&outcome, serde_json::Value::Null)
        };
        records.push(Record::PlanEnded { outcome });
        self.append(records).await?;
        let over: BTreeSet<_> = next
            .command
            .steps
            .iter()
            .filter_map(|s| correlation(&s.correlation_id))
            .collect();
        let cancellations = &self.tools.cancellations;
        cancellations.forget(|id| id == next.correlation_id || over.contains(&id));
        self.tools
            .answers
            .send(next.correlation_id, &next.response_topic, answer);
        self.tools.view.compose();
        self.collect_unused().await;
        Ok(())
    }

    /// While nobody is in charge: the same planner, on what the ledger wants.
    pub(super) async fn heal_alone(&mut self) -> Result<Turn, Interrupt> {
        let snapshot = self.tools.view.now();
        let state = self.tools.ledger.state();
        let desired = wanted_alone(&state, &snapshot.observed.failures);
        let plan = longshore_plan::plan(&desired, &snapshot.observed);
        if plan.steps.is_empty() {
            return Ok(Turn::Idle(None));
        }
        // The same plan again: it does not help, and must not be tried without end.
        if let Some((steps, at)) = &self.last_local
            && *steps == plan.steps
            && at.elapsed() < LOCAL_PAUSE
        {
            return Ok(Turn::Idle(Some(*at + LOCAL_PAUSE)));
        }
        tracing::info!(
            steps = plan.steps.len(),
            "no controller is in charge: a local plan is carried out"
        );
        self.append(vec![Record::LocalPlan {
            steps: plan.steps.len(),
            at: self.stamp(),
        }])
        .await?;
        self.tools.counters.local_plans.add();
        let queue = plan
            .steps
            .iter()
            .cloned()
            .map(|step| Queued { id: None, step })
            .collect();
        let done = self.run_queue(&desired, queue, None).await?;
        self.last_local = (!done).then(|| (plan.steps, Instant::now()));
        self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        Ok(Turn::Again)
    }
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

/// What the device wants alone: the last target, and where that failed and is not due, what last worked.
fn wanted_alone(state: &LedgerState, failures: &[longshore_plan::observed::Failure]) -> DesiredSet {
    let Some(target) = &state.target else {
        return state.current.clone();
    };
    local::desired(&state.current, target, |key, wanted| {
        failures.iter().any(|f| {
            f.key == *key && f.hash == wanted.hash && f.retry != longshore_plan::observed::Retry::Due
        })
    })
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
            });
        }
    }
    failures
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
    fn of(outcomes: Option<&BTreeMap<String, StepOutcome>>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes.into_iter().flat_map(BTreeMap::values) {
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

    fn outcome(&self, overtaken: bool, at: u64) -> CommandOutcome {
        let not_done = self.failed + self.refused + self.skipped;
        if not_done == 0 {
            return CommandOutcome {
                status: Status::Succeeded,
                code: 200,
                error: None,
                at,
            };
        }
        if overtaken {
            return superseded(at);
        }
        let code = if self.failed == 0 && self.refused > 0 {
            longshore_bus::envelope::error_code::PRECONDITION_FAILED
        } else {
            longshore_bus::envelope::error_code::STEP_FAILED
        };
        CommandOutcome {
            status: Status::Failed,
            code: if self.failed == 0 && self.refused > 0 {
                409
            } else {
                500
            },
            error: Some((
                code.to_owned(),
                format!(
                    "{} steps failed, {} were refused, {} skipped",
                    self.failed, self.refused, self.skipped
                ),
            )),
            at,
        }
    }
}
