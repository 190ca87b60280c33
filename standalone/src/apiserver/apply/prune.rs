//! Removing what a manager applied before and does not now (`prune` in `merge/update.go` of structured-merge-diff).

use serde_json::{Map, Value};

use super::fields::{Form, deduce, item_name, to_set};
use super::managed::Managed;
use super::set::{PathElement, Set};
use super::types::{ListKind, Type};

/// `merged` without the fields of `last` that nobody in `managed` owns. `managed` already has the new configuration.
pub(super) fn prune(merged: Value, shape: &Type, managed: &Managed, last: &Set) -> Value {
    if last.is_empty() {
        return merged;
    }
    let last = with_named_fields(last, shape);
    let present = with_named_fields(&to_set(shape, &merged), shape);
    let fields_of = |value: &Value| with_named_fields(&to_set(shape, value), shape);

    let pruned = remove(&merged, &last, shape);
    // Back comes what someone owns …
    let owned = managed
        .entries
        .values()
        .fold(Set::default(), |all, entry| all.union(&entry.set));
    let keep = fields_of(&pruned).union(&with_named_fields(&owned, shape));
    let pruned = remove(&merged, &present.difference(&keep), shape);
    // … and what was not applied last time either but hung below something that was.
    let gone = present.difference(&fields_of(&pruned)).intersection(&last);
    remove(&merged, &gone, shape)
}

/// The set with those parents that are named fields of an object: whoever owns `a.b` also holds `a`.
fn with_named_fields(set: &Set, shape: &Type) -> Set {
    let mut out = Set {
        members: set.members.clone(),
        children: std::collections::BTreeMap::new(),
    };
    let nothing = Type::default();
    for (element, below) in &set.children {
        let inner = match (element, &shape.map, &shape.list) {
            (PathElement::Field(name), Some(map), _) => {
                if map.fields.contains_key(name) {
                    out.members.insert(element.clone());
                }
                map.of(name).get()
            }
            (PathElement::Key(_), _, Some(list)) => list.items.get(),
            _ => &nothing,
        };
        out.children
            .insert(element.clone(), with_named_fields(below, inner));
    }
    out
}

fn remove(value: &Value, gone: &Set, shape: &Type) -> Value {
    match (deduce(shape, Some(value)).form, value) {
        (Form::Scalar(_), value) => value.clone(),
        (Form::Map(map), Value::Object(fields)) if !map.atomic => {
            let mut out = Map::new();
            for (key, field) in fields {
                let element = PathElement::Field(key.clone());
                if gone.members.contains(&element) {
                    continue;
                }
                let field = match gone.children.get(&element).filter(|below| !below.is_empty()) {
                    Some(below) => remove(field, below, map.of(key).get()),
                    None => field.clone(),
                };
                out.insert(key.clone(), field);
            }
            if out.is_empty() {
                Value::Null
            } else {
                Value::Object(out)
            }
        }
        (Form::List(list), Value::Array(items)) if list.kind != ListKind::Atomic => {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                let Ok(element) = item_name(list, item) else {
                    out.push(item.clone());
                    continue;
                };
                if gone.members.contains(&element) {
                    continue;
                }
                match gone.children.get(&element).filter(|below| !below.is_empty()) {
                    Some(below) => out.push(remove(item, below, list.items.get())),
                    None => out.push(item.clone()),
                }
            }
            if out.is_empty() {
                Value::Null
            } else {
                Value::Array(out)
            }
        }
        // An atomic value that something is removed from goes as a whole.
        _ => Value::Null,
    }
}
