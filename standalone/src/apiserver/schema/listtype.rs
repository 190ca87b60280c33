//! Lists of type set and map hold nothing twice: `schema/listtype` of `k8s.io/apiextensions-apiserver`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::{ErrorKind, FieldError};
use super::node::{ListType, Node};
use super::path::Path;

/// Every duplicate below `object`, named once at its second appearance.
pub(super) fn validate(root: &Node, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(root, object, &Path::Root, &mut errors);
    errors
}

fn walk(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(schema) = node.properties.get(name) {
                    walk(schema, field, &Path::Field(path, name), errors);
                } else if let Some(schema) = node.additional.schema() {
                    walk(schema, field, &Path::Key(path, name), errors);
                }
            }
        }
        Value::Array(items) => {
            match &node.list {
                ListType::Atomic => {}
                ListType::Set => duplicates(items.iter().cloned(), path, errors),
                ListType::Map(keys) => map_duplicates(keys, items, path, errors),
            }
            if let Some(schema) = node.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    walk(schema, item, &Path::Index(path, index), errors);
                }
            }
        }
        _ => {}
    }
}

fn map_duplicates(keys: &[String], items: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let stray = items
        .iter()
        .enumerate()
        .find(|(_, item)| !item.is_object() && !item.is_null());
    if let Some((index, item)) = stray {
        errors.push(FieldError::of(
            ErrorKind::Invalid,
            &Path::Index(path, index),
            item,
            "must be an object for an array of list-type map",
        ));
        return;
    }
    let keys_of = |item: &Value| -> Value {
        let present = keys
            .iter()
            .filter_map(|key| item.get(key).map(|value| (key.clone(), value.clone())));
        Value::Object(present.collect::<Map<_, _>>())
    };
    duplicates(items.iter().map(keys_of), path, errors);
}

fn duplicates(items: impl Iterator<Item = Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.enumerate() {
        let times = seen.entry(item.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::of(
                ErrorKind::Duplicate,
                &Path::Index(path, index),
                &item,
                "",
            ));
        }
    }
}
