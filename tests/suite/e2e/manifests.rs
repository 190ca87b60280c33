//! The objects that tests apply, as users write them.

use longshore_tests::harness::site::DEVICE;
use serde_json::{Value, json};

/// A Workload on the site's own device that is quick to judge a container.
pub(super) fn workload(name: &str, template: &Value) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "targets": [{"device": DEVICE}],
            "template": template,
            "rollout": {"minReadySeconds": 1, "progressDeadlineSeconds": 120},
        },
    })
}

/// A Workload `name` with the one container `web` of this image, on a port of the device.
pub(super) fn web(name: &str, image: &str, port: u16) -> Value {
    workload(name, &json!({"containers": [server("web", image, Some(port))]}))
}

/// A container that serves, with a readiness probe, on a port of the device if there is one.
pub(super) fn server(name: &str, image: &str, port: Option<u16>) -> Value {
    let mut container = json!({
        "name": name,
        "image": image,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    });
    if let Some(port) = port {
        container["ports"] = json!([{"containerPort": 8080, "hostPort": port}]);
    }
    container
}

/// A Secret or ConfigMap with these texts.
pub(super) fn content(kind: &str, name: &str, texts: &Value) -> Value {
    let field = if kind == "Secret" { "stringData" } else { "data" };
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        field: texts,
    })
}

/// The first container of a Workload, to change it.
pub(super) fn first_container(workload: &mut Value) -> &mut Value {
    &mut workload["spec"]["template"]["containers"][0]
}
