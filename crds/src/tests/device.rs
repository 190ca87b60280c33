//! Devices as somebody may write them.

use serde_json::json;

use super::*;

fn device(spec: &Value) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "Device",
        "metadata": {"name": "dev1", "namespace": "default"},
        "spec": spec,
    })
}

#[test]
fn a_device_may_say_little_or_all() {
    let schema = Checked::new("device");
    for spec in [
        json!({}),
        json!({"paused": true}),
        json!({"paused": false, "displayName": "Pump 7, hall 2", "deletionPolicy": "Orphan"}),
        json!({"deletionPolicy": "Delete"}),
    ] {
        assert_eq!(schema.refusals(&device(&spec)), Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn a_wrong_device_is_refused_with_its_field_and_reason() {
    let schema = Checked::new("device");
    for (spec, wanted) in [
        (json!({"pause": true}), "spec.pause: unknown field"),
        (json!({"overrides": []}), "spec.overrides: unknown field"),
        (json!({"paused": "yes"}), "spec.paused: must be of type boolean"),
        (
            json!({"deletionPolicy": "Retain"}),
            "spec.deletionPolicy: Unsupported value",
        ),
        (
            json!({"displayName": "x".repeat(257)}),
            "spec.displayName: may not be more than 256",
        ),
        (
            json!({"displayName": 7}),
            "spec.displayName: must be of type string",
        ),
        (json!([]), "spec: must be of type object"),
    ] {
        let refusals = schema.refusals(&device(&spec));
        assert!(
            refusals.iter().any(|r| r == wanted),
            "{wanted} not in {refusals:?}"
        );
    }
    let mut without = device(&json!({}));
    without.as_object_mut().unwrap().remove("spec");
    assert_eq!(schema.refusals(&without), ["spec: Required value"]);
}
