//! What an object looks like to a merge: the `schema` package of structured-merge-diff, made from OpenAPI as
//! `k8s.io/kube-openapi/pkg/schemaconv` does.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

/// How deep a schema is followed; below that its values are merged as untyped ones.
const MAX_DEPTH: usize = 64;

/// How to merge the objects of one kind.
#[derive(Debug, Clone)]
pub(crate) struct MergeSchema {
    root: Arc<Type>,
    /// Fields nobody owns by a write to a subresource, or to the object itself (the empty string).
    resets: Vec<(&'static str, &'static [&'static str])>,
}

/// Everything a place in an object may hold: at least one of the three.
#[derive(Debug, Default)]
pub(super) struct Type {
    pub(super) scalar: Option<Scalar>,
    pub(super) list: Option<List>,
    pub(super) map: Option<MapType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Numeric,
    String,
    Boolean,
    Untyped,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) items: TypeRef,
    pub(super) kind: ListKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListKind {
    Atomic,
    Set,
    Map(Vec<String>),
}

#[derive(Debug)]
pub(super) struct MapType {
    pub(super) fields: BTreeMap<String, FieldType>,
    /// What undeclared keys hold; `None` where there may be none.
    pub(super) others: Option<TypeRef>,
    pub(super) atomic: bool,
}

#[derive(Debug)]
pub(super) struct FieldType {
    pub(super) shape: TypeRef,
    pub(super) default: Option<Value>,
}

/// A type, by value or by one of two names.
#[derive(Debug, Clone)]
pub(super) enum TypeRef {
    Of(Arc<Type>),
    /// No schema: maps merge by key, lists are atomic.
    Deduced,
    /// No schema: all of it is one value.
    Untyped,
}

static DEDUCED: LazyLock<Type> = LazyLock::new(|| Type {
    scalar: Some(Scalar::Untyped),
    list: Some(List {
        items: TypeRef::Untyped,
        kind: ListKind::Atomic,
    }),
    map: Some(MapType {
        fields: BTreeMap::new(),
        others: Some(TypeRef::Deduced),
        atomic: false,
    }),
});

static UNTYPED: LazyLock<Type> = LazyLock::new(|| Type {
    scalar: Some(Scalar::Untyped),
    list: Some(List {
        items: TypeRef::Untyped,
        kind: ListKind::Atomic,
    }),
    map: Some(MapType {
        fields: BTreeMap::new(),
        others: Some(TypeRef::Untyped),
        atomic: true,
    }),
});

impl TypeRef {
    pub(super) fn get(&self) -> &Type {
        match self {
            TypeRef::Of(shape) => shape,
            TypeRef::Deduced => &DEDUCED,
            TypeRef::Untyped => &UNTYPED,
        }
    }
}

impl MapType {
    /// The type of a key's value. A key that may not be there is merged as if it had no schema: whether it may be
    /// stored is decided elsewhere.
    pub(super) fn of(&self, key: &str) -> &TypeRef {
        match self.fields.get(key) {
            Some(field) => &field.shape,
            None => self.others.as_ref().unwrap_or(&TypeRef::Deduced),
        }
    }
}

impl MergeSchema {
    /// Reads a CRD version's structural schema: `x-kubernetes-list-type`, `-list-map-keys` and `-map-type`,
    /// `x-kubernetes-preserve-unknown-fields`, and defaults of list keys. `apiVersion`, `kind` and `metadata` are
    /// those of every object, whatever the schema says of them.
    pub(crate) fn from_structural(structural: &Value) -> MergeSchema {
        let mut root = convert(structural, false, 0);
        if let Some(map) = &mut root.map {
            map.atomic = false;
            add_object_fields(map);
        }
        MergeSchema {
            root: Arc::new(root),
            resets: Vec::new(),
        }
    }

    /// The schema of a core kind, from Kubernetes' own OpenAPI: Namespace, Secret, ConfigMap, Event (both groups),
    /// Lease, ControllerRevision. Any other kind merges without a schema, but for its metadata.
    pub(crate) fn core(kind: &str) -> MergeSchema {
        let text = || json!({"type": "string"});
        let texts = || json!({"type": "object", "additionalProperties": {"type": "string"}});
        let atomic_texts =
            || json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"});
        let reference = || {
            let fields = [
                "apiVersion",
                "fieldPath",
                "kind",
                "name",
                "namespace",
                "resourceVersion",
                "uid",
            ];
            object_of(&fields, &text(), true)
        };
        let properties = match kind {
            "Namespace" => json!({
                "spec": {"type": "object", "properties": {"finalizers": atomic_texts()}},
                "status": {"type": "object", "properties": {
                    "phase": text(),
                    "conditions": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
                        "items": object_of(&["type", "status", "reason", "message", "lastTransitionTime"], &text(), false),
                    },
                }},
            }),
            "Secret" => {
                json!({"data": texts(), "stringData": texts(), "type": text(), "immutable": {"type": "boolean"}})
            }
            "ConfigMap" => json!({"data": texts(), "binaryData": texts(), "immutable": {"type": "boolean"}}),
            "Event" => {
                let mut properties = json!({
                    "involvedObject": reference(), "related": reference(), "regarding": reference(),
                    "source": object_of(&["component", "host"], &text(), false),
                    "deprecatedSource": object_of(&["component", "host"], &text(), false),
                    "series": {"type": "object", "properties": {"count": {"type": "integer"}, "lastObservedTime": text()}},
                    "count": {"type": "integer"}, "deprecatedCount": {"type": "integer"},
                });
                for field in [
                    "reason",
                    "message",
                    "firstTimestamp",
                    "lastTimestamp",
                    "type",
                    "eventTime",
                    "action",
                    "reportingComponent",
                    "reportingInstance",
                    "reportingController",
                    "note",
                    "deprecatedFirstTimestamp",
                    "deprecatedLastTimestamp",
                ] {
                    properties[field] = text();
                }
                properties
            }
            "Lease" => json!({"spec": {"type": "object", "properties": {
                "holderIdentity": text(), "leaseDurationSeconds": {"type": "integer"}, "acquireTime": text(),
                "renewTime": text(), "leaseTransitions": {"type": "integer"}, "strategy": text(), "preferredHolder": text(),
            }}}),
            "ControllerRevision" => {
                json!({"data": {"x-longshore-untyped": true}, "revision": {"type": "integer"}})
            }
            _ => json!({}),
        };
        let mut schema = MergeSchema::from_structural(&json!({"type": "object", "properties": properties}));
        if kind == "Namespace" {
            schema.resets = vec![
                ("", &["status"]),
                ("status", &["spec"]),
                ("finalize", &["status"]),
            ];
        }
        schema
    }

    /// The same for a kind with a status subresource: a write to the object owns nothing in `status`, a write to
    /// `status` owns nothing but that.
    pub(crate) fn with_status_subresource(mut self) -> MergeSchema {
        self.resets = vec![("", &["status"]), ("status", &["metadata", "spec"])];
        self
    }

    pub(super) fn root(&self) -> &Type {
        &self.root
    }

    pub(super) fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        self.resets
            .iter()
            .find(|(name, _)| *name == subresource)
            .map_or(&[], |(_, fields)| fields)
    }
}

fn object_of(fields: &[&str], shape: &Value, atomic: bool) -> Value {
    let properties: serde_json::Map<String, Value> = fields
        .iter()
        .map(|field| ((*field).to_owned(), shape.clone()))
        .collect();
    let map_type = if atomic { "atomic" } else { "granular" };
    json!({"type": "object", "properties": properties, "x-kubernetes-map-type": map_type})
}

/// `apiVersion`, `kind` and `ObjectMeta`.
fn add_object_fields(map: &mut MapType) {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let mut metadata = object_of(
        &[
            "name",
            "generateName",
            "namespace",
            "selfLink",
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
        ],
        &text,
        false,
    );
    let mut owner = object_of(&["apiVersion", "kind", "name", "uid"], &text, true);
    owner["properties"]["controller"] = json!({"type": "boolean"});
    owner["properties"]["blockOwnerDeletion"] = json!({"type": "boolean"});
    let properties = &mut metadata["properties"];
    properties["generation"] = json!({"type": "integer"});
    properties["deletionGracePeriodSeconds"] = json!({"type": "integer"});
    properties["labels"] = texts.clone();
    properties["annotations"] = texts;
    properties["finalizers"] = json!({"type": "array", "items": text, "x-kubernetes-list-type": "set"});
    properties["ownerReferences"] = json!({"type": "array", "items": owner, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]});
    properties["managedFields"] =
        json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "atomic"});
    for (name, schema) in [("apiVersion", &text), ("kind", &text), ("metadata", &metadata)] {
        let shape = TypeRef::Of(Arc::new(convert(schema, false, 1)));
        map.fields
            .insert(name.to_owned(), FieldType { shape, default: None });
    }
}

fn convert(schema: &Value, preserve: bool, depth: usize) -> Type {
    let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    if depth > MAX_DEPTH || flag("x-longshore-untyped") {
        return Type {
            scalar: Some(Scalar::Untyped),
            list: Some(List {
                items: TypeRef::Untyped,
                kind: ListKind::Atomic,
            }),
            map: Some(MapType {
                fields: BTreeMap::new(),
                others: Some(TypeRef::Untyped),
                atomic: true,
            }),
        };
    }
    let preserve = preserve || flag("x-kubernetes-preserve-unknown-fields");
    let map = || Some(convert_map(schema, preserve, depth));
    let list = || Some(convert_list(schema, preserve, depth));
    let of = |scalar| Type {
        scalar: Some(scalar),
        ..Type::default()
    };
    let plain_text = schema
        .get("format")
        .and_then(Value::as_str)
        .is_none_or(|format| matches!(format, "" | "byte"));
    match schema
        .get("type")
        .and_then(Value::as_str)
        .filter(|_| !flag("x-kubernetes-int-or-string"))
    {
        Some("object") => {
            let mut map = map();
            if flag("x-kubernetes-embedded-resource")
                && let Some(map) = &mut map
            {
                add_object_fields(map);
            }
            Type {
                map,
                ..Type::default()
            }
        }
        Some("array") => Type {
            list: list(),
            ..Type::default()
        },
        Some("integer" | "number") => of(Scalar::Numeric),
        Some("boolean") => of(Scalar::Boolean),
        Some("string") if plain_text => of(Scalar::String),
        Some(kind) if !kind.is_empty() => of(Scalar::Untyped),
        _ => Type {
            scalar: Some(Scalar::Untyped),
            list: list(),
            map: map(),
        },
    }
}

fn convert_map(schema: &Value, preserve: bool, depth: usize) -> MapType {
    let properties = schema.get("properties").and_then(Value::as_object);
    let fields: BTreeMap<String, FieldType> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let shape = TypeRef::Of(Arc::new(convert(property, preserve, depth + 1)));
            let default = property
                .get("default")
                .filter(|default| !default.is_null())
                .cloned();
            (name.clone(), FieldType { shape, default })
        })
        .collect();
    let others = match schema.get("additionalProperties") {
        None | Some(Value::Null) => (preserve || fields.is_empty()).then_some(TypeRef::Deduced),
        Some(Value::Bool(false)) => None,
        Some(Value::Bool(true)) => Some(TypeRef::Deduced),
        Some(values) => Some(TypeRef::Of(Arc::new(convert(values, preserve, depth + 1)))),
    };
    let atomic = schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
    MapType {
        fields,
        others,
        atomic,
    }
}

fn convert_list(schema: &Value, preserve: bool, depth: usize) -> List {
    let items = match schema.get("items") {
        Some(items) => TypeRef::Of(Arc::new(convert(items, preserve, depth + 1))),
        None => TypeRef::Untyped,
    };
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let keys = || {
        keys.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let kind = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(keys()),
        _ => ListKind::Atomic,
    };
    List { items, kind }
}

/// Whether two values are the same: numbers by value, so that `1` is `1.0`.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left == right,
            _ => left.as_f64() == right.as_f64(),
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
