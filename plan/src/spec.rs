//! What a container is made of, in three parts that change at three prices.
//!
//! - [`ContainerSpec`] is fixed at creation: another value means another container. It alone is hashed
//!   (see [`crate::hash`]), so every field added later must be absent by default.
//! - [`ContainerConfig`] can change in place while the container runs.
//! - [`ContainerBehaviour`] is how the agent treats it; no engine ever sees it.
//!
//! Every default is absent (`None`, empty): two ways to write one thing would be two hashes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::names::DnsLabel;

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands `skip_serializing_if` a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The keyed digest (HMAC-SHA-256 under the tenant's key, lower-case hex) by which a plan refers to a
/// value of a ConfigMap or Secret. The value itself never travels in a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentDigest(pub String);

/// A value the agent fetches by digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContentRef {
    /// What to ask for. The agent has no key to check the answer with: it trusts its controller.
    pub digest: ContentDigest,
    /// Whether it came from a Secret, and is masked wherever the container's environment is shown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
}

/// One environment variable: a literal, or content by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// The variable's name.
    pub name: String,
    /// Where the value comes from.
    #[serde(flatten)]
    pub source: EnvSource,
}

/// Where an environment variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EnvSource {
    /// The value itself, as declared.
    Value(String),
    /// A ConfigMap's or Secret's value.
    Content(ContentRef),
}

/// The transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A container port, and where on the host it is published if it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// The port inside.
    pub container_port: u16,
    /// The port on the host; absent is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The host address bound; absent is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
}

/// One file of a content mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContentFile {
    /// Its path relative to the mount: no `..`, not absolute.
    pub path: String,
    /// Its content.
    #[serde(flatten)]
    pub content: ContentRef,
    /// Unix permission bits; absent is 0644.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum MountSource {
    /// A path on the device, which must exist unless `create` makes the directory.
    HostPath {
        /// The absolute path on the device.
        path: String,
        /// Kubernetes' `DirectoryOrCreate`.
        #[serde(default, skip_serializing_if = "is_false")]
        create: bool,
    },
    /// A named volume, by its engine name.
    Volume {
        /// The engine's name of the volume, that of a [`crate::desired::DesiredVolume`].
        name: String,
    },
    /// Files made of ConfigMap and Secret content.
    Content {
        /// The volume's name in the workload.
        name: String,
        /// The files, only where a change of content replaces the container (`onConfigChange: Replace`);
        /// otherwise they lie in [`ContainerConfig::content`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<ContentFile>,
    },
    /// Memory, gone with the container.
    Tmpfs {
        /// Its limit in bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_bytes: Option<u64>,
    },
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// The absolute path inside.
    pub target: String,
    /// What is there.
    pub source: MountSource,
    /// Mounted read-only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// `rprivate` (absent), `rslave` or `rshared`; of host paths only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
}

/// Mount propagation of a host path, in the kernel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Propagation {
    Rslave,
    Rshared,
}

/// A device node of the host given to the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceNode {
    /// The path on the host.
    pub host_path: String,
    /// The path inside.
    pub container_path: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Privileges, in Kubernetes' terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct SecurityContext {
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// A numeric uid or a user name of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supplemental_groups: Vec<i64>,
    #[serde(skip_serializing_if = "is_false")]
    pub read_only_root_filesystem: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub no_new_privileges: bool,
    /// `unconfined`, or the absolute path of a profile on the device; absent is the engine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<String>,
}

/// One resource limit of the process (`setrlimit`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// The engine's log driver. Absent is the default: bounded, 10 MB × 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Logging {
    pub driver: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Name resolution inside the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Dns {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Everything of a container that is fixed when it is created. Hashed; see the module's docs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ContainerSpec {
    /// The image as the user wrote it: tag, digest or bare name.
    pub image: String,
    /// Replaces the image's ENTRYPOINT (Kubernetes' `command`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's CMD (Kubernetes' `args`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The environment, in declared order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Ports, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Mounts, in declared order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Device nodes of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceNode>,
    /// Privileges.
    #[serde(skip_serializing_if = "SecurityContext::is_default")]
    pub security: SecurityContext,
    /// The signal that asks the process to stop; absent is the image's, else SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// A terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Standard input kept open.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin: bool,
    /// Process limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// `/dev/shm` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size_bytes: Option<u64>,
    /// A small init as PID 1 that reaps and forwards signals.
    #[serde(skip_serializing_if = "is_false")]
    pub init: bool,
    /// The log driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// The user's own labels. Ours are added by the agent and are not part of the hash.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Lines of `/etc/hosts`: host name to address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_hosts: BTreeMap<String, String>,
    /// The host name inside; absent is the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Name resolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// Kernel parameters of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The host's network instead of one of its own.
    #[serde(skip_serializing_if = "is_false")]
    pub host_network: bool,
    /// The host's process ids.
    #[serde(skip_serializing_if = "is_false")]
    pub host_pid: bool,
    /// The host's IPC.
    #[serde(skip_serializing_if = "is_false")]
    pub host_ipc: bool,
    /// The engine's runtime (Docker's `--runtime`, CRI's handler); absent is its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_handler: Option<String>,
}

impl SecurityContext {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When the engine (Docker) or the agent (CRI) starts an exited container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum RestartPolicy {
    /// Whenever it exits.
    #[default]
    Always,
    /// When it exits with another code than 0; `max_retries` 0 is without end.
    OnFailure {
        /// How often in a row.
        #[serde(default)]
        max_retries: u32,
    },
    /// As `Always`, but a container stopped by hand stays stopped across an engine restart.
    UnlessStopped,
    /// Never. One that exited 0 is `Completed`.
    Never,
}

/// Limits and reservations. Absent is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// CPU limit in thousandths of a core, at least 10: the kernel takes no less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit_millis: Option<u64>,
    /// CPU weight (Docker's shares, 2–262144), from the CPU request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// The cores it may run on, as Linux writes it: `0-2,4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
    /// Memory limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Memory reservation in bytes, from the memory request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation_bytes: Option<u64>,
    /// How many processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<u64>,
}

/// What can change while the container runs: compared by name and value, never by hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ContainerConfig {
    /// The restart policy.
    pub restart_policy: RestartPolicy,
    /// Limits and reservations.
    #[serde(skip_serializing_if = "Resources::is_default")]
    pub resources: Resources,
    /// The networks it is attached to, by engine name, sorted. Empty is the engine's default network
    /// (or none at all with `host_network`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Files that are swapped in place, by volume name of the workload, each list sorted by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub content: BTreeMap<String, Vec<ContentFile>>,
}

impl Resources {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When an image is pulled before a container is created, in Kubernetes' terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PullPolicy {
    /// Before every creation.
    Always,
    /// Only when the device lacks it.
    #[default]
    IfNotPresent,
    /// Never: it must be there.
    Never,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[allow(missing_docs)]
pub enum ProbeAction {
    /// A command inside the container; exit code 0 is success.
    Exec { command: Vec<String> },
    /// An HTTP GET; 200–399 is success. `host` absent is the container's own address.
    HttpGet {
        port: u16,
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
    /// A TCP connection that is accepted.
    TcpSocket {
        port: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
}

/// A probe, with Kubernetes' defaults already filled in. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Probe {
    pub action: ProbeAction,
    pub initial_delay_seconds: u32,
    pub period_seconds: u32,
    pub timeout_seconds: u32,
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

/// What a container waits for before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// Another container of the same workload.
    pub container: DnsLabel,
    /// The state it must have reached.
    pub condition: DependencyCondition,
}

/// How far a dependency must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum DependencyCondition {
    /// Running, or completed.
    Started,
    /// Ready by its probes.
    Healthy,
    /// Exited with code 0.
    Completed,
}

/// What happens when content mounted as files changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum OnConfigChange {
    /// Another container.
    Replace,
    /// The files are swapped atomically under the running one.
    #[default]
    Update,
    /// Swapped, then this signal is sent to the container's first process.
    Signal(String),
}

/// How the agent treats a container. Never part of a hash, never a reason for a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ContainerBehaviour {
    /// When its image is pulled.
    pub pull_policy: PullPolicy,
    /// What it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Restarts the container when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// Decides whether it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// Holds the other two back until it succeeded once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// Ready only when the image's own HEALTHCHECK says so.
    #[serde(skip_serializing_if = "is_false")]
    pub image_healthcheck: bool,
    /// Seconds between the stop signal and SIGKILL; absent is 10 (Docker's default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period_seconds: Option<u32>,
    /// What a change of file content does.
    #[serde(skip_serializing_if = "OnConfigChange::is_default")]
    pub on_config_change: OnConfigChange,
}

impl OnConfigChange {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
