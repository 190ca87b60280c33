//! What is known of every container's health. Written by the probes' workers, read by the view.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_plan::names::EngineId;
use longshore_plan::observed::Health;

use crate::runtime::{ContainerDetail, EngineHealth};

/// So many restarts without having been healthy in between are a loop.
pub(crate) const CRASH_LOOP: u32 = 3;

/// The book.
#[derive(Debug, Default)]
pub(crate) struct HealthBook {
    entries: Mutex<BTreeMap<EngineId, Entry>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    /// The start it is about; another one begins as `Starting`.
    started_at: String,
    health: Health,
    /// What the last probe said.
    words: String,
    /// The engine's count of restarts when it was last healthy.
    restarts_when_healthy: u32,
}

impl HealthBook {
    /// Makes room for a container.
    pub(super) fn expect(&self, id: &EngineId) {
        self.entries().entry(id.clone()).or_default();
    }

    /// Whether this changed what is known.
    pub(crate) fn note(
        &self,
        id: &EngineId,
        started_at: &str,
        restarts: u32,
        health: Health,
        words: String,
    ) -> bool {
        let mut entries = self.entries();
        let entry = entries.entry(id.clone()).or_default();
        let changed = entry.started_at != started_at || entry.health != health;
        started_at.clone_into(&mut entry.started_at);
        entry.health = health;
        entry.words = words;
        if health == Health::Healthy {
            entry.restarts_when_healthy = restarts;
        }
        changed
    }

    /// The health of a running container. `by_engine`: the image's HEALTHCHECK decides where it has one.
    pub(crate) fn of(&self, detail: &ContainerDetail, by_engine: bool) -> Health {
        let entries = self.entries();
        let entry = entries.get(&detail.id);
        let noted = match (by_engine, detail.engine_health) {
            (true, Some(EngineHealth::Starting)) => Health::Starting,
            (true, Some(EngineHealth::Healthy)) => Health::Healthy,
            (true, Some(EngineHealth::Unhealthy)) => Health::Unhealthy,
            (false, _) | (true, None) => entry
                .filter(|e| e.started_at == detail.started_at && e.health != Health::Unknown)
                .map_or(Health::Starting, |e| e.health),
        };
        let since = detail
            .restarts
            .saturating_sub(entry.map_or(0, |e| e.restarts_when_healthy));
        // A loop looks the same while the engine waits and while it runs for a moment.
        if noted != Health::Healthy && since >= CRASH_LOOP {
            Health::Unhealthy
        } else {
            noted
        }
    }

    /// What the last probe of a container said, if it said no.
    pub(crate) fn words(&self, id: &EngineId) -> Option<String> {
        let entries = self.entries();
        let words = &entries.get(id)?.words;
        (!words.is_empty()).then(|| words.clone())
    }

    /// Forgets those that are gone.
    pub(crate) fn retain(&self, keep: impl Fn(&EngineId) -> bool) {
        self.entries().retain(|id, _| keep(id));
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<EngineId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
