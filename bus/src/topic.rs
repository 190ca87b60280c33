//! Device ids and topics. One topic level per id, so that a broker's ACL can be three lines.

use std::fmt;
use std::str::FromStr;

use longshore_plan::names::DnsLabel;
use serde::{Deserialize, Serialize};

/// `{tenant}.{device}`: the MQTT client id, user name and certificate CN of a device.
///
/// Both parts are DNS labels, so the first dot separates them; at most 64 bytes together, because an
/// X.509 CN takes no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId {
    tenant: DnsLabel,
    device: DnsLabel,
}

/// Why a text is no [`DeviceId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeviceId {
    /// No dot.
    #[error("device id {id:?} is not of the form <tenant>.<device>")]
    NoDot {
        /// The text.
        id: String,
    },
    /// A part is no DNS label.
    #[error("device id {id:?} has a part that is no DNS label")]
    Part {
        /// The text.
        id: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_plan::names::InvalidName,
    },
    /// More than 64 bytes.
    #[error("device id {id:?} is longer than {} bytes", DeviceId::MAX_LEN)]
    TooLong {
        /// The text.
        id: String,
    },
}

impl DeviceId {
    /// The longest id: an X.509 CN's limit.
    pub const MAX_LEN: usize = 64;

    /// The id of `device` in `tenant`.
    pub fn new(tenant: DnsLabel, device: DnsLabel) -> Result<Self, InvalidDeviceId> {
        let id = Self { tenant, device };
        let text = id.to_string();
        if text.len() > Self::MAX_LEN {
            return Err(InvalidDeviceId::TooLong { id: text });
        }
        Ok(id)
    }

    /// The Kubernetes namespace.
    pub fn tenant(&self) -> &DnsLabel {
        &self.tenant
    }

    /// The Device's name.
    pub fn device(&self) -> &DnsLabel {
        &self.device
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tenant, self.device)
    }
}

impl FromStr for DeviceId {
    type Err = InvalidDeviceId;

    fn from_str(id: &str) -> Result<Self, InvalidDeviceId> {
        let (tenant, device) = id
            .split_once('.')
            .ok_or_else(|| InvalidDeviceId::NoDot { id: id.to_owned() })?;
        let label = |part: &str| {
            DnsLabel::new(part).map_err(|source| InvalidDeviceId::Part {
                id: id.to_owned(),
                source,
            })
        };
        Self::new(label(tenant)?, label(device)?)
    }
}

impl TryFrom<String> for DeviceId {
    type Error = InvalidDeviceId;

    fn try_from(id: String) -> Result<Self, InvalidDeviceId> {
        id.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.to_string()
    }
}

/// The root of every topic of this protocol version.
pub const ROOT: &str = "longshore/v1";

/// Every topic Longshore speaks on. Printing and parsing are each other's inverse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `{id}/cmd/plugin/container/request`: commands to a device.
    Request(DeviceId),
    /// `{id}/evt/plugin/container/response/{requester}`: its answers to one requester.
    Response(DeviceId, Requester),
    /// `{id}/evt/report`: full snapshots.
    Report(DeviceId),
    /// `{id}/evt/birth`, retained: who just came.
    Birth(DeviceId),
    /// `{id}/evt/gone`: the will.
    Gone(DeviceId),
    /// `{id}/evt/alive`: the lease.
    Alive(DeviceId),
    /// `{id}/evt/content/request`: content a device lacks.
    ContentRequest(DeviceId),
    /// `{id}/cmd/content/response`: the content.
    ContentResponse(DeviceId),
    /// `all/controller`: the sign of a live controller.
    Controller,
    /// `all/rollcall`: everybody report.
    RollCall,
}

/// Who asked: one topic level, so that two controllers never read each other's answers. A DNS label.
pub type Requester = DnsLabel;

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(id) => write!(f, "{ROOT}/{id}/cmd/plugin/container/request"),
            Self::Response(id, requester) => {
                write!(f, "{ROOT}/{id}/evt/plugin/container/response/{requester}")
            }
            Self::Report(id) => write!(f, "{ROOT}/{id}/evt/report"),
            Self::Birth(id) => write!(f, "{ROOT}/{id}/evt/birth"),
            Self::Gone(id) => write!(f, "{ROOT}/{id}/evt/gone"),
            Self::Alive(id) => write!(f, "{ROOT}/{id}/evt/alive"),
            Self::ContentRequest(id) => write!(f, "{ROOT}/{id}/evt/content/request"),
            Self::ContentResponse(id) => write!(f, "{ROOT}/{id}/cmd/content/response"),
            Self::Controller => write!(f, "{ROOT}/all/controller"),
            Self::RollCall => write!(f, "{ROOT}/all/rollcall"),
        }
    }
}

/// A topic outside the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown topic {topic:?}")]
pub struct UnknownTopic {
    /// As it was given.
    pub topic: String,
}

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(topic: &str) -> Result<Self, UnknownTopic> {
        let unknown = || UnknownTopic {
            topic: topic.to_owned(),
        };
        let rest = topic
            .strip_prefix(ROOT)
            .and_then(|r| r.strip_prefix('/'))
            .ok_or_else(unknown)?;
        let (head, tail) = rest.split_once('/').ok_or_else(unknown)?;
        if head == "all" {
            return match tail {
                "controller" => Ok(Self::Controller),
                "rollcall" => Ok(Self::RollCall),
                _ => Err(unknown()),
            };
        }
        let id: DeviceId = head.parse().map_err(|_| unknown())?;
        Ok(match tail {
            "cmd/plugin/container/request" => Self::Request(id),
            "evt/report" => Self::Report(id),
            "evt/birth" => Self::Birth(id),
            "evt/gone" => Self::Gone(id),
            "evt/alive" => Self::Alive(id),
            "evt/content/request" => Self::ContentRequest(id),
            "cmd/content/response" => Self::ContentResponse(id),
            _ => {
                let requester = tail
                    .strip_prefix("evt/plugin/container/response/")
                    .ok_or_else(unknown)?;
                Self::Response(id, requester.parse().map_err(|_| unknown())?)
            }
        })
    }
}

/// The two filters a device subscribes to: its own commands, and what is said to all.
pub fn device_filters(id: &DeviceId) -> [String; 2] {
    [format!("{ROOT}/{id}/cmd/#"), format!("{ROOT}/all/#")]
}

/// What a controller subscribes to: every device's events, and its own answers among them.
pub const CONTROLLER_FILTER: &str = "longshore/v1/+/evt/#";
