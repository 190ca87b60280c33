//! As much of an API server's reading of a structural schema as our schemas use. The real one runs the
//! same cases in the end-to-end tests; this one runs everywhere, in milliseconds.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

/// Fills in what the schema has defaults for.
pub(super) fn apply_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if !object.contains_key(name) && !property["default"].is_null() {
                    object.insert(name.clone(), property["default"].clone());
                }
                if let Some(value) = object.get_mut(name) {
                    apply_defaults(property, value);
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| apply_defaults(&schema["items"], item)),
        _ => {}
    }
}

/// Every problem, as `path: reason`.
pub(super) fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{path}: Unsupported value"));
    }
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    let wanted = schema["type"].as_str().unwrap_or_default();
    match value {
        Value::Object(object) if wanted == "object" => {
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                if !object.contains_key(name) {
                    found.push(format!("{}: Required value", join(path, name)));
                }
            }
            for (name, value) in object {
                let inner = join(path, name);
                if schema["properties"][name].is_object() {
                    check(&schema["properties"][name], value, &inner, found);
                } else if schema["additionalProperties"].is_object() {
                    check(&schema["additionalProperties"], value, &inner, found);
                } else if !path.is_empty() && path != "metadata" {
                    found.push(format!("{inner}: unknown field"));
                }
            }
        }
        Value::Array(items) if wanted == "array" => check_list(schema, items, path, found),
        Value::String(text) if wanted == "string" || int_or_string => {
            if let Some(pattern) = schema["pattern"].as_str()
                && !Regex::new(pattern).unwrap().is_match(text)
            {
                found.push(format!("{path}: should match {pattern}"));
            }
            let length = text.chars().count() as u64;
            if schema["maxLength"].as_u64().is_some_and(|max| length > max) {
                found.push(format!("{path}: may not be more than {}", schema["maxLength"]));
            }
            if schema["minLength"].as_u64().is_some_and(|min| length < min) {
                found.push(format!(
                    "{path}: should be at least {} chars long",
                    schema["minLength"]
                ));
            }
        }
        Value::Number(number) if wanted == "integer" || int_or_string => {
            let number = number.as_f64().unwrap();
            if schema["maximum"].as_f64().is_some_and(|max| number > max) {
                found.push(format!(
                    "{path}: should be less than or equal to {}",
                    bound(&schema["maximum"])
                ));
            }
            if schema["minimum"].as_f64().is_some_and(|min| number < min) {
                found.push(format!(
                    "{path}: should be greater than or equal to {}",
                    bound(&schema["minimum"])
                ));
            }
        }
        Value::Bool(_) if wanted == "boolean" => {}
        _ => found.push(format!("{path}: must be of type {wanted}")),
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, found: &mut Vec<String>) {
    let count = items.len() as u64;
    if schema["maxItems"].as_u64().is_some_and(|max| count > max) {
        found.push(format!("{path}: must have at most {} items", schema["maxItems"]));
    }
    if schema["minItems"].as_u64().is_some_and(|min| count < min) {
        found.push(format!(
            "{path}: should have at least {} items",
            schema["minItems"]
        ));
    }
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let inner = format!("{path}[{index}]");
        check(&schema["items"], item, &inner, found);
        let identity: String = match schema["x-kubernetes-list-type"].as_str() {
            Some("map") => {
                let keys = schema["x-kubernetes-list-map-keys"].as_array().unwrap();
                keys.iter()
                    .map(|key| item[key.as_str().unwrap()].to_string())
                    .collect()
            }
            Some("set") => item.to_string(),
            _ => continue,
        };
        if !seen.insert(identity) {
            found.push(format!("{inner}: Duplicate value"));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn bound(value: &Value) -> String {
    value.as_f64().unwrap().to_string()
}
