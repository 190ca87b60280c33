//! What is known of a workload on its devices. Bounded, however many they are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What is known of a workload on its devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// The generation of the spec that all of this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Names what is rendered from the spec and the content it refers to; changes when that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,

    /// Ready devices of all desired ones, such as `97/100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_devices: Option<String>,

    /// How many devices it targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,

    /// How many of them have the current revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<u32>,

    /// How many of them run it healthily.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,

    /// How many of them report a difference that nobody declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted: Option<u32>,

    /// How many of them are not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<u32>,

    /// On how many of them a change failed or a container is unhealthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u32>,

    /// The first of the failed ones by name, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub failing: Vec<FailingDevice>,

    /// `Ready`; `Progressing`; and for kstatus `Reconciling` and `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::by_type)]
    pub conditions: Vec<Condition>,
}

impl WorkloadStatus {
    /// How many failing devices a status names.
    pub const MAX_FAILING: usize = 20;
}

/// A device on which something of the workload fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingDevice {
    /// The device.
    pub device: String,

    /// The container, unless it is about all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,

    /// Why, in one word.
    pub reason: String,

    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub message: Option<String>,
}
