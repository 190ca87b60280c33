//! Everything a private engine leaves on a machine, and how to take it back without its help.
//!
//! An engine that was killed removes nothing: containers and their shims run on, file systems stay
//! mounted, bridges stay up. All of it can be traced to the engine's base directory, so erasing works
//! on an engine that is gone, and on those of a test process that was itself killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::bridge;
use super::process::run;

/// Not the TMPDIR: the path of a Unix socket is limited to 108 bytes.
const ROOT: &str = "/tmp";
const PREFIX: &str = "lsd";
const CGROUPS: &str = "/sys/fs/cgroup";
const KILLING: Duration = Duration::from_secs(10);

/// The base directory of one engine, `/tmp/lsd<pid of the test process>-<random>`.
#[derive(Debug)]
pub(super) struct Footprint {
    base: PathBuf,
}

impl Footprint {
    /// Makes a base directory, after clearing away those of dead test processes (once).
    pub(super) fn create() -> Result<Self> {
        static SWEPT: OnceLock<()> = OnceLock::new();
        SWEPT.get_or_init(sweep);
        let base = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir_in(ROOT)
            .context("making an engine's base directory")?
            .keep();
        Ok(Self { base })
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.base.join(below)
    }

    /// The cgroup that holds all containers of this engine, which is how they are found again.
    pub(super) fn cgroup(&self) -> String {
        format!("/{}", self.base.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Notes a bridge to be removed whether or not the engine ever came to use it.
    pub(super) fn note_bridge(&self, name: &str) -> Result<()> {
        fs::write(self.path("bridge"), name).context("noting the bridge")
    }

    /// Kills, unmounts and removes all of it. Steps are independent: one that fails is reported at
    /// the end and stops none of the others.
    pub(super) fn erase(&self) -> Result<()> {
        let outcomes = [
            ("processes", self.kill_all()),
            ("mounts", self.unmount_all()),
            ("bridges", self.remove_bridges()),
            ("shim sockets", self.remove_shim_sockets()),
            ("cgroups", self.remove_cgroups()),
            (
                "files",
                fs::remove_dir_all(&self.base).context("removing the base directory"),
            ),
        ];
        let failures: Vec<String> = outcomes
            .into_iter()
            .filter_map(|(step, outcome)| Some(format!("{step}: {:#}", outcome.err()?)))
            .collect();
        if !failures.is_empty() {
            bail!(
                "{} is not fully erased: {}",
                self.base.display(),
                failures.join("; ")
            );
        }
        Ok(())
    }

    /// Repeats until none is left, because a shim that is still up may yet start something.
    fn kill_all(&self) -> Result<()> {
        let deadline = Instant::now() + KILLING;
        loop {
            // A paused container dies only once thawed (cgroup v1).
            for frozen in self.cgroup_directories() {
                fs::write(frozen.join("freezer.state"), "THAWED").ok();
            }
            let alive = self.processes()?;
            if alive.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("still alive after {KILLING:?}: {alive:?}");
            }
            for pid in alive {
                // It may have ended since it was listed.
                kill_process(pid, Signal::KILL).ok();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The engine's own programs, told by the base directory in their arguments, and whatever runs
    /// in its containers, told by the cgroup. Zombies have no arguments and are left to their parent.
    fn processes(&self) -> Result<Vec<Pid>> {
        let mut found = Vec::new();
        let below_base = format!("{}/", self.base.display());
        let cgroup = format!(":{}/", self.cgroup());
        for entry in fs::read_dir("/proc").context("listing processes")?.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
                .and_then(Pid::from_raw)
            else {
                continue;
            };
            let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
            let arguments = read("cmdline");
            if arguments.is_empty() {
                continue;
            }
            let program = read("comm");
            let is_engine = program.starts_with(b"dockerd") || program.starts_with(b"containerd");
            if (is_engine && contains(&arguments, &below_base)) || contains(&read("cgroup"), &cgroup) {
                found.push(pid);
            }
        }
        Ok(found)
    }

    fn unmount_all(&self) -> Result<()> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("listing mounts")?;
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let ours: Vec<&str> = ours
            .filter(|point| Path::new(point).starts_with(&self.base))
            .collect();
        for point in ours.into_iter().rev() {
            run(Command::new("umount").args(["--lazy", point]))?;
        }
        Ok(())
    }

    /// The engine's store names the bridge of every network it has made.
    fn remove_bridges(&self) -> Result<()> {
        let store = fs::read(self.path("docker/network/files/local-kv.db")).unwrap_or_default();
        let noted = fs::read_to_string(self.path("bridge")).unwrap_or_default();
        for name in bridge::all()? {
            if name == noted || contains(&store, &format!("\"BridgeName\":\"{name}\"")) {
                bridge::remove(&name)?;
            }
        }
        Ok(())
    }

    /// A shim listens below `/run/containerd/s`, wherever its containerd's own state is.
    fn remove_shim_sockets(&self) -> Result<()> {
        let tasks = self.path("containerd/state/io.containerd.runtime.v2.task/moby");
        for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
            let Ok(address) = fs::read_to_string(task.path().join("address")) else {
                continue;
            };
            let Some(socket) = address.trim().strip_prefix("unix://") else {
                continue;
            };
            ignore_absent(fs::remove_file(socket)).with_context(|| format!("removing {socket}"))?;
        }
        Ok(())
    }

    fn remove_cgroups(&self) -> Result<()> {
        // Deepest first; the kernel lets go of a killed process' cgroup a moment after its death.
        for directory in self.cgroup_directories().into_iter().rev() {
            let deadline = Instant::now() + KILLING;
            while let Err(error) = ignore_absent(fs::remove_dir(&directory)) {
                if Instant::now() > deadline {
                    return Err(error).with_context(|| format!("removing {}", directory.display()));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Our cgroup and those below it, in every hierarchy (v1) or the one (v2), parents first.
    fn cgroup_directories(&self) -> Vec<PathBuf> {
        let own = self.cgroup();
        let own = own.trim_start_matches('/');
        let mut queue: Vec<PathBuf> = vec![Path::new(CGROUPS).join(own)];
        queue.extend(subdirectories(Path::new(CGROUPS)).map(|hierarchy| hierarchy.join(own)));
        queue.retain(|directory| directory.is_dir());
        let mut next = 0;
        while next < queue.len() {
            let below: Vec<PathBuf> = subdirectories(&queue[next]).collect();
            queue.extend(below);
            next += 1;
        }
        queue
    }
}

/// Erases what test processes left behind that were killed.
fn sweep() {
    for directory in subdirectories(Path::new(ROOT)) {
        let name = directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'))
            .map(|(pid, _)| pid);
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if Path::new(&format!("/proc/{owner}")).exists() {
            continue;
        }
        match (Footprint { base: directory }).erase() {
            Ok(()) => eprintln!("erased {name}, left behind by a test process that was killed"),
            Err(error) => eprintln!("{error:#}"),
        }
    }
}

fn subdirectories(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

fn ignore_absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
