//! Bytes to envelopes and back, with the limits every receiver applies before it looks inside.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{MAX_ENVELOPE, VERSION};

/// Why bytes are no envelope. Never quotes the content: it may be a secret's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Larger than [`MAX_ENVELOPE`].
    #[error("{size} bytes are more than the limit of {MAX_ENVELOPE}")]
    TooLarge {
        /// The size in bytes.
        size: usize,
    },
    /// Not JSON, or not of the expected shape.
    #[error("not readable as the expected envelope (line {line}, column {column}: {category})")]
    Malformed {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// `syntax`, `shape` or `end of input`.
        category: &'static str,
    },
    /// Another protocol version.
    #[error("envelope version {found}, this side speaks {VERSION}")]
    UnsupportedVersion {
        /// The version found.
        found: u64,
    },
}

impl DecodeError {
    /// A low-cardinality name, for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TooLarge",
            Self::Malformed { .. } => "Malformed",
            Self::UnsupportedVersion { .. } => "UnsupportedVersion",
        }
    }
}

/// Why an envelope cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the envelope takes {size} bytes, more than the limit of {MAX_ENVELOPE}")]
pub struct EncodeError {
    /// Its size in bytes.
    pub size: usize,
}

/// The bytes of an envelope.
pub fn encode(envelope: &impl Serialize) -> Result<Bytes, EncodeError> {
    let bytes = serde_json::to_vec(envelope).expect("envelopes have string keys and no failing serialisers");
    if bytes.len() > MAX_ENVELOPE {
        return Err(EncodeError { size: bytes.len() });
    }
    Ok(bytes.into())
}

/// The envelope in `bytes`, if it is small enough, of our version, and of the right shape. Unknown fields
/// of a header are ignored, nesting is bounded (serde_json's limit of 128).
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    #[derive(serde::Deserialize)]
    struct Header {
        version: u64,
    }
    if bytes.len() > MAX_ENVELOPE {
        return Err(DecodeError::TooLarge { size: bytes.len() });
    }
    // The version first: of a newer envelope the shape means nothing.
    let header: Header = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
    if header.version != u64::from(VERSION) {
        return Err(DecodeError::UnsupportedVersion {
            found: header.version,
        });
    }
    serde_json::from_slice(bytes).map_err(|e| malformed(&e))
}

/// serde_json's message quotes values, so only the place and the kind are kept.
fn malformed(error: &serde_json::Error) -> DecodeError {
    let category = match error.classify() {
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "shape",
        serde_json::error::Category::Eof => "end of input",
    };
    DecodeError::Malformed {
        line: error.line(),
        column: error.column(),
        category,
    }
}
