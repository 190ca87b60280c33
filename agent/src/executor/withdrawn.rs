//! Plans that somebody withdrew while nothing can be done on the device: the engine is away, or the ledger
//! cannot be written. Their waiting would bring nothing about, so they end at once.
//!
//! A replace that has begun is not for ending: it is finished, forward or back, when that is possible, and
//! its plan ends after it.

use longshore_plan::step::StepOutcome;

use super::Executor;
use super::ending::{skipped, still_open};
use crate::answers::CANCELLED;
use crate::ledger::{LedgerError, LedgerState, Next};

/// What a withdrawal ends.
struct Withdrawn {
    steps: Vec<(String, StepOutcome)>,
    /// Every step of the plan has ended then.
    plan: bool,
}

impl Executor {
    /// Ends what was withdrawn, as far as that needs no engine. Whether there was anything to end.
    pub(super) async fn end_withdrawn(&mut self) -> Result<bool, LedgerError> {
        let state = self.tools.ledger.state();
        let Some(next) = &state.next else {
            return Ok(false);
        };
        let Withdrawn { steps, plan } = self.withdrawn(&state, next);
        let any = plan || !steps.is_empty();
        if !steps.is_empty() {
            self.record_ends(steps).await?;
        }
        if plan {
            self.close_plan(Vec::new()).await?;
        }
        self.told_unrecorded = false;
        Ok(any)
    }

    /// The same while the ledger cannot be written: what was cancelled is told at once and written down as
    /// soon as it can be, before anything else. Whether it could be by now.
    ///
    /// An agent that dies before that knows nothing of the cancellation, and goes on with the plan.
    pub(super) async fn tell_withdrawn(&mut self) -> bool {
        match self.end_withdrawn().await {
            Ok(ended) => return ended,
            // The outage was told when it began.
            Err(error) => tracing::debug!(%error, "what was withdrawn is told before it is written down"),
        }
        let state = self.tools.ledger.state();
        let Some(next) = &state.next else { return false };
        let Withdrawn { steps, plan } = self.withdrawn(&state, next);
        let mut outcomes = next.outcomes.clone();
        for (id, outcome) in steps {
            self.answer_step(&id, &next.response_topic, &outcome);
            outcomes.insert(id, outcome);
        }
        if plan {
            let outcome = self.plan_outcome(&state, next, &outcomes);
            self.answer_plan(next, &outcomes, &outcome);
        }
        self.told_unrecorded = true;
        false
    }

    fn withdrawn(&self, state: &LedgerState, next: &Next) -> Withdrawn {
        let whole = self.withdrawal(state, next);
        let replacing = state.replace.as_ref();
        let under_way = |id: &str| replacing.is_some_and(|journal| journal.step.as_deref() == Some(id));
        let steps = still_open(next).filter(|s| !under_way(&s.correlation_id));
        let steps = steps.filter_map(|s| {
            let asked = self.is_cancelled(&s.correlation_id).then_some(CANCELLED);
            let because = whole.or(asked)?;
            Some((s.correlation_id.clone(), skipped(because.to_owned())))
        });
        Withdrawn {
            steps: steps.collect(),
            plan: whole.is_some() && replacing.is_none(),
        }
    }
}
