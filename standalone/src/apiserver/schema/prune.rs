//! Pruning and defaulting: `pruning` and `defaulting` of `k8s.io/apiextensions-apiserver/pkg/apiserver/schema`.

use serde_json::{Map, Value};

use super::node::{Additional, Kind, Node};
use super::path::Path;

/// Fields of every object that belong to the API server, not to the CRD's schema.
const TYPE_AND_OBJECT_META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The fields of `ObjectMeta` (`k8s.io/apimachinery/pkg/apis/meta/v1`).
const OBJECT_META: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Drops unknown fields from `object` and returns their paths, sorted.
pub(super) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(
        Some(root),
        object,
        Mode {
            resource: true,
            preserve: false,
        },
        &Path::Root,
        &mut unknown,
    );
    unknown.sort();
    unknown
}

/// What the node above says about a value.
#[derive(Debug, Clone, Copy, Default)]
struct Mode {
    /// The value is a whole resource, whatever its schema says.
    resource: bool,
    /// The value is an item of a list that preserves unknown fields.
    preserve: bool,
}

fn walk(node: Option<&Node>, value: &mut Value, mode: Mode, path: &Path<'_>, unknown: &mut Vec<String>) {
    let preserve = mode.preserve || node.is_some_and(|node| node.preserve_unknown);
    match value {
        Value::Object(fields) => {
            let resource = mode.resource || node.is_some_and(|node| node.embedded_resource);
            if resource {
                prune_object_meta(fields, path, unknown);
            }
            fields.retain(|name, field| {
                if resource && TYPE_AND_OBJECT_META.contains(&name.as_str()) {
                    return true;
                }
                let below = Path::Field(path, name);
                let schema = match node.map(|node| (node.properties.get(name), &node.additional)) {
                    Some((Some(known), _)) => Some(known),
                    Some((None, Additional::Schema(schema))) => Some(schema.as_ref()),
                    Some((None, Additional::Any)) => None,
                    Some((None, Additional::None)) | None if preserve => return true,
                    Some((None, Additional::None)) | None => {
                        unknown.push(below.or_empty());
                        return false;
                    }
                };
                walk(schema, field, Mode::default(), &below, unknown);
                true
            });
        }
        Value::Array(items) => {
            let below = node.and_then(|node| node.items.as_deref());
            if preserve && below.is_none() {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                walk(
                    below,
                    item,
                    Mode {
                        resource: false,
                        preserve,
                    },
                    &Path::Index(path, index),
                    unknown,
                );
            }
        }
        _ => {}
    }
}

fn prune_object_meta(fields: &mut Map<String, Value>, path: &Path<'_>, unknown: &mut Vec<String>) {
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
        return;
    };
    let at = Path::Field(path, "metadata");
    metadata.retain(|name, _| {
        let known = OBJECT_META.contains(&name.as_str());
        if !known {
            unknown.push(Path::Field(&at, name).to_string());
        }
        known
    });
}

/// Drops nulls that are neither nullable nor defaulted.
pub(super) fn drop_nulls(root: &Node, object: &mut Value) {
    drop_below(Some(root), object);
}

/// Fills in defaults, also in place of nulls that are not nullable.
pub(super) fn default(root: &Node, object: &mut Value) {
    fill(root, object);
}

fn drop_below(node: Option<&Node>, value: &mut Value) {
    let Some(node) = node else { return };
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| {
                let Some(schema) = node.field(name) else {
                    return true;
                };
                if field.is_null() {
                    return schema.nullable || schema.default.is_some();
                }
                drop_below(Some(schema), field);
                true
            });
        }
        Value::Array(items) => {
            for item in items {
                drop_below(node.items.as_deref(), item);
            }
        }
        _ => {}
    }
}

fn fill(node: &Node, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, schema) in &node.properties {
                let Some(default) = &schema.default else { continue };
                // An explicit null in a nullable field is a value and stays.
                if fields
                    .get(name)
                    .is_none_or(|field| field.is_null() && !schema.nullable)
                {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, field) in fields.iter_mut() {
                match node.properties.get(name) {
                    Some(schema) => fill(schema, field),
                    None => {
                        if let Some(schema) = node.additional.schema() {
                            fill_null(schema, field);
                            fill(schema, field);
                        }
                    }
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = node.items.as_deref() else {
                return;
            };
            for item in items {
                fill_null(schema, item);
                fill(schema, item);
            }
        }
        _ => {}
    }
}

fn fill_null(schema: &Node, value: &mut Value) {
    if value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
}

/// Whether a default has the type its schema names; the rest of a default is validated with the object it lands in.
pub(super) fn default_fits(kind: Option<Kind>, default: &Value) -> bool {
    match kind {
        None => true,
        Some(Kind::Object) => default.is_object(),
        Some(Kind::Array) => default.is_array(),
        Some(Kind::String) => default.is_string(),
        Some(Kind::Boolean) => default.is_boolean(),
        Some(Kind::Integer) => default.as_f64().is_some_and(|n| n.fract() == 0.0),
        Some(Kind::Number) => default.is_number(),
        Some(Kind::IntOrString) => default.is_string() || default.as_f64().is_some_and(|n| n.fract() == 0.0),
    }
}
