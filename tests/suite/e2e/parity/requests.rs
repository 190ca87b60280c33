//! The requests, in the order in which they are sent.

mod core_kinds;
mod our_kinds;

use serde_json::{Value, json};

/// Whether both servers answer alike.
pub(super) enum Verdict {
    Same,
    /// They do, in other words, for this reason.
    Words(&'static str),
    /// They do not, for this reason.
    Differs(&'static str),
}

/// One request.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) content: Option<&'static str>,
    pub(super) accept: &'static str,
    pub(super) body: String,
    pub(super) verdict: Verdict,
    /// Where the answer tells of the server itself.
    pub(super) code_only: bool,
}

impl Row {
    fn differs(mut self, why: &'static str) -> Self {
        self.verdict = Verdict::Differs(why);
        self
    }

    fn in_other_words(mut self, why: &'static str) -> Self {
        self.verdict = Verdict::Words(why);
        self
    }

    fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    fn content(mut self, content: &'static str) -> Self {
        self.content = Some(content);
        self
    }

    fn code_only(mut self) -> Self {
        self.code_only = true;
        self
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STEPS: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIALS: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

const MAPS: &str = "/api/v1/namespaces/parity/configmaps";
const SECRETS: &str = "/api/v1/namespaces/parity/secrets";
const DEVICES: &str = "/apis/longshore.dev/v1alpha1/namespaces/parity/devices";
const WORKLOADS: &str = "/apis/longshore.dev/v1alpha1/namespaces/parity/workloads";

fn row(method: &'static str, path: impl Into<String>, body: &Value) -> Row {
    let path = path.into();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Row {
        name: format!("{method} {path} {body}"),
        method,
        path,
        content: (!body.is_empty()).then_some(JSON),
        accept: JSON,
        body,
        verdict: Verdict::Same,
        code_only: false,
    }
}

fn get(path: impl Into<String>) -> Row {
    row("GET", path, &Value::Null)
}

/// Who writes is named, because the default is made of the client's own name.
fn by(path: &str, parameters: &str) -> String {
    format!("{path}?fieldManager=parity{parameters}")
}

fn post(path: &str, parameters: &str, body: &Value) -> Row {
    row("POST", by(path, parameters), body)
}

fn put(path: &str, parameters: &str, body: &Value) -> Row {
    row("PUT", by(path, parameters), body)
}

fn patch(kind: &'static str, path: &str, body: &Value) -> Row {
    row("PATCH", by(path, ""), body).content(kind)
}

fn apply(path: &str, manager: &str, parameters: &str, body: &Value) -> Row {
    row(
        "PATCH",
        format!("{path}?fieldManager={manager}{parameters}"),
        body,
    )
    .content(APPLY)
}

fn delete(path: impl Into<String>, body: &Value) -> Row {
    row("DELETE", path, body)
}

fn map(name: &str, more: &Value) -> Value {
    object("v1", "ConfigMap", name, more)
}

fn secret(name: &str, more: &Value) -> Value {
    object("v1", "Secret", name, more)
}

fn device(name: &str, spec: &Value) -> Value {
    object("longshore.dev/v1alpha1", "Device", name, &json!({"spec": spec}))
}

fn workload(name: &str, containers: &Value) -> Value {
    let spec = json!({"targets": [{"device": "d"}], "template": {"containers": containers}});
    object("longshore.dev/v1alpha1", "Workload", name, &json!({"spec": spec}))
}

fn object(version: &str, kind: &str, name: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    for (field, value) in more.as_object().into_iter().flatten() {
        if field == "metadata" {
            for (field, value) in value.as_object().into_iter().flatten() {
                object["metadata"][field] = value.clone();
            }
        } else {
            object[field] = value.clone();
        }
    }
    object
}

pub(super) fn rows() -> Vec<Row> {
    let namespace = row(
        "POST",
        by("/api/v1/namespaces", ""),
        &json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "parity"},
        }),
    );
    [
        vec![namespace, get("/api/v1/namespaces/parity")],
        core_kinds::core_writes(),
        core_kinds::core_reads(),
        core_kinds::core_patches(),
        core_kinds::applies(),
        core_kinds::immutables(),
        our_kinds::custom(),
        our_kinds::custom_refusals(),
        deletes(),
        the_server_itself(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn deletes() -> Vec<Row> {
    let (a, d) = (format!("{MAPS}/a"), format!("{DEVICES}/d"));
    let options = |more: Value| {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        for (field, value) in more.as_object().into_iter().flatten() {
            options[field] = value.clone();
        }
        options
    };
    vec![
        delete(format!("{MAPS}/nobody"), &Value::Null),
        delete(format!("{a}?dryRun=All"), &Value::Null),
        delete(
            a.clone(),
            &options(json!({"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}})),
        ),
        delete(
            a.clone(),
            &options(json!({"preconditions": {"resourceVersion": "1"}})),
        )
        .in_other_words("a version is told"),
        delete(format!("{a}?propagationPolicy=Sometimes"), &Value::Null),
        patch(
            MERGE,
            &a,
            &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        ),
        delete(a.clone(), &Value::Null),
        delete(a.clone(), &Value::Null),
        patch(
            MERGE,
            &a,
            &json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}),
        )
        .differs("the cause is told once, not twice"),
        patch(MERGE, &a, &json!({"metadata": {"finalizers": null}}))
            .differs("the object that goes has the version of its end, not of its last state"),
        get(a),
        delete(format!("{MAPS}?labelSelector=x%3D2"), &Value::Null),
        get(format!("{MAPS}?labelSelector=x")),
        patch(
            MERGE,
            &d,
            &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        ),
        delete(d.clone(), &options(json!({"propagationPolicy": "Background"}))),
        patch(MERGE, &d, &json!({"spec": {"paused": true}})),
        patch(
            STEPS,
            &d,
            &json!([{"op": "remove", "path": "/metadata/finalizers"}]),
        )
        .differs("the object that goes has the version of its end, not of its last state"),
        get(d),
        delete(DEVICES, &Value::Null),
        get(DEVICES),
        delete(format!("{WORKLOADS}/w"), &Value::Null),
    ]
}

fn the_server_itself() -> Vec<Row> {
    vec![
        get("/livez"),
        get("/readyz"),
        get("/healthz"),
        get("/livez/ping"),
        get("/version").code_only(),
        get("/api").code_only(),
        get("/apis").code_only(),
        get("/api/v1").code_only(),
        get("/openapi/v3").code_only(),
        get("/openapi/v3/apis/longshore.dev/v1alpha1").code_only(),
        get("/openapi/v2").code_only(),
        get("/apis/nothing.example.com").differs("a path nobody knows gets a Status, not a text"),
        get("/apis/nothing.example.com/v1/things").differs("a path nobody knows gets a Status, not a text"),
        get("/nothing").differs("a path nobody knows gets a Status, not a text"),
        row(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            &json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "devices", "group": "longshore.dev"}},
            }),
        ).differs("there is one user, and the review has no metadata"),
    ]
}
