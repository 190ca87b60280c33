//! Containers that are being made: there already, perhaps, and not yet in the ledger.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The engine names of what is being made just now.
#[derive(Debug, Clone, Default)]
pub(super) struct Making(Arc<Mutex<BTreeSet<String>>>);

impl Making {
    pub(super) fn begin(&self, name: &str) -> BeingMade {
        self.names().insert(name.to_owned());
        BeingMade {
            making: self.clone(),
            name: name.to_owned(),
        }
    }

    /// What was being made at this moment.
    pub(super) fn now(&self) -> BTreeSet<String> {
        self.names().clone()
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held until what was made is in the ledger, or nobody knows whether it was made.
#[derive(Debug)]
#[must_use]
pub(crate) struct BeingMade {
    making: Making,
    name: String,
}

impl Drop for BeingMade {
    fn drop(&mut self) {
        self.making.names().remove(&self.name);
    }
}
