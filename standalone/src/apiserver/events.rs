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

/// A stored object as the resource shows it.
pub(crate) fn shown(resource: &Resource, stored: Value) -> Value {
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
