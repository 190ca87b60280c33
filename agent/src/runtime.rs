//! The narrow view of a container engine. One trait; Docker and a simulated engine implement it and pass
//! one suite (tests/suite/runtime_contract). Decisions are made above it: an implementation translates.
//!
//! Every call is safe to repeat. Futures may be dropped at any moment (a cancelled pull); the engine's
//! state is then read again, never assumed.

pub mod docker;
mod http_exchange;
mod listeners;
pub mod probe_network;
pub mod sim;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use longshore_plan::desired::{DesiredNetwork, DesiredVolume};
use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, HostPort};
use longshore_plan::spec::{ContainerSpec, Resources, RestartPolicy};

pub use listeners::Listener;

/// A container engine.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Who answers, and what it can do. Also the health check of the connection.
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError>;

    /// A stream that yields whenever something about a container, network or volume may have changed.
    /// A wake-up carries no data that must be believed; the stream's end or an error means: relist and
    /// subscribe again.
    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError>;

    /// All containers, running or not, ours or not.
    async fn list(&self) -> Result<Vec<ContainerSummary>, RuntimeError>;

    /// One container; `None` when there is none of that id.
    async fn inspect(&self, id: &EngineId) -> Result<Option<ContainerDetail>, RuntimeError>;

    /// The image on the device, by reference; `None` when it is not there. Asks no registry.
    async fn image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError>;

    /// Brings the image to the device. Progress goes to `progress` (lossy). Dropping the future cancels.
    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: PullProgressSender,
    ) -> Result<ImageInfo, RuntimeError>;

    /// Makes a container and does not start it.
    async fn create(&self, request: &CreateRequest) -> Result<EngineId, RuntimeError>;

    /// Starts it; one that runs already is fine.
    async fn start(&self, id: &EngineId) -> Result<(), RuntimeError>;

    /// Asks its process to stop and kills it after `grace`; one that does not run is fine.
    async fn stop(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError>;

    /// Sends a signal (`SIGHUP`, …) to its first process.
    async fn kill(&self, id: &EngineId, signal: &str) -> Result<(), RuntimeError>;

    /// Stops it and starts it again: what a failed liveness probe asks for.
    async fn restart(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError>;

    /// Unfreezes it; one that is not frozen is fine.
    async fn unpause(&self, id: &EngineId) -> Result<(), RuntimeError>;

    /// Gives it another name.
    async fn rename(&self, id: &EngineId, name: &str) -> Result<(), RuntimeError>;

    /// Changes restart policy and resources in place. `Unsupported` when the engine cannot bring it from
    /// what it has to `resources` (Docker cannot lift some limits).
    async fn update(
        &self,
        id: &EngineId,
        restart_policy: RestartPolicy,
        resources: &Resources,
    ) -> Result<(), RuntimeError>;

    /// Removes it with its anonymous volumes, killing it if it runs; one that is gone is fine.
    async fn remove(&self, id: &EngineId) -> Result<(), RuntimeError>;

    /// Runs a command inside and waits for its end, at most `timeout`.
    async fn exec(
        &self,
        id: &EngineId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError>;

    /// The last `lines` lines it wrote (both streams), at most 16 KiB.
    async fn log_tail(&self, id: &EngineId, lines: usize) -> Result<String, RuntimeError>;

    /// The bound sockets of the device that keep others from a port, published ports of containers among
    /// them. Empty where the runtime cannot tell (an engine on another machine): then the engine's refusal
    /// at the start is the first to know.
    async fn listeners(&self) -> Vec<Listener>;

    /// All networks.
    async fn networks(&self) -> Result<Vec<NetworkInfo>, RuntimeError>;

    /// Makes a network, with `subnet` unless the engine shall choose.
    async fn create_network(
        &self,
        network: &DesiredNetwork,
        subnet: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError>;

    /// Removes a network; one that is gone is fine.
    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError>;

    /// Attaches a container to a network under aliases.
    async fn connect(&self, network: &str, id: &EngineId, aliases: &[String]) -> Result<(), RuntimeError>;

    /// Detaches it.
    async fn disconnect(&self, network: &str, id: &EngineId) -> Result<(), RuntimeError>;

    /// All volumes.
    async fn volumes(&self) -> Result<Vec<VolumeInfo>, RuntimeError>;

    /// Makes a volume; an equal one that exists is fine.
    async fn create_volume(
        &self,
        volume: &DesiredVolume,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError>;

    /// Removes a volume; one that is gone is fine.
    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError>;

    /// Removes an image by reference or id; one that is gone, or is in use, is fine.
    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError>;
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RuntimeInfo {
    pub kind: String,
    pub version: String,
    pub api_version: String,
    pub os: String,
    pub arch: String,
    /// Sorted, see [`longshore_plan::observed::RuntimeState::Ready`].
    pub capabilities: Vec<String>,
}

/// What a wake-up was about, for logs and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// `container`, `network`, `volume`, `image`, `daemon`.
    pub kind: String,
    /// `create`, `start`, `die`, `destroy`, `health_status`, …
    pub action: String,
    /// The object's id or name.
    pub object: String,
}

/// What a listing tells of every container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ContainerSummary {
    pub id: EngineId,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Published and bound just now. What a program on the host's network listens on no engine knows.
    pub host_ports: Vec<HostPort>,
}

/// One container in full, in the model's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDetail {
    /// The engine's id.
    pub id: EngineId,
    /// Its name, without a leading slash.
    pub name: String,
    /// All its labels, ours among them.
    pub labels: BTreeMap<String, String>,
    /// The image as it was asked for.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// What it does.
    pub state: ContainerState,
    /// What the image's HEALTHCHECK says, where it has one.
    pub engine_health: Option<EngineHealth>,
    /// Its first process, 0 when it does not run.
    pub pid: u32,
    /// The restart policy now.
    pub restart_policy: RestartPolicy,
    /// The limits now; what was never set is absent.
    pub resources: Resources,
    /// The user-defined networks it is attached to, sorted by name; never the engine's default ones.
    pub networks: Vec<Attachment>,
    /// Where probes reach it: an address of its own, or loopback on the host network.
    pub address: Option<IpAddr>,
    /// How often the engine restarted it.
    pub restarts: u32,
    /// RFC 3339, empty if never.
    pub started_at: String,
    /// The engine's own words on why it does not run.
    pub error: String,
}

/// What the image's own HEALTHCHECK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EngineHealth {
    Starting,
    Healthy,
    Unhealthy,
}

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Attachment {
    pub network: String,
    pub address: Option<IpAddr>,
}

/// An image on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ImageInfo {
    pub id: String,
    pub size_bytes: u64,
}

/// Credentials for one registry.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RegistryAuth {
    pub server: String,
    pub username: String,
    pub password: String,
}

/// Never shows the password.
impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            server,
            username,
            password: _,
        } = self;
        f.debug_struct("RegistryAuth")
            .field("server", server)
            .field("username", username)
            .field("password", &"<redacted>")
            .finish()
    }
}

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// Bytes here.
    pub done_bytes: u64,
    /// Bytes known of in all.
    pub total_bytes: u64,
}

/// Where progress goes; only the newest value matters.
pub type PullProgressSender = tokio::sync::watch::Sender<PullProgress>;

/// A container to make. Content is already a file or a value here.
#[derive(Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// The engine's name for it.
    pub name: String,
    /// Fixed at creation.
    pub spec: ContainerSpec,
    /// The environment with every reference resolved, `NAME=value`.
    pub env: Vec<String>,
    /// The directory on the device for each content mount, by volume name.
    pub content_dirs: BTreeMap<String, String>,
    /// The restart policy to begin with.
    pub restart_policy: RestartPolicy,
    /// The limits to begin with.
    pub resources: Resources,
    /// The networks to attach to, by engine name; empty is the engine's default.
    pub networks: Vec<String>,
    /// Its alias on these networks.
    pub alias: String,
    /// Our labels, beside the spec's.
    pub labels: BTreeMap<String, String>,
    /// Between the stop signal and SIGKILL.
    pub stop_grace_period: Duration,
}

/// Never shows the environment: it may hold a Secret's values.
impl std::fmt::Debug for CreateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateRequest")
            .field("name", &self.name)
            .field("image", &self.spec.image)
            .field("env", &format_args!("<{} variables>", self.env.len()))
            .finish_non_exhaustive()
    }
}

/// How a command inside ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// Its exit code.
    pub exit_code: i64,
    /// The first 4 KiB of both streams.
    pub output: String,
}

/// A network of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NetworkInfo {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// In CIDR form.
    pub subnets: Vec<String>,
}

/// A volume of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct VolumeInfo {
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
}

/// Why the engine did not do it. The kind decides what happens next; the words are for people and hold
/// no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct RuntimeError {
    /// What was tried, e.g. `create hello.web`.
    pub operation: String,
    /// What kind of refusal it is.
    pub kind: RuntimeErrorKind,
    /// The engine's words, or ours where it has none.
    pub message: String,
}

/// Kinds of refusal, the same for every engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeErrorKind {
    /// The engine does not answer (or went away in the middle).
    Unavailable,
    /// It did not answer in time.
    Timeout,
    /// No such object.
    NotFound,
    /// The registry has no such image (or hides it from these credentials).
    ImageNotFound,
    /// The registry has the image, not the tag or digest.
    ImageTagNotFound,
    /// The registry could not be reached, or speaks no registry.
    RegistryUnavailable,
    /// The registry wants credentials, or other ones.
    RegistryAuthenticationFailed,
    /// The name is taken.
    NameConflict,
    /// The host port is taken.
    PortConflict,
    /// The object is in a state, or in a use, that forbids it.
    Conflict,
    /// The engine says the request is wrong (a bad mount, a missing command).
    Invalid,
    /// This engine cannot do that.
    Unsupported,
    /// A disk is full.
    DiskFull,
    /// Anything else.
    Other,
}
