//! `/openapi/v3`: one document per group and version, made on first use and kept.
//!
//! The documents hold what clients read: the schemas (`kubectl explain`), and for each path the
//! kind and the parameters that tell kubectl the server validates fields and knows dry runs.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::Reply;
use super::discovery::digest;
use crate::apiserver::failure::ApiError;
use crate::apiserver::kinds::{OpenApi, Registry, Resource};

/// Query parameters kubectl looks for before it relies on them.
const PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The documents by path (`api/v1`), each with its digest.
#[derive(Default)]
pub(crate) struct Documents(OnceLock<BTreeMap<String, (Bytes, String)>>);

impl Documents {
    fn all(&self, registry: &Registry) -> &BTreeMap<String, (Bytes, String)> {
        self.0.get_or_init(|| {
            let pairs = registry.group_versions().into_iter();
            pairs
                .map(|(group, version)| {
                    let body = Bytes::from(document(registry, group, version).to_string());
                    let hash = digest(&body);
                    (path(group, version), (body, hash))
                })
                .collect()
        })
    }

    /// `/openapi/v3`
    pub(super) fn index(&self, registry: &Registry) -> Reply {
        let url = |(path, (_, hash)): (&String, &(Bytes, String))| {
            (
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
            )
        };
        let paths: Map<String, Value> = self.all(registry).iter().map(url).collect();
        let body = Bytes::from(json!({"paths": paths}).to_string());
        let etag = digest(&body);
        Reply::tagged(body, "application/json", etag)
    }

    /// `/openapi/v3/{path}`
    pub(super) fn document(&self, registry: &Registry, path: &str) -> Result<Reply, ApiError> {
        let (body, hash) = self.all(registry).get(path).ok_or_else(ApiError::no_such_path)?;
        Ok(Reply::tagged(body.clone(), "application/json", hash.clone()))
    }
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

fn document(registry: &Registry, group: &str, version: &str) -> Value {
    let mut generator = schemars::generate::SchemaSettings::openapi3().into_generator();
    let mut paths = Map::new();
    let mut custom = Vec::new();
    let mut kinds = BTreeMap::new();
    for resource in registry
        .all()
        .filter(|r| r.group == group && r.version == version)
    {
        let name = match &resource.openapi {
            OpenApi::Core(name, schema) => {
                schema(&mut generator);
                (*name).to_owned()
            }
            OpenApi::Custom(name, structural) => {
                generator.subschema_for::<ObjectMeta>();
                custom.push((name.clone(), custom_schema(structural)));
                name.clone()
            }
        };
        kinds.insert(name.clone(), kind(resource));
        add_paths(&mut paths, resource, &name);
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    schemas.extend(custom);
    for (name, kind) in kinds {
        if let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
            schema.insert("x-kubernetes-group-version-kind".into(), json!([kind]));
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Longshore", "version": concat!("v", env!("CARGO_PKG_VERSION"))},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// The CRD's schema with what every object has.
fn custom_schema(structural: &Value) -> Value {
    let mut schema = structural.clone();
    let properties = &mut schema["properties"];
    for (field, description) in [
        (
            "apiVersion",
            "The versioned schema of this representation of an object.",
        ),
        ("kind", "The REST resource this object represents."),
    ] {
        properties[field] = json!({"type": "string", "description": description});
    }
    properties["metadata"] = json!({
        "description": "Standard object's metadata.",
        "allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}],
    });
    schema
}

fn kind(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn add_paths(paths: &mut Map<String, Value>, resource: &Resource, schema: &str) {
    let scope = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let collection = format!(
        "/{}/{scope}{}",
        path(&resource.group, &resource.version),
        resource.plural
    );
    let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    let operation = |action: &str, writes: bool| {
        let parameters: Vec<Value> = PARAMETERS
            .iter()
            .filter(|_| writes)
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
            .collect();
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind(resource),
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": content}},
        })
    };
    let mut on_collection = json!({"get": operation("list", false)});
    let mut on_object = json!({"get": operation("get", false)});
    if resource.writable {
        on_collection["post"] = operation("post", true);
        on_collection["delete"] = operation("deletecollection", true);
        on_object["put"] = operation("put", true);
        on_object["patch"] = operation("patch", true);
        on_object["delete"] = operation("delete", true);
    }
    let object = format!("{collection}/{{name}}");
    if resource.status {
        paths.insert(format!("{object}/status"), on_object.clone());
    }
    paths.insert(collection, on_collection);
    paths.insert(object, on_object);
}
