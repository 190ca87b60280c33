//! What is really there: the agent's full compact snapshot of one device. The planner decides on it and
//! nothing else, so the controller (over the bus) and the agent (alone) come to the same plan.
//!
//! Nothing here ticks: two snapshots of a device on which nothing happened are equal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hash::SpecHash;
use crate::names::{ContainerKey, EngineId};
use crate::spec::{ContainerConfig, Protocol};

/// One device as its agent sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Observed {
    /// Whether the runtime answers; everything below is the last known state while it does not.
    pub runtime: RuntimeState,
    /// Our containers, sorted by key and engine id. More than one of a key is possible after a crash.
    pub containers: Vec<ObservedContainer>,
    /// What was last applied per container, also of those that are gone, sorted by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<Applied>,
    /// Our networks by engine name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Our volumes by engine name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<OwnedVolume>,
    /// What is not ours: names and bound host ports only, at most [`Observed::MAX_UNMANAGED`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmanaged: Vec<Unmanaged>,
    /// What was tried and did not work, sorted by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

impl Observed {
    /// How many unmanaged containers a report names.
    pub const MAX_UNMANAGED: usize = 64;
}

/// Whether the container runtime can be used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RuntimeState {
    /// It answers.
    Ready {
        /// `docker`, `sim`, …
        kind: String,
        /// The engine's version.
        version: String,
        /// The API version spoken.
        api_version: String,
        /// `linux`.
        os: String,
        /// `amd64`, …
        arch: String,
        /// What it can do beyond the base (`update`, `exec`, `healthcheck`, …), sorted.
        capabilities: Vec<String>,
    },
    /// It does not, and why.
    Unavailable {
        /// In words for `RuntimeReady=False`.
        message: String,
    },
    /// Nothing asked yet.
    #[default]
    Unknown,
}

/// One managed container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedContainer {
    /// Which one it is.
    #[serde(flatten)]
    pub key: ContainerKey,
    /// The engine's id.
    pub id: EngineId,
    /// The engine's name of it, now.
    pub engine_name: String,
    /// The hash it was made from, as its label says.
    pub hash: SpecHash,
    /// The revision it was made from, as its label says.
    pub revision: String,
    /// What it does.
    pub state: ContainerState,
    /// Whether it does it well.
    #[serde(default)]
    pub health: Health,
    /// The changeable part, read back from the engine and brought into the model's form.
    pub config: ContainerConfig,
    /// The host ports it has bound, sorted; none while it is not up. Of a container of another hash than
    /// the desired one nothing else tells what it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
    /// How often the engine or the agent restarted it.
    #[serde(default)]
    pub restarts: u32,
    /// The id of its image.
    #[serde(default)]
    pub image_id: String,
    /// When it last started, RFC 3339 as the engine gives it; empty if never.
    #[serde(default)]
    pub started_at: String,
    /// We stopped it before it had ended by itself, whatever its exit code: it did not complete, and runs
    /// again as soon as it may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// A container's state, in Docker's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs)]
pub enum ContainerState {
    /// Made and never started.
    Created,
    Running,
    /// Its processes are frozen.
    Paused,
    /// Exited, and the engine waits before it starts it again.
    Restarting {
        exit_code: i64,
    },
    Exited {
        exit_code: i64,
        /// Killed by the kernel for want of memory.
        #[serde(default)]
        oom_killed: bool,
    },
    /// Half removed; only a removal helps.
    Dead,
}

impl ContainerState {
    /// Whether its process exists (frozen or not), so that a second one of it must not.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting { .. })
    }
}

/// Whether a running container is well, by its probes or by having run long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Health {
    /// Not known (not running, or just seen).
    #[default]
    Unknown,
    /// Not yet ready, not yet failed.
    Starting,
    /// Ready.
    Healthy,
    /// Its probe fails, or it restarts in a loop.
    Unhealthy,
}

/// What the agent last brought about for a container: what tells drift from a declared change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The container.
    #[serde(flatten)]
    pub key: ContainerKey,
    /// The hash of the spec applied.
    pub hash: SpecHash,
    /// The configuration applied, as [`crate::hash::config_digest`].
    pub config_digest: String,
    /// It exited 0 under a policy that lets it rest; it is never run again for this hash.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completed: bool,
}

/// A volume of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnedVolume {
    /// Its engine name.
    pub name: String,
    /// The workload it was made for.
    pub workload: String,
    /// Goes with its workload.
    #[serde(default)]
    pub reclaim: crate::desired::ReclaimPolicy,
}

/// A container that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unmanaged {
    /// Its engine name.
    pub name: String,
    /// The host ports it has bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<HostPort>,
}

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct HostPort {
    pub port: u16,
    pub protocol: Protocol,
}

/// A change that did not work, kept by the agent until it does or the spec changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The container.
    #[serde(flatten)]
    pub key: ContainerKey,
    /// The hash that was tried.
    pub hash: SpecHash,
    /// The configuration that was tried, as [`crate::hash::config_digest`].
    pub config_digest: String,
    /// Low-cardinality: the condition's and event's reason.
    pub reason: FailureReason,
    /// In words, without secrets.
    pub message: String,
    /// Whether and when it is tried again.
    pub retry: Retry,
    /// How often it was tried.
    pub attempts: u32,
}

/// Why a change did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailureReason {
    /// The registry has no image of that name.
    ImageNotFound,
    /// The registry has the image but not that tag or digest.
    ImageTagNotFound,
    /// The registry could not be reached.
    RegistryUnavailable,
    /// The registry wants credentials, or other ones.
    RegistryAuthenticationFailed,
    /// Any other failed pull.
    ImagePullFailed,
    /// The image is not on the device and the policy is `Never`.
    ImageNeverPull,
    /// The engine refused to make it.
    CreateFailed,
    /// The engine could not start it.
    StartFailed,
    /// It did not become healthy in time; what ran before runs again.
    RolledBack,
    /// It did not become healthy in time, and there was nothing to go back to.
    Unhealthy,
    /// Another process has its host port.
    PortConflict,
    /// Another object has its name.
    NameConflict,
    /// A ConfigMap's or Secret's content could not be had.
    ContentMissing,
    /// A dependency was not reached in time.
    DependencyNotReady,
    /// A network could not be made.
    NetworkFailed,
    /// A volume could not be made.
    VolumeFailed,
    /// An in-place change was refused.
    UpdateFailed,
    /// It could not be stopped or removed.
    RemoveFailed,
    /// The runtime went away in the middle.
    RuntimeUnavailable,
    /// The ledger could not be written (a full disk), so nothing was done.
    LedgerUnavailable,
    /// A disk of the device is full.
    DiskFull,
}

impl FailureReason {
    /// The reason as conditions and events write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImageNotFound => "ImageNotFound",
            Self::ImageTagNotFound => "ImageTagNotFound",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::RegistryAuthenticationFailed => "RegistryAuthenticationFailed",
            Self::ImagePullFailed => "ImagePullFailed",
            Self::ImageNeverPull => "ImageNeverPull",
            Self::CreateFailed => "CreateFailed",
            Self::StartFailed => "StartFailed",
            Self::RolledBack => "RolledBack",
            Self::Unhealthy => "Unhealthy",
            Self::PortConflict => "PortConflict",
            Self::NameConflict => "NameConflict",
            Self::ContentMissing => "ContentMissing",
            Self::DependencyNotReady => "DependencyNotReady",
            Self::NetworkFailed => "NetworkFailed",
            Self::VolumeFailed => "VolumeFailed",
            Self::UpdateFailed => "UpdateFailed",
            Self::RemoveFailed => "RemoveFailed",
            Self::RuntimeUnavailable => "RuntimeUnavailable",
            Self::LedgerUnavailable => "LedgerUnavailable",
            Self::DiskFull => "DiskFull",
        }
    }
}

/// Whether a failed change is tried again. The agent keeps the clock; the planner sees only this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retry {
    /// Not yet: the back-off runs.
    Waiting,
    /// Now.
    Due,
    /// Not until the spec changes or somebody asks: this hash was rolled back.
    Blocked,
}

/// A difference nobody declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The container.
    #[serde(flatten)]
    pub key: ContainerKey,
    /// What differs: `existence`, `state`, `name`, `restartPolicy`, `resources.memory`, `networks`, …
    pub field: String,
    /// What was declared.
    pub want: String,
    /// What is there.
    pub have: String,
}

/// Drift by container, at most [`MAX_DRIFT`] entries of a device.
pub type DriftByContainer = BTreeMap<ContainerKey, Vec<Drift>>;

/// How many differences a device names.
pub const MAX_DRIFT: usize = 16;
