//! The built-in kinds: enough of Kubernetes for controllers, kubectl and event recorders.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent, Namespace, Secret};
use k8s_openapi::api::events::v1::Event as NewEvent;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::schemars::JsonSchema;
use serde_json::{Value, json};

use super::columns::{self, Column};
use super::{CRDS, EVENTS, Form, NAMESPACES, OpenApi, Resource, SECRETS, ServeKindError};
use crate::apiserver::apply::MergeSchema;
use crate::apiserver::schema::Schema;

/// One row: names, scope, table, columns.
struct Row {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    table: &'static str,
    form: Form,
    columns: Vec<Column>,
    openapi: OpenApi,
    /// The schema to check bodies by; `None` for what cannot be written.
    structural: Option<Value>,
}

pub(super) fn resources() -> Result<Vec<Resource>, ServeKindError> {
    rows().into_iter().map(resource).collect()
}

fn rows() -> Vec<Row> {
    let row = |group, version, plural, kind, table, columns, openapi, structural| Row {
        group,
        version,
        plural,
        kind,
        short: &[],
        namespaced: true,
        table,
        form: Form::Plain,
        columns,
        openapi,
        structural,
    };
    vec![
        Row {
            short: &["cm"],
            ..row(
                "",
                "v1",
                "configmaps",
                "ConfigMap",
                "configmaps",
                columns::config_map(),
                open::<ConfigMap>("io.k8s.api.core.v1.ConfigMap"),
                Some(structural::<ConfigMap>()),
            )
        },
        Row {
            short: &["ev"],
            ..row(
                "",
                "v1",
                "events",
                "Event",
                EVENTS,
                columns::event(),
                open::<CoreEvent>("io.k8s.api.core.v1.Event"),
                Some(structural::<CoreEvent>()),
            )
        },
        Row {
            short: &["ns"],
            namespaced: false,
            ..row(
                "",
                "v1",
                "namespaces",
                "Namespace",
                NAMESPACES,
                columns::namespace(),
                open::<Namespace>("io.k8s.api.core.v1.Namespace"),
                Some(structural::<Namespace>()),
            )
        },
        row(
            "",
            "v1",
            "secrets",
            "Secret",
            SECRETS,
            columns::secret(),
            open::<Secret>("io.k8s.api.core.v1.Secret"),
            Some(structural::<Secret>()),
        ),
        Row {
            short: &["crd", "crds"],
            namespaced: false,
            ..row(
                "apiextensions.k8s.io",
                "v1",
                "customresourcedefinitions",
                "CustomResourceDefinition",
                CRDS,
                columns::definition(),
                open::<CustomResourceDefinition>(
                    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
                ),
                None,
            )
        },
        row(
            "apps",
            "v1",
            "controllerrevisions",
            "ControllerRevision",
            "controllerrevisions.apps",
            columns::controller_revision(),
            open::<ControllerRevision>("io.k8s.api.apps.v1.ControllerRevision"),
            Some(structural::<ControllerRevision>()),
        ),
        row(
            "coordination.k8s.io",
            "v1",
            "leases",
            "Lease",
            "leases.coordination.k8s.io",
            columns::lease(),
            open::<Lease>("io.k8s.api.coordination.v1.Lease"),
            Some(structural::<Lease>()),
        ),
        Row {
            short: &["ev"],
            form: Form::EventsV1,
            ..row(
                "events.k8s.io",
                "v1",
                "events",
                "Event",
                EVENTS,
                columns::event(),
                open::<NewEvent>("io.k8s.api.events.v1.Event"),
                Some(structural::<NewEvent>()),
            )
        },
    ]
}

fn resource(row: Row) -> Result<Resource, ServeKindError> {
    let writable = row.structural.is_some();
    let structural = row
        .structural
        .unwrap_or_else(|| json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let schema = Schema::compile(&structural).map_err(|source| ServeKindError::Schema {
        name: row.plural.into(),
        source: Box::new(source),
    })?;
    Ok(Resource {
        group: row.group.into(),
        version: row.version.into(),
        plural: row.plural.into(),
        singular: row.kind.to_lowercase(),
        kind: row.kind.into(),
        short_names: row.short.iter().map(|&s| s.into()).collect(),
        categories: if row.kind == "CustomResourceDefinition" {
            vec!["api-extensions".into()]
        } else {
            Vec::new()
        },
        namespaced: row.namespaced,
        status: row.kind == "Namespace",
        custom: false,
        writable,
        table: Arc::from(row.table),
        form: row.form,
        columns: row.columns,
        openapi: row.openapi,
        schema,
        merge: MergeSchema::core(row.kind),
    })
}

fn open<K: JsonSchema>(name: &'static str) -> OpenApi {
    OpenApi::Core(name, schemars::SchemaGenerator::subschema_for::<K>)
}

/// k8s-openapi's schema of a kind in the structural form the validator takes.
fn structural<K: JsonSchema>() -> Value {
    let mut settings = schemars::generate::SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<K>());
    // Metadata is checked by its own rules, as for custom kinds.
    schema["properties"]["metadata"] = json!({"type": "object"});
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|field| field != "metadata");
    }
    open_ended(&mut schema, true);
    schema
}

/// Marks objects that name no fields (raw extensions) as free-form; drops what is only for readers.
fn open_ended(schema: &mut Value, root: bool) {
    let Some(map) = schema.as_object_mut() else { return };
    map.remove("title");
    let bare = map.get("type").is_some_and(|t| t == "object")
        && !map.contains_key("properties")
        && !map.contains_key("additionalProperties");
    if bare && !root {
        map.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
    }
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            if !(root && name == "metadata") {
                open_ended(property, false);
            }
        }
    }
    for below in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(below) {
            open_ended(below, false);
        }
    }
}
