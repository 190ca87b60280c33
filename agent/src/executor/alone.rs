//! Local plans: made and carried out while nobody is in charge.

use std::time::Duration;

use longshore_plan::desired::DesiredSet;
use longshore_plan::observed::{Failure, Retry};
use tokio::time::Instant;

use super::plan::Queued;
use super::{Executor, Interrupt, Turn};
use crate::ledger::{LedgerState, Record};
use crate::local;

/// The same local plan is not tried again sooner.
const LOCAL_PAUSE: Duration = Duration::from_secs(10);

impl Executor {
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

/// What the device wants alone: the last target, and where that failed and is not due, what last worked.
fn wanted_alone(state: &LedgerState, failures: &[Failure]) -> DesiredSet {
    let Some(target) = &state.target else {
        return state.current.clone();
    };
    local::desired(&state.current, target, |key, wanted| {
        failures
            .iter()
            .any(|f| f.key == *key && f.hash == wanted.hash && f.retry != Retry::Due)
    })
}
