//! What goes wrong, as Kubernetes words it: every refused request is a `Status` object whose code,
//! reason, message and details clients parse.

mod cause;

use http::StatusCode;
use serde_json::{Map, Value, json};

pub(crate) use cause::{Cause, go_kind};

use super::depth;
use super::kinds::Resource;
use cause::list_causes;

/// A refusal, ready to be sent as a `Status`.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
    warnings: Vec<String>,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            warnings: Vec::new(),
        }))
    }

    /// The refusal with what was to be warned of besides.
    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.0.warnings = warnings;
        self
    }

    pub(crate) fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    fn about(mut self, name: &str, group: &str, kind: &str) -> Self {
        let details = &mut self.0.details;
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details.insert(key.into(), value.into());
            }
        }
        self
    }

    fn because(mut self, causes: &[Cause]) -> Self {
        if !causes.is_empty() {
            let list = causes.iter().map(|c| {
                let mut cause = Map::from_iter([("reason".to_owned(), Value::from(c.reason.as_str()))]);
                if !c.message.is_empty() {
                    cause.insert("message".into(), c.message.as_str().into());
                }
                if !c.field.is_empty() {
                    cause.insert("field".into(), c.field.as_str().into());
                }
                Value::Object(cause)
            });
            self.0.details.insert("causes".into(), list.collect());
        }
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.0.details.insert("retryAfterSeconds".into(), seconds.into());
        self
    }

    pub(crate) fn code(&self) -> StatusCode {
        self.0.code
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// Seconds for the `Retry-After` header, where the client should try again.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        self.0.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The `Status` object on the wire.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.0.message, "code": self.0.code.as_u16(),
        });
        if !self.0.reason.is_empty() {
            status["reason"] = self.0.reason.into();
        }
        if !self.0.details.is_empty() {
            status["details"] = Value::Object(self.0.details.clone());
        }
        status
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// An update whose object has no name.
    pub(crate) fn unnamed(name: &str) -> Self {
        Self::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        ))
    }

    /// An update whose object has another name.
    pub(crate) fn misnamed(asked: &str, name: &str) -> Self {
        Self::bad_request(format!(
            "the name of the object ({asked}) does not match the name on the URL ({name})"
        ))
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// No such path, or no such kind of resource.
    pub(crate) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self::not_found_in(&resource.group, &resource.plural, name)
    }

    pub(crate) fn not_found_in(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(plural, group));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(name, group, plural)
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str, deleting: bool) -> Self {
        let deleting = if deleting { "object is being deleted: " } else { "" };
        let message = format!("{deleting}{} \"{name}\" already exists", resource.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(
            name,
            &resource.group,
            &resource.plural,
        )
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// A delete whose preconditions do not hold. Kubernetes names the kind here, not the resource.
    pub(crate) fn precondition(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(&resource.kind, &resource.group)
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(name, &resource.group, &resource.kind)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified()
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(name, &resource.group, &resource.plural)
    }

    /// Server-side apply met fields of other managers; `message` lists them.
    pub(crate) fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message).because(causes)
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_named(name, &resource.group, &resource.kind, causes)
    }

    /// Options in the query or in a body of their own: `ListOptions`, `PatchOptions`, …
    pub(crate) fn invalid_options(kind: &str, causes: &[Cause]) -> Self {
        Self::invalid_named("", "meta.k8s.io", kind, causes)
    }

    pub(crate) fn invalid_named(name: &str, group: &str, kind: &str, causes: &[Cause]) -> Self {
        let message = format!(
            "{} \"{name}\" is invalid: {}",
            qualified(kind, group),
            list_causes(causes)
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
            .about(name, group, kind)
            .because(causes)
    }

    /// An object that could not be read back once it is stored.
    pub(crate) fn too_deep(resource: &Resource, name: &str) -> Self {
        Self::bad_request(format!(
            "{} \"{name}\" nests deeper than {} levels (its metadata.managedFields count as well)",
            resource.qualified(),
            depth::LIMIT
        ))
    }

    /// The name belongs to an object that the store holds and this server cannot read.
    pub(crate) fn unreadable(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the store holds an object of this name that cannot be read; the server's log of its start says more",
        )
    }

    /// A patch that does not fit the object: a failed `test`, a path that is not there. As in Kubernetes the answer
    /// does not say why; kubectl would show a cause in place of the message.
    pub(crate) fn rejected_patch() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    }

    /// A request that is invalid as such, with no object to name.
    pub(crate) fn invalid_request(causes: &[Cause]) -> Self {
        let message = format!(" \"\" is invalid: {}", list_causes(causes));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).because(causes)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(name, &resource.group, &resource.plural)
    }

    pub(crate) fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".into(),
        };
        Self::forbidden(resource, name, &why).because(&[cause])
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "NotAcceptable",
            format!("only the following media types are accepted: {accepted}"),
        )
    }

    pub(crate) fn unsupported_media_type(accepted: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {accepted}"
            ),
        )
    }

    pub(crate) fn too_large(why: &str) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: {why}"),
        )
    }

    /// The wanted resourceVersion is older than the history kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// The wanted resourceVersion lies in the future: never seen here.
    pub(crate) fn future_version(wanted: u64, current: u64) -> Self {
        let cause = Cause {
            reason: "ResourceVersionTooLarge".into(),
            message: "Too large resource version".into(),
            field: String::new(),
        };
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "Timeout",
            format!("Timeout: Too large resource version: {wanted}, current: {current}"),
        )
        .because(&[cause])
        .retry_after(1)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let cause = Cause {
            reason: String::new(),
            message: message.clone(),
            field: String::new(),
        };
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
        .because(&[cause])
    }

    /// An error whose text is the whole message, as Kubernetes sends for untyped failures.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// The store refused the write; nothing was changed as far as the server knows.
    pub(crate) fn storage(full: bool, message: impl Into<String>) -> Self {
        let code = if full {
            StatusCode::INSUFFICIENT_STORAGE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self::new(code, "InternalError", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).retry_after(1)
    }
}

/// `workloads.longshore.dev`; or `configmaps` for the core group.
pub(crate) fn qualified(plural: &str, group: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}
