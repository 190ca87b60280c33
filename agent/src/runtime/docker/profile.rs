//! Reading a seccomp profile, which the engine wants as text.
//!
//! The path is a user's. Whatever lies there (a pipe, a device, a file system that hangs) must not hold the one
//! executor of this device.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use tokio::time::timeout;

use super::connection::LOOKING;

/// Docker's default profile has 13 KiB.
const LONGEST: u64 = 1 << 20;

/// The profile at `path`; an error names what is wrong with it.
pub(super) async fn read(path: &str) -> io::Result<String> {
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_regular(&owned));
    match timeout(LOOKING, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => Err(io::Error::other("reading it was aborted")),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn read_regular(path: &str) -> io::Result<String> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    // Opening a pipe would wait for a writer.
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    let mut text = String::new();
    // Not by its size alone: a file of /proc has none, and one may grow.
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(invalid("it is longer than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn only_a_regular_file_of_bounded_length_is_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(at("good"), "{}").unwrap();
        std::fs::write(at("long"), vec![b' '; 1_048_577]).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
        assert_eq!(read(&at("good")).await.unwrap(), "{}");
        for (path, why) in [
            (at("pipe"), "not a regular file"),
            ("/dev/zero".to_owned(), "not a regular file"),
            (at("long"), "longer than 1 MiB"),
            (at("none"), "No such file"),
        ] {
            let read = timeout(Duration::from_secs(10), read(&path)).await.expect(&path);
            let words = read.unwrap_err().to_string();
            assert!(words.contains(why), "{path}: {words}");
        }
    }
}
