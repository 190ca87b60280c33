//! The old container instead of the new one, which was not to be kept.

use std::time::Duration;

use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, FailureReason};
use tokio::time::Instant;

use super::step::Effects;
use super::{Executor, Failed, Interrupt, Trouble};
use crate::answers::SUPERSEDED;
use crate::ledger::{PutBack, Record, ReplaceJournal};

/// So often a container that was put back is started before it is left to the next plan.
const STARTS: u32 = 5;
/// How long one that was put back may take to run.
const WAIT: Duration = Duration::from_secs(10);

impl Executor {
    pub(super) async fn put_back(
        &mut self,
        journal: &ReplaceJournal,
        new: &EngineId,
        why: &PutBack,
    ) -> Result<Effects, Trouble> {
        let old = self.inspect(&journal.old).await?;
        if old.is_none() && self.inspect(new).await?.is_some_and(|new| new.state.is_up()) {
            // Somebody removed the old one meanwhile: a sick container is better than none.
            let PutBack::Failed { message, .. } = why else {
                return Ok(Effects::default());
            };
            let message = format!("{message}; there is nothing to go back to");
            return Err(Failed::blocked(FailureReason::Unhealthy, message).into());
        }
        match self.quieten(new).await {
            Ok(()) => {}
            Err(Trouble::Interrupted(interrupt)) => return Err(interrupt.into()),
            // Removing kills what would not stop.
            Err(trouble) => {
                tracing::warn!(container = %journal.key, %trouble, "the new container did not stop");
            }
        }
        match self.tools.runtime.remove(new).await {
            Ok(()) => {
                self.append(vec![Record::ContainerGone { id: new.clone() }])
                    .await?;
            }
            Err(error) => match self.trouble(error, FailureReason::RemoveFailed) {
                Trouble::Interrupted(interrupt) => return Err(interrupt.into()),
                // While it runs the old one must not; once it does not, the planner removes it later.
                trouble if self.inspect(new).await?.is_some_and(|new| new.state.is_up()) => {
                    return Err(trouble);
                }
                trouble => {
                    tracing::warn!(container = %journal.key, %trouble, "the new container stays, stopped");
                }
            },
        }
        let runs = self.restore_old(journal).await?;
        self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let PutBack::Failed { reason, message, own } = why else {
            return Err(Trouble::Skipped {
                because: SUPERSEDED.to_owned(),
            });
        };
        let outcome = if runs {
            "the previous container runs again"
        } else {
            "the previous container was put back"
        };
        // What is not its own fault passes, and is tried again when it is due. That its port is held is seen
        // then before anything is stopped; what cannot be seen before costs a stop, and few are allowed.
        let was_stopped = old.is_some_and(|old| !old.state.is_up());
        Err(Failed {
            reason: if *reason == FailureReason::Unhealthy {
                FailureReason::RolledBack
            } else {
                *reason
            },
            message: format!("{message}; {outcome}"),
            blocked: *own,
            at_a_stop: was_stopped && journal.old_runs,
        }
        .into())
    }

    /// The old one under its name, with its policy, and running if it did. Whether it runs.
    async fn restore_old(&mut self, journal: &ReplaceJournal) -> Result<bool, Interrupt> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.try_restore_old(journal).await {
                Ok(runs) => return Ok(runs),
                Err(Trouble::Interrupted(interrupt)) => return Err(interrupt),
                Err(trouble) if attempt >= STARTS => {
                    // The planner goes on: it renames and starts what should run.
                    tracing::error!(container = %journal.key, %trouble, "the previous container could not be put back");
                    return Ok(false);
                }
                Err(trouble) => {
                    tracing::warn!(container = %journal.key, %trouble, "putting back is tried again");
                    tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                }
            }
        }
    }

    async fn try_restore_old(&mut self, journal: &ReplaceJournal) -> Result<bool, Trouble> {
        let Some(old) = self.inspect(&journal.old).await? else {
            return Ok(false);
        };
        self.call_it(&old, &journal.old_name).await?;
        self.set_policy(&old, journal.old_policy).await?;
        if !journal.old_runs {
            return Ok(false);
        }
        if !old.state.is_up() {
            let started = self.tools.runtime.start(&journal.old).await;
            started.map_err(|e| self.trouble(e, FailureReason::StartFailed))?;
        }
        let until = Instant::now() + WAIT;
        while Instant::now() < until {
            match self.inspect(&journal.old).await? {
                Some(old) if old.state == ContainerState::Running => return Ok(true),
                Some(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                None => break,
            }
        }
        Ok(false)
    }
}
