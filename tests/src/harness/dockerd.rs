//! A private Docker engine: containerd and dockerd of its own, that can be killed and started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::{Value, json};

use super::bridge::Bridge;
use super::footprint::Footprint;
use super::process::{Process, run_async, wait_ready};
use super::{find_program, first_missing, skip};

const STARTING: Duration = Duration::from_mins(1);
const CLIENT_TIMEOUT_SECONDS: u64 = 120;

/// A running engine with roots, socket, bridge and cgroup of its own. Dropping it leaves nothing.
///
/// Published ports answer on the machine's 127.0.0.1: the engine's bridge is in the machine's own
/// network, its forwarding is docker-proxy's (no iptables rules are made), and neither the machine's
/// sysctls nor its own Docker are touched. Containers cannot reach beyond the machine.
#[derive(Debug)]
pub struct Dockerd {
    // Declared in the order of dying: the client of containerd first, the files last.
    engine: Option<Process>,
    containerd: Option<Process>,
    footprint: Footprint,
    socket: PathBuf,
}

impl Dockerd {
    /// Starts an engine; `None` where Docker is not installed or may not be run.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_with(&json!({})).await
    }

    /// As [`Dockerd::start`], with more settings of `daemon.json`, such as `{"live-restore": true}`.
    pub async fn start_with(settings: &Value) -> Result<Option<Self>> {
        if let Some(program) = first_missing(&["dockerd", "containerd", "ip"]) {
            return skip(&format!(
                "{program} is not installed (scripts/setup-test-deps.sh installs it)"
            ));
        }
        if !rustix::process::geteuid().is_root() {
            return skip("a private Docker engine needs root");
        }
        let footprint = Footprint::create()?;
        let socket = footprint.path("docker.sock");
        // From here on Drop cleans up, also when the rest fails.
        let mut engine = Self {
            engine: None,
            containerd: None,
            footprint,
            socket,
        };
        engine.configure(settings)?;
        engine.restart().await?;
        Ok(Some(engine))
    }

    /// The engine's Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The same as a URL, for `DOCKER_HOST` and clients of it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A client of this engine. It outlives restarts: every request connects anew.
    pub fn bollard(&self) -> Result<Docker> {
        let docker = Docker::connect_with_unix(&self.host(), CLIENT_TIMEOUT_SECONDS, API_DEFAULT_VERSION);
        docker.context("connecting to the private engine")
    }

    /// Runs the docker CLI against this engine, with a configuration (logins) of its own.
    pub async fn docker(&self, arguments: &[&str]) -> Result<String> {
        let program = find_program("docker").context("the docker CLI is not installed")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_CONFIG", self.footprint.path("cli"));
        command
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_TLS_VERIFY");
        run_async(command).await
    }

    /// `kill -9` to dockerd and containerd. Containers and their shims run on, as after a real crash,
    /// but published ports are closed: docker-proxy dies with its dockerd.
    pub fn kill9(&mut self) -> Result<()> {
        for mut process in [self.engine.take(), self.containerd.take()].into_iter().flatten() {
            process.kill9()?;
        }
        Ok(())
    }

    /// Stops dockerd and containerd as a service manager would; without `live-restore` dockerd stops
    /// the containers first.
    pub fn stop(&mut self) -> Result<()> {
        for mut process in [self.engine.take(), self.containerd.take()].into_iter().flatten() {
            process.stop()?;
        }
        Ok(())
    }

    /// Starts what is not running, on the same roots, and waits until the API answers.
    pub async fn restart(&mut self) -> Result<()> {
        if self.containerd.is_none() {
            self.containerd = Some(self.start_containerd().await?);
        }
        if self.engine.is_none() {
            self.engine = Some(self.start_dockerd().await?);
        }
        Ok(())
    }

    /// Keeps dockerd from answering without closing its socket, as a hung engine; until `thaw`.
    /// Containers run on and published ports answer.
    pub fn freeze(&self) -> Result<()> {
        self.engine.as_ref().context("dockerd is not running")?.freeze()
    }

    /// Ends a [`Dockerd::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.engine.as_ref().context("dockerd is not running")?.thaw()
    }

    /// The last lines of dockerd's log, to be shown where a test fails.
    pub fn log_tail(&self) -> String {
        self.engine
            .as_ref()
            .map_or_else(|| "dockerd is not running".to_owned(), Process::log_tail)
    }

    fn configure(&self, settings: &Value) -> Result<()> {
        let path = |below: &str| self.footprint.path(below).display().to_string();
        let bridge = Bridge::create()?;
        self.footprint.note_bridge(&bridge.name())?;

        fs::create_dir_all(self.footprint.path("containerd"))?;
        fs::write(
            self.footprint.path("containerd.toml"),
            containerd_config(&self.footprint),
        )?;

        let mut daemon = json!({
            "hosts": [self.host()],
            "containerd": path("containerd/sock"),
            "data-root": path("docker"),
            "exec-root": path("exec"),
            "pidfile": path("docker.pid"),
            "bridge": bridge.name(),
            "default-address-pools": [{"base": bridge.pool(), "size": 24}],
            "iptables": false,
            "ip6tables": false,
            "ip-forward": false,
            "ip-masq": false,
            "cgroup-parent": self.footprint.cgroup(),
            // Not systemd's: it may not be there, and takes no plain path as a parent.
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        });
        if let (Some(daemon), Some(settings)) = (daemon.as_object_mut(), settings.as_object()) {
            daemon.extend(settings.clone());
        }
        fs::write(self.footprint.path("daemon.json"), daemon.to_string()).context("writing daemon.json")
    }

    async fn start_containerd(&self) -> Result<Process> {
        let mut command = Command::new(find_program("containerd").context("containerd")?);
        command
            .arg("--config")
            .arg(self.footprint.path("containerd.toml"));
        let mut process = Process::spawn("containerd", &command, &self.footprint.path("containerd.log"))?;
        let socket = self.footprint.path("containerd/sock");
        wait_ready(&mut process, STARTING, async || connect(&socket).await).await?;
        Ok(process)
    }

    async fn start_dockerd(&self) -> Result<Process> {
        // One that was killed leaves its pid file, and dockerd refuses to start when that number
        // happens to be in use again.
        fs::remove_file(self.footprint.path("docker.pid")).ok();
        let mut command = Command::new(find_program("dockerd").context("dockerd")?);
        command
            .arg("--config-file")
            .arg(self.footprint.path("daemon.json"));
        let mut process = Process::spawn("dockerd", &command, &self.footprint.path("dockerd.log"))?;
        wait_ready(&mut process, STARTING, async || {
            let docker = self.bollard().map_err(|error| format!("{error:#}"))?;
            docker.ping().await.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        Ok(process)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Not a graceful stop, which would wait out every container's grace period.
        for outcome in [self.kill9(), self.footprint.erase()] {
            if let Err(error) = outcome {
                eprintln!("cleaning up a private engine: {error:#}");
            }
        }
    }
}

async fn connect(socket: &Path) -> Result<(), String> {
    tokio::net::UnixStream::connect(socket)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Without the CRI plugin, which would look for CNI and a pause image, and with every path our own.
/// Root may lack `CAP_SYS_RESOURCE` here, so nothing may lower its OOM score.
fn containerd_config(footprint: &Footprint) -> String {
    let base = footprint.path("containerd");
    let base = base.display();
    format!(
        r#"version = 2
root = "{base}/root"
state = "{base}/state"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{base}/sock"
[ttrpc]
address = "{base}/ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{base}/opt"
"#
    )
}
