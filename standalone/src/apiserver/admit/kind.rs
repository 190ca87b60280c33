//! Whether a body is what its path says: kind, apiVersion and namespace, and a decodable typed part.

use serde_json::{Map, Value};

use super::decode::decode;
use super::{Context, name};
use crate::apiserver::failure::{ApiError, Cause};

impl Context {
    /// Kind, apiVersion and namespace of a body must be those of the path. Core kinds may omit the
    /// former (typed clients do). Decodes the typed part besides.
    pub(super) fn check_type(&self, object: &mut Value) -> Result<(), ApiError> {
        let resource = &self.resource;
        if !object.is_object() {
            return Err(ApiError::bad_request("the body of the request is not an object"));
        }
        let of = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        self.check_kind(object, &of("kind"), &of("apiVersion"))?;
        let Some(map) = object.as_object_mut() else {
            return Ok(());
        };
        map.insert("apiVersion".into(), resource.api_version().into());
        map.insert("kind".into(), resource.kind.clone().into());
        if let Err(why) = decode(resource, map) {
            return Err(self.undecodable(object, &resource.kind, &resource.version, &why));
        }
        let meta = map.entry("metadata").or_insert(Value::Null);
        if meta.is_null() {
            *meta = Value::Object(Map::new());
        }
        let Some(meta) = meta.as_object_mut() else {
            return Ok(());
        };
        let namespace = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
        if !namespace.is_empty() && namespace != self.namespace {
            return Err(ApiError::bad_request(if resource.namespaced {
                "the namespace of the provided object does not match the namespace sent on the request"
            } else {
                "namespace is not allowed on a cluster-scoped object"
            }));
        }
        if resource.namespaced {
            meta.insert("namespace".into(), self.namespace.as_str().into());
        } else {
            meta.remove("namespace");
        }
        Ok(())
    }

    fn check_kind(&self, object: &Value, kind: &str, api_version: &str) -> Result<(), ApiError> {
        let resource = &self.resource;
        let wanted = resource.api_version();
        let other_kind = !kind.is_empty() && kind != resource.kind;
        let other_version = !api_version.is_empty() && api_version != wanted;
        if !resource.custom {
            if other_kind || other_version {
                let kind = if kind.is_empty() { &resource.kind } else { kind };
                let version = if api_version.is_empty() {
                    &wanted
                } else {
                    api_version
                };
                let why = format!("no kind {kind:?} is registered for version {version:?}");
                return Err(self.undecodable(object, kind, version, &why));
            }
            return Ok(());
        }
        if kind.is_empty() || api_version.is_empty() {
            let missing = if kind.is_empty() { "Kind" } else { "apiVersion" };
            let why = format!("Object '{missing}' is missing in the body of the request");
            return Err(if self.patching {
                self.unpatchable(object, &why)
            } else {
                ApiError::bad_request(why)
            });
        }
        if other_version && !self.patching {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({wanted})"
            )));
        }
        let (field, value, wanted) = match (other_version, other_kind) {
            (true, _) => ("apiVersion", api_version, &wanted),
            (_, true) => ("kind", kind, &resource.kind),
            _ => return Ok(()),
        };
        let cause = Cause::invalid(field, &value.into(), &format!("must be {wanted}"));
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        Err(ApiError::invalid_named(name(object), group, kind, &[cause]))
    }

    /// The body is none of its kind.
    fn undecodable(&self, object: &Value, kind: &str, version: &str, why: &str) -> ApiError {
        if self.patching {
            return self.unpatchable(object, why);
        }
        ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {}: {why}",
            self.resource.kind
        ))
    }
}
