//! The Workload kind: the containers that should run on its target devices.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;
use crate::{rules, schema};

pub mod container;
pub mod env;
pub mod network;
pub mod probe;
pub mod security;
pub mod status;
pub mod template;
pub mod volume;

pub use container::{
    Container, Dependency, DependencyCondition, DeviceNode, ExtraHost, ImagePullPolicy, Logging,
    OnConfigChange, Port, Protocol, ResourceAmounts, ResourceLimits, Resources, RestartPolicy, Ulimit,
};
pub use env::{EnvFrom, EnvVar, EnvVarSource, KeyRef, ObjectRef, PullSecret};
pub use network::{DnsConfig, DnsOption, Network, Sysctl};
pub use probe::{ExecAction, HttpGetAction, HttpHeader, Probe, TcpSocketAction};
pub use security::{Capabilities, SeccompProfile, SeccompType, SecurityContext};
pub use status::{FailingDevice, WorkloadStatus};
pub use template::Template;
pub use volume::{
    ConfigMapVolume, ContentItem, HostPath, HostPathType, MountPropagation, NamedVolume, ReclaimPolicy,
    SecretVolume, TmpfsVolume, Volume, VolumeMount,
};

/// The annotation of a Workload that asks for another try: any other value than the last one makes its
/// devices forget what failed.
pub const RETRY_ANNOTATION: &str = "longshore.dev/retry";

/// What should run, and how changes to it are brought about.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "Workload",
    plural = "workloads",
    singular = "workload",
    shortname = "wl",
    category = "longshore",
    category = "all",
    namespaced,
    status = "WorkloadStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Workload is the containers, with their volumes and networks, that should run on its target devices.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.readyDevices",
        description = "Ready target devices of all target devices"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why the workload is ready or not"
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.revision",
        description = "The revision that the targets should run"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Targets",
        type_ = "integer",
        json_path = ".status.desired",
        priority = 1,
        description = "How many devices it targets"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1,
        description = "The same in words"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::workload_spec)]
pub struct WorkloadSpec {
    /// The devices it runs on. A name that no device has makes the workload unready until there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<Target>,

    /// What runs on each of them.
    pub template: Template,

    /// How a change reaches the devices, and what happens when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,

    /// Decides between workloads that want the same host port or name on a device: the higher one has it.
    /// Absent is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,

    /// What happens when a container differs from its declaration and nobody declared the difference
    /// (stopped, removed, renamed or reconfigured by hand). `Enforce`, the default, undoes it; `Observe`
    /// only reports it. Declared changes are brought about either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,

    /// While true nothing of this workload is changed on any device; what runs keeps running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// What becomes of the containers when the workload is deleted. `Delete`, the default, stops and
    /// removes them; `Orphan` leaves them running, and they are reported as orphans of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// One entry of a workload's targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The name of a Device in the workload's namespace.
    #[schemars(length(min = 1, max = 40), transform = rules::label)]
    pub device: String,
}

/// How a change reaches the devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::rollout)]
pub struct Rollout {
    /// How many target devices may be without a healthy container at the same time because of a change:
    /// a number, or a percentage of the targets such as `10%`. One device at a time satisfies any value,
    /// and so it is done until there are device groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::CountOrPercent>")]
    pub max_unavailable: Option<Quantity>,

    /// Seconds a container without probes must run without a restart before it counts as healthy.
    /// Absent is 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub min_ready_seconds: Option<u32>,

    /// Seconds a changed container has to become healthy, the pull of its image not included. Then
    /// `onFailure` decides. Absent is 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub progress_deadline_seconds: Option<u32>,

    /// What happens on a device where a changed container does not become healthy in time. `Rollback`,
    /// the default, puts the old container back and does not try this revision there again until the
    /// spec changes. `Pause` does the same and goes on to no further device. `Continue` keeps the new
    /// container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// What happens when a changed container does not become healthy in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum OnFailure {
    Rollback,
    Pause,
    Continue,
}

/// What happens to differences that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Drift {
    Enforce,
    Observe,
}

/// What becomes of containers when the object that asked for them is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum DeletionPolicy {
    Delete,
    Orphan,
}
