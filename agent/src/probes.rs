//! Probes with Kubernetes' meaning, for every running container of ours.
//!
//! A start of a container (its id and start time) has one worker; another start has another one. The
//! startup probe holds the others back until it succeeded. With a readiness probe a container is as
//! healthy as that says; without one it is once it ran `minReadySeconds`; where the image's HEALTHCHECK
//! was asked for, that decides. A failed liveness or startup probe asks the executor for a restart.
//!
//! A container that ran before this agent started is probed at once, and its age counts.

mod book;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::Probe;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::book::HealthBook;
use self::worker::Worker;
use crate::ledger::Ledger;
use crate::observer::{Snapshot, View};
use crate::runtime::Runtime;
use crate::runtime::probe_network::ProbeNetwork;

/// A container whose liveness or startup probe failed. Overflow of the queue: dropped, the probe fails on
/// and asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestartRequest {
    pub(crate) key: ContainerKey,
    pub(crate) id: EngineId,
    pub(crate) started_at: String,
    /// What the probe said.
    pub(crate) words: String,
}

/// How many requests wait.
pub(crate) const REQUESTS: usize = 64;

/// What the workers share.
pub(crate) struct Probing {
    pub(crate) view: Arc<View>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) network: Arc<dyn ProbeNetwork>,
    pub(crate) restarts: mpsc::Sender<RestartRequest>,
}

/// What one start of one container is probed for. Another value means another worker.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Assignment {
    key: ContainerKey,
    id: EngineId,
    started_at: String,
    restarts: u32,
    startup: Option<Probe>,
    readiness: Option<Probe>,
    liveness: Option<Probe>,
    by_engine: bool,
    min_ready: Duration,
}

/// Gives every running container its worker, until `stop`.
pub(crate) async fn probe(probing: Arc<Probing>, stop: CancellationToken) {
    let mut snapshots = probing.view.follow();
    let mut states = probing.ledger.follow();
    let mut workers: BTreeMap<EngineId, (Assignment, AbortHandle)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    // Only the first listing shows containers that were there before us.
    let mut known_before: Option<BTreeSet<(EngineId, String)>> = None;
    loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let assignments = assignments(&snapshot, &probing, &mut states);
        if snapshot.is_ready() && known_before.is_none() {
            let starts = assignments.iter().map(|a| (a.id.clone(), a.started_at.clone()));
            known_before = Some(starts.collect());
        }
        let wanted: BTreeSet<&EngineId> = assignments.iter().map(|a| &a.id).collect();
        workers.retain(|id, (_, worker)| {
            let keep = wanted.contains(id);
            if !keep {
                worker.abort();
            }
            keep
        });
        for assignment in assignments {
            if workers
                .get(&assignment.id)
                .is_some_and(|(now, _)| *now == assignment)
            {
                continue;
            }
            let start = (assignment.id.clone(), assignment.started_at.clone());
            // Only its declaration changed: the start is not a new one.
            let known_start = workers
                .get(&assignment.id)
                .is_some_and(|(now, _)| now.started_at == start.1);
            let before_us = known_start || known_before.as_ref().is_some_and(|known| known.contains(&start));
            let worker = Worker {
                probing: Arc::clone(&probing),
                assignment: assignment.clone(),
                before_us,
            };
            let handle = tasks.spawn(worker.run());
            if let Some((_, old)) = workers.insert(assignment.id.clone(), (assignment, handle)) {
                old.abort();
            }
        }
        // Cancel-safe: watch receivers keep what they have seen, and a joined worker needs no care.
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = states.changed() => if changed.is_err() { return },
            Some(joined) = tasks.join_next() => {
                if let Err(error) = joined && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
}

fn assignments(
    snapshot: &Snapshot,
    probing: &Probing,
    states: &mut tokio::sync::watch::Receiver<Arc<crate::ledger::LedgerState>>,
) -> Vec<Assignment> {
    let state = Arc::clone(&states.borrow_and_update());
    if !snapshot.is_ready() {
        // Nobody is asked, and nothing is concluded, while the engine is away.
        return Vec::new();
    }
    let running = snapshot
        .observed
        .containers
        .iter()
        .filter(|c| c.state == ContainerState::Running);
    running
        .filter_map(|container| {
            let (workload, wanted) = state.declaration(&container.key, &container.hash)?;
            let behaviour = &wanted.behaviour;
            let detail = snapshot.details.get(&container.id)?;
            Some(Assignment {
                key: container.key.clone(),
                id: container.id.clone(),
                started_at: container.started_at.clone(),
                restarts: container.restarts,
                startup: behaviour.startup.clone(),
                readiness: behaviour.readiness.clone(),
                liveness: behaviour.liveness.clone(),
                by_engine: behaviour.image_healthcheck && detail.engine_health.is_some(),
                min_ready: Duration::from_secs(u64::from(workload.min_ready_seconds)),
            })
        })
        .inspect(|assignment| probing.view.health().expect(&assignment.id))
        .collect()
}
