//! A disk in memory. It outlives the agent that writes to it, as a disk outlives a crash.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::WriteError;

/// A shared disk: clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    nodes: BTreeMap<String, Node>,
    /// What a power loss brings back, by path; `None` where nothing was.
    unsettled: BTreeMap<String, Option<Node>>,
    full: bool,
    unsettling: bool,
    locked: bool,
    syncs: u64,
}

#[derive(Debug, Clone)]
enum Node {
    File(Vec<u8>),
    Link(String),
}

/// Released by its drop, as a process's locks are by its death.
#[derive(Debug)]
pub(crate) struct MemoryLock {
    storage: MemoryStorage,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.inner().locked = false;
    }
}

impl MemoryStorage {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// While full, every write fails and changes nothing, except that an append may leave a torn end.
    pub fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    /// While so, a file that is put in place is there, but not for good, and the caller is told.
    pub fn set_unsettling(&self, unsettling: bool) {
        self.inner().unsettling = unsettling;
    }

    /// What was not settled is as it was before.
    pub fn lose_power(&self) {
        let mut inner = self.inner();
        for (path, before) in std::mem::take(&mut inner.unsettled) {
            match before {
                Some(node) => inner.nodes.insert(path, node),
                None => inner.nodes.remove(&path),
            };
        }
    }

    /// How many durable writes there were: what a journaled step costs.
    pub fn syncs(&self) -> u64 {
        self.inner().syncs
    }

    /// A file's content, links followed wherever they are in its path.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        let mut path = path.to_owned();
        // A loop of links ends like the kernel's: not found.
        for _ in 0..8 {
            if let Some(Node::File(bytes)) = inner.nodes.get(&path) {
                return Some(bytes.clone());
            }
            path = inner.follow(&path)?;
        }
        None
    }

    /// Puts a file there whatever the disk's state: a test's way to corrupt one.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.inner().nodes.insert(path.to_owned(), Node::File(bytes));
    }

    /// All paths below `prefix`, sorted.
    pub fn paths(&self, prefix: &str) -> Vec<String> {
        self.inner()
            .nodes
            .keys()
            .filter(|path| path.starts_with(prefix))
            .cloned()
            .collect()
    }

    pub(super) fn lock(&self) -> Option<MemoryLock> {
        let mut inner = self.inner();
        if inner.locked {
            return None;
        }
        inner.locked = true;
        Some(MemoryLock {
            storage: self.clone(),
        })
    }

    pub(super) fn append(&self, path: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let full = inner.full;
        let Some(Node::File(file)) = inner.nodes.get_mut(path) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if file.len() < at {
            return Err(super::too_short());
        }
        file.truncate(at);
        if full {
            // What a real disk does: a part of it fits.
            file.extend_from_slice(&bytes[..bytes.len() / 2]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.extend_from_slice(bytes);
        inner.syncs += 1;
        Ok(())
    }

    pub(super) fn write(&self, path: &str, bytes: Vec<u8>) -> Result<(), WriteError> {
        let mut inner = self.inner();
        inner.refuse_when_full().map_err(WriteError::NotDone)?;
        let before = inner.nodes.insert(path.to_owned(), Node::File(bytes));
        inner.unsettled.entry(path.to_owned()).or_insert(before);
        inner.settle(path).map_err(WriteError::Unsettled)?;
        inner.syncs += 1;
        Ok(())
    }

    pub(super) fn settle(&self, path: &str) -> io::Result<()> {
        self.inner().settle(path)
    }

    pub(super) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.refuse_when_full()?;
        inner.nodes.insert(path.to_owned(), Node::Link(target.to_owned()));
        Ok(())
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        let mut inner = self.inner();
        if let Some(node) = inner.nodes.remove(from) {
            inner.nodes.insert(to.to_owned(), node);
        }
    }

    pub(super) fn remove(&self, path: &str) {
        let below = format!("{path}/");
        self.inner()
            .nodes
            .retain(|name, _| name != path && !name.starts_with(&below));
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let below = format!("{path}/");
        let mut names: Vec<String> = self
            .inner()
            .nodes
            .keys()
            .filter_map(|name| name.strip_prefix(&below))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.dedup();
        names
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Every change is one assignment: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn settle(&mut self, path: &str) -> io::Result<()> {
        if self.unsettling {
            return Err(io::Error::other("the directory could not be synced"));
        }
        self.unsettled.remove(path);
        Ok(())
    }

    fn refuse_when_full(&self) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// The path with its first link followed, be that a directory (`..data/key`) or its last part.
    fn follow(&self, path: &str) -> Option<String> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()]).find_map(|end| {
            let Some(Node::Link(target)) = self.nodes.get(&path[..end]) else {
                return None;
            };
            Some(format!("{}{}", relative(&path[..end], target), &path[end..]))
        })
    }
}

fn relative(link: &str, target: &str) -> String {
    match link.rsplit_once('/') {
        Some((dir, _)) => format!("{dir}/{target}"),
        None => target.to_owned(),
    }
}
