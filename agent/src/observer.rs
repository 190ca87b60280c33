//! What is really there: lists containers, inspects ours, and builds the snapshot everything is decided on.
//!
//! Woken by engine events (debounced), by the executor before every step and at a plan's end, and every
//! minute as the base: events may get lost. What the periodic pass finds and no event announced is counted; it should be zero.
//! Nothing in the snapshot ticks: a device on which nothing happens has equal snapshots.
//!
//! Does not decide and does not change anything on the device; it writes to the ledger what it found to be
//! ours, gone or completed.

mod completed;
mod compose;
mod making;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_bus::DeviceId;
use longshore_bus::clock::Clock;
use longshore_plan::hash::SpecHash;
use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::{ContainerState, FailureReason, Health, Observed, RuntimeState, Unmanaged};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::backoff;
use crate::content::Content;
use crate::counters::Counters;
use crate::labels;
use crate::ledger::{FailureRecord, Ledger, LedgerState, OwnedContainer, Record};
use crate::ownership::{self, Verdict};
use crate::probes::HealthBook;
use crate::runtime::{ContainerDetail, ContainerSummary, Runtime, RuntimeError, RuntimeErrorKind};

use self::completed::completed;
use self::making::{BeingMade, Making};
pub(crate) use self::task::{observe, until};

/// One moment of the device.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) observed: Observed,
    /// Our containers in full, as last inspected.
    pub(crate) details: BTreeMap<EngineId, ContainerDetail>,
    /// Counts connections to the engine: another one means that it may have restarted.
    pub(crate) epoch: u64,
}

impl Snapshot {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.observed.runtime, RuntimeState::Ready { .. })
    }

    /// Our containers of a key.
    pub(crate) fn of<'a>(
        &'a self,
        key: &'a ContainerKey,
    ) -> impl Iterator<Item = &'a longshore_plan::observed::ObservedContainer> {
        self.observed.containers.iter().filter(move |c| c.key == *key)
    }

    /// One container by its id.
    pub(crate) fn container(&self, id: &EngineId) -> Option<&longshore_plan::observed::ObservedContainer> {
        self.observed.containers.iter().find(|c| c.id == *id)
    }
}

/// The last listing, before ledger and health are laid over it.
#[derive(Debug, Default)]
struct Raw {
    runtime: RuntimeState,
    epoch: u64,
    containers: BTreeMap<EngineId, Mine>,
    networks: Vec<String>,
    volumes: BTreeSet<String>,
    unmanaged: Vec<Unmanaged>,
}

/// A container of ours in a listing.
#[derive(Debug, Clone, PartialEq)]
struct Mine {
    owned: OwnedContainer,
    summary: ContainerSummary,
    detail: ContainerDetail,
}

/// The agent's view of its device. Shared; one relist at a time.
pub(crate) struct View {
    device: DeviceId,
    runtime: Arc<dyn Runtime>,
    ledger: Arc<Ledger>,
    content: Arc<Content>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    health: HealthBook,
    raw: Mutex<Raw>,
    relisting: tokio::sync::Mutex<()>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    retries: Mutex<Retries>,
    making: Making,
    /// Asks the task to connect to the engine again.
    lost: Notify,
    /// Tells the task that another failed change has got its time.
    rescheduled: Notify,
}

#[derive(Debug, Default)]
struct Retries {
    /// When a failed change is due again.
    at: BTreeMap<(ContainerKey, SpecHash), Instant>,
    /// Failures the ledger could not take: gone with the process, or once it can be written again.
    volatile: Vec<FailureRecord>,
}

impl View {
    pub(crate) fn new(
        device: DeviceId,
        runtime: Arc<dyn Runtime>,
        ledger: Arc<Ledger>,
        content: Arc<Content>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        let view = Self {
            device,
            runtime,
            ledger,
            content,
            clock,
            counters,
            health: HealthBook::default(),
            raw: Mutex::default(),
            relisting: tokio::sync::Mutex::default(),
            snapshot: watch::Sender::default(),
            retries: Mutex::default(),
            making: Making::default(),
            lost: Notify::new(),
            rescheduled: Notify::new(),
        };
        // Of an earlier life's failures only the number of attempts is known, not when they were.
        let soon = Instant::now() + backoff::RETRY_FIRST;
        let failures = view.ledger.state();
        view.retries().at = failures
            .failures
            .keys()
            .map(|entry| (entry.clone(), soon))
            .collect();
        view
    }

    /// The newest snapshot.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Follows the snapshots; only a change wakes.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    pub(crate) fn health(&self) -> &HealthBook {
        &self.health
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The runtime did not answer somebody.
    pub(crate) fn runtime_lost(&self, error: &RuntimeError) {
        let already = {
            let mut raw = self.raw();
            let already = matches!(raw.runtime, RuntimeState::Unavailable { .. });
            raw.runtime = RuntimeState::Unavailable {
                message: unanswered(error),
            };
            already
        };
        if !already {
            self.counters.runtime_losses.add();
            tracing::warn!(%error, "the container runtime does not answer");
        }
        self.compose();
        self.lost.notify_one();
    }

    /// Notes that a container of that engine name is being made, for as long as the answer is held.
    pub(crate) fn making(&self, name: &str) -> BeingMade {
        self.making.begin(name)
    }

    /// Notes when a failed change is due again.
    pub(crate) fn retry_at(&self, key: &ContainerKey, hash: &SpecHash, reason: FailureReason) {
        let state = self.ledger.state();
        let entry = (key.clone(), hash.clone());
        let attempts = state.failures.get(&entry).map_or(1, |f| f.attempts);
        let delay = match reason {
            // Heals as soon as somebody makes the missing object; asking costs one message.
            FailureReason::ContentMissing | FailureReason::DependencyNotReady => backoff::RETRY_FIRST,
            _ => backoff::retry(attempts),
        };
        self.retries().at.insert(entry, Instant::now() + delay);
        self.compose();
        self.rescheduled.notify_one();
    }

    /// When the next failed change becomes due.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        let now = Instant::now();
        self.retries().at.values().filter(|at| **at > now).min().copied()
    }

    /// Shows failures that could not be written down; an empty list takes them back.
    pub(crate) fn set_volatile(&self, failures: Vec<FailureRecord>) {
        self.retries().volatile = failures;
        self.compose();
    }

    pub(crate) fn has_volatile(&self) -> bool {
        !self.retries().volatile.is_empty()
    }

    /// Reads the device anew. Returns the snapshot; an error leaves the last one, marked as such.
    pub(crate) async fn relist(&self) -> Result<Arc<Snapshot>, RuntimeError> {
        let _one_at_a_time = self.relisting.lock().await;
        self.counters.relists.add();
        match self.read().await {
            Ok(()) => {
                self.compose();
                Ok(self.now())
            }
            Err(error) => {
                self.runtime_lost(&error);
                Err(error)
            }
        }
    }

    async fn read(&self) -> Result<(), RuntimeError> {
        let listed = self.runtime.list().await?;
        // In this order: what is no longer being made is in the state.
        let making = self.making.now();
        let state = self.ledger.state();
        let mut containers = BTreeMap::new();
        let mut unmanaged = Vec::new();
        let mut records = Vec::new();
        for summary in listed {
            let owned = match ownership::judge(&summary, &self.device, &state) {
                Verdict::Ours(owned) => owned,
                Verdict::Adopt(owned) => {
                    if !making.contains(&summary.name) {
                        self.counters.adopted.add();
                        tracing::info!(container = %owned.key, id = %summary.id, "adopted by name and hash");
                    }
                    records.push(Record::ContainerOwned {
                        id: summary.id.clone(),
                        container: owned.clone(),
                    });
                    owned
                }
                Verdict::Unmanaged => {
                    unmanaged.push(Unmanaged {
                        name: summary.name,
                        host_ports: summary.host_ports,
                    });
                    continue;
                }
            };
            // One that went away between the two calls is simply gone.
            if let Some(detail) = self.runtime.inspect(&summary.id).await? {
                records.extend(completed(&owned, &detail, &state));
                let id = summary.id.clone();
                containers.insert(
                    id,
                    Mine {
                        owned,
                        summary,
                        detail,
                    },
                );
            }
        }
        records.extend(
            state
                .containers
                .keys()
                .filter(|id| !containers.contains_key(*id))
                .map(|id| Record::ContainerGone { id: id.clone() }),
        );
        let networks = self.our_networks(&state, &mut records).await?;
        let volumes = self.our_volumes(&state, &mut records).await?;
        unmanaged.sort_by(|a, b| a.name.cmp(&b.name));
        unmanaged.truncate(Observed::MAX_UNMANAGED);
        self.health.retain(|id| containers.contains_key(id));
        {
            let mut raw = self.raw();
            raw.containers = containers;
            raw.networks = networks;
            raw.volumes = volumes;
            raw.unmanaged = unmanaged;
        }
        if let Err(error) = self.ledger.append(records).await {
            // Found again by the next relist.
            self.counters.ledger_errors.add();
            tracing::warn!(%error, "what was found could not be written down");
        }
        Ok(())
    }

    async fn our_networks(
        &self,
        state: &LedgerState,
        records: &mut Vec<Record>,
    ) -> Result<Vec<String>, RuntimeError> {
        let Some(site) = &state.site else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for network in self.runtime.networks().await? {
            if !labels::are_of(&network.labels, site, &self.device) {
                continue;
            }
            let owner = state
                .sets()
                .flat_map(|set| &set.workloads)
                .find(|w| w.networks.iter().any(|n| n.name == network.name));
            match (state.networks.contains_key(&network.name), owner) {
                (true, _) => {}
                (false, Some(workload)) => records.push(Record::NetworkOwned {
                    name: network.name.clone(),
                    workload: workload.name.clone(),
                }),
                (false, None) => continue,
            }
            found.push(network.name);
        }
        found.sort();
        found.dedup();
        let gone = state.networks.keys().filter(|name| !found.contains(name));
        records.extend(gone.map(|name| Record::NetworkGone { name: name.clone() }));
        Ok(found)
    }

    /// Our volumes that exist. One that is gone stays in the ledger as long as a workload wants it; its
    /// record costs nothing and says what becomes of it.
    async fn our_volumes(
        &self,
        state: &LedgerState,
        records: &mut Vec<Record>,
    ) -> Result<BTreeSet<String>, RuntimeError> {
        if state.site.is_none() {
            return Ok(BTreeSet::new());
        }
        let all: BTreeSet<String> = self
            .runtime
            .volumes()
            .await?
            .into_iter()
            .map(|v| v.name)
            .collect();
        let (found, gone): (BTreeSet<_>, BTreeSet<_>) =
            state.volumes.keys().cloned().partition(|name| all.contains(name));
        records.extend(gone.into_iter().map(|name| Record::VolumeGone { name }));
        Ok(found)
    }

    /// Builds the snapshot from what is known, and wakes its followers if it differs.
    pub(crate) fn compose(&self) {
        let snapshot = self.composed();
        self.snapshot.send_if_modified(|now| {
            let differs = **now != snapshot;
            if differs {
                *now = Arc::new(snapshot);
            }
            differs
        });
    }

    fn raw(&self) -> MutexGuard<'_, Raw> {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retries(&self) -> MutexGuard<'_, Retries> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The delay between an event and the relist it asks for: more events of the same change come with it.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Why the runtime does not answer. Where it is not there at all, what was asked of it is of no interest.
fn unanswered(error: &RuntimeError) -> String {
    match error.kind {
        RuntimeErrorKind::Unavailable => error.message.clone(),
        _ => error.to_string(),
    }
}

/// A container's health, for whoever has nothing but a detail.
fn health_of(state: &ContainerState, noted: Health) -> Health {
    match state {
        ContainerState::Running => noted,
        ContainerState::Restarting { .. } => Health::Unhealthy,
        ContainerState::Created
        | ContainerState::Paused
        | ContainerState::Exited { .. }
        | ContainerState::Dead => Health::Unknown,
    }
}
