//! Every way to be refused, in one table.

use http::Method;
use serde_json::{Value, json};

use super::toy::{CONFIG_MAPS, WORKLOADS, config_map, post, send, server, workload};

const SYSTEM_SECRETS: &str = "/api/v1/namespaces/longshore-system/secrets";

#[tokio::test(start_paused = true)]
async fn every_refusal_has_kubernetes_code_reason_and_words() {
    let server = server().await;
    post(&server, WORKLOADS, &workload("there", "a")).await;
    let site = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "longshore-site"}});
    post(&server, SYSTEM_SECRETS, &site).await;
    let bare = json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "metadata": {}, "spec": {"image": "a"}});
    let mut foreign = workload("x", "a");
    foreign["kind"] = "Foo".into();
    let mut unknown = workload("x", "a");
    unknown["spec"]["foo"] = 1.into();
    let there = format!("{WORKLOADS}/there");
    let strategic = "application/strategic-merge-patch+json";
    let apply = "application/apply-patch+yaml";
    let json_patch = "application/json-patch+json";
    let table: Vec<(Method, String, &str, Value, u16, &str, &str)> = vec![
        (
            Method::GET,
            "/api/v1/pods".to_owned(),
            "",
            Value::Null,
            404,
            "NotFound",
            "the server could not find the requested resource",
        ),
        (
            Method::GET,
            format!("{WORKLOADS}/no"),
            "",
            Value::Null,
            404,
            "NotFound",
            "workloads.longshore.dev \"no\" not found",
        ),
        (
            Method::POST,
            WORKLOADS.to_owned(),
            "",
            workload("there", "a"),
            409,
            "AlreadyExists",
            "workloads.longshore.dev \"there\" already exists",
        ),
        (
            Method::POST,
            "/api/v1/namespaces/no/configmaps".to_owned(),
            "",
            config_map("a", "a"),
            404,
            "NotFound",
            "namespaces \"no\" not found",
        ),
        (
            Method::POST,
            WORKLOADS.to_owned(),
            "",
            bare,
            422,
            "Invalid",
            "Workload.longshore.dev \"\" is invalid: metadata.name: Required value: name or generateName is required",
        ),
        (
            Method::POST,
            WORKLOADS.to_owned(),
            "",
            foreign,
            422,
            "Invalid",
            "Foo.longshore.dev \"x\" is invalid: kind: Invalid value: \"Foo\": must be Workload",
        ),
        (
            Method::POST,
            format!("{WORKLOADS}?fieldValidation=Strict"),
            "",
            unknown,
            400,
            "BadRequest",
            "Workload in version \"v1alpha1\" cannot be handled as a Workload: strict decoding error: unknown field \"spec.foo\"",
        ),
        (
            Method::POST,
            WORKLOADS.to_owned(),
            "",
            workload("x", "forbidden"),
            422,
            "Invalid",
            "Workload.longshore.dev \"x\" is invalid: spec: Invalid value: no such image",
        ),
        (
            Method::POST,
            WORKLOADS.to_owned(),
            "text/plain",
            workload("x", "a"),
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        ),
        (
            Method::PUT,
            there.clone(),
            "",
            workload("there", "b"),
            422,
            "Invalid",
            "workloads.longshore.dev \"there\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update",
        ),
        (
            Method::PUT,
            there.clone(),
            "",
            workload("other", "b"),
            400,
            "BadRequest",
            "the name of the object (other) does not match the name on the URL (there)",
        ),
        (
            Method::PATCH,
            there.clone(),
            strategic,
            json!({}),
            415,
            "UnsupportedMediaType",
            "",
        ),
        (
            Method::PATCH,
            there.clone(),
            "application/json",
            json!({}),
            415,
            "UnsupportedMediaType",
            "",
        ),
        (
            Method::PATCH,
            there.clone(),
            apply,
            workload("there", "b"),
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ),
        (
            Method::PATCH,
            there.clone(),
            json_patch,
            json!([{"op": "test", "path": "/spec/image", "value": "z"}]),
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        (
            Method::DELETE,
            "/api/v1/namespaces/default".to_owned(),
            "",
            Value::Null,
            403,
            "Forbidden",
            "namespaces \"default\" is forbidden: this namespace may not be deleted",
        ),
        (
            Method::DELETE,
            format!("{SYSTEM_SECRETS}/longshore-site"),
            "",
            Value::Null,
            403,
            "Forbidden",
            "secrets \"longshore-site\" is forbidden: it holds this site's identity: under another one every device \
             would refuse this site, and what runs there could not be changed or removed any more",
        ),
        (
            Method::DELETE,
            SYSTEM_SECRETS.to_owned(),
            "",
            Value::Null,
            403,
            "Forbidden",
            "",
        ),
        (
            Method::POST,
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
            "",
            json!({}),
            405,
            "MethodNotAllowed",
            "",
        ),
        (
            Method::GET,
            format!("{CONFIG_MAPS}?labelSelector=a%20in%20("),
            "",
            Value::Null,
            400,
            "BadRequest",
            "",
        ),
        (
            Method::GET,
            format!("{CONFIG_MAPS}?fieldSelector=spec.x%3D1"),
            "",
            Value::Null,
            400,
            "BadRequest",
            "field label not supported: spec.x",
        ),
        (
            Method::GET,
            format!("{CONFIG_MAPS}?resourceVersion=99999999999999999"),
            "",
            Value::Null,
            504,
            "Timeout",
            "",
        ),
        (
            Method::GET,
            format!("{CONFIG_MAPS}?resourceVersion=5&resourceVersionMatch=Exact"),
            "",
            Value::Null,
            410,
            "Expired",
            "",
        ),
    ];
    for (method, path, content_type, body, code, reason, message) in table {
        let (status, answer) = send(&server, method.clone(), &path, content_type, &body).await;
        let label = format!("{method} {path} {content_type} {body}: {answer}");
        assert_eq!(status.as_u16(), code, "{label}");
        assert_eq!(answer["kind"], "Status", "{label}");
        assert_eq!(answer["reason"], reason, "{label}");
        assert!(message.is_empty() || answer["message"] == message, "{label}");
    }
}
