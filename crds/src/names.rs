//! The names users give, and the one rule for each: the schema's CEL and [`DeviceName`] share it.

use std::fmt;

/// A Kubernetes namespace, which is a tenant, and the name of an object in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object an API server gave us. Absent for one that has no name or namespace, which
    /// no server does.
    pub fn of(object: &impl kube::Resource) -> Option<Self> {
        let meta = object.meta();
        Some(Self::new(meta.namespace.clone()?, meta.name.clone()?))
    }
}

/// `<namespace>/<name>`.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// RFC 1123's label as a regular expression; its length is checked beside it.
pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The longest RFC 1123 label.
pub const LABEL_MAX: usize = 63;

/// The longest device name: with its namespace it must fit into one level of a bus topic of 64 bytes.
pub const DEVICE_NAME_MAX: usize = 40;

/// Why a string is no [`DeviceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid device name {name:?}: must be 1 to 40 lower case letters, digits or '-', starting and ending with a letter or digit"
)]
pub struct InvalidDeviceName {
    /// The string as it was given.
    pub name: String,
}

/// An RFC 1123 label of at most 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks `name`.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidDeviceName> {
        let name = name.into();
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let legal = !name.is_empty()
            && name.len() <= DEVICE_NAME_MAX
            && name.chars().all(|c| edge(c) || c == '-')
            && name.starts_with(edge)
            && name.ends_with(edge);
        if legal {
            Ok(Self(name))
        } else {
            Err(InvalidDeviceName { name })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for DeviceName {
    type Err = InvalidDeviceName;

    fn from_str(name: &str) -> Result<Self, InvalidDeviceName> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_name_is_a_short_dns_label() {
        let longest = "a".repeat(DEVICE_NAME_MAX);
        for legal in ["a", "dev1", "a-b", "0", longest.as_str()] {
            assert_eq!(DeviceName::new(legal).unwrap().as_str(), legal);
        }
        let too_long = "a".repeat(DEVICE_NAME_MAX + 1);
        for illegal in ["", "A", "a.b", "a_b", "-a", "a-", "ä", too_long.as_str()] {
            assert_eq!(DeviceName::new(illegal).unwrap_err().name, illegal);
        }
    }
}
