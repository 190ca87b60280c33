//! Request bodies in Kubernetes' protobuf encoding, decoded to the JSON the same client would have sent.
//!
//! client-go's typed clients write protobuf by default and do not fall back, so the kinds they write to us are here:
//! Namespace, Secret, ConfigMap, Event (v1 and events.k8s.io/v1), Lease, ControllerRevision, SelfSubjectReview,
//! SelfSubjectAccessReview, SelfSubjectRulesReview and DeleteOptions. Answers are JSON always.
//!
//! The envelope is `k8s\0` and a `runtime.Unknown`; the messages are those of `generated.proto` in `k8s.io/api` and
//! `k8s.io/apimachinery`, as [`tables`]. Fields no table knows are skipped, as protobuf wants it.

mod json;
mod tables;
mod wire;

#[cfg(test)]
mod tests;

use serde_json::Value;
use thiserror::Error;

use wire::{Field, Reader, Wire};

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body could not be decoded. All of them are the client's fault: 400, but for an unknown kind, 415.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The body does not start with the magic bytes.
    #[error("read protobuf body: it does not start with k8s\\0")]
    Magic,
    /// The bytes are no protobuf message.
    #[error("read protobuf body: {0}")]
    Wire(&'static str),
    /// A field holds something its type cannot.
    #[error("decode protobuf field {field}: {why}")]
    Field {
        /// The JSON name of the field.
        field: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A kind without a table.
    #[error("protobuf bodies of {api_version} {kind} are not supported: send JSON")]
    UnknownKind {
        /// The body's `apiVersion`.
        api_version: String,
        /// The body's `kind`.
        kind: String,
    },
    /// The object inside is neither protobuf nor JSON.
    #[error("protobuf body carries content type {0:?}")]
    ContentType(String),
}

/// Whether a `Content-Type` names Kubernetes' protobuf.
pub(crate) fn is_protobuf(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf")
}

/// Decodes a whole body to the object's JSON, `apiVersion` and `kind` included.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Magic)?;
    let unknown = Unknown::read(body)?;
    let mut object = match unknown.content_type.as_str() {
        "application/json" => {
            let object: Value = serde_json::from_slice(unknown.raw)
                .map_err(|_| DecodeError::Wire("the JSON inside is broken"))?;
            if !object.is_object() {
                return Err(DecodeError::Wire("the JSON inside is not an object"));
            }
            object
        }
        "" | "application/vnd.kubernetes.protobuf" => {
            let Some(message) = tables::of(&unknown.api_version, &unknown.kind) else {
                return Err(DecodeError::UnknownKind {
                    api_version: unknown.api_version,
                    kind: unknown.kind,
                });
            };
            Value::Object(json::message(message, unknown.raw)?)
        }
        _ => return Err(DecodeError::ContentType(unknown.content_type)),
    };
    for (field, value) in [("apiVersion", unknown.api_version), ("kind", unknown.kind)] {
        if !value.is_empty() {
            object[field] = Value::String(value);
        }
    }
    Ok(object)
}

/// `runtime.Unknown`: the object's type and its bytes.
#[derive(Debug, Default)]
struct Unknown<'b> {
    api_version: String,
    kind: String,
    raw: &'b [u8],
    content_type: String,
}

impl<'b> Unknown<'b> {
    fn read(body: &'b [u8]) -> Result<Unknown<'b>, DecodeError> {
        let mut unknown = Unknown::default();
        for field in Reader::new(body) {
            let Field { number, wire } = field?;
            match (number, wire) {
                (1, Wire::Bytes(type_meta)) => {
                    for field in Reader::new(type_meta) {
                        match field? {
                            Field {
                                number: 1,
                                wire: Wire::Bytes(text),
                            } => unknown.api_version = wire::text(text)?,
                            Field {
                                number: 2,
                                wire: Wire::Bytes(text),
                            } => unknown.kind = wire::text(text)?,
                            _ => {}
                        }
                    }
                }
                (2, Wire::Bytes(raw)) => unknown.raw = raw,
                (3, Wire::Bytes(encoding)) if !encoding.is_empty() => {
                    return Err(DecodeError::Wire("an encoded body is not supported"));
                }
                (4, Wire::Bytes(text)) => unknown.content_type = wire::text(text)?,
                _ => {}
            }
        }
        Ok(unknown)
    }
}
