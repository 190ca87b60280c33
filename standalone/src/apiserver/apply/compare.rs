//! What differs between two objects (`typed/compare.go` of structured-merge-diff).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fields::{Form, deduce, fits, item_name};
use super::set::{PathElement, Set};
use super::types::{List, ListKind, MapType, Type, same};

/// The paths that differ; none is in two of the sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) added: Set,
    pub(super) modified: Set,
    pub(super) removed: Set,
}

impl Comparison {
    /// The comparison without these fields of the object.
    pub(super) fn without_top_level(self, names: &[&str]) -> Comparison {
        Comparison {
            added: self.added.without_top_level(names),
            modified: self.modified.without_top_level(names),
            removed: self.removed.without_top_level(names),
        }
    }
}

/// Compares two objects.
pub(super) fn compare(before: &Value, after: &Value, shape: &Type) -> Comparison {
    let mut comparison = Comparison::default();
    walk(Some(before), Some(after), shape, &mut Vec::new(), &mut comparison);
    comparison
}

type Side<'v> = Option<&'v Value>;

fn walk(before: Side<'_>, after: Side<'_>, shape: &Type, path: &mut Vec<PathElement>, out: &mut Comparison) {
    let (left, right) = (deduce(shape, before), deduce(shape, after));
    let is_leaf = if after.is_none() {
        by_form(left.form, before, after, path, out)
    } else if before.is_none() || left == right {
        by_form(right.form, before, after, path, out)
    } else {
        // The value changed its form: what went and what came are each looked at in their own.
        by_form(left.form, before, after, path, out);
        by_form(right.form, before, after, path, out)
    };
    if !is_leaf {
        if before.is_none() {
            out.added.insert(path);
        } else if after.is_none() {
            out.removed.insert(path);
        }
    }
}

/// Compares in one form; returns whether it was compared as a whole.
fn by_form(
    form: Form<'_>,
    before: Side<'_>,
    after: Side<'_>,
    path: &mut Vec<PathElement>,
    out: &mut Comparison,
) -> bool {
    match form {
        Form::Scalar(scalar) => {
            let is_other = |side: Side<'_>| side.is_some_and(|value| !fits(scalar, value));
            if is_other(before) && is_other(after) {
                return false;
            }
            leaf(before, after, path, out);
            true
        }
        Form::Map(map) => {
            let sides = (
                before.and_then(Value::as_object),
                after.and_then(Value::as_object),
            );
            let both_empty = sides.0.is_none_or(serde_json::Map::is_empty)
                && sides.1.is_none_or(serde_json::Map::is_empty);
            if map.atomic || both_empty {
                leaf(before, after, path, out);
                return true;
            }
            maps(map, sides, path, out);
            false
        }
        Form::List(list) => {
            let sides = (before.and_then(Value::as_array), after.and_then(Value::as_array));
            let both_empty = sides.0.is_none_or(Vec::is_empty) && sides.1.is_none_or(Vec::is_empty);
            if list.kind == ListKind::Atomic || both_empty {
                leaf(before, after, path, out);
                return true;
            }
            lists(list, sides, path, out);
            false
        }
    }
}

fn leaf(before: Side<'_>, after: Side<'_>, path: &[PathElement], out: &mut Comparison) {
    match (before, after) {
        (None, _) => out.added.insert(path),
        (_, None) => out.removed.insert(path),
        (Some(before), Some(after)) if !same(before, after) => out.modified.insert(path),
        _ => {}
    }
}

type Object = serde_json::Map<String, Value>;

fn maps(
    map: &MapType,
    sides: (Option<&Object>, Option<&Object>),
    path: &mut Vec<PathElement>,
    out: &mut Comparison,
) {
    let keys: BTreeSet<&String> = sides
        .0
        .into_iter()
        .chain(sides.1)
        .flat_map(Object::keys)
        .collect();
    for key in keys {
        let (before, after) = (
            sides.0.and_then(|fields| fields.get(key)),
            sides.1.and_then(|fields| fields.get(key)),
        );
        path.push(PathElement::Field(key.clone()));
        walk(before, after, map.of(key).get(), path, out);
        path.pop();
    }
}

fn lists(
    list: &List,
    sides: (Option<&Vec<Value>>, Option<&Vec<Value>>),
    path: &mut Vec<PathElement>,
    out: &mut Comparison,
) {
    let mut names: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in sides.0.into_iter().flatten() {
        if let Ok(name) = item_name(list, item) {
            names.entry(name).or_default().0.push(item);
        }
    }
    for item in sides.1.into_iter().flatten() {
        if let Ok(name) = item_name(list, item) {
            names.entry(name).or_default().1.push(item);
        }
    }
    for (name, (before, after)) in names {
        path.push(name);
        let items = list.items.get();
        match (before.as_slice(), after.as_slice()) {
            ([] | [_], [] | [_]) => walk(before.first().copied(), after.first().copied(), items, path, out),
            // Items that are there twice are one value.
            ([_, _, ..], [_, _, ..]) => {
                let equal = before.len() == after.len()
                    && before.iter().zip(&after).all(|(left, right)| same(left, right));
                if !equal {
                    out.modified.insert(path);
                }
            }
            ([_, _, ..], single) => {
                if let Some(after) = single.first() {
                    walk(None, Some(after), items, path, out);
                }
                out.removed.insert(path);
            }
            (single, _) => {
                if let Some(before) = single.first() {
                    walk(Some(before), None, items, path, out);
                }
                out.added.insert(path);
            }
        }
        path.pop();
    }
}
