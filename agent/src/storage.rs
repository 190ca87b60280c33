//! Where the agent keeps what must survive it: a directory, or a "disk" in memory that survives a
//! simulated crash and can be made full.
//!
//! Owns every path below its root; nothing else of the agent touches files. Paths are relative, with `/`.
//! On a directory the blocking calls run on tokio's blocking pool; in memory nothing leaves the task, so
//! that simulations on paused time stay deterministic.

mod dir;
mod memory;

use std::io;
use std::path::PathBuf;

pub use self::memory::MemoryStorage;

/// The agent's storage.
#[derive(Debug, Clone)]
pub enum Storage {
    /// A directory of the device, made with mode 0700 where it is missing.
    Dir(PathBuf),
    /// Memory, for simulations and tests.
    Memory(MemoryStorage),
}

/// Held while an agent uses a storage; another one is refused meanwhile.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its Drop alone")]
pub(crate) enum StorageLock {
    Dir(std::fs::File),
    Memory(memory::MemoryLock),
}

/// Why a storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another agent uses it.
    #[error("{path} is in use by another agent")]
    InUse {
        /// The directory.
        path: String,
    },
    /// It cannot be made or opened.
    #[error("open storage {path}")]
    Open {
        /// The directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a file was not put in place for good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// What was there before is there as it was.
    #[error("put the file in place")]
    NotDone(#[source] io::Error),
    /// The new file is there, and a power loss may bring back the old one. See [`Storage::settle`].
    #[error("make the file's place durable")]
    Unsettled(#[source] io::Error),
}

/// For whoever puts the file there again anyway.
impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotDone(source) | WriteError::Unsettled(source) => source,
        }
    }
}

impl Storage {
    /// The absolute path of a relative one, as mounts and warnings need it.
    pub(crate) fn absolute(&self, path: &str) -> String {
        match self {
            Self::Dir(root) => root.join(path).to_string_lossy().into_owned(),
            Self::Memory(_) => format!("/memory/{path}"),
        }
    }

    /// Takes the storage for one agent, until the lock is dropped.
    pub(crate) async fn lock(&self) -> Result<StorageLock, StorageError> {
        let path = self.absolute("");
        match self {
            Self::Dir(root) => {
                let root = root.clone();
                match blocking(move || dir::lock(&root)).await {
                    Ok(file) => Ok(StorageLock::Dir(file)),
                    Err(source) if source.kind() == io::ErrorKind::WouldBlock => {
                        Err(StorageError::InUse { path })
                    }
                    Err(source) => Err(StorageError::Open { path, source }),
                }
            }
            Self::Memory(memory) => memory
                .lock()
                .map(StorageLock::Memory)
                .ok_or(StorageError::InUse { path }),
        }
    }

    /// A whole file; `None` when there is none.
    pub(crate) async fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                blocking(move || dir::read(&path)).await
            }
            Self::Memory(memory) => Ok(memory.read(path)),
        }
    }

    /// Cuts the file to `at` bytes, appends `bytes`, and returns once they are on the disk. After an
    /// error the file may hold a part of them; the next append at the same place cuts it off.
    pub(crate) async fn append(&self, path: &str, at: u64, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                blocking(move || dir::append(&path, at, &bytes)).await
            }
            Self::Memory(memory) => memory.append(path, at, &bytes),
        }
    }

    /// Puts a whole file in place atomically and durably, with these permission bits.
    pub(crate) async fn write(&self, path: &str, bytes: Vec<u8>, mode: u32) -> Result<(), WriteError> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                let written = tokio::task::spawn_blocking(move || dir::write(&path, &bytes, mode)).await;
                // Whether it had got as far as that nobody can tell.
                written.unwrap_or_else(|_| Err(WriteError::Unsettled(unfinished())))
            }
            Self::Memory(memory) => memory.write(path, bytes),
        }
    }

    /// Makes sure that what was put in place at `path` stays there.
    pub(crate) async fn settle(&self, path: &str) -> io::Result<()> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                blocking(move || dir::sync_parent(&path)).await
            }
            Self::Memory(memory) => memory.settle(path),
        }
    }

    /// Points the symbolic link `path` at `target`, atomically.
    pub(crate) async fn link(&self, path: &str, target: &str) -> io::Result<()> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                let target = target.to_owned();
                blocking(move || dir::link(&path, &target)).await
            }
            Self::Memory(memory) => memory.link(path, target),
        }
    }

    /// Makes a directory and its parents; the last one gets these permission bits.
    pub(crate) async fn make_dir(&self, path: &str, mode: u32) -> io::Result<()> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                blocking(move || dir::make_dir(&path, mode)).await
            }
            Self::Memory(_) => Ok(()),
        }
    }

    /// Moves a file aside.
    pub(crate) async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match self {
            Self::Dir(root) => {
                let (from, to) = (root.join(from), root.join(to));
                blocking(move || std::fs::rename(from, to)).await
            }
            Self::Memory(memory) => {
                memory.rename(from, to);
                Ok(())
            }
        }
    }

    /// Removes a file, a link, or a directory with all below; none is fine.
    pub(crate) async fn remove(&self, path: &str) -> io::Result<()> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                blocking(move || dir::remove(&path)).await
            }
            Self::Memory(memory) => {
                memory.remove(path);
                Ok(())
            }
        }
    }

    /// The names in a directory, sorted; empty when there is none.
    pub(crate) async fn list(&self, path: &str) -> io::Result<Vec<String>> {
        match self {
            Self::Dir(root) => {
                let path = root.join(path);
                blocking(move || dir::list(&path)).await
            }
            Self::Memory(memory) => Ok(memory.list(path)),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| unfinished())?
}

/// A hole would be read as a corrupt record: rather none.
fn too_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the file is shorter than what was written to it",
    )
}

fn unfinished() -> io::Error {
    io::Error::other("the blocking task did not finish")
}

#[cfg(test)]
mod tests;
