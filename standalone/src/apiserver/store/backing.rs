//! The durable copy: one redb file, written in whole batches, read once at start.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{
    Builder, CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition,
};

/// `table \0 namespace \0 name` to the object's JSON. No part can contain a NUL.
const OBJECTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// What this server writes; another value is another program's file.
const FORMAT: &[u8] = b"longshore-apiserver/1";
/// Everything is served from memory, so redb needs no page cache to speak of.
const PAGE_CACHE: usize = 8 << 20;

/// What helps where a store is lost. The site's uid is beside it, so its devices go on as they are.
const START_ANEW: &str = "restore a backup of it; without one, move it away (and only it), start again, and apply your \
     manifests again: containers run on meanwhile and are taken up as they are, but for those with values of Secrets \
     or ConfigMaps in their environment, which are replaced once";

/// One change on its way to disk.
#[derive(Debug, Clone)]
pub(crate) struct Persist {
    pub(crate) table: std::sync::Arc<str>,
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    /// `None` removes the object.
    pub(crate) body: Option<Bytes>,
}

/// What the file held at start.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) rv: u64,
    pub(crate) objects: Vec<(String, String, String, Bytes)>,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The file or its folder cannot be read or written.
    #[error("cannot open the store {path}: check that the folder exists and is writable")]
    Io {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the file.
    #[error("the store {path} is in use by another process: stop it, or give this one another data folder")]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is damaged, or never was a store.
    #[error("the store {path} is damaged or not a Longshore store: {}", START_ANEW)]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A redb file of another program or of a later Longshore.
    #[error(
        "the store {path} has format {found:?}, not {expected:?}: it belongs to another program or a newer release"
    )]
    Foreign {
        /// The store's file.
        path: PathBuf,
        /// The format it names.
        found: String,
        /// The format this release reads.
        expected: String,
    },
    /// The thread reading the file died.
    #[error("reading the store {path} was aborted")]
    Aborted {
        /// The store's file.
        path: PathBuf,
    },
}

/// Why a batch did not reach the disk.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {changes} changes to the store {}", path.display())]
pub(crate) struct CommitBatchError {
    path: PathBuf,
    changes: usize,
    #[source]
    source: Box<redb::Error>,
}

impl CommitBatchError {
    #[cfg(test)]
    pub(super) fn full_for_tests() -> Self {
        let source = redb::Error::Io(io::Error::from(io::ErrorKind::StorageFull));
        Self {
            path: PathBuf::from("test"),
            changes: 1,
            source: Box::new(source),
        }
    }

    /// The disk (or quota) is full, as opposed to broken.
    pub(crate) fn disk_full(&self) -> bool {
        matches!(&*self.source, redb::Error::Io(e)
            if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge))
    }
}

/// Where committed batches go. redb in production; tests inject failures.
pub(crate) trait Durable: Send + 'static {
    /// Makes the batch and the new resourceVersion durable, wholly or not at all.
    fn commit(&mut self, rv: u64, batch: &[Persist]) -> Result<(), CommitBatchError>;
    /// After a failed commit: opens the medium again and tells the resourceVersion it ended up with.
    fn recover(&mut self) -> Result<u64, CommitBatchError>;
}

/// The redb file.
pub(crate) struct RedbFile {
    path: PathBuf,
    /// `None` after a failed write: redb refuses to go on with a handle that saw an I/O error.
    db: Option<Database>,
}

impl RedbFile {
    /// Opens or makes the file and reads all of it. `seed` is the first resourceVersion of a new one.
    pub(crate) fn open(path: &Path, seed: u64) -> Result<(Self, Loaded), OpenStoreError> {
        let io_error = |source| OpenStoreError::Io {
            path: path.to_owned(),
            source,
        };
        let damaged = |source: redb::Error| OpenStoreError::Damaged {
            path: path.to_owned(),
            source: Box::new(source),
        };
        make_private(path).map_err(io_error)?;
        let db = open_database(path, true).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenStoreError::InUse {
                path: path.to_owned(),
            },
            DatabaseError::Storage(StorageError::Io(e)) if e.kind() != io::ErrorKind::InvalidData => {
                io_error(e)
            }
            other => damaged(other.into()),
        })?;
        let loaded = match load(&db).map_err(damaged)? {
            Contents::Fresh => {
                initialise(&db, seed).map_err(damaged)?;
                Loaded {
                    rv: seed,
                    objects: Vec::new(),
                }
            }
            Contents::Foreign(found) => {
                let expected = String::from_utf8_lossy(FORMAT).into_owned();
                return Err(OpenStoreError::Foreign {
                    path: path.to_owned(),
                    found,
                    expected,
                });
            }
            Contents::Ours(loaded) => loaded,
        };
        Ok((
            Self {
                path: path.to_owned(),
                db: Some(db),
            },
            loaded,
        ))
    }

    fn failed(&self, changes: usize, source: redb::Error) -> CommitBatchError {
        CommitBatchError {
            path: self.path.clone(),
            changes,
            source: Box::new(source),
        }
    }
}

impl Durable for RedbFile {
    fn commit(&mut self, rv: u64, batch: &[Persist]) -> Result<(), CommitBatchError> {
        let Some(db) = &self.db else {
            return Err(self.failed(batch.len(), redb::Error::PreviousIo));
        };
        match write(db, rv, batch) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.db = None;
                Err(self.failed(batch.len(), error))
            }
        }
    }

    fn recover(&mut self) -> Result<u64, CommitBatchError> {
        self.db = None;
        let db = open_database(&self.path, false).map_err(|e| self.failed(0, e.into()))?;
        let rv = stored_rv(&db).map_err(|e| self.failed(0, e))?;
        self.db = Some(db);
        Ok(rv)
    }
}

/// Creates the file readable by its owner only (it holds Secrets), or tightens an existing one.
fn make_private(path: &Path) -> io::Result<()> {
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn open_database(path: &Path, check: bool) -> Result<Database, DatabaseError> {
    Builder::new()
        .set_cache_size(PAGE_CACHE)
        .set_check_integrity_on_open(check)
        .create(path)
}

enum Contents {
    Fresh,
    Foreign(String),
    Ours(Loaded),
}

fn load(db: &Database) -> Result<Contents, redb::Error> {
    let read = db.begin_read()?;
    let meta = match read.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            let foreign = read
                .list_tables()?
                .map(|t| redb::TableHandle::name(&t).to_owned())
                .next();
            return Ok(foreign.map_or(Contents::Fresh, Contents::Foreign));
        }
        Err(redb::TableError::TableTypeMismatch { .. }) => return Ok(Contents::Foreign("unknown".into())),
        Err(error) => return Err(error.into()),
    };
    let format = meta
        .get("format")?
        .map(|v| v.value().to_vec())
        .unwrap_or_default();
    if format != FORMAT {
        return Ok(Contents::Foreign(String::from_utf8_lossy(&format).into_owned()));
    }
    let rv = number(meta.get("rv")?.as_ref().map(redb::AccessGuard::value));
    let mut objects = Vec::new();
    for entry in read.open_table(OBJECTS)?.iter()? {
        let (key, body) = entry?;
        let key = String::from_utf8_lossy(key.value()).into_owned();
        let mut parts = key.splitn(3, '\0').map(str::to_owned);
        let [table, namespace, name] = [(); 3].map(|()| parts.next().unwrap_or_default());
        objects.push((table, namespace, name, Bytes::copy_from_slice(body.value())));
    }
    Ok(Contents::Ours(Loaded { rv, objects }))
}

fn initialise(db: &Database, seed: u64) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("rv", seed.to_be_bytes().as_slice())?;
        txn.open_table(OBJECTS)?;
    }
    txn.commit().map_err(commit_error)
}

fn stored_rv(db: &Database) -> Result<u64, redb::Error> {
    let read = db.begin_read()?;
    let meta = read.open_table(META)?;
    Ok(number(meta.get("rv")?.as_ref().map(redb::AccessGuard::value)))
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

fn write(db: &Database, rv: u64, batch: &[Persist]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut objects = txn.open_table(OBJECTS)?;
        for Persist {
            table,
            namespace,
            name,
            body,
        } in batch
        {
            let key = format!("{table}\0{namespace}\0{name}");
            match body {
                Some(body) => drop(objects.insert(key.as_bytes(), &**body)?),
                None => drop(objects.remove(key.as_bytes())?),
            }
        }
        txn.open_table(META)?.insert("rv", rv.to_be_bytes().as_slice())?;
    }
    txn.commit().map_err(commit_error)
}

fn commit_error(error: CommitError) -> redb::Error {
    error.into()
}
