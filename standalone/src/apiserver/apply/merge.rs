//! Merging a configuration into an object (`typed/merge.go` of structured-merge-diff): nothing is removed, and where
//! both say something the configuration's value stays. Lists keep the configuration's order where it names items, and
//! the object's between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::fields::{Form, deduce, item_name};
use super::set::PathElement;
use super::types::{List, ListKind, MapType, Type};

/// `applied` merged over `live`.
pub(super) fn merge(live: &Value, applied: &Value, shape: &Type) -> Value {
    walk(Some(live), Some(applied), shape).unwrap_or(Value::Null)
}

type Side<'v> = Option<&'v Value>;

fn walk(live: Side<'_>, applied: Side<'_>, shape: &Type) -> Option<Value> {
    // Where the two have different forms the configuration's decides: the other's outcome would be thrown away.
    let deciding = if applied.is_none() {
        deduce(shape, live)
    } else {
        deduce(shape, applied)
    };
    match deciding.form {
        Form::Scalar(_) => keep(live, applied),
        Form::Map(map) => {
            let sides = (
                live.and_then(Value::as_object),
                applied.and_then(Value::as_object),
            );
            let both_empty = sides.0.is_none_or(Map::is_empty) && sides.1.is_none_or(Map::is_empty);
            if map.atomic || both_empty {
                keep(live, applied)
            } else {
                maps(map, sides)
            }
        }
        Form::List(list) => {
            let sides = (live.and_then(Value::as_array), applied.and_then(Value::as_array));
            let both_empty = sides.0.is_none_or(Vec::is_empty) && sides.1.is_none_or(Vec::is_empty);
            if list.kind == ListKind::Atomic || both_empty {
                keep(live, applied)
            } else {
                lists(list, sides)
            }
        }
    }
}

fn keep(live: Side<'_>, applied: Side<'_>) -> Option<Value> {
    applied.or(live).cloned()
}

type Object = Map<String, Value>;

fn maps(map: &MapType, (live, applied): (Option<&Object>, Option<&Object>)) -> Option<Value> {
    let keys: BTreeSet<&String> = live.into_iter().chain(applied).flat_map(Map::keys).collect();
    let merged: Object = keys
        .into_iter()
        .filter_map(|key| {
            let (live, applied) = (
                live.and_then(|fields| fields.get(key)),
                applied.and_then(|fields| fields.get(key)),
            );
            Some((key.clone(), walk(live, applied, map.of(key).get())?))
        })
        .collect();
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// A list's items by name.
struct Named<'v> {
    names: Vec<PathElement>,
    items: Vec<&'v Value>,
    first: BTreeMap<PathElement, &'v Value>,
}

static NULL: Value = Value::Null;

impl<'v> Named<'v> {
    fn of(list: &List, values: Option<&'v Vec<Value>>) -> Named<'v> {
        let mut named = Named {
            names: Vec::new(),
            items: Vec::new(),
            first: BTreeMap::new(),
        };
        for item in values.into_iter().flatten() {
            let Ok(name) = item_name(list, item) else { continue };
            // An item that is there twice is not merged with the new one.
            let twice = named.first.contains_key(&name);
            named.first.insert(name.clone(), if twice { &NULL } else { item });
            named.names.push(name);
            named.items.push(item);
        }
        named
    }
}

fn lists(list: &List, (live, applied): (Option<&Vec<Value>>, Option<&Vec<Value>>)) -> Option<Value> {
    let (live, applied) = (Named::of(list, live), Named::of(list, applied));
    let mut shared: VecDeque<&PathElement> = applied
        .names
        .iter()
        .filter(|name| live.first.contains_key(*name))
        .collect();
    let mut next = shared.pop_front();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.names.len().max(applied.names.len()));
    let merged =
        |name: &PathElement, live: Side<'_>| walk(live, applied.first.get(name).copied(), list.items.get());
    let (mut left, mut right) = (0, 0);
    while left < live.names.len() || right < applied.names.len() {
        if let (Some(name), Some(wanted)) = (live.names.get(left), applied.names.get(right)) {
            if name == wanted {
                done.insert(name);
                out.extend(merged(name, live.first.get(name).copied()));
                left += 1;
                right += 1;
                next = shared.pop_front();
                continue;
            }
            if applied.first.contains_key(name) && next.is_some_and(|next| next != name) {
                // A shared item, but not the one whose turn it is.
                left += 1;
                continue;
            }
        }
        if let Some(name) = live.names.get(left) {
            if !applied.first.contains_key(name) {
                out.extend(walk(live.items.get(left).copied(), None, list.items.get()));
                left += 1;
                continue;
            }
            if done.contains(name) {
                left += 1;
            }
        }
        if let Some(name) = applied.names.get(right) {
            done.insert(name);
            out.extend(merged(name, live.first.get(name).copied()));
            right += 1;
            if next == Some(name) {
                next = shared.pop_front();
            }
        }
    }
    (!out.is_empty()).then_some(Value::Array(out))
}
