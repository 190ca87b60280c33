//! The same documents as one of OpenAPI v2, for what kubectl still reads there.
//!
//! kubectl validates a `kind: List` on its own side, by v2 only; releases before 1.29 ask it for
//! everything. v2 can say less: as Kubernetes does, what may be null, holds unknown fields, or is a number
//! or a string is published without its inner form, so that kubectl never refuses what the server takes.

use serde_json::{Map, Value, json};

/// Keywords of v3 schemas that mean the same in v2.
const SAME: [&str; 18] = [
    "format",
    "title",
    "description",
    "default",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
];

/// One v2 document out of all of v3.
pub(super) fn document(v3: impl Iterator<Item = Value>) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    let mut info = Value::Null;
    for document in v3 {
        info = document["info"].clone();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            paths.insert(path.clone(), path_item(item));
        }
        for (name, definition) in document["components"]["schemas"]
            .as_object()
            .into_iter()
            .flatten()
        {
            definitions.insert(name.clone(), schema(definition));
        }
    }
    json!({"swagger": "2.0", "info": info, "paths": paths, "definitions": definitions})
}

fn path_item(item: &Value) -> Value {
    let mut operations = item.clone();
    for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            // In v2 a parameter's type stands beside its name.
            *parameter = json!({"name": parameter["name"], "in": "query", "type": "string"});
        }
        for response in operation["responses"]
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            let shown = schema(&response["content"]["application/json"]["schema"]);
            *response = json!({"description": response["description"], "schema": shown});
        }
    }
    operations
}

fn schema(v3: &Value) -> Value {
    let mut v2 = Map::new();
    let Some(v3) = v3.as_object() else {
        // `true`: anything.
        return Value::Object(v2);
    };
    for (keyword, value) in v3 {
        let extension = keyword.starts_with("x-") && keyword != "x-kubernetes-validations";
        if extension || SAME.contains(&keyword.as_str()) {
            v2.insert(keyword.clone(), value.clone());
        }
    }
    let reference = v3
        .get("$ref")
        .or_else(|| v3.get("allOf").and_then(|all| all.get(0)?.get("$ref")));
    if let Some(reference) = reference.and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        v2.insert("$ref".into(), format!("#/definitions/{name}").into());
        return Value::Object(v2);
    }
    let set = |keyword: &str| v3.get(keyword) == Some(&Value::Bool(true));
    let loose = set("nullable") || set("x-kubernetes-int-or-string");
    let Some(kind) = v3.get("type").and_then(Value::as_str).filter(|_| !loose) else {
        return without_form(v2);
    };
    if let Some(values) = v3.get("enum") {
        v2.insert("enum".into(), values.clone());
    }
    v2.insert("type".into(), kind.into());
    match kind {
        "array" => match v3.get("items") {
            Some(items) => {
                v2.insert("items".into(), schema(items));
            }
            None => return without_form(v2),
        },
        "object" if set("x-kubernetes-preserve-unknown-fields") => {
            v2.remove("required");
        }
        "object" => {
            if let Some(properties) = v3.get("properties").and_then(Value::as_object) {
                let properties: Map<String, Value> = properties
                    .iter()
                    .map(|(name, below)| (name.clone(), schema(below)))
                    .collect();
                v2.insert("properties".into(), properties.into());
            }
            if let Some(below) = v3.get("additionalProperties").filter(|below| below.is_object()) {
                v2.insert("additionalProperties".into(), schema(below));
            }
        }
        _ => {}
    }
    Value::Object(v2)
}

/// Only what is for readers and tools: of a value that has no one type nothing else can be said.
fn without_form(mut schema: Map<String, Value>) -> Value {
    schema.retain(|keyword, _| keyword == "description" || keyword.starts_with("x-"));
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v2_cannot_say_is_left_open_and_the_rest_is_kept() {
        let v3 = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "enum": ["x"], "x-kubernetes-validations": [{"rule": "true"}]},
            "n": {"type": "object", "nullable": true, "description": "d", "properties": {"q": {"type": "string"}}},
            "p": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "f": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"k": {"type": "string"}}},
            "m": {"description": "meta", "allOf": [{"$ref": "#/components/schemas/Meta"}]},
            "l": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
            "s": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        let expected = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "enum": ["x"]},
            "n": {"description": "d"},
            "p": {"x-kubernetes-int-or-string": true},
            "f": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "m": {"description": "meta", "$ref": "#/definitions/Meta"},
            "l": {"type": "array", "items": {"$ref": "#/definitions/Item"}},
            "s": {"type": "object", "additionalProperties": {"type": "string"}},
        }});
        assert_eq!(schema(&v3), expected);
    }
}
