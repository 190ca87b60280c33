//! From an HTTP request to an HTTP response.
//!
//! Paths are dispatched here; what a verb does lies in [`read`], [`watch`] and [`write`], the rest
//! of what clients ask for in [`discovery`], [`openapi`] and [`reviews`].

mod body;
pub(crate) mod discovery;
pub(crate) mod openapi;
mod patch;
mod read;
mod render;
mod reviews;
mod route;
mod watch;
mod write;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER, WARNING,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Core;
use super::failure::ApiError;
use super::kinds::Resource;
use super::negotiate;
use super::query::Query;
use super::selector::Selector;
use super::store::{Key, Store};
use render::{Include, Renderer};
use route::{ObjectPath, Route, route};

/// Marks a request that came through the in-process client. No network request can carry it:
/// extensions are not part of HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InProcess;

/// Ends the watches of one listener, carried by its requests.
#[derive(Debug, Clone)]
pub(crate) struct Drain(pub(crate) CancellationToken);

/// An answer before it becomes HTTP.
pub(crate) struct Reply {
    status: StatusCode,
    content_type: &'static str,
    etag: Option<String>,
    warnings: Vec<String>,
    body: Body,
}

impl Reply {
    fn json(body: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "application/json",
            etag: None,
            warnings: Vec::new(),
            body: Body::from(body),
        }
    }

    fn value(value: &Value) -> Self {
        Self::json(value.to_string().into())
    }

    fn text(text: &'static str) -> Self {
        Self {
            content_type: "text/plain; charset=utf-8",
            ..Self::json(Bytes::from_static(text.as_bytes()))
        }
    }

    fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// A document that seldom changes; clients that have it already are told so.
    fn tagged(body: Bytes, content_type: &'static str, etag: String) -> Self {
        Self {
            content_type,
            etag: Some(etag),
            ..Self::json(body)
        }
    }
}

/// The resource, and where in it, that a request is about.
struct Scope {
    store: Store,
    resource: Arc<Resource>,
    /// As in the path; empty means all, or none for cluster-scoped kinds.
    namespace: String,
    name: String,
    /// `/status`.
    status: bool,
}

impl Scope {
    fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    fn namespace(&self) -> Option<&str> {
        (!self.namespace.is_empty()).then_some(self.namespace.as_str())
    }
}

/// Answers one request. Never fails: errors are answers too.
pub(crate) async fn handle(core: Arc<Core>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let if_none_match = parts.headers.get(IF_NONE_MATCH).cloned();
    let head = parts.method == Method::HEAD;
    let answer = Box::pin(dispatch(&core, &parts, body)).await;
    let mut response = match answer {
        Ok(reply) => respond(reply, if_none_match.as_ref()),
        Err(error) => refuse(&error),
    };
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

fn respond(reply: Reply, if_none_match: Option<&HeaderValue>) -> Response<Body> {
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    for warning in reply.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        // A warning with characters no header can carry is dropped: the answer matters more.
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
            headers.append(WARNING, value);
        }
    }
    if let Some(etag) = reply
        .etag
        .and_then(|etag| HeaderValue::try_from(format!("\"{etag}\"")).ok())
    {
        let known = if_none_match == Some(&etag);
        headers.insert(ETAG, etag);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
        }
    }
    response
}

fn refuse(error: &ApiError) -> Response<Body> {
    if error.code().is_server_error() {
        tracing::warn!(code = error.code().as_u16(), reason = error.reason(), %error, "a request failed");
    }
    let reply = Reply::value(&error.to_status()).with_status(error.code());
    let mut response = respond(reply.with_warnings(error.warnings().to_vec()), None);
    if let Some(seconds) = error.retry_after_seconds() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match error.code() {
        StatusCode::UNAUTHORIZED => {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
        }
        _ => {}
    }
    response
}

async fn dispatch(core: &Arc<Core>, parts: &Parts, body: Body) -> Result<Reply, ApiError> {
    let path = route(parts.uri.path());
    // Liveness and the version are open to everybody, as in Kubernetes.
    match path {
        Route::Health => return Ok(Reply::text("ok")),
        Route::Version => return Ok(Reply::value(&version())),
        _ => {}
    }
    authenticate(core, parts)?;
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    let wanted = || negotiate::discovery(&parts.headers);
    match path {
        Route::Object(path) => object(core, parts, path, body).await,
        _ if !reading => Err(ApiError::method_not_allowed()),
        Route::CoreVersions => Ok(discovery::core_versions(&core.registry, wanted())),
        Route::Groups => Ok(discovery::groups(&core.registry, wanted())),
        Route::Group(group) => discovery::group(&core.registry, &group),
        Route::Resources { group, version } => discovery::resources(&core.registry, &group, &version),
        Route::OpenApiV2 => Ok(core
            .openapi
            .v2(&core.registry, negotiate::openapi_v2(&parts.headers))),
        Route::OpenApiIndex => Ok(core.openapi.index(&core.registry)),
        Route::OpenApi(path) => core.openapi.document(&core.registry, &path),
        Route::Version | Route::Health | Route::Unknown => Err(ApiError::no_such_path()),
    }
}

/// Everybody with the token is the administrator; nobody else is anybody.
fn authenticate(core: &Core, parts: &Parts) -> Result<(), ApiError> {
    if parts.extensions.get::<InProcess>().is_some() {
        return Ok(());
    }
    let header = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let presented = header.strip_prefix("Bearer ").unwrap_or_default().trim();
    match &core.token {
        Some(token) if token.matches(presented) => Ok(()),
        _ => Err(ApiError::unauthorized()),
    }
}

async fn object(core: &Arc<Core>, parts: &Parts, path: ObjectPath, body: Body) -> Result<Reply, ApiError> {
    if let Some(review) = reviews::find(&path) {
        if parts.method != Method::POST {
            return Err(ApiError::method_not_allowed());
        }
        let sent = body::read(&parts.headers, body).await?;
        return reviews::answer(core, review, sent);
    }
    let resource = core
        .registry
        .find(&path.group, &path.version, &path.plural)
        .cloned();
    let resource = resource.ok_or_else(ApiError::no_such_path)?;
    let status = match path.subresource.as_str() {
        "" => false,
        "status" if resource.status => true,
        _ if resource.custom => return Err(ApiError::not_found(&resource, &path.name)),
        _ => return Err(ApiError::no_such_path()),
    };
    let misplaced = resource.namespaced && path.namespace.is_empty() && !path.name.is_empty();
    if misplaced || (!resource.namespaced && !path.namespace.is_empty()) {
        return Err(ApiError::no_such_path());
    }
    let scope = Scope {
        store: core.store.clone(),
        resource,
        namespace: path.namespace,
        name: path.name,
        status,
    };
    verb(core, parts, scope, body).await
}

async fn verb(core: &Arc<Core>, parts: &Parts, scope: Scope, body: Body) -> Result<Reply, ApiError> {
    let query = Query::parse(&parts.uri)?;
    let named = !scope.name.is_empty();
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    let watching = reading && query.flag("watch");
    let renderer = Renderer {
        resource: scope.resource.clone(),
        show: negotiate::show(&parts.headers, reading && !named)?,
        include: Include::parse(query.get("includeObject")),
        now: core.sources.now(),
    };
    let selector = Selector::parse(
        &scope.resource,
        query.get("labelSelector"),
        query.get("fieldSelector"),
    )?;
    if !reading && !scope.resource.writable {
        return Err(ApiError::method_not_allowed());
    }
    match parts.method {
        Method::GET | Method::HEAD if watching => {
            let selector = if named {
                selector.named(&scope.name)
            } else {
                selector
            };
            let drain = parts
                .extensions
                .get::<Drain>()
                .map_or_else(CancellationToken::new, |drain| drain.0.clone());
            let stop = [core.stop.clone(), drain];
            let lines = watch::watch(&scope, &query, selector, renderer, core.sources.clone(), stop)?;
            Ok(Reply {
                body: Body::from_stream(lines),
                ..Reply::json(Bytes::new())
            })
        }
        Method::GET | Method::HEAD if named => read::get(&scope, &renderer),
        Method::GET | Method::HEAD => read::list(&scope, &query, &selector, &renderer).await,
        Method::POST if !named => {
            let sent = body::read(&parts.headers, body).await?;
            write::create(core, &scope, &query, parts, &renderer, sent).await
        }
        Method::PUT if named => {
            let sent = body::read(&parts.headers, body).await?;
            write::replace(core, &scope, &query, parts, &renderer, sent).await
        }
        Method::PATCH if named => patch::patch(core, &scope, &query, parts, &renderer, body).await,
        Method::DELETE if scope.status => Err(ApiError::method_not_allowed()),
        Method::DELETE => {
            let options = body::delete_options(&parts.headers, &query, body).await?;
            if named {
                write::delete(core, &scope, parts, &query, &renderer, options).await
            } else {
                write::delete_collection(core, &scope, parts, &query, &selector, &renderer, options).await
            }
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "33",
        // The API level spoken, and plainly not a cluster.
        "gitVersion": concat!("v1.33.0+longshore-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
