//! Waiting for a container: for what it depends on, and for its health. Every wait ends: by its deadline,
//! by a newer plan, by the engine's return, or by the agent's stop.

use std::sync::Arc;
use std::time::Duration;

use longshore_plan::desired::{DesiredContainer, DesiredWorkload};
use longshore_plan::hash::SpecHash;
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{ContainerState, FailureReason, Health};
use longshore_plan::spec::{DependencyCondition, RestartPolicy};
use tokio::time::Instant;

use super::{Executor, Failed, Interrupt, Trouble};
use crate::answers::SUPERSEDED;
use crate::ledger::LedgerState;
use crate::observer::Snapshot;

/// So many restarts end the wait for health early.
const EARLY_RESTARTS: u32 = 3;

/// How a wait for health ended.
pub(super) enum Waited {
    /// Healthy, or completed.
    Well,
    Failed(Failed),
    /// A newer plan wants another container.
    Superseded,
}

impl Executor {
    /// Waits until everything `container` depends on is where it should be.
    pub(super) async fn wait_for_dependencies(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
    ) -> Result<(), Trouble> {
        let dependencies = dependencies(workload, container);
        if dependencies.is_empty() {
            return Ok(());
        }
        let key = workload.key(container);
        let deadline = Instant::now() + Duration::from_secs(u64::from(workload.progress_deadline_seconds));
        loop {
            let mut snapshots = self.tools.view.follow();
            let mut states = self.tools.ledger.follow();
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let state = Arc::clone(&states.borrow_and_update());
            self.uninterrupted(&snapshot)?;
            if overtaken(&state, &key, &container.hash) {
                return Err(Trouble::Skipped {
                    because: SUPERSEDED.to_owned(),
                });
            }
            let mut missing = None;
            for (name, condition) in &dependencies {
                match reached(&snapshot, &state, workload, name, *condition) {
                    Reached::Yes => {}
                    Reached::NotYet => missing = Some(format!("{name} is not {}", words(*condition))),
                    Reached::Never(why) => {
                        return Err(Failed::waiting(FailureReason::DependencyNotReady, why).into());
                    }
                }
            }
            let Some(missing) = missing else { return Ok(()) };
            // Cancel-safe: watches keep what has been seen.
            tokio::select! {
                biased;
                () = self.inputs.stop.cancelled() => return Err(Interrupt::Stopping.into()),
                changed = snapshots.changed() => stopped(changed)?,
                changed = states.changed() => stopped(changed)?,
                () = tokio::time::sleep_until(deadline) => {
                    let message = format!(
                        "waited {} s for its dependency: {missing}",
                        workload.progress_deadline_seconds
                    );
                    return Err(Failed::waiting(FailureReason::DependencyNotReady, message).into());
                }
            }
        }
    }

    /// Waits until a started container is healthy.
    pub(super) async fn wait_until_healthy(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
        id: &EngineId,
    ) -> Result<Waited, Interrupt> {
        let key = workload.key(container);
        // A deadline that no container could meet would roll back every change.
        let seconds = workload
            .progress_deadline_seconds
            .max(workload.min_ready_seconds.saturating_add(5));
        let deadline = Instant::now() + Duration::from_secs(u64::from(seconds));
        let restarts_before = self.tools.view.now().container(id).map_or(0, |c| c.restarts);
        loop {
            let mut snapshots = self.tools.view.follow();
            let mut states = self.tools.ledger.follow();
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let state = Arc::clone(&states.borrow_and_update());
            self.uninterrupted(&snapshot)?;
            let unhealthy = |message| Ok(Waited::Failed(Failed::waiting(FailureReason::Unhealthy, message)));
            let Some(observed) = snapshot.container(id) else {
                return unhealthy("it was removed before it was healthy".to_owned());
            };
            if observed.health == Health::Healthy {
                return Ok(Waited::Well);
            }
            if let ContainerState::Exited {
                exit_code,
                oom_killed,
            } = observed.state
            {
                let rests = match container.config.restart_policy {
                    RestartPolicy::Never => true,
                    RestartPolicy::OnFailure { max_retries } => {
                        exit_code == 0 || (max_retries > 0 && observed.restarts >= max_retries)
                    }
                    RestartPolicy::Always | RestartPolicy::UnlessStopped => false,
                };
                if rests && exit_code == 0 {
                    return Ok(Waited::Well);
                }
                if rests {
                    return unhealthy(exit_words(exit_code, oom_killed));
                }
            }
            let restarts = observed.restarts.saturating_sub(restarts_before);
            if restarts >= EARLY_RESTARTS {
                return unhealthy(format!("it restarted {restarts} times"));
            }
            if overtaken(&state, &key, &container.hash) {
                return Ok(Waited::Superseded);
            }
            // Cancel-safe: watches keep what has been seen.
            tokio::select! {
                biased;
                () = self.inputs.stop.cancelled() => return Err(Interrupt::Stopping),
                changed = snapshots.changed() => stopped(changed)?,
                changed = states.changed() => stopped(changed)?,
                () = tokio::time::sleep_until(deadline) => {
                    let said = self.tools.view.health().words(id);
                    let said = said.map_or_else(String::new, |words| format!(": {words}"));
                    return unhealthy(format!("it was not healthy within {seconds} s{said}"));
                }
            }
        }
    }

    /// Whether the engine is the one the step began with.
    pub(super) fn uninterrupted(&self, snapshot: &Snapshot) -> Result<(), Interrupt> {
        if snapshot.is_ready() && snapshot.epoch == self.epoch {
            Ok(())
        } else {
            Err(Interrupt::Restarted)
        }
    }
}

pub(super) fn exit_words(exit_code: i64, oom_killed: bool) -> String {
    let memory = if oom_killed { ", out of memory" } else { "" };
    format!("it exited with code {exit_code}{memory}")
}

/// The other end of a watch is gone only when the agent is.
fn stopped(changed: Result<(), tokio::sync::watch::error::RecvError>) -> Result<(), Interrupt> {
    changed.map_err(|_| Interrupt::Stopping)
}

/// Whether a newer plan was accepted that does not want this container as it is being made.
pub(super) fn overtaken(state: &LedgerState, key: &ContainerKey, hash: &SpecHash) -> bool {
    let newer = state.pending.as_ref().map(|pending| &pending.command.desired);
    newer.is_some_and(|set| set.container(key).is_none_or(|(_, wanted)| wanted.hash != *hash))
}

/// What it waits for: what it says, and every init container declared before it.
fn dependencies(
    workload: &DesiredWorkload,
    container: &DesiredContainer,
) -> Vec<(DnsLabel, DependencyCondition)> {
    let inits = workload
        .containers
        .iter()
        .take_while(|c| c.name != container.name)
        .filter(|c| c.init)
        .map(|c| (c.name.clone(), DependencyCondition::Completed));
    let declared = container
        .behaviour
        .depends_on
        .iter()
        // One that left the spec is waited for by nobody.
        .filter(|d| workload.containers.iter().any(|c| c.name == d.container))
        .map(|d| (d.container.clone(), d.condition));
    inits.chain(declared).collect()
}

enum Reached {
    Yes,
    NotYet,
    Never(String),
}

fn reached(
    snapshot: &Snapshot,
    state: &LedgerState,
    workload: &DesiredWorkload,
    name: &DnsLabel,
    condition: DependencyCondition,
) -> Reached {
    let key = ContainerKey::new(workload.name.clone(), name.clone());
    let Some(wanted) = workload.containers.iter().find(|c| c.name == *name) else {
        return Reached::Yes;
    };
    let ended = state
        .applied
        .get(&key)
        .is_some_and(|a| a.completed && a.hash == wanted.hash);
    let exit = snapshot.of(&key).find_map(|c| match c.state {
        ContainerState::Exited { exit_code, .. }
            if c.hash == wanted.hash && !c.started_at.is_empty() && !c.interrupted =>
        {
            Some(exit_code)
        }
        _ => None,
    });
    let ended = ended || exit == Some(0);
    let up = snapshot.of(&key).find(|c| c.state.is_up());
    let done = match condition {
        DependencyCondition::Started => ended || up.is_some(),
        DependencyCondition::Healthy => up.is_some_and(|c| c.health == Health::Healthy),
        DependencyCondition::Completed => ended,
    };
    if done {
        return Reached::Yes;
    }
    match exit {
        Some(code) if code != 0 && wanted.config.restart_policy == RestartPolicy::Never => {
            Reached::Never(format!("its dependency {name} exited with code {code}"))
        }
        _ => Reached::NotYet,
    }
}

fn words(condition: DependencyCondition) -> &'static str {
    match condition {
        DependencyCondition::Started => "started",
        DependencyCondition::Healthy => "healthy",
        DependencyCondition::Completed => "completed",
    }
}
