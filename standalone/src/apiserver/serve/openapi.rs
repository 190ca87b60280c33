//! `/openapi/v3`: one document per group and version, and `/openapi/v2`: one for all. Made on first use and
//! kept.
//!
//! The documents hold what clients read: the schemas (`kubectl explain`), and for each path the
//! kind and the parameters that tell kubectl the server validates fields and knows dry runs.

mod gnostic;
mod v2;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::Reply;
use super::discovery::digest;
use crate::apiserver::failure::ApiError;
use crate::apiserver::kinds::{OpenApi, Registry, Resource};
use crate::apiserver::negotiate::OpenApiV2;

/// Query parameters kubectl looks for before it relies on them.
const PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// gnostic's protobuf form of v2, as it is answered: the `@` in what kubectl asks for is not allowed here.
const GNOSTIC: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A document's text and its digest.
type Tagged = (Bytes, String);

/// The documents of v3 by path (`api/v1`), and that of v2 in its two forms.
#[derive(Default)]
pub(crate) struct Documents {
    v3: OnceLock<BTreeMap<String, Tagged>>,
    v2: OnceLock<Tagged>,
    v2_protobuf: OnceLock<Tagged>,
}

fn tagged(body: impl Into<Bytes>) -> Tagged {
    let body = body.into();
    let hash = digest(&body);
    (body, hash)
}

/// The documents of v3, by path.
fn documents(registry: &Registry) -> impl Iterator<Item = (String, Value)> {
    let pairs = registry.group_versions().into_iter();
    pairs.map(|(group, version)| (path(group, version), document(registry, group, version)))
}

impl Documents {
    fn all(&self, registry: &Registry) -> &BTreeMap<String, Tagged> {
        self.v3.get_or_init(|| {
            let documents = documents(registry);
            documents
                .map(|(path, document)| (path, tagged(document.to_string())))
                .collect()
        })
    }

    /// `/openapi/v2`
    pub(super) fn v2(&self, registry: &Registry, form: OpenApiV2) -> Reply {
        let made = || v2::document(documents(registry).map(|(_, document)| document));
        let ((body, hash), content_type) = match form {
            OpenApiV2::Json => (
                self.v2.get_or_init(|| tagged(made().to_string())),
                "application/json",
            ),
            OpenApiV2::Protobuf => (
                self.v2_protobuf.get_or_init(|| tagged(gnostic::encode(&made()))),
                GNOSTIC,
            ),
        };
        Reply::tagged(body.clone(), content_type, hash.clone())
    }

    /// `/openapi/v3`
    pub(super) fn index(&self, registry: &Registry) -> Reply {
        let url = |(path, (_, hash)): (&String, &Tagged)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::kinds::Kinds;

    fn references<'v>(value: &'v Value, into: &mut Vec<&'v str>) {
        match value {
            Value::Object(map) => {
                into.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|below| references(below, into));
            }
            Value::Array(items) => items.iter().for_each(|below| references(below, into)),
            _ => {}
        }
    }

    /// One reference to a name that is not there, and kubectl throws away the whole document.
    #[test]
    fn every_reference_of_v2_leads_to_a_definition_and_every_kind_has_one() {
        let registry = Kinds::from(longshore_crds::all()).registry().unwrap();
        let v2 = v2::document(documents(&registry).map(|(_, document)| document));
        let mut found = Vec::new();
        references(&v2, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let name = reference.strip_prefix("#/definitions/").unwrap();
            assert!(v2["definitions"].get(name).is_some(), "{reference}");
        }
        let definitions = v2["definitions"].as_object().unwrap();
        for resource in registry.all() {
            let wanted = json!([kind(resource)]);
            assert!(
                definitions
                    .values()
                    .any(|d| d["x-kubernetes-group-version-kind"] == wanted),
                "{wanted}"
            );
        }
    }
}
