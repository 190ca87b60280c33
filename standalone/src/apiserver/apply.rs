//! Server-side apply and the bookkeeping of field managers, under the rules of `sigs.k8s.io/structured-merge-diff` v6
//! and `k8s.io/apimachinery/pkg/util/managedfields` 0.36, on sets of full paths ([`set`]).
//!
//! Pure: the clock is an argument, the stored object goes in, the object to store comes out. Nulls and defaults are
//! the schema's business ([`super::schema`]) and follow after an apply.
//!
//! Weaker than Kubernetes: one schema serves all versions of a kind, and managed fields written under another schema
//! (a list that was atomic and is a map now) are not rewritten.

mod compare;
mod fields;
mod managed;
mod merge;
mod prune;
mod set;
mod types;

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use thiserror::Error;

pub(crate) use types::MergeSchema;

use compare::{Comparison, compare};
use fields::{to_set, validate};
use managed::{Entry, Managed, ManagerId};
use merge::merge;
use set::{Path, PathElement, Set};
use types::same;

/// Where client-side `kubectl apply` keeps what it last applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Who owns the fields of an object that had no managed fields before its first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields that nobody owns because the server sets them, or because they say which object this is.
const UNOWNED_METADATA: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Who writes, as it stands in `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manager {
    /// The request's `fieldManager`, or the start of its user agent.
    pub(crate) name: String,
    /// How it writes.
    pub(crate) operation: Operation,
    /// The subresource written to, or the empty string.
    pub(crate) subresource: String,
    /// The version the request was made in.
    pub(crate) api_version: String,
}

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// A field of the applied configuration that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The other manager in Kubernetes' words: `"kubectl" using v1`. A Status cause says `conflict with {manager}`.
    pub(crate) manager: String,
    /// The field: `.spec.containers[name="web"].image`.
    pub(crate) path: String,
}

/// Conflicts, which print as Kubernetes' message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflicts(pub(crate) Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(
                f,
                "Apply failed with 1 conflict: conflict with {}: {}",
                only.manager, only.path
            );
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut before: Option<&str> = None;
        for conflict in &self.0 {
            if before != Some(&conflict.manager) {
                let newline = if before.is_some() { "\n" } else { "" };
                write!(f, "{newline}conflicts with {}:", conflict.manager)?;
                before = Some(&conflict.manager);
            }
            write!(f, "\n- {}", conflict.path)?;
        }
        Ok(())
    }
}

/// Why an apply was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ApplyError {
    /// Other managers own fields with other values: 409, each conflict a cause `FieldManagerConflict`.
    #[error("{}", Conflicts(.0.clone()))]
    Conflict(Vec<Conflict>),
    /// The configuration carries managed fields: 400.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The configuration does not fit the schema, as with an unknown field: 500 in Kubernetes, which prefixes
    /// `failed to create typed patch object`.
    #[error("{path}: {why}")]
    Typed {
        /// Where: `.spec.imge`.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// The stored object's managed fields cannot be read.
    #[error("failed to decode managed fields: {0}")]
    Managed(String),
}

/// Applies a configuration to the stored object, or creates it, and returns the object to store with its managed
/// fields. Without `force`, a field that another manager owns with another value is a conflict. A field that this
/// manager applied before and does not now is removed, unless someone else owns it too.
pub(crate) fn server_side_apply(
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager,
    force: bool,
    schema: &MergeSchema,
    now: Timestamp,
) -> Result<Value, ApplyError> {
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(ApplyError::ManagedFieldsGiven);
    }
    validate(schema.root(), applied)?;
    let (live, encoded) = match live {
        Some(live) => without_managed_fields(live),
        None => (
            json!({"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind")}),
            None,
        ),
    };
    let mut managed = Managed::decode(encoded.as_ref()).map_err(ApplyError::Managed)?;
    if managed.is_empty() {
        // What is there without an owner gets one, so that it can be conflicted with.
        let first = Manager {
            name: BEFORE_FIRST_APPLY.to_owned(),
            operation: Operation::Update,
            ..manager.clone()
        };
        let nothing = json!({"apiVersion": live.get("apiVersion"), "kind": live.get("kind")});
        update(&nothing, &live, &mut managed, &first, schema, now);
    }
    let mut attempt = managed.clone();
    let outcome = match apply_once(&live, applied, &mut attempt, manager, force, schema) {
        Err(conflicts) if manager.name == "kubectl" => {
            // What the same user applied from the client side before may be taken over.
            let mine = last_applied_set(&live, manager, schema);
            let left: Vec<_> = conflicts
                .into_iter()
                .filter(|(_, path)| !mine.has(path))
                .collect();
            if left.is_empty() {
                attempt = managed.clone();
                apply_once(&live, applied, &mut attempt, manager, true, schema)
            } else {
                Err(left)
            }
        }
        outcome => outcome,
    };
    let merged = outcome.map_err(|conflicts| {
        let named = conflicts.iter().map(|(id, path)| Conflict {
            manager: id.to_string(),
            path: path.to_string(),
        });
        ApplyError::Conflict(named.collect())
    })?;
    let mut object = match merged {
        Some(object) => {
            attempt.touch(&ManagerId::of(manager), now);
            object
        }
        None => live,
    };
    if manager.name == "kubectl" {
        renew_last_applied(&mut object, applied);
    }
    attempt.encode_into(&mut object);
    Ok(object)
}

/// Writes the managed fields of an object that was created, updated or patched: `after` is what the request asks to be
/// stored, `before` what was. A write that changes nothing changes no managed fields. A client may reset them by
/// sending an empty list, or rewrite them by sending others; not through a subresource.
pub(crate) fn record_update(
    before: Option<&Value>,
    after: &mut Value,
    manager: &Manager,
    schema: &MergeSchema,
    now: Timestamp,
) {
    let (plain_before, stored) = before.map_or((json!({}), None), without_managed_fields);
    let sent = take_managed_fields(after);
    let stored = || Managed::decode(stored.as_ref()).unwrap_or_default();
    let mut managed = match sent {
        Some(sent) if manager.subresource.is_empty() => {
            if managed::is_reset(&sent) {
                Managed::default()
            } else {
                Managed::decode(Some(&sent))
                    .ok()
                    .filter(|managed| !managed.is_empty())
                    .unwrap_or_else(stored)
            }
        }
        _ => stored(),
    };
    // Fields of an object are followed from its creation, its first apply, or not at all.
    let created = before
        .and_then(|before| before.pointer("/metadata/uid"))
        .and_then(Value::as_str)
        .is_none_or(str::is_empty);
    if created || !managed.is_empty() {
        update(&plain_before, after, &mut managed, manager, schema, now);
        managed.cap_updaters();
    }
    managed.encode_into(after);
}

/// The conflicting manager and field.
type Clash = (ManagerId, Path);

/// One apply. `Ok(None)` means that the object stays as it is.
fn apply_once(
    live: &Value,
    applied: &Value,
    managed: &mut Managed,
    manager: &Manager,
    force: bool,
    schema: &MergeSchema,
) -> Result<Option<Value>, Vec<Clash>> {
    let id = ManagerId::of(manager);
    let reset = schema.reset_fields(&manager.subresource);
    let merged = merge(live, applied, schema.root());
    let last = managed
        .entries
        .get(&id)
        .map(|entry| entry.set.clone())
        .unwrap_or_default();
    let set = to_set(schema.root(), applied).without_top_level(reset);
    let time = managed.entries.get(&id).and_then(|entry| entry.time.clone());
    let entry = Entry {
        set,
        api_version: manager.api_version.clone(),
        time,
    };
    managed.entries.insert(id.clone(), entry);
    let pruned = prune::prune(merged, schema.root(), managed, &last);
    let changes = compare(live, &pruned, schema.root()).without_top_level(reset);
    take_over(managed, &id, &changes, force)?;
    strip_unowned(managed, &id);
    Ok((!same(live, &pruned)).then_some(pruned))
}

/// Takes what a write changed from its other managers; without `force` that is a conflict.
fn take_over(
    managed: &mut Managed,
    writer: &ManagerId,
    changes: &Comparison,
    force: bool,
) -> Result<(), Vec<Clash>> {
    let written = changes.modified.union(&changes.added);
    let mut conflicts = Vec::new();
    for (id, entry) in managed.entries.iter().filter(|(id, _)| *id != writer) {
        let clash = entry.set.intersection(&written);
        conflicts.extend(clash.paths().into_iter().map(|path| (id.clone(), path)));
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    for (_, entry) in managed.entries.iter_mut().filter(|(id, _)| *id != writer) {
        let clash = entry.set.intersection(&written);
        entry.set = entry.set.difference(&clash).difference(&changes.removed);
    }
    managed.entries.retain(|_, entry| !entry.set.is_empty());
    Ok(())
}

/// Gives `manager` what differs between two objects.
fn update(
    before: &Value,
    after: &Value,
    managed: &mut Managed,
    manager: &Manager,
    schema: &MergeSchema,
    now: Timestamp,
) {
    let reset = schema.reset_fields(&manager.subresource);
    let changes = compare(before, after, schema.root()).without_top_level(reset);
    let writer = ManagerId::current();
    // Forced, so that there is no conflict to report.
    take_over(managed, &writer, &changes, true).unwrap_or_default();
    let set = Set::default()
        .difference(&changes.removed)
        .union(&changes.modified)
        .union(&changes.added);
    let set = set.without_top_level(reset).difference(&unowned());
    if set.is_empty() {
        return;
    }
    let id = ManagerId::of(manager);
    let set = managed
        .entries
        .get(&id)
        .map_or_else(|| set.clone(), |entry| entry.set.union(&set));
    managed.entries.insert(
        id.clone(),
        Entry {
            set,
            api_version: manager.api_version.clone(),
            time: None,
        },
    );
    managed.touch(&id, now);
}

fn strip_unowned(managed: &mut Managed, id: &ManagerId) {
    if let Some(entry) = managed.entries.get_mut(id) {
        entry.set = entry.set.difference(&unowned());
        if entry.set.is_empty() {
            managed.entries.remove(id);
        }
    }
}

fn unowned() -> Set {
    let field = |name: &str| PathElement::Field(name.to_owned());
    let mut set = Set::default();
    for name in ["apiVersion", "kind", "metadata"] {
        set.insert(&[field(name)]);
    }
    for name in UNOWNED_METADATA {
        set.insert(&[field("metadata"), field(name)]);
    }
    set
}

/// What client-side apply applied last and is still so.
fn last_applied_set(live: &Value, manager: &Manager, schema: &MergeSchema) -> Set {
    let annotation = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(LAST_APPLIED));
    let Some(text) = annotation.and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        return Set::default();
    };
    let Ok(last) = serde_json::from_str::<Value>(text) else {
        return Set::default();
    };
    let version = last.get("apiVersion").and_then(Value::as_str);
    if version != Some(&manager.api_version) || validate(schema.root(), &last).is_err() {
        return Set::default();
    }
    let changes = compare(&last, live, schema.root());
    let set = to_set(schema.root(), &last);
    set.difference(&changes.modified)
        .difference(&changes.added)
        .difference(&changes.removed)
}

/// Keeps client-side apply's annotation true where there is one.
fn renew_last_applied(object: &mut Value, applied: &Value) {
    let Some(annotation) = object
        .pointer_mut("/metadata/annotations")
        .and_then(|all| all.get_mut(LAST_APPLIED))
    else {
        return;
    };
    if annotation.as_str().is_none_or(str::is_empty) {
        return;
    }
    let mut applied = applied.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(LAST_APPLIED);
    }
    *annotation = Value::String(format!("{applied}\n"));
}

fn without_managed_fields(object: &Value) -> (Value, Option<Value>) {
    let mut object = object.clone();
    let fields = take_managed_fields(&mut object);
    (object, fields)
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata: &mut Map<_, _>| metadata.remove("managedFields"))
}
