//! A small kind, a clock and a uid source that tests can foresee, and requests without a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use crate::apiserver::{ApiServer, Backing, Config, Token, Uids, serve, suffix_from};

pub(super) const WORKLOADS: &str = "/apis/longshore.dev/v1alpha1/namespaces/default/workloads";
pub(super) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub(super) fn crd() -> CustomResourceDefinition {
    let condition = json!({"type": "object", "required": ["type", "status"], "properties": {
        "type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"},
    }});
    let schema = json!({"type": "object", "required": ["spec"], "description": "A toy.", "properties": {
        "spec": {
            "type": "object", "required": ["image"], "description": "What should run.",
            "x-kubernetes-validations": [{"rule": "self.image != 'forbidden'", "message": "no such image"}],
            "properties": {
                "image": {"type": "string"},
                "replicas": {"type": "integer", "default": 1, "minimum": 0},
            },
        },
        "status": {"type": "object", "properties": {
            "observedGeneration": {"type": "integer"},
            "conditions": {
                "type": "array", "items": condition,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
            },
        }},
    }});
    serde_json::from_value(json!({
        "metadata": {"name": "workloads.longshore.dev"},
        "spec": {
            "group": "longshore.dev", "scope": "Namespaced",
            "names": {"plural": "workloads", "singular": "workload", "kind": "Workload", "shortNames": ["wl"], "categories": ["longshore", "all"]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    }))
    .unwrap()
}

pub(super) fn workload(name: &str, image: &str) -> Value {
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "metadata": {"name": name}, "spec": {"image": image}})
}

pub(super) fn config_map(name: &str, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": app}}, "data": {"k": "v"}})
}

/// Counts up.
#[derive(Default)]
struct Counted(AtomicU64);

impl Uids for Counted {
    fn uid(&self) -> String {
        format!(
            "00000000-0000-4000-8000-{:012}",
            self.0.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn suffix(&self) -> String {
        let mut n = usize::try_from(self.0.fetch_add(1, Ordering::Relaxed)).unwrap();
        suffix_from(|bound| {
            let digit = n % bound;
            n /= bound;
            digit
        })
    }
}

/// A clock set by hand.
#[derive(Clone)]
pub(super) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(super) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

pub(super) fn config(backing: Backing) -> (Config, Hands) {
    let hands = Hands(Arc::new(AtomicI64::new(1_700_000_000)));
    let seconds = hands.0.clone();
    let mut config = Config::new(vec![crd()], backing);
    config.clock = Arc::new(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap());
    config.uids = Arc::new(Counted::default());
    config.token = Some(Token::new(TOKEN));
    (config, hands)
}

pub(super) async fn server() -> ApiServer {
    ApiServer::open(config(Backing::Memory).0).await.unwrap()
}

/// One request with a JSON body; `content_type` empty means JSON.
pub(super) async fn send(
    server: &ApiServer,
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let content_type = if content_type.is_empty() {
        "application/json"
    } else {
        content_type
    };
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(body)
        .unwrap();
    request.extensions_mut().insert(serve::InProcess);
    let response = serve::handle(server.core.clone(), request).await;
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()),
    )
}

pub(super) async fn get(server: &ApiServer, path: &str) -> (StatusCode, Value) {
    send(server, Method::GET, path, "", &Value::Null).await
}

pub(super) async fn post(server: &ApiServer, path: &str, body: &Value) -> (StatusCode, Value) {
    send(server, Method::POST, path, "", body).await
}

pub(super) async fn merge(server: &ApiServer, path: &str, patch: &Value) -> (StatusCode, Value) {
    send(server, Method::PATCH, path, "application/merge-patch+json", patch).await
}

pub(super) async fn delete(server: &ApiServer, path: &str) -> (StatusCode, Value) {
    send(server, Method::DELETE, path, "", &Value::Null).await
}

/// Reads a watch to its end, as events. Its end is its `timeoutSeconds`, on tokio's clock.
pub(super) async fn watched(server: &ApiServer, path: &str) -> Vec<(String, Value)> {
    let (status, body) = get(server, path).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let text = match body {
        // A single line parses as JSON as a whole.
        Value::Object(one) => Value::Object(one).to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    text.lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            (
                event["type"].as_str().unwrap().to_owned(),
                event["object"].clone(),
            )
        })
        .collect()
}
