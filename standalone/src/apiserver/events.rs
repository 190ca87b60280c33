//! The two Event versions over one store: kept as core/v1, shown as either.

use serde_json::{Map, Value};

use super::kinds::{Form, Resource};

/// Field names of events.k8s.io/v1 and of core/v1.
const RENAMED: [(&str, &str); 8] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingInstance", "reportingInstance"),
];

/// Fields of core/v1 that are shown when empty too.
fn empty_fields() -> [(&'static str, Value); 7] {
    [
        ("eventTime", Value::Null),
        ("firstTimestamp", Value::Null),
        ("lastTimestamp", Value::Null),
        ("involvedObject", Value::Object(Map::new())),
        ("source", Value::Object(Map::new())),
        ("reportingComponent", "".into()),
        ("reportingInstance", "".into()),
    ]
}

/// A stored object as the resource shows it.
pub(crate) fn shown(resource: &Resource, stored: Value) -> Value {
    let stored = if resource.holds_events() {
        filled(stored)
    } else {
        stored
    };
    editable(resource, stored)
}

/// A stored object in the resource's version, for a change of it: only the fields that are there.
pub(crate) fn editable(resource: &Resource, stored: Value) -> Value {
    match resource.form {
        Form::Plain => stored,
        Form::EventsV1 => rename(stored, "events.k8s.io/v1", |(new, old)| (old, new)),
    }
}

/// An object of the resource as it is stored.
pub(crate) fn stored(resource: &Resource, shown: Value) -> Value {
    match resource.form {
        Form::Plain => shown,
        Form::EventsV1 => rename(shown, "v1", |(new, old)| (new, old)),
    }
}

/// With the fields that Kubernetes always shows, empty ones too: `kubectl get events
/// --sort-by=.lastTimestamp` finds nothing where the field is missing.
fn filled(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        for (field, empty) in empty_fields() {
            event.entry(field).or_insert(empty);
        }
    }
    event
}

/// Without what was only shown as empty, in either version: an object that comes back as it was shown is
/// no change.
pub(crate) fn bare(resource: &Resource, mut event: Value) -> Value {
    if resource.holds_events()
        && let Some(fields) = event.as_object_mut()
    {
        for (core, empty) in empty_fields() {
            let renamed = RENAMED.iter().find(|(_, old)| *old == core);
            for name in [Some(core), renamed.map(|(new, _)| *new)].into_iter().flatten() {
                if fields.get(name) == Some(&empty) {
                    fields.remove(name);
                }
            }
        }
    }
    event
}

fn rename(
    event: Value,
    api_version: &str,
    direction: fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let Value::Object(mut event) = event else {
        return event;
    };
    let mut renamed = Map::new();
    for (from, to) in RENAMED.map(direction) {
        if let Some(value) = event.remove(from) {
            renamed.insert(to.to_owned(), value);
        }
    }
    event.extend(renamed);
    event.insert("apiVersion".into(), api_version.into());
    Value::Object(event)
}
