//! The store: objects in memory, durable through group commits, watchable.
//!
//! [`Store`] is a cheap handle. Reads take a short read lock. Writes go through a bounded queue to
//! the one writer task ([`writer`]), which decides them one after the other against the newest
//! state, commits what piled up in one transaction and publishes it only then.

mod backing;
mod object;
mod state;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

pub use backing::OpenStoreError;
pub(crate) use object::{Key, Object, Owner};
#[cfg(test)]
pub(crate) use state::HISTORY_CHANGES;
pub(crate) use state::{After, Change, Expired, Snapshot};

use super::failure::ApiError;
use super::kinds::Resource;
use state::State;

/// Writes waiting for the writer. Senders wait when it is full: the queue is the back-pressure.
const QUEUE: usize = 1024;

/// Where objects are kept beyond the process's memory.
#[derive(Debug, Clone)]
pub enum Backing {
    /// Nowhere: no file, no threads, nothing on real time. For tests and simulations.
    Memory,
    /// In this redb file, made when missing, mode 0600.
    File(PathBuf),
}

/// What a write wants to happen to its object.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Nothing: the object already is as wanted.
    Keep,
    /// Store this. The writer stamps the resourceVersion.
    Put(Value),
    /// Remove the object; this is its last state, for watchers.
    Remove(Value),
}

/// A decision, with what the caller should be warned of.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) action: Action,
    pub(crate) warnings: Vec<String>,
}

impl From<Action> for Decided {
    fn from(action: Action) -> Self {
        Self {
            action,
            warnings: Vec::new(),
        }
    }
}

/// From the object's present state to what should become of it. Pure, because it may run twice:
/// once beside the writer on published state, and again in the writer if that state moved on.
pub(crate) type Decide = Box<dyn Fn(Option<&Value>) -> Result<Decided, ApiError> + Send>;

/// What became of a write.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The object after the write (its last state if removed).
    pub(crate) object: Arc<Object>,
    pub(crate) effect: Effect,
    pub(crate) warnings: Vec<String>,
}

/// How a write changed the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Created,
    Updated,
    Removed,
    Unchanged,
}

/// One object and where it lives.
pub(crate) type Located = (Arc<str>, Key, Arc<Object>);

/// What [`Store::survey`] found.
#[derive(Default)]
pub(crate) struct Survey {
    /// Objects that are being deleted or have owners.
    pub(crate) watched: Vec<Located>,
    /// Objects in namespaces that are being deleted.
    pub(crate) stranded: Vec<Located>,
    /// Some objects could not be read: what is not here may exist all the same.
    pub(crate) incomplete: bool,
    /// Uids of all owners named, and whether such an object exists.
    pub(crate) owners: BTreeMap<String, bool>,
}

/// Handle on the store.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    state: RwLock<State>,
    writes: mpsc::Sender<writer::Message>,
    revision: watch::Receiver<u64>,
}

impl Shared {
    // A reader cannot leave the state half changed, and the writer only swaps whole values in.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the backing, reads it and starts the writer. A new store's resourceVersions start at
    /// `seed`, so that one lost and made anew never counts below what clients remember.
    /// `tables` are there from the start, so that their history is whole from here on.
    pub(crate) async fn open(
        backing: Backing,
        seed: u64,
        tables: impl Iterator<Item = &Arc<str>>,
    ) -> Result<Self, OpenStoreError> {
        let (mut state, durable): (State, Option<Box<dyn backing::Durable>>) = match backing {
            Backing::Memory => (State::new(seed), None),
            Backing::File(path) => {
                let aborted = OpenStoreError::Aborted { path: path.clone() };
                let opened = tokio::task::spawn_blocking(move || open_file(&path, seed)).await;
                let (file, state) = opened.map_err(|_| aborted)??;
                (state, Some(Box::new(file)))
            }
        };
        for table in tables {
            state.table(table);
        }
        Ok(Self::start(state, durable))
    }

    fn start(state: State, durable: Option<Box<dyn backing::Durable>>) -> Self {
        let (writes, queue) = mpsc::channel(QUEUE);
        let (announce, revision) = watch::channel(state.rv);
        let shared = Arc::new(Shared {
            state: RwLock::new(state),
            writes,
            revision,
        });
        // The writer holds a weak reference: when the last handle goes, the queue closes and it ends.
        tokio::spawn(writer::run(Arc::downgrade(&shared), queue, durable, announce));
        Self { shared }
    }

    pub(crate) fn get(&self, table: &str, key: &Key) -> Option<Arc<Object>> {
        self.shared.read().get(table, key)
    }

    pub(crate) fn list(&self, table: &str, namespace: Option<&str>) -> Snapshot {
        self.shared.read().list(table, namespace)
    }

    pub(crate) fn list_at(&self, table: &str, namespace: Option<&str>, rv: u64) -> Result<Snapshot, Expired> {
        self.shared.read().list_at(table, namespace, rv)
    }

    pub(crate) fn changes(&self, table: &str, rv: u64, max: usize) -> Result<(Vec<Change>, u64), Expired> {
        self.shared.read().changes(table, rv, max)
    }

    /// Wakes at every change of the table.
    pub(crate) fn subscribe(&self, table: &Arc<str>) -> watch::Receiver<u64> {
        self.shared.write().subscribe(table)
    }

    /// Wakes at every change of anything.
    pub(crate) fn subscribe_all(&self) -> watch::Receiver<u64> {
        self.shared.revision.clone()
    }

    /// The newest resourceVersion.
    pub(crate) fn revision(&self) -> u64 {
        self.shared.read().rv
    }

    /// What housekeeping looks after, found in one go and without copying the rest.
    pub(crate) fn survey(&self) -> Survey {
        let state = self.shared.read();
        let mut survey = Survey {
            incomplete: !state.unreadable.is_empty(),
            ..Survey::default()
        };
        let mut emptying: BTreeSet<&str> = BTreeSet::new();
        state.visit(|table, key, object| {
            if object.deleting || !object.owners.is_empty() {
                survey.watched.push((table.clone(), key.clone(), object.clone()));
                survey
                    .owners
                    .extend(object.owners.iter().map(|owner| (owner.uid.clone(), false)));
            }
            if object.deleting && **table == *super::kinds::NAMESPACES {
                emptying.insert(&key.name);
            }
        });
        state.visit(|table, key, object| {
            if let Some(alive) = survey.owners.get_mut(&*object.uid) {
                *alive = true;
            }
            if emptying.contains(&*key.namespace) {
                survey.stranded.push((table.clone(), key.clone(), object.clone()));
            }
        });
        survey
    }

    /// Decides and, if that changes anything, makes it durable. Returns once it is.
    pub(crate) async fn write(
        &self,
        resource: Arc<Resource>,
        key: Key,
        decide: Decide,
    ) -> Result<Outcome, ApiError> {
        // Deciding here, on the published state, keeps patching and validating off the writer.
        let guess = self.guess(&resource, &key, &decide)?;
        let (reply, answer) = oneshot::channel();
        let write = writer::Write {
            resource,
            key,
            decide,
            guess,
            reply,
        };
        let sent = self
            .shared
            .writes
            .send(writer::Message::Write(Box::new(write)))
            .await;
        let closed = || ApiError::unavailable("the API server is shutting down");
        sent.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Whether an object could be made here now. Whoever makes it asks again.
    pub(crate) fn check_namespace(&self, resource: &Resource, key: &Key) -> Result<(), ApiError> {
        let state = self.shared.read();
        writer::check_namespace(resource, key, |table, key| state.get(table, key))
    }

    /// What [`Store::write`] would decide now, without doing it.
    pub(crate) fn dry_run(
        &self,
        resource: &Arc<Resource>,
        key: &Key,
        decide: &Decide,
    ) -> Result<Decided, ApiError> {
        let guess = self.guess(resource, key, decide)?;
        let creating = guess.based_on.is_none();
        if creating && matches!(guess.decided.action, Action::Put(_)) {
            self.check_namespace(resource, key)?;
        }
        Ok(guess.decided)
    }

    fn guess(&self, resource: &Resource, key: &Key, decide: &Decide) -> Result<writer::Guess, ApiError> {
        let current = self.get(&resource.table, key);
        let value = current.as_ref().map(|object| object.value());
        let decided = writer::decide_checked(resource, key, decide, value.as_ref())?;
        Ok(writer::Guess {
            based_on: current.map(|object| object.rv),
            decided,
        })
    }

    /// Ends the writer after everything queued before is done.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self
            .shared
            .writes
            .send(writer::Message::Close(done))
            .await
            .is_ok()
        {
            closed.await.ok();
        }
    }
}

fn open_file(path: &std::path::Path, seed: u64) -> Result<(backing::RedbFile, State), OpenStoreError> {
    let (file, loaded) = backing::RedbFile::open(path, seed)?;
    let mut state = State::new(loaded.rv);
    for (table, namespace, name, body) in loaded.objects {
        let (table, key) = (Arc::from(table), Key::new(&namespace, &name));
        match Object::thaw(body) {
            Ok(object) => {
                state.table(&table).objects.insert(key, Arc::new(object));
            }
            // One bad object must not take all others away. It stays in the file, under its name.
            Err(error) => {
                tracing::error!(
                    %table, %namespace, %name, %error,
                    "an object in the store cannot be read: it is left there and not served, and garbage collection \
                     waits; restore a backup of the store to have it back"
                );
                state.unreadable.insert((table, key));
            }
        }
    }
    Ok((file, state))
}

#[cfg(test)]
mod tests;
