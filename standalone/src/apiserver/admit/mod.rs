//! From what a client sent to what is stored: pure functions over the present and the wanted object.
//!
//! [`create`], [`update`] and [`delete`] answer with an [`Action`](super::store::Action) or the
//! error Kubernetes would give. They run beside the store's writer and may run again inside it.

mod create;
mod decode;
mod delete;
mod finalizers;
mod kind;
mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use create::create;
pub(crate) use delete::{DeleteOptions, FOREGROUND, ORPHAN, Propagation, delete};
pub(crate) use update::update;

use super::apply::{Manager, Operation, record_update};
use super::failure::{ApiError, Cause};
use super::kinds::{NAMESPACES, Resource, SECRETS, rules};
use super::query::FieldValidation;
use super::schema::{ErrorKind, FieldError, Names, validate_metadata};
use decode::canonical_numbers;

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

    /// Drops unknown fields and says so as the client asked: an error, warnings, or nothing.
    fn settle_fields(&self, object: &mut Value) -> Result<Vec<String>, ApiError> {
        let resource = &self.resource;
        if resource.custom {
            canonical_numbers(object);
        } else {
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
        if !self.applied {
            resource.schema.drop_nulls(object);
        }
        resource.schema.default(object);
        if let Some(meta) = object["metadata"].as_object_mut() {
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

    /// Schema, metadata and kind rules together, after the `causes` there are already.
    fn validate(&self, object: &Value, old: Option<&Value>, mut causes: Vec<Cause>) -> Result<(), ApiError> {
        let names = if &*self.resource.table == NAMESPACES {
            Names::Labels
        } else {
            Names::Subdomains
        };
        causes.extend(validate_metadata(object, names).into_iter().map(cause));
        let mut found = self.resource.schema.validate(object, old);
        if self.status && self.resource.custom {
            found.iter_mut().for_each(word_as_status);
        }
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
        if self.resource.holds_events() {
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

/// Through `/status` Kubernetes validates the status by itself: a message then names what is below it.
fn word_as_status(error: &mut FieldError) {
    let below = error.path.strip_prefix("status").unwrap_or(&error.path);
    let below = below.strip_prefix('.').unwrap_or(below);
    let (long, short) = (format!(": {} in body", error.path), format!(": {below} in body"));
    error.detail = error.detail.replacen(&long, &short, 1);
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
