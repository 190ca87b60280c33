//! Names that cannot be wrong.
//!
//! A [`DnsLabel`] is RFC 1123's label, Kubernetes' rule for most names: 1–63 characters of `a-z`, `0-9`
//! and `-`, beginning and ending with a letter or digit. Workload and container names are labels, so
//! `<workload>.<container>` splits in one way only.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a string is no [`DnsLabel`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid name {name:?}: {reason}")]
pub struct InvalidName {
    /// The string as it was given.
    pub name: String,
    /// What is wrong with it, in words a user can act on.
    pub reason: &'static str,
}

/// An RFC 1123 label of at most 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsLabel(String);

impl DnsLabel {
    /// The longest label DNS and Kubernetes allow.
    pub const MAX_LEN: usize = 63;

    /// Checks `name` against RFC 1123.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let reason = if name.is_empty() {
            "must not be empty"
        } else if name.len() > Self::MAX_LEN {
            "must be no more than 63 characters"
        } else if !name.chars().all(|c| edge(c) || c == '-') {
            "must consist of lower case letters, digits and '-'"
        } else if !name.starts_with(edge) || !name.ends_with(edge) {
            "must start and end with a letter or digit"
        } else {
            return Ok(Self(name));
        };
        Err(InvalidName { name, reason })
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for DnsLabel {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl TryFrom<String> for DnsLabel {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl From<DnsLabel> for String {
    fn from(name: DnsLabel) -> Self {
        name.0
    }
}

/// One container of one workload on one device: the identity everything else hangs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerKey {
    /// The workload's name.
    pub workload: DnsLabel,
    /// The container's name within it.
    pub container: DnsLabel,
}

impl ContainerKey {
    /// The key of `container` in `workload`.
    pub fn new(workload: DnsLabel, container: DnsLabel) -> Self {
        Self { workload, container }
    }
}

/// `<workload>.<container>`, which is also the engine name unless `containerName` says otherwise.
impl fmt::Display for ContainerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.workload, self.container)
    }
}

/// An engine's own id of a container. Opaque: compared, never parsed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EngineId(pub String);

impl fmt::Display for EngineId {
    /// The first 12 characters, as Docker's own tools show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}
