//! What somebody asked to end.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_bus::envelope::CorrelationId;
use tokio::sync::watch;

/// The commands somebody wants to end. Bounded: ids are forgotten when their plan ends.
#[derive(Debug, Default)]
pub(crate) struct Cancellations {
    asked: Mutex<BTreeSet<CorrelationId>>,
    changed: watch::Sender<u64>,
}

impl Cancellations {
    pub(crate) fn ask(&self, id: CorrelationId) {
        self.asked().insert(id);
        self.changed.send_modify(|n| *n += 1);
    }

    pub(super) fn has(&self, id: CorrelationId) -> bool {
        self.asked().contains(&id)
    }

    /// What ended needs no remembering.
    pub(super) fn forget(&self, over: impl Fn(CorrelationId) -> bool) {
        self.asked().retain(|id| !over(*id));
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn asked(&self) -> MutexGuard<'_, BTreeSet<CorrelationId>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
