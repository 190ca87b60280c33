//! The template: what runs on each target device.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Container, DnsConfig, Network, PullSecret, Sysctl, Volume};
use crate::{rules, schema};

/// What runs on each target device: a subset of Kubernetes' PodSpec, and what Docker can do beyond it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::template)]
pub struct Template {
    /// The containers. They start in the order of their `dependsOn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::by_name)]
    pub containers: Vec<Container>,

    /// Containers that run once, one after the other in this order, before any of the others starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::by_name, transform = rules::init_containers)]
    pub init_containers: Vec<Container>,

    /// What containers can mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), transform = schema::by_name)]
    pub volumes: Vec<Volume>,

    /// Networks made for this workload; every container is attached to all of them and reaches the
    /// others by their names. Absent: a workload of two or more containers gets one named `default`,
    /// and a single container is attached to the engine's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = schema::by_name)]
    pub networks: Vec<Network>,

    /// Runs the containers in the network of the device instead of one of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,

    /// Lets the containers see the processes of the device.
    #[serde(rename = "hostPID", default, skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<bool>,

    /// Runs the containers in the IPC namespace of the device.
    #[serde(rename = "hostIPC", default, skip_serializing_if = "Option::is_none")]
    pub host_ipc: Option<bool>,

    /// The host name that the containers see. Absent is the engine's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), transform = rules::label)]
    pub hostname: Option<String>,

    /// Name resolution inside the containers. Absent is the device's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<DnsConfig>,

    /// Kernel parameters of the containers' own namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), transform = schema::by_name)]
    pub sysctls: Vec<Sysctl>,

    /// The engine's runtime that runs the containers, by the name the engine knows it by (Docker's
    /// `--runtime`, a CRI runtime handler). Absent is the engine's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub runtime_handler: Option<String>,

    /// Secrets in the workload's namespace with credentials for registries, of the type
    /// `kubernetes.io/dockerconfigjson`. A changed credential restarts nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = schema::by_name)]
    pub image_pull_secrets: Vec<PullSecret>,
}
