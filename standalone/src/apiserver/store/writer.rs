//! The one task that changes the store.
//!
//! It takes what is queued (up to a batch), decides each write against the state plus the batch so
//! far, commits the batch in one durable transaction, publishes it, and only then answers. While a
//! commit is on its way to disk the next batch piles up, so a busy store pays one fsync for many
//! writes and an idle one answers after a single fsync.
//!
//! A failed commit refuses the whole batch. Whether it reached the disk is then unknown, so before
//! the next batch the medium is opened again and asked; a batch that did arrive is published late
//! rather than forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::backing::{CommitBatchError, Durable, Persist};
use super::object::{Key, Object};
use super::state::{After, Change, State};
use super::{Action, Decide, Decided, Effect, Outcome, Shared};
use crate::apiserver::depth;
use crate::apiserver::failure::ApiError;
use crate::apiserver::kinds::{NAMESPACES, Resource};

/// Writes per transaction. More would only make the first of them wait longer.
const BATCH: usize = 256;

pub(super) enum Message {
    Write(Box<Write>),
    Close(oneshot::Sender<()>),
}

pub(super) struct Write {
    pub(super) resource: Arc<Resource>,
    pub(super) key: Key,
    pub(super) decide: Decide,
    pub(super) guess: Guess,
    pub(super) reply: oneshot::Sender<Result<Outcome, ApiError>>,
}

/// A decision made beside the writer, good as long as the object is still at that version.
pub(super) struct Guess {
    pub(super) based_on: Option<u64>,
    pub(super) decided: Decided,
}

/// The decided, uncommitted part of a batch.
struct Batch {
    rv: u64,
    changes: Vec<(Arc<str>, Change)>,
    overlay: HashMap<(Arc<str>, Key), Option<Arc<Object>>>,
}

impl Batch {
    fn persist(&self) -> Vec<Persist> {
        let one = |(table, change): &(Arc<str>, Change)| Persist {
            table: table.clone(),
            namespace: change.key.namespace.clone(),
            name: change.key.name.clone(),
            body: match &change.after {
                After::Live(object) => Some(object.body.clone()),
                After::Gone(_) => None,
            },
        };
        self.changes.iter().map(one).collect()
    }
}

/// The medium and what is known about it.
enum Medium {
    Memory,
    Sound(Box<dyn Durable>),
    /// The last commit failed with this batch in doubt.
    Doubtful(Box<dyn Durable>, Box<Batch>),
    /// Lost with a dead blocking thread.
    Gone,
}

pub(super) async fn run(
    shared: Weak<Shared>,
    mut queue: mpsc::Receiver<Message>,
    durable: Option<Box<dyn Durable>>,
    announce: watch::Sender<u64>,
) {
    let mut medium = durable.map_or(Medium::Memory, Medium::Sound);
    while let Some(first) = queue.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let mut writes = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Write(write) => writes.push(*write),
                Message::Close(done) => closing = Some(done),
            }
            if closing.is_none() && writes.len() < BATCH {
                next = queue.try_recv().ok();
            }
        }
        if !writes.is_empty() {
            medium = take(&shared, medium, writes, &announce).await;
        }
        if let Some(done) = closing {
            // Dropping the medium first: whoever waits for the close may open the file again.
            drop(medium);
            drop(queue);
            done.send(()).ok();
            return;
        }
    }
}

/// Runs one batch from decision to answers.
async fn take(shared: &Shared, medium: Medium, writes: Vec<Write>, announce: &watch::Sender<u64>) -> Medium {
    let medium = match settle(shared, medium, announce).await {
        Ok(medium) => medium,
        Err((medium, error)) => {
            for write in writes {
                write.reply.send(Err(error.clone())).ok();
            }
            return medium;
        }
    };
    let (batch, answers) = decide(&shared.read(), writes);
    if batch.changes.is_empty() {
        answer(answers);
        return medium;
    }
    let (medium, failure) = commit(medium, batch.rv, batch.persist()).await;
    let Some(error) = failure else {
        publish(shared, batch, announce);
        answer(answers);
        return medium;
    };
    for (reply, result) in answers {
        // What was refused anyway, or changed nothing, needs no disk.
        let result = match result {
            Ok(outcome) if outcome.effect != Effect::Unchanged => Err(error.clone()),
            other => other,
        };
        reply.send(result).ok();
    }
    match medium {
        Medium::Sound(durable) => Medium::Doubtful(durable, Box::new(batch)),
        other => other,
    }
}

type Answers = Vec<(
    oneshot::Sender<Result<Outcome, ApiError>>,
    Result<Outcome, ApiError>,
)>;

fn answer(answers: Answers) {
    for (reply, result) in answers {
        // A caller that went away no longer wants to know.
        reply.send(result).ok();
    }
}

fn publish(shared: &Shared, batch: Batch, announce: &watch::Sender<u64>) {
    let rv = batch.rv;
    shared.write().publish(rv, batch.changes);
    announce.send_replace(rv);
}

fn decide(state: &State, writes: Vec<Write>) -> (Batch, Answers) {
    let mut batch = Batch {
        rv: state.rv,
        changes: Vec::new(),
        overlay: HashMap::new(),
    };
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        let Write {
            resource,
            key,
            decide,
            guess,
            reply,
        } = write;
        let result = decide_one(state, &mut batch, &resource, &key, &decide, guess);
        answers.push((reply, result));
    }
    (batch, answers)
}

fn decide_one(
    state: &State,
    batch: &mut Batch,
    resource: &Arc<Resource>,
    key: &Key,
    decide: &Decide,
    guess: Guess,
) -> Result<Outcome, ApiError> {
    let seen = |overlay: &HashMap<_, Option<Arc<Object>>>, table: &Arc<str>, key: &Key| {
        overlay
            .get(&(table.clone(), key.clone()))
            .cloned()
            .unwrap_or_else(|| state.get(table, key))
    };
    let current = seen(&batch.overlay, &resource.table, key);
    let Decided { action, warnings } = if current.as_ref().map(|c| c.rv) == guess.based_on {
        guess.decided
    } else {
        decide_checked(
            resource,
            key,
            decide,
            current.as_ref().map(|c| c.value()).as_ref(),
        )?
    };
    let rv = batch.rv + 1;
    let (object, effect, after) = match action {
        Action::Keep => {
            let object = current.ok_or_else(|| ApiError::not_found(resource, &key.name))?;
            return Ok(Outcome {
                object,
                effect: Effect::Unchanged,
                warnings,
            });
        }
        Action::Put(value) => {
            if current.is_none() {
                if state.unreadable.contains(&(resource.table.clone(), key.clone())) {
                    return Err(ApiError::unreadable(resource, &key.name));
                }
                check_namespace(resource, key, |table, key| {
                    seen(&batch.overlay, &Arc::from(table), key)
                })?;
            }
            let effect = if current.is_some() {
                Effect::Updated
            } else {
                Effect::Created
            };
            let object = Arc::new(Object::freeze(value, rv));
            (object.clone(), effect, After::Live(object))
        }
        Action::Remove(value) => {
            if *resource.table == *NAMESPACES {
                check_empty(state, batch, resource, &key.name)?;
            }
            let object = Arc::new(Object::freeze(value, rv));
            (object.clone(), Effect::Removed, After::Gone(object))
        }
    };
    let left = match &after {
        After::Live(object) => Some(object.clone()),
        After::Gone(_) => None,
    };
    batch.rv = rv;
    batch.overlay.insert((resource.table.clone(), key.clone()), left);
    batch.changes.push((
        resource.table.clone(),
        Change {
            rv,
            key: key.clone(),
            before: current,
            after,
        },
    ));
    Ok(Outcome {
        object,
        effect,
        warnings,
    })
}

/// Decides, and refuses what could not be read back: it would be in the way of every later start.
pub(super) fn decide_checked(
    resource: &Resource,
    key: &Key,
    decide: &Decide,
    current: Option<&Value>,
) -> Result<Decided, ApiError> {
    let decided = decide(current)?;
    match &decided.action {
        Action::Put(object) if !depth::is_within(object, depth::LIMIT) => {
            Err(ApiError::too_deep(resource, &key.name))
        }
        _ => Ok(decided),
    }
}

/// Objects are made only in a namespace that is there and not going away.
pub(super) fn check_namespace(
    resource: &Resource,
    key: &Key,
    get: impl Fn(&str, &Key) -> Option<Arc<Object>>,
) -> Result<(), ApiError> {
    if key.namespace.is_empty() {
        return Ok(());
    }
    match get(NAMESPACES, &Key::new("", &key.namespace)) {
        None => Err(ApiError::not_found_in("", NAMESPACES, &key.namespace)),
        Some(namespace) if namespace.deleting => Err(ApiError::namespace_terminating(
            resource,
            &key.name,
            &key.namespace,
        )),
        Some(_) => Ok(()),
    }
}

/// A namespace goes only when nothing is left in it, in whatever order writes arrive.
fn check_empty(state: &State, batch: &Batch, resource: &Resource, namespace: &str) -> Result<(), ApiError> {
    let stays =
        |table: &Arc<str>, key: &Key| !matches!(batch.overlay.get(&(table.clone(), key.clone())), Some(None));
    let stored = state.tables.keys().any(|table| {
        state
            .list(table, Some(namespace))
            .objects
            .iter()
            .any(|(key, _)| stays(table, key))
    });
    let hidden = state
        .unreadable
        .iter()
        .any(|(_, key)| *key.namespace == *namespace);
    let coming = batch
        .overlay
        .iter()
        .any(|((_, key), object)| object.is_some() && *key.namespace == *namespace);
    if stored || hidden || coming {
        return Err(ApiError::conflict(
            resource,
            namespace,
            "the namespace still holds objects",
        ));
    }
    Ok(())
}

/// Finds out what became of a batch whose commit failed.
async fn settle(
    shared: &Shared,
    medium: Medium,
    announce: &watch::Sender<u64>,
) -> Result<Medium, (Medium, ApiError)> {
    let Medium::Doubtful(mut durable, batch) = medium else {
        return Ok(medium);
    };
    let recovered = tokio::task::spawn_blocking(move || {
        let rv = durable.recover();
        (durable, rv)
    })
    .await;
    match recovered {
        Ok((durable, Ok(rv))) => {
            tracing::warn!(rv, "the store is writable again");
            if rv == batch.rv {
                publish(shared, *batch, announce);
            }
            Ok(Medium::Sound(durable))
        }
        Ok((durable, Err(error))) => Err((Medium::Doubtful(durable, batch), refusal(&error))),
        Err(_) => Err((Medium::Gone, lost())),
    }
}

async fn commit(medium: Medium, rv: u64, batch: Vec<Persist>) -> (Medium, Option<ApiError>) {
    let mut durable = match medium {
        Medium::Memory => return (Medium::Memory, None),
        Medium::Sound(durable) => durable,
        other => return (other, Some(lost())),
    };
    let written = tokio::task::spawn_blocking(move || {
        let result = durable.commit(rv, &batch);
        (durable, result)
    })
    .await;
    match written {
        Ok((durable, Ok(()))) => (Medium::Sound(durable), None),
        Ok((durable, Err(error))) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a write was refused by the disk"
            );
            (Medium::Sound(durable), Some(refusal(&error)))
        }
        Err(_) => (Medium::Gone, Some(lost())),
    }
}

fn refusal(error: &CommitBatchError) -> ApiError {
    let why = std::error::Error::source(error)
        .map(|e| format!(": {e}"))
        .unwrap_or_default();
    let full = error.disk_full();
    let advice = if full {
        "; free some disk space, reads are still served"
    } else {
        "; reads are still served"
    };
    ApiError::storage(full, format!("{error}{why}{advice}"))
}

fn lost() -> ApiError {
    ApiError::storage(
        false,
        "the store's file was lost to an aborted write; restart the server",
    )
}
