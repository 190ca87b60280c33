//! A real kube-apiserver on a real etcd, with the kubectl of the same version.
//!
//! No controller-manager: nothing collects garbage by owner references, and a deleted namespace stays
//! `Terminating`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::{Process, run_async, wait_ready};
use super::{http, ports, repository, skip};

const TOKEN: &str = "longshore-tests-admin";
const STARTING: Duration = Duration::from_secs(90);
/// What scripts/kube-tools.sh exits with where there is no Go that is new enough.
const NO_GO: i32 = 3;

/// A running pair of etcd and kube-apiserver on loopback. Dropping it stops both.
#[derive(Debug)]
pub struct ApiServer {
    apiserver: Option<Process>,
    etcd: Option<Process>,
    directory: TempDir,
    tools: PathBuf,
    ports: Ports,
}

#[derive(Debug)]
struct Ports {
    api: u16,
    etcd: u16,
    etcd_peer: u16,
}

impl ApiServer {
    /// Builds the programs if this machine has not yet (minutes, once) and starts them; `None` where
    /// there is no Go that can.
    pub async fn start() -> Result<Option<Self>> {
        let Some(tools) = tools().await? else {
            return skip("there is no Go to build kube-apiserver with");
        };
        let directory = tempfile::tempdir().context("making the API server's directory")?;
        let ports = Ports {
            api: ports::free_port()?,
            etcd: ports::free_port()?,
            etcd_peer: ports::free_port()?,
        };
        let mut server = Self {
            apiserver: None,
            etcd: None,
            directory,
            tools,
            ports,
        };
        server.write_credentials()?;
        server.restart().await?;
        Ok(Some(server))
    }

    /// `https://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// A kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// A client of a cluster administrator, in namespace `default`.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).context("reading the kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Client::try_from(config).context("making a client")
    }

    /// Runs kubectl as a cluster administrator; its standard output.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.tools.join("kubectl"));
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.directory.path());
        run_async(command).await
    }

    /// `kill -9` to etcd alone: the API server is up and can neither read nor write.
    pub fn kill_etcd9(&mut self) -> Result<()> {
        self.etcd.take().map_or(Ok(()), |mut etcd| etcd.kill9())
    }

    /// `kill -9` to the API server alone.
    pub fn kill_apiserver9(&mut self) -> Result<()> {
        self.apiserver
            .take()
            .map_or(Ok(()), |mut apiserver| apiserver.kill9())
    }

    /// Starts what is not running, on the same data and ports, and waits until it is ready.
    pub async fn restart(&mut self) -> Result<()> {
        if self.etcd.is_none() {
            self.etcd = Some(self.start_etcd().await?);
        }
        let mut apiserver = match self.apiserver.take() {
            Some(running) => running,
            None => self.start_apiserver()?,
        };
        let client = self.client().await?;
        wait_ready(&mut apiserver, STARTING, async || {
            let request = hyper::Request::get("/readyz")
                .body(Vec::new())
                .map_err(|error| error.to_string())?;
            client
                .request_text(request)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await?;
        self.apiserver = Some(apiserver);
        Ok(())
    }

    /// The last lines of the API server's log, to be shown where a test fails.
    pub fn log_tail(&self) -> String {
        self.apiserver
            .as_ref()
            .map_or_else(|| "kube-apiserver is not running".to_owned(), Process::log_tail)
    }

    async fn start_etcd(&self) -> Result<Process> {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        let mut command = Command::new(self.tools.join("etcd"));
        command.arg("--data-dir").arg(self.path("etcd"));
        command.args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ]);
        command.args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ]);
        command.args([
            "--initial-cluster",
            &format!("default={peer}"),
            "--log-level",
            "warn",
        ]);
        // Survives kill -9, which is all that is done to it here; only a power cut would tell.
        command.arg("--unsafe-no-fsync");
        let mut etcd = Process::spawn("etcd", &command, &self.path("etcd.log"))?;
        wait_ready(&mut etcd, STARTING, async || {
            match http::get(self.ports.etcd, "/health").await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        Ok(etcd)
    }

    fn start_apiserver(&self) -> Result<Process> {
        let mut command = Command::new(self.tools.join("kube-apiserver"));
        let mut set = |flag: &str, value: &str| {
            command.arg(format!("--{flag}={value}"));
        };
        let path = |file: &str| self.path(file).display().to_string();
        set("etcd-servers", &format!("http://127.0.0.1:{}", self.ports.etcd));
        set("secure-port", &self.ports.api.to_string());
        set("bind-address", "127.0.0.1");
        set("advertise-address", "127.0.0.1");
        set("endpoint-reconciler-type", "none"); // else: who serves on 127.0.0.1 is an error
        set("tls-cert-file", &path("server.crt"));
        set("tls-private-key-file", &path("server.key"));
        set("token-auth-file", &path("tokens.csv"));
        set("authorization-mode", "RBAC");
        set("service-account-key-file", &path("server.crt")); // a certificate serves as a public key
        set("service-account-signing-key-file", &path("server.key"));
        set("service-account-issuer", "https://kubernetes.default.svc");
        set("service-cluster-ip-range", "10.0.0.0/24");
        // It would wait for tokens that only a controller-manager makes.
        set("disable-admission-plugins", "ServiceAccount");
        Process::spawn("kube-apiserver", &command, &self.path("apiserver.log"))
    }

    fn write_credentials(&self) -> Result<()> {
        let server = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        fs::write(self.path("server.crt"), server.cert.pem())?;
        fs::write(self.path("server.key"), server.signing_key.serialize_pem())?;
        fs::write(
            self.path("tokens.csv"),
            format!("{TOKEN},admin,admin,\"system:masters\"\n"),
        )?;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": {
                "server": self.url(), "certificate-authority": self.path("server.crt"),
            }}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "tests", "context": {
                "cluster": "tests", "user": "admin", "namespace": "default",
            }}],
        });
        fs::write(self.kubeconfig(), kubeconfig.to_string()).context("writing the kubeconfig")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }
}

/// Where kube-apiserver, kubectl and etcd are, built by the first to ask; `None` without Go.
pub(super) async fn tools() -> Result<Option<PathBuf>> {
    static TOOLS: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    TOOLS.get_or_try_init(build_tools).await.cloned()
}

async fn build_tools() -> Result<Option<PathBuf>> {
    let script = repository().join("scripts/kube-tools.sh");
    let output = tokio::process::Command::new(script)
        .output()
        .await
        .context("running kube-tools.sh")?;
    if output.status.code() == Some(NO_GO) {
        return Ok(None);
    }
    if !output.status.success() {
        bail!(
            "kube-tools.sh: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Some(
        Path::new(String::from_utf8_lossy(&output.stdout).trim()).to_owned(),
    ))
}
