//! Volumes of a template, and how containers mount them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;
use crate::{rules, schema};

/// Something containers can mount, from exactly one source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::volume)]
pub struct Volume {
    /// Its name, by which `volumeMounts` refer to it.
    #[schemars(length(min = 1, max = 63), transform = rules::label)]
    pub name: String,

    /// A file or directory of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_path: Option<HostPath>,

    /// A volume that the engine manages and that outlives the containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_volume: Option<NamedVolume>,

    /// The keys of a ConfigMap as files, always mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolume>,

    /// The keys of a Secret as files, always mounted read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolume>,

    /// Memory that is empty at every start of the container. Each container has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<TmpfsVolume>,
}

/// A file or directory of the device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostPath {
    /// The absolute path on the device.
    #[schemars(length(min = 1, max = 4096), transform = rules::absolute_path)]
    pub path: String,

    /// What must be there: with an empty type, the default, anything that exists; `DirectoryOrCreate`
    /// makes a directory where there is nothing.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<HostPathType>,
}

/// What must be at a host path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum HostPathType {
    #[serde(rename = "")]
    Unset,
    DirectoryOrCreate,
}

/// A volume that the engine manages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedVolume {
    /// The engine's name of the volume, to attach one that is there already. Absent is
    /// `<workload>.<name of the volume>`, made when it does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), transform = rules::container_name)]
    pub volume_name: Option<String>,

    /// The engine's volume driver. Absent is `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub driver: Option<String>,

    /// Options of the driver. They take effect when the volume is made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub options: BTreeMap<String, String>,

    /// What becomes of the volume when the workload leaves the device. `Retain`, the default, keeps it,
    /// and a workload of the same name finds it again; `Delete` removes it with its data. A volume that
    /// was not made by longshore is never removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<ReclaimPolicy>,
}

/// What becomes of a named volume when its workload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ReclaimPolicy {
    Retain,
    Delete,
}

/// The keys of a ConfigMap as files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapVolume {
    /// The name of a ConfigMap in the workload's namespace.
    #[schemars(length(min = 1, max = 253), transform = rules::object_name)]
    pub name: String,

    /// The keys to take and the files to make of them. Absent takes every key, as a file of its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::by_path)]
    pub items: Vec<ContentItem>,

    /// The permission bits of files that have none of their own, in decimal or as YAML's octal (`0640`).
    /// Absent is 0644.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: Option<u32>,

    /// Mounts what exists instead of holding the container back until the ConfigMap and its keys do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// The keys of a Secret as files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretVolume {
    /// The name of a Secret in the workload's namespace.
    #[schemars(length(min = 1, max = 253), transform = rules::object_name)]
    pub secret_name: String,

    /// The keys to take and the files to make of them. Absent takes every key, as a file of its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::by_path)]
    pub items: Vec<ContentItem>,

    /// The permission bits of files that have none of their own, in decimal or as YAML's octal (`0640`).
    /// Absent is 0644.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub default_mode: Option<u32>,

    /// Mounts what exists instead of holding the container back until the Secret and its keys do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// One key as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContentItem {
    /// The key.
    #[schemars(length(min = 1, max = 253), transform = rules::content_key)]
    pub key: String,

    /// The file's path relative to the mount.
    #[schemars(length(min = 1, max = 512), transform = rules::relative_path)]
    pub path: String,

    /// The file's permission bits, in decimal or as YAML's octal (`0640`). Absent is `defaultMode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<u32>,
}

/// Memory as a file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TmpfsVolume {
    /// How large it can grow, such as `64Mi`. Absent is the kernel's limit, half of the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<Quantity>,
}

/// One mount of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The name of a volume of the template.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,

    /// The absolute path inside the container.
    #[schemars(length(min = 1, max = 1024), transform = rules::mount_path)]
    pub mount_path: String,

    /// Mounts it read-only. ConfigMaps and Secrets always are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,

    /// Whether mounts made below a hostPath later are seen: `None`, the default, on neither side;
    /// `HostToContainer` in the container; `Bidirectional` on both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_propagation: Option<MountPropagation>,
}

/// Whether mounts made below a host path later are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum MountPropagation {
    None,
    HostToContainer,
    Bidirectional,
}
