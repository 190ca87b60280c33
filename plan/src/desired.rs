//! What one device should run. The controller renders it, the agent keeps it.
//!
//! Absence is not an instruction: a workload that is missing here is left alone. What shall go is said
//! in [`DesiredSet::removals`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hash::SpecHash;
use crate::names::{ContainerKey, DnsLabel};
use crate::spec::{ContainerBehaviour, ContainerConfig, ContainerSpec, ContentRef};

/// One device's whole desired set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DesiredSet {
    /// The device is paused: nothing on it is changed, whatever the rest says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The workloads, sorted by name.
    pub workloads: Vec<DesiredWorkload>,
    /// The workloads whose containers shall go, sorted by name. A workload is never in both lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
}

/// One workload on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredWorkload {
    /// Its name, unique on the device because a device belongs to one namespace.
    pub name: DnsLabel,
    /// The revision it is rendered from (a label value), for people and for status.
    pub revision: String,
    /// Higher wins a host port or a name that two workloads want.
    #[serde(default)]
    pub priority: i32,
    /// Whether what nobody declared is undone or only reported.
    #[serde(default)]
    pub drift: DriftMode,
    /// Nothing of this workload is changed while set; what runs keeps running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Init containers first, in their order, then the others in declared order.
    pub containers: Vec<DesiredContainer>,
    /// Networks it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<DesiredNetwork>,
    /// Named volumes it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<DesiredVolume>,
    /// Seconds a container without probes must run without a restart to count as healthy.
    pub min_ready_seconds: u32,
    /// Seconds a changed container has to become healthy before it is put back.
    pub progress_deadline_seconds: u32,
    /// What happens when it does not become healthy in time.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Another value than the last one makes the agent forget what failed and try again at once. From
    /// the Workload's annotation `longshore.dev/retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// Registry credentials (`.dockerconfigjson` of Secrets) tried for its pulls. Outside every hash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<ContentRef>,
}

/// Whether drift is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum DriftMode {
    #[default]
    Enforce,
    Observe,
}

/// What a failed change does on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnFailure {
    /// The old container is put back. The default.
    #[default]
    Rollback,
    /// The old container is put back, and the rollout waits for a person. On one device the same.
    Pause,
    /// The new container stays although it is not healthy.
    Continue,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredContainer {
    /// Its name in the workload, and its alias on the workload's networks.
    pub name: DnsLabel,
    /// Its engine name: `<workload>.<container>` or the user's `containerName`.
    pub engine_name: String,
    /// An init container: the others of the workload wait until it completed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init: bool,
    /// The hash of `spec`; made by [`crate::hash::spec_hash`], carried so that both sides compare the same.
    pub hash: SpecHash,
    /// Fixed at creation.
    pub spec: ContainerSpec,
    /// Changeable in place.
    #[serde(default)]
    pub config: ContainerConfig,
    /// How the agent treats it.
    #[serde(default)]
    pub behaviour: ContainerBehaviour,
}

/// A network of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredNetwork {
    /// Its engine name, `<workload>.<network>`.
    pub name: String,
    /// The driver; absent is the engine's bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The subnet in CIDR form; absent lets the agent choose one no route of the host touches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// Without a way out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A named volume of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredVolume {
    /// Its engine name, `<workload>.<volume>` or the name the user gave.
    pub name: String,
    /// The driver; absent is `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Driver options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// What becomes of it when the workload goes.
    #[serde(default)]
    pub reclaim: ReclaimPolicy,
}

/// What becomes of a named volume when its workload goes, in Kubernetes' terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ReclaimPolicy {
    #[default]
    Retain,
    Delete,
}

/// An explicit order to take a workload off this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removal {
    /// The workload.
    pub workload: DnsLabel,
    /// Why, for the plan's words.
    pub reason: RemovalReason,
}

/// Why a workload leaves a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemovalReason {
    /// The Workload has a deletionTimestamp.
    Deleted,
    /// The Workload exists and targets other devices.
    MovedAway,
    /// The Device has a deletionTimestamp and `deletionPolicy: Delete`.
    Decommissioned,
}

impl DesiredSet {
    /// The workload of that name.
    pub fn workload(&self, name: &DnsLabel) -> Option<&DesiredWorkload> {
        self.workloads.iter().find(|w| &w.name == name)
    }

    /// The container of that key, with its workload.
    pub fn container(&self, key: &ContainerKey) -> Option<(&DesiredWorkload, &DesiredContainer)> {
        let workload = self.workload(&key.workload)?;
        let container = workload.containers.iter().find(|c| c.name == key.container)?;
        Some((workload, container))
    }
}

impl DesiredWorkload {
    /// The key of one of its containers.
    pub fn key(&self, container: &DesiredContainer) -> ContainerKey {
        ContainerKey::new(self.name.clone(), container.name.clone())
    }
}
