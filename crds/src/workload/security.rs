//! Privileges of a container, in Kubernetes' terms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{quantity, rules, schema};

/// Privileges of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::security_context)]
pub struct SecurityContext {
    /// Gives it every privilege and device of the host: as good as root there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,

    /// Capabilities beyond or short of the engine's usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,

    /// The user its processes run as: a number, or a name the image knows. Absent is the image's.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "quantity::optional_text"
    )]
    #[schemars(with = "Option<schema::User>")]
    pub run_as_user: Option<String>,

    /// The group its processes run as, by number. Needs `runAsUser`. Absent is the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub run_as_group: Option<i64>,

    /// Further groups of its processes, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 0, max = 4_294_967_294_i64)), transform = schema::list_set)]
    pub supplemental_groups: Vec<i64>,

    /// Mounts the image's files read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_root_filesystem: Option<bool>,

    /// False keeps its processes from gaining privileges they were not started with, as through setuid
    /// programs. Absent is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_privilege_escalation: Option<bool>,

    /// The filter of its system calls. Absent is the engine's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<SeccompProfile>,
}

/// Capabilities by name, without the `CAP_` before it; `ALL` is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Given beyond the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = "^[A-Z][A-Z_]+$")), transform = schema::list_set)]
    pub add: Vec<String>,

    /// Taken of the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = "^[A-Z][A-Z_]+$")), transform = schema::list_set)]
    pub drop: Vec<String>,
}

/// The filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::seccomp)]
pub struct SeccompProfile {
    /// `RuntimeDefault` is the engine's own, `Unconfined` none, `Localhost` the one at
    /// `localhostProfile`.
    #[serde(rename = "type")]
    pub kind: SeccompType,

    /// The absolute path of a profile on the device. With `Localhost` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096), transform = rules::absolute_path)]
    pub localhost_profile: Option<String>,
}

/// Where a seccomp profile comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum SeccompType {
    RuntimeDefault,
    Unconfined,
    Localhost,
}
