//! One container of a template.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvFrom, EnvVar, Probe, SecurityContext, VolumeMount};
use crate::quantity::Quantity;
use crate::{rules, schema};

/// One container: Kubernetes' fields, and what Docker can do beyond them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::container)]
pub struct Container {
    /// Its name, unique among the containers and init containers of the template. The other containers
    /// reach it by this name.
    #[schemars(length(min = 1, max = 63), transform = rules::label)]
    pub name: String,

    /// The image: `[registry[:port]/]name[:tag][@digest]`.
    #[schemars(length(min = 1, max = 512), transform = rules::image)]
    pub image: String,

    /// When the image is pulled before the container is made: `IfNotPresent`, the default whatever the
    /// tag; `Always`; `Never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Replaces the image's entry point. `$(VAR)` is replaced as in `env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 32768)), extend("x-kubernetes-list-type" = "atomic"))]
    pub command: Vec<String>,

    /// Replaces the image's arguments. `$(VAR)` is replaced as in `env`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 32768)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,

    /// The working directory. Absent is the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), transform = rules::absolute_path)]
    pub working_dir: Option<String>,

    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = schema::by_name)]
    pub env: Vec<EnvVar>,

    /// Environment variables from all keys of ConfigMaps and Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub env_from: Vec<EnvFrom>,

    /// Ports, and where on the device they are published. A list whole: told apart by port and protocol, its
    /// entries would need a default for the latter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Vec<Port>,

    /// Limits and reservations. They change without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where the template's volumes are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::by_mount_path)]
    pub volume_mounts: Vec<VolumeMount>,

    /// Device nodes of the device that the container can use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::by_host_path)]
    pub devices: Vec<DeviceNode>,

    /// Privileges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,

    /// When it is started again after it exited: `Always`, the default; `UnlessStopped`, which leaves
    /// one alone that was stopped by hand, also after the engine restarted; `OnFailure`, after an exit code
    /// other than 0; `Never`. Init containers: `OnFailure`, the default there, or `Never`. Changes without
    /// a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,

    /// With `OnFailure`: how often in a row it is started again. Absent or 0 is without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub restart_max_retries: Option<u32>,

    /// Restarts the container when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::one_success)]
    pub liveness_probe: Option<Probe>,

    /// Decides whether the container is ready. Without one it is when it has run `minReadySeconds`
    /// without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,

    /// Holds the other two back until it succeeded once; restarts the container when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rules::one_success)]
    pub startup_probe: Option<Probe>,

    /// Ready only when the HEALTHCHECK of the image says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_healthcheck: Option<bool>,

    /// The signal that asks the process to stop, such as `SIGINT`. Absent is the image's, else SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), transform = rules::signal)]
    pub stop_signal: Option<String>,

    /// Seconds between that signal and SIGKILL. Absent is 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub stop_grace_period_seconds: Option<u32>,

    /// Gives it a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,

    /// Keeps its standard input open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<bool>,

    /// Limits of its processes, as `setrlimit` knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::by_name)]
    pub ulimits: Vec<Ulimit>,

    /// The size of `/dev/shm`, such as `128Mi`. Absent is the engine's (64 MiB on Docker).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Quantity>,

    /// Runs a small init as process 1 that forwards signals and reaps zombies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,

    /// Where its output goes. Absent is the engine's files, bounded to three of 10 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,

    /// Labels of the container on the engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), transform = rules::own_labels)]
    pub labels: BTreeMap<String, String>,

    /// Lines of its `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::by_hostname)]
    pub extra_hosts: Vec<ExtraHost>,

    /// Containers of the template it waits for before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 15), transform = schema::by_container)]
    pub depends_on: Vec<Dependency>,

    /// What a change of mounted ConfigMaps and Secrets does: `Update`, the default, swaps the files under
    /// the running container; `Signal` sends it `configChangeSignal` afterwards; `Replace` makes another
    /// container. Variables in `env` and `envFrom` always replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_config_change: Option<OnConfigChange>,

    /// With `onConfigChange: Signal`: the signal. Absent is SIGHUP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), transform = rules::signal)]
    pub config_change_signal: Option<String>,

    /// The container's name on the engine. Absent is `<workload>.<name>`. It can be given to one container
    /// of a device only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 128), transform = rules::container_name)]
    pub container_name: Option<String>,
}

/// When an image is pulled before its container is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ImagePullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// A port of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::port)]
pub struct Port {
    /// A name for it, which probes can refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15), transform = rules::port_name)]
    pub name: Option<String>,

    /// The port inside the container.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: u16,

    /// The port of the device it is published on. Absent is not published. With `hostNetwork` it is the
    /// container's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub host_port: Option<u16>,

    /// The address of the device it is published on. Needs `hostPort`. Absent is all of them.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45), transform = rules::ip)]
    pub host_ip: Option<String>,

    /// `TCP`, the default, `UDP` or `SCTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// Limits and reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What it can have at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceLimits>,

    /// What it is given first when the device is short of it. Nothing is scheduled by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,

    /// The cores it may run on, such as `0-2,4`. Absent is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), transform = rules::cpuset)]
    pub cpuset: Option<String>,
}

/// What a container can have at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLimits {
    /// Cores, such as `500m` or `2`. Absent or 0 is without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,

    /// Memory, such as `64Mi`; it is killed when it wants more. Absent or 0 is without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,

    /// Processes and threads. Absent or 0 is without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_194_304))]
    pub pids: Option<u32>,
}

/// What a container is given first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// Cores, such as `250m`: its weight against other containers. Absent is the limit, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,

    /// Memory, such as `32Mi`: what is not taken from it while others have more than theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// A device node of the device that the container can use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// The path on the device, such as `/dev/ttyUSB0`.
    #[schemars(length(min = 1, max = 255), transform = rules::absolute_path)]
    pub host_path: String,

    /// The path inside the container. Absent is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), transform = rules::absolute_path)]
    pub container_path: Option<String>,

    /// What the container may do with it: any of `r` (read), `w` (write), `m` (make it). Absent is `rwm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(r|w|m|rw|rm|wm|rwm)$"))]
    pub permissions: Option<String>,
}

/// When a container is started again after it exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum RestartPolicy {
    Always,
    UnlessStopped,
    OnFailure,
    Never,
}

/// A limit of its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::ulimit)]
pub struct Ulimit {
    /// The limit's name, such as `nofile`.
    #[schemars(
        length(max = 16),
        regex(
            pattern = "^(core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$"
        )
    )]
    pub name: String,

    /// The limit in force; -1 is none.
    #[schemars(range(min = -1))]
    pub soft: i64,

    /// What its processes may raise it to; -1 is without end. Absent is `soft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1))]
    pub hard: Option<i64>,
}

/// Where a container's output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// The engine's log driver, such as `json-file`, `journald` or `none`.
    #[schemars(length(min = 1, max = 253))]
    pub driver: String,

    /// Options of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub options: BTreeMap<String, String>,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraHost {
    /// The host name.
    #[schemars(length(min = 1, max = 253), transform = rules::hostname)]
    pub hostname: String,

    /// Its address.
    #[schemars(length(max = 45), transform = rules::ip)]
    pub ip: String,
}

/// A container that is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The name of another container of the template.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,

    /// How far it must be: `started`, the default; `healthy`, ready by its probes; `completed`, exited
    /// with code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<DependencyCondition>,
}

/// How far a dependency must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum DependencyCondition {
    Started,
    Healthy,
    Completed,
}

/// What a change of mounted content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum OnConfigChange {
    Replace,
    Update,
    Signal,
}
