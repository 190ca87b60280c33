//! After our own start and after every engine start: at most one running of every container, then the
//! interrupted replace, before anything else.

use std::collections::BTreeMap;

use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::{ContainerState, FailureReason, ObservedContainer};
use longshore_plan::spec::RestartPolicy;

use super::{Executor, Interrupt, Trouble};
use crate::ledger::{LedgerError, LedgerState, Record, ReplacePhase};
use crate::observer::Snapshot;

impl Executor {
    pub(super) async fn recover(&mut self) -> Result<(), Interrupt> {
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        for id in one_too_many(&snapshot, &self.tools.ledger.state()) {
            tracing::warn!(%id, "two of one container run: this one is stopped");
            // One that cannot be stopped is tried again by the plan that removes it.
            match self.quieten(&id).await {
                Err(Trouble::Interrupted(interrupt)) => return Err(interrupt),
                Err(trouble) => tracing::warn!(%id, %trouble, "it could not be stopped"),
                Ok(()) => {}
            }
        }
        if self.tools.ledger.state().replace.is_some() {
            self.resume_replace().await?;
        }
        Ok(())
    }

    /// Stops a container so that the engine does not start it again, not even at its next start.
    pub(super) async fn quieten(&mut self, id: &EngineId) -> Result<(), Trouble> {
        let Some(detail) = self.inspect(id).await? else {
            return Ok(());
        };
        if detail.restart_policy != RestartPolicy::Never {
            let updated = self
                .tools
                .runtime
                .update(id, RestartPolicy::Never, &detail.resources)
                .await;
            updated.map_err(|e| self.trouble(e, FailureReason::RemoveFailed))?;
        }
        if !detail.state.is_up() {
            return Ok(());
        }
        if detail.state == ContainerState::Paused {
            // A frozen process cannot act on the stop signal.
            let unfrozen = self.tools.runtime.unpause(id).await;
            unfrozen.map_err(|e| self.trouble(e, FailureReason::RemoveFailed))?;
        }
        self.stop(id, &detail.started_at).await
    }

    /// Stops a container that is up.
    pub(super) async fn stop(&mut self, id: &EngineId, started_at: &str) -> Result<(), Trouble> {
        self.note_stop(id, started_at).await?;
        let grace = self.grace_of(id);
        let stopped = self.tools.runtime.stop(id, grace).await;
        stopped.map_err(|e| self.trouble(e, FailureReason::RemoveFailed))
    }

    /// Writes down that we end a run: one that exits 0 because we asked it to has not completed. Of what
    /// never rests nobody asks.
    pub(super) async fn note_stop(&self, id: &EngineId, started_at: &str) -> Result<(), LedgerError> {
        let state = self.tools.ledger.state();
        let Some(owned) = state.containers.get(id) else {
            return Ok(());
        };
        let policy = state
            .declaration(&owned.key, &owned.hash)
            .map(|(_, wanted)| wanted.config.restart_policy);
        if matches!(policy, Some(RestartPolicy::Always | RestartPolicy::UnlessStopped)) {
            return Ok(());
        }
        self.append(vec![Record::Stopping {
            id: id.clone(),
            started_at: started_at.to_owned(),
        }])
        .await
    }
}

/// What must be stopped so that of each container one runs: the replaced one once its replacement was to
/// take over, the replacement once it was to go, else what the planner would not keep.
fn one_too_many(snapshot: &Snapshot, state: &LedgerState) -> Vec<EngineId> {
    let mut up: BTreeMap<&ContainerKey, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in snapshot.observed.containers.iter().filter(|c| c.state.is_up()) {
        up.entry(&container.key).or_default().push(container);
    }
    let mut surplus = Vec::new();
    for (key, mut containers) in up.into_iter().filter(|(_, c)| c.len() > 1) {
        let favourite = state
            .replace
            .as_ref()
            .filter(|journal| journal.key == *key)
            .map(|journal| match &journal.phase {
                ReplacePhase::Creating | ReplacePhase::PuttingBack { .. } => &journal.old,
                ReplacePhase::Switching { new } | ReplacePhase::Committing { new, .. } => new,
            });
        let wanted = state.wanted().container(key).map(|(_, wanted)| wanted);
        containers.sort_by_key(|c| {
            (
                favourite != Some(&c.id),
                wanted.is_none_or(|w| w.hash != c.hash),
                wanted.is_none_or(|w| w.engine_name != c.engine_name),
                c.id.clone(),
            )
        });
        surplus.extend(containers[1..].iter().map(|c| c.id.clone()));
    }
    surplus
}
