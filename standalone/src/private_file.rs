//! Files that are for the user who runs longshore alone, and for nobody else to read or to change.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// For `open`: a symbolic link is no file of ours.
pub(crate) const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// A file that is there.
pub(crate) struct Present {
    pub(crate) text: String,
    /// Nobody else could have read or changed it.
    pub(crate) ours_alone: bool,
}

/// Whether it belongs to the user of this process.
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// What is at `path`; `None` where nothing is.
pub(crate) fn read(path: &Path) -> io::Result<Option<Present>> {
    let opened = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let others_may = metadata.mode() & 0o077;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Some(Present {
        text,
        ours_alone: is_ours(&metadata) && others_may == 0,
    }))
}

/// Temp file, sync, rename: a reader sees the old content or the new one, and only its owner can. A file that holds just
/// that is left as it is: a full disk is no reason then.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let present = read(path);
    if matches!(present, Ok(Some(present)) if present.ours_alone && present.text.as_bytes() == content) {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Made here, and no link that somebody put there.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(NO_FOLLOW)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
