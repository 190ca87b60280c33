//! What is done to a derived schema before an API server sees it, and small helpers for fields.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::rules::Rule;

/// Adds rules to a schema.
pub(crate) fn add_rules(schema: &mut Schema, rules: impl IntoIterator<Item = Rule>) {
    let object = schema.ensure_object();
    let list = object
        .entry("x-kubernetes-validations")
        .or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.extend(rules.into_iter().map(|rule| rule.to_json()));
    }
}

/// Adds rules to the items of a list's schema.
pub(crate) fn add_item_rules(schema: &mut Schema, rules: impl IntoIterator<Item = Rule>) {
    if let Some(Value::Object(items)) = schema.ensure_object().get_mut("items") {
        let mut item = Schema::from(std::mem::take(items));
        add_rules(&mut item, rules);
        *items = std::mem::take(item.ensure_object());
    }
}

/// A list whose entries server-side apply and `kubectl apply` tell apart by these fields.
pub(crate) fn list_map(schema: &mut Schema, keys: &[&str]) {
    let object = schema.ensure_object();
    object.insert("x-kubernetes-list-type".into(), json!("map"));
    object.insert("x-kubernetes-list-map-keys".into(), json!(keys));
}

/// Fields that must be there although the types, to be lenient, have a value for their absence.
pub(crate) fn require(schema: &mut Schema, fields: &[&str]) {
    let required = schema
        .ensure_object()
        .entry("required")
        .or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        required.extend(fields.iter().map(|field| json!(field)));
    }
}

/// A list of plain values without order.
pub(crate) fn list_set(schema: &mut Schema) {
    schema
        .ensure_object()
        .insert("x-kubernetes-list-type".into(), json!("set"));
}

macro_rules! list_maps {
    ($($name:ident: $($key:literal),+;)+) => {
        $(
            #[doc = concat!("A list whose entries are told apart by `", $($key, " ",)+ "`.")]
            pub(crate) fn $name(schema: &mut Schema) {
                list_map(schema, &[$($key),+]);
            }
        )+
    };
}

list_maps! {
    by_container: "container";
    by_host_path: "hostPath";
    by_hostname: "hostname";
    by_mount_path: "mountPath";
    by_name: "name";
    by_path: "path";
    by_type: "type";
}

/// Finishes a derived definition:
///
/// - `null` is no value: an API server then drops it like an absent field, instead of storing it and
///   making CEL's `has()` true of it;
/// - descriptions are one line a paragraph, for `kubectl explain` to wrap;
/// - integer formats are OpenAPI's, which is all an API server knows without a warning;
/// - rules that speak of `metadata`, which no derived type can carry, stand at the root.
pub(crate) fn finish(mut crd: CustomResourceDefinition, root: &[Rule]) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        let mut value = serde_json::to_value(&*schema).expect("a schema serialises to JSON");
        normalise(&mut value);
        if let Some(object) = value.as_object_mut() {
            let rules = root.iter().map(Rule::to_json).collect();
            object.insert("x-kubernetes-validations".into(), Value::Array(rules));
        }
        *schema = serde_json::from_value(value).expect("it was a schema a moment ago");
    }
    crd
}

fn normalise(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // A property of that name would hold a schema, never a boolean or a string.
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
            }
            // Left over from what was nullable; `kubectl explain` would offer it.
            if let Some(Value::Array(values)) = object.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::String(format)) = object.get_mut("format") {
                match format.as_str() {
                    "uint8" | "int8" | "uint16" | "int16" => "int32".clone_into(format),
                    "uint32" | "uint64" | "uint" | "int" => "int64".clone_into(format),
                    _ => {}
                }
            }
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = unwrapped(description);
            }
            object.values_mut().for_each(normalise);
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

fn unwrapped(text: &str) -> String {
    let paragraphs: Vec<String> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
    paragraphs.join("\n\n")
}

/// Text that cannot end a header.
pub(crate) fn one_line(schema: &mut Schema) {
    schema
        .ensure_object()
        .insert("pattern".into(), json!("^[^\\r\\n]*$"));
}

/// A schema in Kubernetes' int-or-string form.
macro_rules! int_or_string {
    ($(#[$doc:meta])* $name:ident, $($json:tt)+) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"x-kubernetes-int-or-string": true, $($json)+})
            }
        }
    };
}

int_or_string!(
    /// A number of devices, or a percentage of them.
    CountOrPercent,
    "minimum": 1,
    "pattern": "^([1-9][0-9]?|100)%$"
);
int_or_string!(
    /// A user by number or name.
    User,
    "minimum": 0,
    "maximum": 4_294_967_294_i64,
    "pattern": "^([0-9]{1,10}|[a-z_][-a-z0-9_]{0,31})$"
);
