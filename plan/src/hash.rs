//! Digests that decide whether a container must be replaced. They are contracts with every device in the
//! field: a changed digest of an unchanged spec would restart containers everywhere, so goldens of each
//! release stay in the tests.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::spec::{ContainerConfig, ContainerSpec};

/// `v1:` + 128 bits of SHA-256 (lower-case hex) over the canonical JSON (RFC 8785) of a
/// [`ContainerSpec`] with every default absent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecHash(pub String);

impl SpecHash {
    /// The version this code computes.
    pub const VERSION: &'static str = "v1";

    /// Whether this code could have computed it. A container with a hash of another version is taken for
    /// what is desired, and only its [`ContainerConfig`] is compared: it is never a reason to replace.
    pub fn is_known_version(&self) -> bool {
        self.0
            .split_once(':')
            .is_some_and(|(version, _)| version == Self::VERSION)
    }
}

impl fmt::Display for SpecHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The hash of a container's immutable part.
pub fn spec_hash(spec: &ContainerSpec) -> SpecHash {
    SpecHash(format!("{}:{}", SpecHash::VERSION, digest_hex(spec)))
}

/// The digest of a container's changeable part: tells a declared change from drift, and never replaces
/// anything.
pub fn config_digest(config: &ContainerConfig) -> String {
    digest_hex(config)
}

/// 128 bits of SHA-256 over the canonical JSON of `value`, in hex.
pub fn digest_hex(value: &impl Serialize) -> String {
    digest_of(&canonical(value))
}

/// The canonical JSON of `value`, for whoever needs more of it than its digest.
pub fn canonical(value: &impl Serialize) -> String {
    canonical_json(&serde_json::to_value(value).expect("the model serialises to JSON"))
}

/// [`digest_hex`] of what has been made canonical already.
pub fn digest_of(canonical: &str) -> String {
    let hash = Sha256::digest(canonical);
    hash[..16]
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a String");
            hex
        })
}

/// RFC 8785 for the values our model has: integers, strings, booleans, arrays and objects (no floats).
///
/// Keys sort by UTF-16 code units as the RFC asks; serde_json's string escapes are the RFC's.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(item, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
