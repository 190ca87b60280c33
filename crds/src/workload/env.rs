//! Environment variables, and references to ConfigMaps and Secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// One environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::env_var)]
pub struct EnvVar {
    /// The variable's name.
    #[schemars(length(min = 1, max = 256), transform = rules::env_name)]
    pub name: String,

    /// The value. `$(OTHER)` is replaced by the value of a variable that is declared before this one and
    /// is literal itself; `$$(OTHER)` stays `$(OTHER)`; a name nobody declared stays as it is. A reference
    /// to a variable that comes from a ConfigMap or Secret is refused, because such values never enter a
    /// plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub value: Option<String>,

    /// Takes the value from a ConfigMap or Secret. When it changes there, the container is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::env_value_from)]
pub struct EnvVarSource {
    /// A key of a ConfigMap in the workload's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,

    /// A key of a Secret in the workload's namespace. The value is masked wherever the container's
    /// environment is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
}

/// One key of a ConfigMap or Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The name of the object.
    #[schemars(length(min = 1, max = 253), transform = rules::object_name)]
    pub name: String,

    /// The key in it.
    #[schemars(length(min = 1, max = 253), transform = rules::content_key)]
    pub key: String,

    /// Leaves the variable out when the object or the key does not exist, instead of holding the
    /// container back until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Every key of an object as a variable. A variable that `env` or a later entry names as well has the
/// value given there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::env_from)]
pub struct EnvFrom {
    /// Put before each key to make the variable's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), transform = rules::env_name)]
    pub prefix: Option<String>,

    /// A ConfigMap in the workload's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ObjectRef>,

    /// A Secret in the workload's namespace. Its values are masked wherever the container's environment
    /// is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectRef>,
}

/// A ConfigMap or Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// The name of the object.
    #[schemars(length(min = 1, max = 253), transform = rules::object_name)]
    pub name: String,

    /// Adds nothing when the object does not exist, instead of holding the container back until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A Secret with credentials for registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), transform = rules::object_name)]
    pub name: String,
}
