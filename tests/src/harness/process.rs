//! Child processes that cannot outlive their owner, and waiting that says what it last saw.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use super::find_program;

/// How long a process may take to stop on SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
const TAIL_LINES: usize = 25;

/// A running child in its own process group, with its output in a log file.
///
/// Dropping it stops the whole group. If the test process is killed instead, the kernel kills the
/// child (not its children), where `setpriv` is installed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, appending both its outputs to `log`.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .context("opening the log")?;
        let errors = output.try_clone().context("opening the log")?;
        let mut command = dying_with_parent(command);
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let child = spawn_on_lasting_thread(command).with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            ended: None,
        })
    }

    /// The process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails with the exit status and the end of the log when the process has ended.
    pub fn check_running(&mut self) -> Result<()> {
        if let Some(status) = self.reap()? {
            bail!(
                "{} ended ({status}); its last lines:\n{}",
                self.name,
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Makes the process (not its group) hang, returning once every thread of it stands still.
    pub fn freeze(&self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).with_context(|| format!("freezing {}", self.name))?;
        let still = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), still).with_context(|| format!("awaiting that {} is still", self.name))?;
        Ok(())
    }

    /// Ends a [`Process::freeze`].
    pub fn thaw(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::CONT)
            .with_context(|| format!("thawing {}", self.name))
    }

    /// `kill -9` to the group, as a power cut would; returns when the process is gone.
    pub fn kill9(&mut self) -> Result<()> {
        self.signal_group(Signal::KILL)?;
        if self.ended.is_none() {
            self.ended = Some(
                self.child
                    .wait()
                    .with_context(|| format!("reaping {}", self.name))?,
            );
        }
        Ok(())
    }

    /// Asks it to stop, and kills it when it does not within a few seconds.
    pub fn stop(&mut self) -> Result<()> {
        self.signal_group(Signal::TERM)?;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if self.reap()?.is_some() {
                return Ok(());
            }
            thread::sleep(POLL / 5);
        }
        self.kill9()
    }

    /// SIGTERM to the process alone, as a service manager sends it first; how it ended. It is not killed:
    /// one that does not end in time is an error.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        if self.ended.is_none() {
            kill_process(pid, Signal::TERM).with_context(|| format!("sending SIGTERM to {}", self.name))?;
        }
        let what = format!("{} ends on SIGTERM", self.name);
        let ended = wait_until(&what, patience, async || match self.reap() {
            Ok(Some(status)) => Ok(Ok(status)),
            Ok(None) => Err("it runs on".to_owned()),
            Err(error) => Ok(Err(error)),
        });
        ended.await?
    }

    /// The last lines of its output, for error messages.
    pub fn log_tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    fn signal_group(&self, signal: Signal) -> Result<()> {
        if self.ended.is_some() {
            return Ok(()); // the number may be somebody else's by now
        }
        kill_process_group(Pid::from_child(&self.child), signal)
            .with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Notices the end of the process, and takes the rest of its group with it.
    fn reap(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() && self.has_ended()? {
            // Not reaped yet, so the group's number is still ours and can be nobody else's.
            self.signal_group(Signal::KILL)?;
            self.ended = Some(
                self.child
                    .wait()
                    .with_context(|| format!("reaping {}", self.name))?,
            );
        }
        Ok(self.ended)
    }

    fn has_ended(&self) -> Result<bool> {
        let only_look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let seen = waitid(WaitId::Pid(Pid::from_child(&self.child)), only_look);
        Ok(seen
            .with_context(|| format!("asking about {}", self.name))?
            .is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("could not stop {}: {error:#}", self.name);
        }
    }
}

/// Polls `check` until it gives a value. A timeout's error carries the last thing that `check` saw.
pub async fn wait_until<T>(
    what: &str,
    timeout: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T> {
    let deadline = Instant::now() + timeout;
    let mut seen = String::from("nothing yet");
    loop {
        // The check itself may hang (a frozen server), and must not outlive the deadline either.
        let left = deadline.saturating_duration_since(Instant::now()).max(POLL);
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(last)) => seen = last,
            Err(_) => bail!("{what}: no answer within {timeout:?}; last seen: {seen}"),
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {timeout:?}; last seen: {seen}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits for a server to come up, and stops waiting with its log when it ends instead.
pub async fn wait_ready(
    process: &mut Process,
    timeout: Duration,
    mut check: impl AsyncFnMut() -> Result<(), String>,
) -> Result<()> {
    let what = format!("{} is ready", process.name);
    let ready = wait_until(&what, timeout, async || match process.check_running() {
        Err(ended) => Ok(Err(ended)),
        Ok(()) => check().await.map(Ok),
    })
    .await;
    match ready {
        Ok(outcome) => outcome,
        Err(late) => Err(anyhow!("{late:#}; its last lines:\n{}", process.log_tail())),
    }
}

/// Runs a short command to its end; its output, or an error that quotes its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {command:?}"))?;
    outcome(&format!("{command:?}"), &output)
}

/// As [`run`], without blocking the caller's runtime.
pub async fn run_async(command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    outcome(&shown, &output.await.with_context(|| format!("running {shown}"))?)
}

fn outcome(shown: &str, output: &std::process::Output) -> Result<String> {
    if !output.status.success() {
        let how = output.status.code().map_or_else(
            || format!("signal {}", output.status.signal().unwrap_or_default()),
            |code| format!("exit {code}"),
        );
        bail!(
            "{shown}: {how}: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same command under `setpriv --pdeathsig KILL`: a test process that is itself killed runs no
/// destructor, and the system call behind it is `unsafe` in Rust. It is exec, so the pid is the same.
fn dying_with_parent(command: &Command) -> Command {
    let mut wrapped = match find_program("setpriv") {
        Some(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped
                .args(["--pdeathsig", "KILL", "--"])
                .arg(command.get_program());
            wrapped
        }
        None => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

type SpawnRequest = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The kernel's "parent death" is the death of the *thread* that spawned: a test's thread ends long
/// before the binary, and would take servers shared between tests with it. So one thread that never
/// ends spawns them all.
fn spawn_on_lasting_thread(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<SpawnRequest>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<SpawnRequest>();
        thread::spawn(move || {
            for (mut command, reply) in requests {
                if let Err(mpsc::SendError(Ok(mut unwanted))) = reply.send(command.spawn()) {
                    // Nobody waits for it any more; a failure to kill means it has ended.
                    unwanted.kill().ok();
                }
            }
        });
        sender
    });
    let (reply, answer) = mpsc::sync_channel(1);
    spawner
        .send((command, reply))
        .map_err(|_| anyhow!("the spawning thread has ended"))?;
    Ok(answer.recv().context("the spawning thread has ended")??)
}
