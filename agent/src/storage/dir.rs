//! Storage in a directory, with the syncs that make a rename or an append durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::WriteError;

pub(super) fn lock(root: &Path) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(root.join("agent.lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(super) fn append(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    if length < at {
        return Err(super::too_short());
    }
    if length > at {
        file.set_len(at)?;
    }
    file.seek(SeekFrom::Start(at))?;
    let appended = file.write_all(bytes).and_then(|()| file.sync_data());
    if appended.is_err() {
        // What was not recorded must not be read after a restart. The error worth telling is the first one,
        // and the next append cuts again.
        drop(file.set_len(at));
    }
    appended
}

pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let temporary = beside(path);
    let written = (|| {
        make_parents(path)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&temporary)?;
        // The mode above is cut by the umask and does not change a left-over file's.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // A full disk: give the space back. The error worth telling is the first one.
        drop(fs::remove_file(&temporary));
        return written.map_err(WriteError::NotDone);
    }
    sync_parent(path).map_err(WriteError::Unsettled)
}

pub(super) fn link(path: &Path, target: &str) -> io::Result<()> {
    make_parents(path)?;
    if fs::read_link(path).is_ok_and(|now| now == Path::new(target)) {
        return Ok(());
    }
    let temporary = beside(path);
    remove(&temporary)?;
    symlink(target, &temporary)?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

pub(super) fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

pub(super) fn list(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    path.with_file_name(name)
}

fn make_parents(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::DirBuilder::new().recursive(true).mode(0o755).create(parent),
        None => Ok(()),
    }
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
