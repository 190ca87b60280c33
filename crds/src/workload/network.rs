//! Networks, name resolution and kernel parameters of a template.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{rules, schema};

/// A network made for the workload on each device, named `<workload>.<name>` there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Its name in the workload.
    #[schemars(length(min = 1, max = 63), transform = rules::label)]
    pub name: String,

    /// The engine's network driver. Absent is `bridge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub driver: Option<String>,

    /// Its subnet, such as `10.1.2.0/24`. Absent lets the device choose one that touches none of its
    /// routes and resolvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), transform = rules::cidr)]
    pub subnet: Option<String>,

    /// Without a way out of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<bool>,

    /// Options of the driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub options: BTreeMap<String, String>,
}

/// Name resolution inside the containers, as Kubernetes' PodDNSConfig.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsConfig {
    /// Addresses of the name servers, in the order they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3), inner(length(max = 45)), transform = rules::ips)]
    pub nameservers: Vec<String>,

    /// Domains that short names are looked up in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub searches: Vec<String>,

    /// Options of the resolver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), transform = schema::by_name)]
    pub options: Vec<DnsOption>,
}

/// An option of the resolver, such as `ndots` with the value `2`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsOption {
    /// The option's name, as in resolv.conf.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub name: String,

    /// Its value, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[^\\s:]+$"))]
    pub value: Option<String>,
}

/// A kernel parameter of the containers' own namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sysctl {
    /// The parameter, such as `net.core.somaxconn`.
    #[schemars(length(min = 1, max = 253), transform = rules::sysctl)]
    pub name: String,

    /// Its value.
    #[schemars(length(max = 1024))]
    pub value: String,
}
