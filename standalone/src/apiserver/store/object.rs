//! One stored object: its JSON as sent to clients, plus the few facts reads need without parsing it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

/// Where an object lives within its table. Cluster-scoped objects have an empty namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) uid: String,
    pub(crate) blocks: bool,
}

impl Owner {
    /// The owners that an object names.
    pub(crate) fn all_of(object: &Value) -> Vec<Self> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners
            .into_iter()
            .flatten()
            .map(|owner| Self {
                api_version: text(&owner["apiVersion"]),
                kind: text(&owner["kind"]),
                uid: text(&owner["uid"]),
                blocks: owner["blockOwnerDeletion"].as_bool().unwrap_or(false),
            })
            .collect()
    }
}

/// An object at one resourceVersion. Immutable; shared by readers, watchers and the history.
#[derive(Debug)]
pub(crate) struct Object {
    /// The resourceVersion, also inside `body`.
    pub(crate) rv: u64,
    pub(crate) uid: Box<str>,
    /// The whole object as JSON, kept serialised: a tenth of the memory of a parsed tree, and a
    /// list is mere concatenation.
    pub(crate) body: Bytes,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) owners: Vec<Owner>,
    /// Has a deletionTimestamp.
    pub(crate) deleting: bool,
}

impl Object {
    /// Stamps `rv` into the object and freezes it.
    pub(crate) fn freeze(mut value: Value, rv: u64) -> Self {
        if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert("resourceVersion".into(), rv.to_string().into());
        }
        let body = Bytes::from(value.to_string());
        Self::index(&value, rv, body)
    }

    /// Reads an object back from its stored bytes.
    pub(crate) fn thaw(body: Bytes) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_slice(&body)?;
        let rv = value["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        Ok(Self::index(&value, rv, body))
    }

    fn index(value: &Value, rv: u64, body: Bytes) -> Self {
        let meta = &value["metadata"];
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let labels = meta["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), text(v)))
            .collect();
        Self {
            rv,
            uid: text(&meta["uid"]).into(),
            body,
            labels,
            owners: Owner::all_of(value),
            deleting: !meta["deletionTimestamp"].is_null(),
        }
    }

    /// The object as a tree. The body was written by this server, so it parses.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
