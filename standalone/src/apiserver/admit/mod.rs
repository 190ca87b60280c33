//! From what a client sent to what is stored: pure functions over the present and the wanted object.
//!
//! [`create`], [`update`] and [`delete`] answer with an [`Action`](super::store::Action) or the
//! error Kubernetes would give. They run beside the store's writer and may run again inside it.

mod create;
mod delete;
mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub(crate) use create::create;
pub(crate) use delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation, delete};
pub(crate) use update::update;

use super::apply::{Manager, Operation, record_update};
use super::failure::{ApiError, Cause};
use super::kinds::{EVENTS, Resource, SECRETS, rules};
use super::query::FieldValidation;
use super::schema::{ErrorKind, FieldError, validate_metadata};

/// What surrounds one write.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) resource: Arc<Resource>,
    /// Of the request path; empty for cluster-scoped kinds.
    pub(crate) namespace: String,
    /// Through `/status`.
    pub(crate) status: bool,
    pub(crate) validation: FieldValidation,
    /// The verb that decides how unknown fields are worded.
    pub(crate) patching: bool,
    pub(crate) manager: Manager,
    /// `managedFields` are already right: server-side apply made them.
    pub(crate) applied: bool,
    pub(crate) now: Timestamp,
}

impl Context {
    /// For the server's own writes.
    pub(crate) fn internal(resource: Arc<Resource>, namespace: &str, now: Timestamp) -> Self {
        let manager = Manager {
            name: "longshore".to_owned(),
            operation: Operation::Update,
            subresource: String::new(),
            api_version: resource.api_version(),
        };
        Self {
            resource,
            namespace: namespace.to_owned(),
            status: false,
            validation: FieldValidation::Ignore,
            patching: false,
            manager,
            applied: false,
            now,
        }
    }

    fn is_secret(&self) -> bool {
        &*self.resource.table == SECRETS
    }

    fn invalid(&self, object: &Value, causes: &[Cause]) -> ApiError {
        ApiError::invalid(&self.resource, name(object), causes)
    }

    /// Kind, apiVersion and namespace of a body must be those of the path. Core kinds may omit the
    /// former (typed clients do).
    fn check_type(&self, object: &mut Value) -> Result<(), ApiError> {
        let resource = &self.resource;
        let Some(map) = object.as_object_mut() else {
            return Err(ApiError::bad_request("the body of the request is not an object"));
        };
        let text = |map: &Map<String, Value>, key: &str| {
            map.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (kind, api_version) = (text(map, "kind"), text(map, "apiVersion"));
        if resource.custom && (kind.is_empty() || api_version.is_empty()) {
            let missing = if kind.is_empty() { "Kind" } else { "apiVersion" };
            return Err(ApiError::bad_request(format!(
                "Object '{missing}' is missing in the body of the request"
            )));
        }
        let wanted = resource.api_version();
        if !api_version.is_empty() && api_version != wanted {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({wanted})"
            )));
        }
        if !kind.is_empty() && kind != resource.kind {
            if resource.custom {
                let cause = Cause::invalid(
                    "kind",
                    &kind.as_str().into(),
                    &format!("must be {}", resource.kind),
                );
                return Err(ApiError::invalid_named(
                    name(object),
                    &resource.group,
                    &kind,
                    &[cause],
                ));
            }
            let (version, group) = (&resource.version, &resource.group);
            return Err(ApiError::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {}: no kind \"{kind}\" is registered for the \
                 group \"{group}\"",
                resource.kind
            )));
        }
        map.insert("apiVersion".into(), wanted.into());
        map.insert("kind".into(), resource.kind.clone().into());
        let meta = map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if meta.is_null() {
            *meta = Value::Object(Map::new());
        }
        let Some(meta) = meta.as_object_mut() else {
            return Err(ApiError::bad_request(
                "the object provided is unrecognized: metadata is not an object",
            ));
        };
        meta.retain(|_, value| !value.is_null());
        let namespace = text(meta, "namespace");
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

    /// Drops unknown fields and says so as the client asked: an error, warnings, or nothing.
    fn settle_fields(&self, object: &mut Value) -> Result<Vec<String>, ApiError> {
        let resource = &self.resource;
        if !resource.custom {
            drop_nulls(object);
        }
        let mut warnings = Vec::new();
        if self.validation != FieldValidation::Ignore {
            let unknown: Vec<String> = resource
                .schema
                .unknown_fields(object)
                .into_iter()
                .map(|f| format!("unknown field \"{f}\""))
                .collect();
            if !unknown.is_empty() && self.validation == FieldValidation::Strict {
                return Err(self.strict_error(object, &unknown.join(", ")));
            }
            warnings = unknown;
        }
        resource.schema.prune(object);
        resource.schema.default(object);
        if let Some(meta) = object["metadata"].as_object_mut() {
            for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                let empty = match meta.get(field) {
                    Some(Value::Object(map)) => map.is_empty(),
                    Some(Value::Array(list)) => list.is_empty(),
                    _ => false,
                };
                if empty {
                    meta.remove(field);
                }
            }
            meta.remove("selfLink");
        }
        Ok(warnings)
    }

    fn strict_error(&self, object: &Value, unknown: &str) -> ApiError {
        let resource = &self.resource;
        let strict = format!("strict decoding error: {unknown}");
        if self.patching {
            return self.unpatchable(object, &strict);
        }
        let (kind, version) = (&resource.kind, &resource.version);
        ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: {strict}"
        ))
    }

    /// The patch fits the object, but the result is none of its kind.
    fn unpatchable(&self, object: &Value, why: &str) -> ApiError {
        let shown = if self.is_secret() {
            "(not shown)".into()
        } else {
            Value::String(object.to_string())
        };
        ApiError::invalid_request(&[Cause::invalid("patch", &shown, why)])
    }

    /// Schema, metadata and kind rules together.
    fn validate(&self, object: &Value, old: Option<&Value>) -> Result<(), ApiError> {
        let mut causes: Vec<Cause> = validate_metadata(object).into_iter().map(cause).collect();
        let found = self.resource.schema.validate(object, old);
        let mistyped = found.iter().find(|error| error.kind == ErrorKind::TypeInvalid);
        if let (false, Some(error)) = (self.resource.custom, mistyped) {
            let (kind, version) = (&self.resource.kind, &self.resource.version);
            // The detail quotes the value, which in a Secret may be a password with a typing error.
            let detail = if self.is_secret() {
                "illegal base64 data or wrong type"
            } else {
                &error.detail
            };
            let why = format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: {}: {detail}",
                error.path
            );
            return Err(if self.patching {
                self.unpatchable(object, &why)
            } else {
                ApiError::bad_request(why)
            });
        }
        causes.extend(found.into_iter().map(cause));
        causes.extend(rules::validate(&self.resource, object));
        if let Some(old) = old {
            causes.extend(rules::validate_update(&self.resource, object, old));
        }
        if causes.is_empty() {
            Ok(())
        } else {
            Err(self.invalid(object, &causes))
        }
    }

    /// Notes who wrote which fields. Events change hands too often to keep that for them.
    fn record(&self, before: Option<&Value>, after: &mut Value) {
        if &*self.resource.table == EVENTS {
            if let Some(meta) = after["metadata"].as_object_mut() {
                meta.remove("managedFields");
            }
        } else if !self.applied {
            record_update(before, after, &self.manager, &self.resource.merge, self.now);
        }
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn cause(error: FieldError) -> Cause {
    Cause {
        reason: error.kind.as_str().into(),
        message: error.detail,
        field: error.path,
    }
}

/// A typed decoder drops nulls; so does this for core kinds.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The strings of a list field of `metadata` or `spec`.
fn strings<'v>(object: &'v Value, pointer: &str) -> Vec<&'v str> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Nothing holds the object back any more.
fn released(object: &Value) -> bool {
    let namespace = object["kind"] == "Namespace";
    !object["metadata"]["deletionTimestamp"].is_null()
        && strings(object, "/metadata/finalizers").is_empty()
        && (!namespace || strings(object, "/spec/finalizers").is_empty())
}
