//! Finalizers a write adds.

use serde_json::Value;

use super::delete::{FOREGROUND, ORPHAN};
use super::strings;
use crate::apiserver::failure::Cause;

/// The finalizers Kubernetes itself knows.
const STANDARD: [&str; 3] = [ORPHAN, FOREGROUND, "kubernetes"];

fn added<'v>(object: &'v Value, current: &Value) -> Vec<&'v str> {
    let had = strings(current, "/metadata/finalizers");
    let mut added = strings(object, "/metadata/finalizers");
    added.retain(|finalizer| !had.contains(finalizer));
    added
}

/// Warns of names that others may use too; `current` is null for a new object.
pub(super) fn warnings(object: &Value, current: &Value) -> Vec<String> {
    let mut added = added(object, current);
    added.retain(|finalizer| !finalizer.contains('/') && !STANDARD.contains(finalizer));
    added.sort_unstable();
    let warn = |finalizer: &str| {
        let path = if finalizer.contains('.') {
            " including a path (/)"
        } else {
            ""
        };
        format!(
            "metadata.finalizers: {finalizer:?}: prefer a domain-qualified finalizer name{path} to avoid accidental \
             conflicts with other finalizer writers"
        )
    };
    added.into_iter().map(warn).collect()
}

/// An object that is being deleted takes no new ones.
pub(super) fn too_late(object: &Value, current: &Value) -> Option<Cause> {
    if current["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let listed: Vec<String> = added(object, current).iter().map(|f| format!("{f:?}")).collect();
    if listed.is_empty() {
        return None;
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        listed.join(", ")
    );
    Some(Cause::forbidden("metadata.finalizers", &why))
}
