//! Objects as the client wants to see them: whole, as table rows, or metadata only.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apiserver::events;
use crate::apiserver::kinds::{Form, Resource};
use crate::apiserver::negotiate::Show;
use crate::apiserver::store::Object;

/// How rows of a Table carry their object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// Shows objects of one resource to one client.
#[derive(Clone)]
pub(super) struct Renderer {
    pub(super) resource: Arc<Resource>,
    pub(super) show: Show,
    pub(super) include: Include,
    pub(super) now: Timestamp,
}

impl Renderer {
    /// One object as JSON text.
    pub(super) fn object(&self, object: &Object) -> Bytes {
        let as_stored = self.resource.form == Form::Plain && !self.resource.holds_events();
        if self.show == Show::Object && as_stored {
            return object.body.clone();
        }
        self.value(object.value()).to_string().into()
    }

    /// One object in its stored form, shown.
    pub(super) fn value(&self, stored: Value) -> Value {
        match self.show {
            Show::Object => events::shown(&self.resource, stored),
            Show::Partial => partial(&stored),
            Show::Table => {
                let version = stored["metadata"]["resourceVersion"].clone();
                self.table(&[self.row(stored)], &json!({"resourceVersion": version}), true)
            }
        }
    }

    /// A whole list as JSON text; `meta` is its ListMeta.
    pub(super) fn list<'o>(&self, objects: impl Iterator<Item = &'o Arc<Object>>, meta: &Value) -> Bytes {
        if self.show == Show::Table {
            let rows: Vec<Value> = objects.map(|object| self.row(object.value())).collect();
            return self.table(&rows, meta, true).to_string().into();
        }
        let (kind, api_version) = match self.show {
            Show::Partial => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            _ => (self.resource.list_kind(), self.resource.api_version()),
        };
        let mut text =
            format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{meta},\"items\":[")
                .into_bytes();
        for (at, object) in objects.enumerate() {
            if at > 0 {
                text.push(b',');
            }
            text.extend_from_slice(&self.object(object));
        }
        text.extend_from_slice(b"]}");
        text.into()
    }

    fn row(&self, stored: Value) -> Value {
        let cells: Vec<Value> = self
            .resource
            .columns
            .iter()
            .map(|column| column.cell(&stored, self.now))
            .collect();
        let object = match self.include {
            Include::None => return json!({"cells": cells}),
            Include::Metadata => partial(&stored),
            Include::Object => events::shown(&self.resource, stored),
        };
        json!({"cells": cells, "object": object})
    }

    fn table(&self, rows: &[Value], meta: &Value, headers: bool) -> Value {
        let definitions: Value = if headers {
            self.resource
                .columns
                .iter()
                .map(crate::apiserver::kinds::Column::definition)
                .collect()
        } else {
            Value::Null
        };
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
            "columnDefinitions": definitions, "rows": rows,
        })
    }

    /// The nearly empty object of a BOOKMARK.
    pub(super) fn bookmark(&self, version: u64, initial_end: bool) -> Value {
        let mut meta = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.show {
            Show::Object => {
                json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": meta})
            }
            Show::Partial => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
            }
            Show::Table => {
                let bare = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta});
                let cells: Vec<Value> = self.resource.columns.iter().map(|_| "".into()).collect();
                let row = json!({"cells": cells, "object": bare});
                self.table(&[row], &json!({"resourceVersion": version.to_string()}), false)
            }
        }
    }
}

fn partial(stored: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": stored["metadata"]})
}
