//! The site's directory: one process at a time, and the files other programs read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use longshore_plan::names::DnsLabel;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::private_file::{self, NO_FOLLOW};

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process runs on it.
    #[error("another longshore (pid {pid}) runs on {dir}; stop it, or give this one another --dir")]
    InUse {
        /// The directory.
        dir: String,
        /// The other process, or `unknown`.
        pid: String,
    },
    /// Somebody else could change what is in it, or already has.
    #[error("--dir {dir} {problem}: {remedy}, or give another --dir")]
    NotOurs {
        /// The directory.
        dir: String,
        /// What is wrong with it.
        problem: String,
        /// What helps.
        remedy: String,
    },
    /// The file system said no.
    #[error("{operation} {path} (--dir must name a directory that this user may write)")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> DirectoryError + 'a {
    move |source| DirectoryError::Io {
        operation,
        path: path.display().to_string(),
        source,
    }
}

/// A directory this process holds. The lock goes with the process, also when it is killed.
#[derive(Debug)]
pub struct SiteDirectory {
    path: PathBuf,
    _lock: File,
}

/// `DIR/ready.json`: where everything is. Parts that do not exist are null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The kubeconfig's absolute path.
    pub kubeconfig: Option<String>,
    /// The API server's URL.
    pub api: Option<String>,
    /// The bus's URL.
    pub bus: Option<String>,
    /// The gateway's URL.
    pub gateway: Option<String>,
    /// The Device of this machine.
    pub device: Option<String>,
    /// This process.
    pub pid: u32,
}

impl SiteDirectory {
    /// `/var/lib/longshore` for root, else `~/.local/share/longshore`.
    pub fn default_path() -> PathBuf {
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/var/lib/longshore");
        }
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/share");
        data.unwrap_or_else(home).join("longshore")
    }

    /// Makes the directory (0700) if need be, and takes it for this process.
    ///
    /// What an earlier run said of itself is taken away: `ready.json` says that everything serves now.
    pub fn take(path: &Path) -> Result<Self, DirectoryError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io("create", path))?;
        let path = path.canonicalize().map_err(io("resolve", path))?;
        check_ours(&path)?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NO_FOLLOW)
            .open(&lock_path)
            .map_err(io("open", &lock_path))?;
        let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        if let Err(errno) = locked {
            // Not every file system has locks: that is not another longshore.
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(io("lock", &lock_path)(errno.into()));
            }
            let mut pid = String::new();
            lock.read_to_string(&mut pid).map_err(io("read", &lock_path))?;
            let pid = if pid.trim().is_empty() {
                "unknown".to_owned()
            } else {
                pid.trim().to_owned()
            };
            return Err(DirectoryError::InUse {
                dir: path.display().to_string(),
                pid,
            });
        }
        // The lock is what counts. The pid is for people; on a full disk it is not there.
        let noted = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot note this process's id in {}", lock_path.display());
        }
        let directory = Self { path, _lock: lock };
        directory.withdraw_ready()?;
        Ok(directory)
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The port the API server had last time, so that an old kubeconfig stays right.
    pub fn last_api_port(&self) -> Option<u16> {
        fs::read_to_string(self.path.join("api-port"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Remembers the API server's port.
    pub fn remember_api_port(&self, port: u16) -> Result<(), DirectoryError> {
        write_private(&self.path.join("api-port"), format!("{port}\n").as_bytes())
    }

    /// The name this directory's site leads under, on a cluster too. It is the same in every run, because
    /// the directory's lock lets only one of them lead: a run after a crash need not wait for its own
    /// Lease to end.
    pub fn identity(&self) -> Result<String, DirectoryError> {
        let path = self.path.join("identity");
        let stored = fs::read_to_string(&path).unwrap_or_default();
        if DnsLabel::new(stored.trim()).is_ok() {
            return Ok(stored.trim().to_owned());
        }
        let identity = format!("up-{}", uuid::Uuid::new_v4().simple());
        write_private(&path, format!("{identity}\n").as_bytes())?;
        Ok(identity)
    }

    /// The uid of the site that this directory's store holds, or held before it was lost.
    pub fn site(&self) -> Option<uuid::Uuid> {
        let path = self.path.join("site");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(uid) => return Some(uid),
                Err(error) => tracing::warn!("{} holds no site's uid: {error}", path.display()),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("read {}: {error}", path.display()),
        }
        None
    }

    /// Remembers the site's uid outside its store, so that a lost store is not a lost site. It is no secret:
    /// every container bears it.
    pub fn remember_site(&self, uid: &str) -> Result<(), DirectoryError> {
        write_private(&self.path.join("site"), format!("{uid}\n").as_bytes())
    }

    /// Says that all parts serve.
    pub fn announce_ready(&self, ready: &Ready) -> Result<(), DirectoryError> {
        let mut json = serde_json::to_vec_pretty(ready).expect("Ready serialises");
        json.push(b'\n');
        write_private(&self.path.join("ready.json"), &json)
    }

    /// Takes `ready.json` away: not all parts serve (any more).
    pub fn withdraw_ready(&self) -> Result<(), DirectoryError> {
        let path = self.path.join("ready.json");
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}

/// Everything in the directory is obeyed, the token and the desired containers among it: nobody else may write there.
fn check_ours(path: &Path) -> Result<(), DirectoryError> {
    let metadata = fs::metadata(path).map_err(io("look at", path))?;
    let dir = path.display().to_string();
    let not_ours = |problem: String, remedy: String| {
        Err(DirectoryError::NotOurs {
            dir: dir.clone(),
            problem,
            remedy,
        })
    };
    if !private_file::is_ours(&metadata) {
        let us = rustix::process::geteuid().as_raw();
        let problem = format!(
            "belongs to user {}, and this process runs as user {us}",
            metadata.uid()
        );
        return not_ours(problem, format!("run as that user, or `chown -R {us} {dir}`"));
    }
    if metadata.mode() & 0o022 != 0 {
        let problem = format!(
            "can be changed by other users (mode {:o})",
            metadata.mode() & 0o7777
        );
        return not_ours(problem, format!("`chmod go-w {dir}`"));
    }
    Ok(())
}

fn write_private(path: &Path, content: &[u8]) -> Result<(), DirectoryError> {
    private_file::write(path, content).map_err(io("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_taker_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = SiteDirectory::take(dir.path()).unwrap();
        let refused = SiteDirectory::take(dir.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("pid {}", std::process::id())),
            "{refused}"
        );
        drop(first);
        SiteDirectory::take(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let refused = SiteDirectory::take(dir.path()).unwrap_err().to_string();
        assert!(
            refused.contains("--dir") && refused.contains("chmod go-w"),
            "{refused}"
        );
        assert!(!dir.path().join("lock").exists());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        SiteDirectory::take(dir.path()).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(1), None).unwrap();
            let refused = SiteDirectory::take(dir.path()).unwrap_err().to_string();
            assert!(
                refused.contains("user 1") && refused.contains("chown"),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_cannot_be_used_names_the_flag_and_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("afile");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = SiteDirectory::take(&path).unwrap_err().to_string();
            assert!(error.contains("--dir") && error.contains("afile"), "{error}");
        }
    }

    #[test]
    fn a_planted_link_is_not_written_through_and_what_is_unchanged_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, file) = (dir.path().join("victim"), dir.path().join("file"));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("file.tmp")).unwrap();
        write_private(&file, b"new").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        let inode = fs::metadata(&file).unwrap().ino();
        write_private(&file, b"new").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
        write_private(&file, b"newer").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");

        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("lock")).unwrap();
        SiteDirectory::take(dir.path()).unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn the_sites_uid_is_remembered_and_what_is_none_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let site = SiteDirectory::take(dir.path()).unwrap();
        assert_eq!(site.site(), None);
        let uid = uuid::Uuid::new_v4();
        site.remember_site(&uid.to_string()).unwrap();
        assert_eq!(site.site(), Some(uid));
        fs::write(dir.path().join("site"), "nonsense").unwrap();
        assert_eq!(site.site(), None);
    }

    #[test]
    fn every_run_on_a_directory_has_one_identity_and_no_other_directory_has_it() {
        let [dir, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let first = SiteDirectory::take(dir.path()).unwrap().identity().unwrap();
        assert_eq!(
            SiteDirectory::take(dir.path()).unwrap().identity().unwrap(),
            first
        );
        assert_ne!(
            SiteDirectory::take(other.path()).unwrap().identity().unwrap(),
            first
        );
        fs::write(dir.path().join("identity"), "Not A Label").unwrap();
        let mended = SiteDirectory::take(dir.path()).unwrap().identity().unwrap();
        assert!(DnsLabel::new(mended).is_ok());
    }

    #[test]
    fn ready_is_private_whole_and_withdrawn_by_the_next_run() {
        let dir = tempfile::tempdir().unwrap();
        let site = SiteDirectory::take(dir.path()).unwrap();
        let ready = Ready {
            kubeconfig: None,
            api: None,
            bus: None,
            gateway: None,
            device: None,
            pid: 7,
        };
        site.announce_ready(&ready).unwrap();
        let path = dir.path().join("ready.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            serde_json::from_slice::<Ready>(&fs::read(&path).unwrap()).unwrap(),
            ready
        );
        drop(site);
        let _again = SiteDirectory::take(dir.path()).unwrap();
        assert!(!path.exists());
    }
}
