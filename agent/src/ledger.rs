//! The durable record of what this agent was told and did.
//!
//! An append-only log of [`Record`]s, each forced to the disk before the effect it announces; the state is
//! a pure fold of them. It is compacted into one snapshot by temporary file, sync and rename, so its size
//! is bounded by that of the state.
//!
//! Guarantees: what [`Ledger::append`] returned `Ok` for survives `kill -9` and power loss; a torn end is
//! dropped; after an error nothing was recorded and the caller must not act.
//! Assumes one agent per storage (see [`Storage::lock`]) and that no append's future is dropped midway.

mod log;
mod pairs;
mod record;
mod replacement;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

pub(crate) use self::record::Record;
pub(crate) use self::replacement::{PutBack, ReplaceJournal, ReplacePhase};
pub(crate) use self::state::{CommandOutcome, FailureRecord, LedgerState, Next, OwnedContainer, OwnedImage};
use crate::executor::chain;
use crate::storage::{Storage, WriteError};

/// The log's file.
pub(crate) const FILE: &str = "ledger";

/// A log this much longer than its snapshot is compacted.
const COMPACT_AFTER: u64 = 256 * 1024;

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It could not be read at start.
    #[error("read ledger {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A corrupt one could not be moved aside, or a new one not be made.
    #[error("make a new ledger {path}")]
    Create {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A record could not be written, so what it announces must not be done.
    #[error("write ledger {path}")]
    Append {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    storage: Storage,
    writer: Mutex<Writer>,
    state: watch::Sender<Arc<LedgerState>>,
}

#[derive(Debug)]
struct Writer {
    /// Where the next record goes: everything before it is whole.
    at: u64,
    /// How long the snapshot at the file's beginning is.
    snapshot: u64,
    /// The file is where it is for good. Before that nothing may be appended: a power loss would take it
    /// away with the file.
    settled: bool,
}

/// What opening found, for the log and for the counters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Whole,
    /// Moved aside to this path; the state is rebuilt from what really runs.
    Corrupt {
        moved_to: String,
    },
}

impl Ledger {
    /// Reads the ledger, or begins a new one where there is none or where it is corrupt.
    ///
    /// `stamp` names a corrupt file's copy.
    pub(crate) async fn open(storage: Storage, stamp: &str) -> Result<(Self, Found), LedgerError> {
        let path = storage.absolute(FILE);
        let bytes = storage.read(FILE).await.map_err(|source| LedgerError::Read {
            path: path.clone(),
            source,
        })?;
        let create = |source| LedgerError::Create {
            path: path.clone(),
            source,
        };
        let (state, at, snapshot, found) = match bytes.map(|bytes| log::parse(&bytes)) {
            Some(Ok(parsed)) => (parsed.state, parsed.whole, parsed.snapshot, Found::Whole),
            other => {
                let found = match other {
                    Some(Err(error)) => {
                        let aside = format!("{FILE}.corrupt-{stamp}");
                        storage.rename(FILE, &aside).await.map_err(create)?;
                        let moved_to = storage.absolute(&aside);
                        tracing::warn!(
                            ledger = %path,
                            %moved_to,
                            line = error.line,
                            "the ledger is corrupt; it was moved aside and is rebuilt from what really runs"
                        );
                        Found::Corrupt { moved_to }
                    }
                    _ => Found::Nothing,
                };
                let state = LedgerState::default();
                let bytes = log::snapshot(&state);
                let length = bytes.len() as u64;
                let written = storage.write(FILE, bytes, 0o600).await;
                written.map_err(|error| create(error.into()))?;
                (state, length, length, found)
            }
        };
        let ledger = Self {
            storage,
            // Of a file that an earlier life put there nobody knows whether it had come to that.
            writer: Mutex::new(Writer {
                at,
                snapshot,
                settled: false,
            }),
            state: watch::Sender::new(Arc::new(state)),
        };
        Ok((ledger, found))
    }

    /// The state after the last record.
    pub(crate) fn state(&self) -> Arc<LedgerState> {
        Arc::clone(&self.state.borrow())
    }

    /// Follows the state.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<LedgerState>> {
        self.state.subscribe()
    }

    /// Records all of `records` or none, durably.
    pub(crate) async fn append(&self, records: Vec<Record>) -> Result<(), LedgerError> {
        self.append_if(|_| Some(records)).await.map(|_| ())
    }

    /// Records what `decide` makes of the state, with no other record in between. `None` records nothing
    /// and comes back as `false`.
    pub(crate) async fn append_if(
        &self,
        decide: impl FnOnce(&LedgerState) -> Option<Vec<Record>>,
    ) -> Result<bool, LedgerError> {
        let mut writer = self.writer.lock().await;
        let Some(records) = decide(&self.state.borrow()) else {
            return Ok(false);
        };
        let line = match <[Record; 1]>::try_from(records) {
            Ok([record]) => record,
            Err(records) if records.is_empty() => return Ok(true),
            // In one line, so that a torn end takes all of them.
            Err(records) => Record::Together(records),
        };
        let bytes = log::line(&line);
        let length = bytes.len() as u64;
        let refused = |source| LedgerError::Append {
            path: self.storage.absolute(FILE),
            source,
        };
        if !writer.settled {
            self.storage.settle(FILE).await.map_err(refused)?;
            writer.settled = true;
        }
        let appended = self.storage.append(FILE, writer.at, bytes).await;
        appended.map_err(refused)?;
        writer.at += length;
        self.state.send_modify(|state| {
            Arc::make_mut(state).apply(line);
        });
        if writer.at > writer.snapshot + COMPACT_AFTER {
            self.compact(&mut writer).await;
        }
        Ok(true)
    }

    /// A failure costs nothing but space: the log goes on, and the next append tries again.
    async fn compact(&self, writer: &mut Writer) {
        let bytes = log::snapshot(&self.state());
        let length = bytes.len() as u64;
        let written = self.storage.write(FILE, bytes, 0o600).await;
        let settled = match &written {
            Ok(()) => true,
            Err(WriteError::Unsettled(_)) => false,
            Err(error @ WriteError::NotDone(_)) => {
                tracing::warn!(error = %chain(error), "the ledger could not be compacted");
                return;
            }
        };
        *writer = Writer {
            at: length,
            snapshot: length,
            settled,
        };
        if let Err(error) = &written {
            tracing::warn!(error = %chain(error), "the ledger was compacted, but not for good");
        }
    }
}
