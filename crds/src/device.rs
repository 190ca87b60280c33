//! The Device kind: a machine with an agent. Users write little of it; its status is what is known.
//!
//! Nothing in the status ticks: an idle device causes no writes.

#![expect(clippy::duplicated_attributes, reason = "every printer column has a type")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::workload::DeletionPolicy;

/// How a device is treated.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "Device",
    plural = "devices",
    singular = "device",
    shortname = "dev",
    category = "longshore",
    namespaced,
    status = "DeviceStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Device is a machine whose agent runs the containers of the workloads that target it.",
    printcolumn(
        name = "Connected",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Connected\")].status",
        description = "Whether its agent is there"
    ),
    printcolumn(
        name = "Runtime",
        type_ = "string",
        json_path = ".status.runtime.name",
        description = "What runs its containers"
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Synced\")].status",
        description = "Whether it has what it should have"
    ),
    printcolumn(
        name = "Workloads",
        type_ = "string",
        json_path = ".status.readyWorkloads",
        description = "Ready workloads of all that target it"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Agent",
        type_ = "string",
        json_path = ".status.agent.version",
        priority = 1,
        description = "The agent's version"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.runtime.version",
        priority = 1,
        description = "The runtime's version"
    ),
    printcolumn(name = "OS", type_ = "string", json_path = ".status.runtime.os", priority = 1),
    printcolumn(
        name = "Arch",
        type_ = "string",
        json_path = ".status.runtime.arch",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Synced\")].message",
        priority = 1,
        description = "What keeps it from being synced"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSpec {
    /// While true nothing on the device is changed; what runs keeps running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,

    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,

    /// What becomes of its containers when the device is deleted. `Delete`, the default, stops and removes
    /// the managed ones; `Orphan` leaves them running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What is known of a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// The generation of the spec that all of this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The agent on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentInfo>,

    /// What runs containers on it, as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeInfo>,

    /// The workloads that target it or have containers on it, at most 256, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), transform = schema::by_name)]
    pub workloads: Vec<DeviceWorkload>,

    /// Ready workloads of all that target it, such as `2/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_workloads: Option<String>,

    /// What differs although nobody declared it, at most 16 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub drift: Vec<DriftEntry>,

    /// Managed containers whose workload does not exist, at most 64, by their names on the engine. They
    /// are left alone until somebody removes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub orphans: Vec<String>,

    /// `Connected`, `RuntimeReady`, `Synced` and `Drifted`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::by_type)]
    pub conditions: Vec<Condition>,
}

impl DeviceStatus {
    /// How many workloads a status names.
    pub const MAX_WORKLOADS: usize = 256;
    /// How many differences a status names.
    pub const MAX_DRIFT: usize = 16;
    /// How many orphans a status names.
    pub const MAX_ORPHANS: usize = 64;
}

/// The agent on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    /// Its version.
    pub version: String,

    /// The bus protocol it speaks.
    pub protocol: ProtocolRange,
}

/// A range of protocol versions, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProtocolRange {
    /// The oldest version it speaks.
    pub min: u32,

    /// The newest version it speaks.
    pub max: u32,
}

/// What runs containers on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    /// How it is spoken to: `docker`, `cri` or `sim`.
    pub kind: String,

    /// What it calls itself.
    pub name: String,

    /// Its version.
    pub version: String,

    /// The version of its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,

    /// The operating system of its containers.
    pub os: String,

    /// The processor architecture of its containers, such as `amd64`.
    pub arch: String,

    /// What it can do beyond the base, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::list_set)]
    pub capabilities: Vec<String>,
}

/// One workload on a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceWorkload {
    /// The workload.
    pub name: String,

    /// The revision it has on the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,

    /// How many containers it should have.
    pub desired: u32,

    /// How many of them run healthily, or completed.
    pub ready: u32,

    /// How it is, in one word.
    pub state: String,

    /// How it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub message: Option<String>,
}

/// A difference that nobody declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftEntry {
    /// The workload.
    pub workload: String,

    /// The container of it.
    pub container: String,

    /// What differs, such as `state`, `name` or `resources.memory`.
    pub field: String,

    /// What is declared.
    pub want: String,

    /// What is there.
    pub have: String,
}
