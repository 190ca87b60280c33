//! The rules Kubernetes has for single core kinds: defaults, what may not change, what must be there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::{NAMESPACES, Resource, SECRETS};
use crate::apiserver::failure::Cause;

/// All values of a ConfigMap or Secret together.
const DATA_LIMIT: usize = 1 << 20;
/// Namespaces that cannot be deleted.
pub(crate) const PROTECTED_NAMESPACES: [&str; 2] = ["default", "longshore-system"];
/// The Secret, by namespace and name, that cannot be deleted: the site's identity.
pub(crate) const PROTECTED_SECRET: (&str, &str) = ("longshore-system", "longshore-site");

/// Fills in what Kubernetes fills in.
pub(crate) fn default(resource: &Resource, object: &mut Value) {
    match &*resource.table {
        SECRETS => {
            let given = object.as_object_mut().and_then(|o| o.remove("stringData"));
            if let Some(Value::Object(given)) = given {
                if !object["data"].is_object() {
                    object["data"] = json!({});
                }
                for (key, value) in given {
                    object["data"][key] = BASE64.encode(value.as_str().unwrap_or_default()).into();
                }
            }
            if object["type"].as_str().unwrap_or_default().is_empty() {
                object["type"] = "Opaque".into();
            }
        }
        NAMESPACES => {
            let name = object["metadata"]["name"].clone();
            if let Some(meta) = object["metadata"].as_object_mut() {
                let labels = meta.entry("labels").or_insert_with(|| json!({}));
                if let Some(labels) = labels.as_object_mut() {
                    labels.insert("kubernetes.io/metadata.name".into(), name);
                }
            }
        }
        _ => {}
    }
}

/// What the server writes into a new object, whose fields are nobody's.
pub(crate) fn prepare(resource: &Resource, object: &mut Value) {
    if &*resource.table == NAMESPACES {
        object["spec"] = json!({"finalizers": ["kubernetes"]});
        object["status"] = json!({"phase": "Active"});
    }
}

/// What is wrong with the object as such.
pub(crate) fn validate(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match &*resource.table {
        "configmaps" => {
            validate_keys(&object["data"], "data", &mut causes);
            validate_keys(&object["binaryData"], "binaryData", &mut causes);
            for (key, _) in map(&object["data"]).filter(|(key, _)| object["binaryData"].get(key).is_some()) {
                let field = format!("data[{key}]");
                causes.push(Cause::invalid(
                    &field,
                    &key.as_str().into(),
                    "duplicate of key present in binaryData",
                ));
            }
            validate_base64(&object["binaryData"], "binaryData", &mut causes);
            validate_size(&[&object["data"], &object["binaryData"]], "", &mut causes);
        }
        SECRETS => {
            validate_keys(&object["data"], "data", &mut causes);
            validate_base64(&object["data"], "data", &mut causes);
            validate_size(&[&object["data"]], "data", &mut causes);
            for key in required_keys(object["type"].as_str().unwrap_or_default()) {
                if object["data"].get(key).is_none() {
                    causes.push(Cause::required(&format!("data[{key}]"), ""));
                }
            }
        }
        "leases.coordination.k8s.io" => {
            let spec = &object["spec"];
            if spec["leaseDurationSeconds"]
                .as_i64()
                .is_some_and(|seconds| seconds <= 0)
            {
                let value = &spec["leaseDurationSeconds"];
                causes.push(Cause::invalid(
                    "spec.leaseDurationSeconds",
                    value,
                    "must be greater than 0",
                ));
            }
            if spec["leaseTransitions"].as_i64().is_some_and(|count| count < 0) {
                let value = &spec["leaseTransitions"];
                causes.push(Cause::invalid(
                    "spec.leaseTransitions",
                    value,
                    "must be greater than or equal to 0",
                ));
            }
        }
        "controllerrevisions.apps" if object["revision"].as_i64().is_none_or(|r| r < 0) => {
            causes.push(Cause::invalid(
                "revision",
                &object["revision"],
                "must be greater than or equal to 0",
            ));
        }
        _ => {}
    }
    causes
}

/// What an update may not change.
pub(crate) fn validate_update(resource: &Resource, object: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let changed = |field: &str| object.get(field) != old.get(field);
    match &*resource.table {
        SECRETS | "configmaps" => {
            if &*resource.table == SECRETS && changed("type") {
                causes.push(Cause::invalid("type", &object["type"], "field is immutable"));
            }
            if old["immutable"] == true {
                if object["immutable"] != true {
                    causes.push(Cause::forbidden(
                        "immutable",
                        "field is immutable when `immutable` is set",
                    ));
                }
                for field in ["data", "binaryData"] {
                    if changed(field) {
                        causes.push(Cause::forbidden(
                            field,
                            "field is immutable when `immutable` is set",
                        ));
                    }
                }
            }
        }
        "controllerrevisions.apps" if changed("data") => {
            // Not shown: a revision may hold what its owner keeps to itself.
            causes.push(Cause::forbidden("data", "field is immutable"));
        }
        _ => {}
    }
    causes
}

fn map(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn validate_keys(data: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, _) in map(data) {
        let legal = key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if key.is_empty() || key.len() > 253 || !legal || key == "." || key == ".." {
            let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  \
                       or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            causes.push(Cause::invalid(
                &format!("{field}[{key}]"),
                &key.as_str().into(),
                why,
            ));
        }
    }
}

/// The value is not shown: it may be a secret with a typing error.
fn validate_base64(data: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in map(data) {
        if value.as_str().is_none_or(|text| BASE64.decode(text).is_err()) {
            causes.push(Cause {
                reason: "FieldValueInvalid".into(),
                message: "Invalid value: illegal base64 data".into(),
                field: format!("{field}[{key}]"),
            });
        }
    }
}

fn validate_size(parts: &[&Value], field: &str, causes: &mut Vec<Cause>) {
    let size: usize = parts
        .iter()
        .flat_map(|part| map(part))
        .map(|(k, v)| k.len() + v.as_str().map_or(0, str::len))
        .sum();
    if size > DATA_LIMIT {
        causes.push(Cause {
            reason: "FieldValueTooLong".into(),
            message: format!("Too long: may not be more than {DATA_LIMIT} bytes"),
            field: field.into(),
        });
    }
}

fn required_keys(secret_type: &str) -> &'static [&'static str] {
    match secret_type {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    }
}
