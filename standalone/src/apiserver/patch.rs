//! The three patch types that change an object by themselves: JSON Patch, JSON merge patch and, for core kinds,
//! strategic merge patch. Server-side apply lives in [`super::apply`].
//!
//! Everything here is pure. Recursion follows the documents. The parser bounds their depth, and so that of what merges
//! of them; a JSON Patch can put a value into itself, and is therefore stopped at [`depth::LIMIT`] after each operation.

mod json;
mod pointer;
mod strategic;

#[cfg(test)]
mod tests;

use serde_json::Value;
use thiserror::Error;

use super::depth;
use super::failure::go_kind;

/// Why a patch was not applied.
///
/// Kubernetes answers 400 to a patch that is no patch and 422 to one that does not fit the object:
/// see [`PatchError::is_malformed`].
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum PatchError {
    /// The document is not a patch of its type; in the words of Go's decoder.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// A JSON Patch with more operations than Kubernetes takes.
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {got}")]
    TooManyOperations {
        /// The most operations a patch may have.
        limit: usize,
        /// How many this one has.
        got: usize,
    },
    /// An operation of a JSON Patch that fits no document.
    #[error("operation {operation}: {why}")]
    Unfit {
        /// Its place in the patch.
        operation: usize,
        /// What does not fit.
        why: String,
    },
    /// An operation of a JSON Patch that makes the object nest too deep to be read back.
    #[error(
        "operation {operation}: the object would nest deeper than {} levels",
        depth::LIMIT
    )]
    TooDeep {
        /// Its place in the patch.
        operation: usize,
    },
    /// A `test` operation found something else.
    #[error("testing value {path} failed")]
    TestFailed {
        /// The path tested.
        path: String,
    },
    /// An operation's path, or its `from`, is not in the document.
    #[error("{operation} operation does not apply: doc is missing path: {path:?}: missing value")]
    MissingPath {
        /// The operation.
        operation: &'static str,
        /// Where.
        path: String,
    },
    /// A strategic merge patch that does not fit the kind or the object.
    #[error("apply strategic merge patch at {path}: {why}")]
    Strategic {
        /// Where.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// The kind has no strategic merge patch: the API server answers 415.
    #[error("kind {0} does not support strategic merge patch")]
    UnsupportedKind(String),
}

impl PatchError {
    /// The document, or something in it, is no `wanted`.
    fn mistyped(value: &Value, wanted: &str) -> PatchError {
        PatchError::Malformed(format!(
            "json: cannot unmarshal {} into Go {wanted}",
            go_kind(value)
        ))
    }

    /// Whether the request is at fault whatever the object is (400), rather than the two together (422).
    pub(crate) fn is_malformed(&self) -> bool {
        match self {
            PatchError::Malformed(_) | PatchError::Strategic { .. } | PatchError::TooDeep { .. } => true,
            PatchError::TooManyOperations { .. }
            | PatchError::Unfit { .. }
            | PatchError::TestFailed { .. }
            | PatchError::MissingPath { .. }
            | PatchError::UnsupportedKind(_) => false,
        }
    }
}

/// Applies a JSON Patch (RFC 6902) as Kubernetes' `evanphx/json-patch` v4 does: all or nothing, negative indices
/// count from the end, and a `test` for null passes where there is nothing (kube's finalizer helper relies on it).
pub(crate) fn json_patch(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    json::apply(doc, patch)
}

/// Applies a JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces.
pub(crate) fn merge_patch(doc: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut out = match doc {
        Value::Object(fields) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            out.remove(name);
            continue;
        }
        let before = out.get(name).unwrap_or(&Value::Null);
        let after = merge_patch(before, change);
        out.insert(name.clone(), after);
    }
    Value::Object(out)
}

/// Whether a JSON merge patch is one for an object.
pub(crate) fn check_merge_patch(patch: &Value) -> Result<(), PatchError> {
    if patch.is_object() {
        return Ok(());
    }
    Err(PatchError::mistyped(
        patch,
        "value of type map[string]interface {}",
    ))
}

/// Applies a strategic merge patch to an object of a core kind: Namespace, Secret, ConfigMap, Event, Lease or
/// ControllerRevision.
///
/// `metadata.finalizers` merges as a set, `metadata.ownerReferences` by `uid`, a namespace's `status.conditions` by
/// `type`; every other list is replaced. The directives are `$patch: replace|delete`, `$deleteFromPrimitiveList/…`,
/// `$setElementOrder/…` and `$retainKeys`, with the meaning of `k8s.io/apimachinery/pkg/util/strategicpatch`.
pub(crate) fn strategic_merge(kind: &str, doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    strategic::apply(kind, doc, patch)
}
