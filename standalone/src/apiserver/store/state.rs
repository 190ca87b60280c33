//! The published state: every object in memory, and per table a bounded history for watches.
//!
//! Only the writer changes it, under the write lock and after the commit; a reader therefore never
//! sees anything that is not durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::watch;

use super::object::{Key, Object};

/// Changes kept per table for watchers that are behind.
pub(crate) const HISTORY_CHANGES: usize = 10_000;
/// Bytes of object bodies those changes may hold on to.
pub(crate) const HISTORY_BYTES: usize = 64 << 20;

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) rv: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: After,
}

/// What a change left behind.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Live(Arc<Object>),
    /// Removed; the last state, stamped with the removal's resourceVersion.
    Gone(Arc<Object>),
}

impl After {
    fn object(&self) -> &Arc<Object> {
        match self {
            Self::Live(object) | Self::Gone(object) => object,
        }
    }
}

/// The history does not reach back that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The oldest resourceVersion that can still be asked for.
    pub(crate) oldest: u64,
}

/// A consistent list.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) rv: u64,
    pub(crate) objects: Vec<(Key, Arc<Object>)>,
}

pub(super) struct Table {
    pub(super) objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Change>,
    history_bytes: usize,
    /// Every change after this resourceVersion is in `history`.
    complete_since: u64,
    changed: watch::Sender<u64>,
}

impl Table {
    fn new(rv: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            complete_since: rv,
            changed: watch::Sender::new(rv),
        }
    }

    fn range(&self, namespace: Option<&str>) -> Vec<(Key, Arc<Object>)> {
        let pairs = |(key, object): (&Key, &Arc<Object>)| (key.clone(), object.clone());
        match namespace {
            None => self.objects.iter().map(pairs).collect(),
            Some(namespace) => {
                let from = Bound::Included(Key::new(namespace, ""));
                let mine = self.objects.range((from, Bound::Unbounded));
                mine.take_while(|(key, _)| &*key.namespace == namespace)
                    .map(pairs)
                    .collect()
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match &change.after {
            After::Live(object) => self.objects.insert(change.key.clone(), object.clone()),
            After::Gone(_) => self.objects.remove(&change.key),
        };
        self.history_bytes += change.after.object().body.len();
        self.history.push_back(change);
        while self.history.len() > HISTORY_CHANGES || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else {
                break;
            };
            self.history_bytes -= oldest.after.object().body.len();
            self.complete_since = oldest.rv;
        }
    }
}

/// All tables at one moment.
pub(super) struct State {
    pub(super) rv: u64,
    pub(super) tables: BTreeMap<Arc<str>, Table>,
    /// Objects in the file that could not be read. They are not served, and nothing is written over them.
    pub(super) unreadable: BTreeSet<(Arc<str>, Key)>,
}

impl State {
    pub(super) fn new(rv: u64) -> Self {
        Self {
            rv,
            tables: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }

    pub(super) fn table(&mut self, name: &Arc<str>) -> &mut Table {
        let rv = self.rv;
        self.tables.entry(name.clone()).or_insert_with(|| Table::new(rv))
    }

    pub(super) fn get(&self, table: &str, key: &Key) -> Option<Arc<Object>> {
        self.tables.get(table)?.objects.get(key).cloned()
    }

    pub(super) fn list(&self, table: &str, namespace: Option<&str>) -> Snapshot {
        let objects = self
            .tables
            .get(table)
            .map(|t| t.range(namespace))
            .unwrap_or_default();
        Snapshot { rv: self.rv, objects }
    }

    /// The list as it was at `rv`, by undoing what the history knows came later.
    pub(super) fn list_at(&self, table: &str, namespace: Option<&str>, rv: u64) -> Result<Snapshot, Expired> {
        let Some(table) = self.tables.get(table) else {
            return Ok(Snapshot {
                rv,
                objects: Vec::new(),
            });
        };
        if rv < table.complete_since {
            return Err(Expired {
                oldest: table.complete_since,
            });
        }
        if table.history.back().is_none_or(|last| last.rv <= rv) {
            return Ok(Snapshot {
                rv,
                objects: table.range(namespace),
            });
        }
        let mut objects: BTreeMap<Key, Arc<Object>> = table.range(namespace).into_iter().collect();
        for change in table.history.iter().rev().take_while(|change| change.rv > rv) {
            if namespace.is_some_and(|namespace| *change.key.namespace != *namespace) {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        Ok(Snapshot {
            rv,
            objects: objects.into_iter().collect(),
        })
    }

    /// At most `max` changes after `rv`, and the resourceVersion they bring the reader to.
    pub(super) fn changes(&self, table: &str, rv: u64, max: usize) -> Result<(Vec<Change>, u64), Expired> {
        let Some(table) = self.tables.get(table) else {
            return Ok((Vec::new(), self.rv));
        };
        if rv < table.complete_since {
            return Err(Expired {
                oldest: table.complete_since,
            });
        }
        let from = table.history.partition_point(|change| change.rv <= rv);
        let changes: Vec<Change> = table.history.range(from..).take(max).cloned().collect();
        let upto = match changes.last() {
            Some(last) if from + changes.len() < table.history.len() => last.rv,
            _ => self.rv,
        };
        Ok((changes, upto))
    }

    /// Looks at every object, table by table.
    pub(super) fn visit<'s>(&'s self, mut look: impl FnMut(&'s Arc<str>, &'s Key, &'s Arc<Object>)) {
        for (name, table) in &self.tables {
            for (key, object) in &table.objects {
                look(name, key, object);
            }
        }
    }

    pub(super) fn subscribe(&mut self, table: &Arc<str>) -> watch::Receiver<u64> {
        self.table(table).changed.subscribe()
    }

    /// Takes in a committed batch and wakes those who watch its tables.
    pub(super) fn publish(&mut self, rv: u64, changes: Vec<(Arc<str>, Change)>) {
        let mut touched: Vec<Arc<str>> = Vec::new();
        for (table, change) in changes {
            self.table(&table).apply(change);
            if !touched.contains(&table) {
                touched.push(table);
            }
        }
        self.rv = rv;
        for name in touched {
            self.table(&name).changed.send_replace(rv);
        }
    }
}
