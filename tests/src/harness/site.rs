//! A whole site: the real `longshore up` on a directory of its own, and what its users reach it with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::process::{Process, run_async, wait_ready};
use super::{Dockerd, Kubectl};

/// The Device that `longshore up` makes unless told otherwise.
pub const DEVICE: &str = "dev1";

const STARTING: Duration = Duration::from_mins(1);
const STOPPING: Duration = Duration::from_secs(20);
/// Every word of ours, and of the libraries only what matters: a leak must show here if anywhere.
const LOG: &str = "info,longshore=debug,longshore_standalone=debug,longshore_agent=debug,\
                   longshore_controller=debug,longshore_bus=debug";
/// Shown when a test fails.
const LOG_TAIL_LINES: usize = 80;

/// How a site is started.
#[derive(Debug, Clone)]
pub struct SiteOptions {
    runtime: &'static str,
    endpoint: Option<String>,
    kubeconfig: Option<PathBuf>,
}

impl SiteOptions {
    /// On a private engine.
    pub fn docker(engine: &Dockerd) -> Self {
        Self::docker_at(engine.host())
    }

    /// On the engine behind this URL.
    pub fn docker_at(endpoint: String) -> Self {
        Self {
            runtime: "docker",
            endpoint: Some(endpoint),
            kubeconfig: None,
        }
    }

    /// On the simulated runtime.
    pub fn simulated() -> Self {
        Self {
            runtime: "sim",
            endpoint: None,
            kubeconfig: None,
        }
    }

    /// Without an agent: the API server and the controller alone.
    pub fn without_runtime() -> Self {
        Self {
            runtime: "none",
            endpoint: None,
            kubeconfig: None,
        }
    }

    /// With this cluster's API server instead of the embedded one.
    #[must_use]
    pub fn on_cluster(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }
}

/// A running `longshore up`. Dropping it stops it, and shows the end of its log where a test fails.
/// Containers are left running, as its contract says: they go with their engine.
#[derive(Debug)]
pub struct Site {
    process: Option<Process>,
    options: SiteOptions,
    kubectl: Kubectl,
    // Short, because the path of a Unix socket may come to lie in it.
    directory: TempDir,
}

impl Site {
    /// Starts one on a fresh directory and waits until all its parts serve.
    pub async fn start(options: SiteOptions) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("lss").tempdir_in("/tmp");
        let directory = directory.context("making the site's directory")?;
        let mut site = Self {
            process: None,
            options,
            kubectl: Kubectl::default(),
            directory,
        };
        site.restart().await?;
        Ok(site)
    }

    /// Starts it again on its directory, after [`Site::kill9`] or [`Site::stop`].
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the site is running");
        let mut process = Process::spawn("longshore up", &self.up_command()?, &self.log_file())?;
        let pid = u64::from(process.pid());
        wait_ready(&mut process, STARTING, async || {
            let ready = self.ready().map_err(|error| format!("{error:#}"))?;
            // One left by a killed predecessor is not an answer.
            if ready["pid"] == pid {
                Ok(())
            } else {
                Err(ready.to_string())
            }
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// `kill -9`.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.take().context("the site is not running")?.kill9()
    }

    /// SIGTERM, as a service manager stops it; an exit status other than 0 is an error.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the site is not running")?;
        let status = process.terminate(STOPPING).await?;
        ensure!(
            status.success(),
            "longshore up ended with {status} on SIGTERM:\n{}",
            self.log_tail()
        );
        ensure!(
            !self.dir().join("ready.json").exists(),
            "ready.json is left behind by an ordered stop"
        );
        Ok(())
    }

    /// The process id of the running site.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the site is not running")?.pid())
    }

    /// Its directory, `--dir`.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// Where both its outputs went, over all its runs. Outside `--dir`'s own files by name only.
    pub fn log_file(&self) -> PathBuf {
        self.dir().join("test-output.log")
    }

    /// `ready.json` as it is now.
    pub fn ready(&self) -> Result<Value> {
        let text = fs::read_to_string(self.dir().join("ready.json")).context("reading ready.json")?;
        serde_json::from_str(&text).context("parsing ready.json")
    }

    /// The kubeconfig that `ready.json` names.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        let ready = self.ready()?;
        let path = ready["kubeconfig"]
            .as_str()
            .context("ready.json names no kubeconfig")?;
        Ok(path.into())
    }

    /// A client by that kubeconfig, in namespace `default`. It outlives restarts: the port stays.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()?).context("reading the kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Client::try_from(config).context("making a client")
    }

    /// The `longshore` binary, with nothing of this process' environment that would steer it.
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(binary()?);
        for name in ["KUBECONFIG", "DOCKER_HOST", "LONGSHORE_LOG"] {
            command.env_remove(name);
        }
        command.env("LONGSHORE_DIR", self.dir()).env("HOME", self.dir());
        Ok(command)
    }

    /// `longshore up` as this site runs it.
    pub fn up_command(&self) -> Result<Command> {
        let mut command = self.command()?;
        command.env("LONGSHORE_LOG", LOG);
        command.args(["up", "--runtime", self.options.runtime, "--device", DEVICE]);
        command.arg("--dir").arg(self.dir());
        if let Some(endpoint) = &self.options.endpoint {
            command.args(["--runtime-endpoint", endpoint]);
        }
        if let Some(kubeconfig) = &self.options.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        Ok(command)
    }

    /// Runs one of the everyday commands against this site; its standard output.
    pub async fn longshore(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command()?;
        command.args(arguments).env("KUBECONFIG", self.kubeconfig()?);
        run_async(command).await
    }

    /// From now on its users have this kubectl.
    pub fn use_kubectl(&mut self, kubectl: Kubectl) {
        self.kubectl = kubectl;
    }

    /// A kubectl by this site's kubeconfig, with its caches in the site's directory.
    pub async fn kubectl_command(&self) -> Result<Command> {
        let mut command = Command::new(self.kubectl.path().await?);
        command
            .env("KUBECONFIG", self.kubeconfig()?)
            .env("HOME", self.dir());
        Ok(command)
    }

    /// Runs kubectl; its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.kubectl_command().await?;
        command.args(arguments);
        run_async(command).await
    }

    /// Runs kubectl with this object, or text, on its standard input (`-f -`).
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.kubectl_command().await?;
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .context("starting kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl's standard input")?;
        stdin
            .write_all(input.as_bytes())
            .await
            .context("writing to kubectl")?;
        drop(stdin);
        let output = child.wait_with_output().await.context("running kubectl")?;
        if !output.status.success() {
            bail!(
                "kubectl {arguments:?}: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The end of its output.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The test's output is shown only when the test fails.
        eprintln!(
            "--- the end of longshore up's log, {}:\n{}",
            self.dir().display(),
            self.log_tail()
        );
    }
}

/// The `longshore` of this build: `cargo build --workspace` puts it beside the tests' own directory.
pub fn binary() -> Result<PathBuf> {
    let test = env::current_exe().context("finding this test's own program")?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .context("a test outside a target directory")?;
    let binary = profile.join("longshore");
    ensure!(
        binary.is_file(),
        "{} is not built: run cargo build --workspace first",
        binary.display()
    );
    Ok(binary)
}
