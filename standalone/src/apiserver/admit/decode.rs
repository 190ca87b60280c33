//! What Kubernetes' typed decoder makes of a body: the metadata of every object, and the whole of a ConfigMap and a
//! Secret. A value of another type is refused in the words of Go's `encoding/json`; a null, an empty list and an empty
//! map are no value; a null in a map or a list of texts is the empty text; base64 may be broken into lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::apiserver::failure::go_kind;
use crate::apiserver::kinds::{Resource, SECRETS};

/// The Go type of a field.
#[derive(Debug, Clone, Copy)]
enum Type {
    /// A string, by the name of its type.
    Text(&'static str),
    Flag,
    Long,
    Time,
    Texts,
    TextMap,
    BytesMap,
    /// A list of structs.
    List(&'static Struct),
    /// Whatever the field says of itself.
    Any,
}

/// A Go struct: its name, and its fields by their JSON names.
#[derive(Debug)]
struct Struct {
    name: &'static str,
    fields: &'static [(&'static str, Type)],
}

const STRING: Type = Type::Text("string");
const UID: Type = Type::Text("types.UID");

const OBJECT_META: Struct = Struct {
    name: "ObjectMeta",
    fields: &[
        ("annotations", Type::TextMap),
        ("creationTimestamp", Type::Time),
        ("deletionGracePeriodSeconds", Type::Long),
        ("deletionTimestamp", Type::Time),
        ("finalizers", Type::Texts),
        ("generateName", STRING),
        ("generation", Type::Long),
        ("labels", Type::TextMap),
        ("managedFields", Type::List(&MANAGED_FIELDS_ENTRY)),
        ("name", STRING),
        ("namespace", STRING),
        ("ownerReferences", Type::List(&OWNER_REFERENCE)),
        ("resourceVersion", STRING),
        ("selfLink", STRING),
        ("uid", UID),
    ],
};
const OWNER_REFERENCE: Struct = Struct {
    name: "OwnerReference",
    fields: &[
        ("apiVersion", STRING),
        ("blockOwnerDeletion", Type::Flag),
        ("controller", Type::Flag),
        ("kind", STRING),
        ("name", STRING),
        ("uid", UID),
    ],
};
const MANAGED_FIELDS_ENTRY: Struct = Struct {
    name: "ManagedFieldsEntry",
    fields: &[
        ("apiVersion", STRING),
        ("fieldsType", STRING),
        ("fieldsV1", Type::Any),
        ("manager", STRING),
        ("operation", Type::Text("v1.ManagedFieldsOperationType")),
        ("subresource", STRING),
        ("time", Type::Time),
    ],
};
const CONFIG_MAP: Struct = Struct {
    name: "ConfigMap",
    fields: &[
        ("binaryData", Type::BytesMap),
        ("data", Type::TextMap),
        ("immutable", Type::Flag),
    ],
};
const SECRET: Struct = Struct {
    name: "Secret",
    fields: &[
        ("data", Type::BytesMap),
        ("immutable", Type::Flag),
        ("stringData", Type::TextMap),
        ("type", Type::Text("v1.SecretType")),
    ],
};

/// The path to the fields of metadata in a core kind.
const IN_CORE: &str = "metadata.";
/// The metadata of a custom resource is decoded by itself.
const IN_CUSTOM: &str = "";

/// Decodes the typed part of `object` in place; the error is Go's.
pub(super) fn decode(resource: &Resource, object: &mut Map<String, Value>) -> Result<(), String> {
    let whole = match &*resource.table {
        "configmaps" => Some(&CONFIG_MAP),
        SECRETS => Some(&SECRET),
        _ => None,
    };
    if let Some(whole) = whole {
        fields(whole, object, "")?;
    }
    let path = if resource.custom { IN_CUSTOM } else { IN_CORE };
    match object.get_mut("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(meta)) => fields(&OBJECT_META, meta, path),
        Some(other) if resource.custom => Err(format!(
            "json: cannot unmarshal {} into Go value of type v1.ObjectMeta",
            go_kind(other)
        )),
        Some(other) => Err(mistyped(other, &resource.kind, "metadata", "v1.ObjectMeta")),
    }
}

fn fields(shape: &Struct, object: &mut Map<String, Value>, path: &str) -> Result<(), String> {
    for (name, kind) in shape.fields {
        let Some(value) = object.get_mut(*name) else {
            continue;
        };
        if value.is_null() {
            object.remove(*name);
            continue;
        }
        field(*kind, value, shape.name, &format!("{path}{name}"))?;
        let empty = match (kind, value) {
            (Type::Any, _) => false,
            (_, Value::Object(map)) => map.is_empty(),
            (_, Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        // An empty list of managed fields asks to forget them, where it survives.
        if empty && !(*name == "managedFields" && path == IN_CORE) {
            object.remove(*name);
        }
    }
    Ok(())
}

fn field(kind: Type, value: &mut Value, of: &str, path: &str) -> Result<(), String> {
    let refuse = |value: &Value, wanted: &str| Err(mistyped(value, of, path, wanted));
    match (kind, value) {
        (Type::Any, _) | (Type::Text(_), Value::String(_)) | (Type::Flag, Value::Bool(_)) => Ok(()),
        (Type::Text(name), other) => refuse(other, name),
        (Type::Flag, other) => refuse(other, "bool"),
        (Type::Long, Value::Number(number)) if number.is_i64() => Ok(()),
        (Type::Long, Value::Number(number)) => Err(format!(
            "json: cannot unmarshal number {number} into Go struct field {of}.{path} of type int64"
        )),
        (Type::Long, other) => refuse(other, "int64"),
        (Type::Time, Value::String(text)) => time(text),
        (Type::Time, other) => refuse(other, "string"),
        (Type::Texts, Value::Array(items)) => items
            .iter_mut()
            .try_for_each(|item| text(item, of, path, "string")),
        (Type::Texts, other) => refuse(other, "[]string"),
        (Type::TextMap, Value::Object(map)) => map
            .values_mut()
            .try_for_each(|item| text(item, of, path, "string")),
        (Type::TextMap, other) => refuse(other, "map[string]string"),
        (Type::BytesMap, Value::Object(map)) => map.values_mut().try_for_each(|item| bytes(item, of, path)),
        (Type::BytesMap, other) => refuse(other, "map[string][]uint8"),
        (Type::List(shape), Value::Array(items)) => items.iter_mut().try_for_each(|item| match item {
            Value::Object(item) => fields(shape, item, &format!("{path}.")),
            Value::Null => {
                *item = Value::Object(Map::new());
                Ok(())
            }
            other => refuse(other, &format!("v1.{}", shape.name)),
        }),
        (Type::List(shape), other) => refuse(other, &format!("[]v1.{}", shape.name)),
    }
}

fn text(value: &mut Value, of: &str, path: &str, wanted: &str) -> Result<(), String> {
    match value {
        Value::String(_) => Ok(()),
        Value::Null => {
            *value = String::new().into();
            Ok(())
        }
        other => Err(mistyped(other, of, path, wanted)),
    }
}

fn bytes(value: &mut Value, of: &str, path: &str) -> Result<(), String> {
    text(value, of, path, "[]uint8")?;
    let decoded = decode_base64(value.as_str().unwrap_or_default())
        .map_err(|at| format!("illegal base64 data at input byte {at}"))?;
    *value = BASE64.encode(decoded).into();
    Ok(())
}

/// Decodes base64 as Go does: line breaks and stray last bits do not matter. The error is where Go sees it.
fn decode_base64(text: &str) -> Result<Vec<u8>, usize> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut input = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    loop {
        let mut digits = Vec::with_capacity(4);
        let mut first = 0;
        while digits.len() < 4 {
            let Some((at, byte)) = input.next() else {
                return if digits.is_empty() { Ok(out) } else { Err(first) };
            };
            if digits.is_empty() {
                first = at;
            }
            match (digit(byte), byte, digits.len()) {
                (Some(digit), ..) => digits.push(u32::from(digit)),
                (None, b'=', 2) => match input.next() {
                    Some((_, b'=')) => break,
                    Some(_) => return Err(at),
                    None => return Err(text.len()),
                },
                (None, b'=', 3) => break,
                _ => return Err(at),
            }
        }
        let bits = (0..4).fold(0, |bits, at| bits << 6 | digits.get(at).copied().unwrap_or(0));
        let [_, decoded @ ..] = bits.to_be_bytes();
        out.extend(&decoded[..digits.len() - 1]);
        if digits.len() < 4 {
            return input.next().map_or(Ok(out), |(at, _)| Err(at));
        }
    }
}

/// Go shows the part of a time that it could not read; this shows all of it.
fn time(text: &str) -> Result<(), String> {
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
        )),
    }
}

fn mistyped(value: &Value, of: &str, path: &str, wanted: &str) -> String {
    format!(
        "json: cannot unmarshal {} into Go struct field {of}.{path} of type {wanted}",
        go_kind(value)
    )
}

/// Numbers as they are after Go has written and read them once: `1.0` is 1, and what 64 bits do not hold is a float.
pub(super) fn canonical_numbers(value: &mut Value) {
    /// Up to here every whole float is one number: 2^53 - 1.
    const WHOLE_FLOAT: f64 = 9_007_199_254_740_991.0;
    match value {
        Value::Object(map) => map.values_mut().for_each(canonical_numbers),
        Value::Array(items) => items.iter_mut().for_each(canonical_numbers),
        Value::Number(number) if !number.is_i64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and within 53 bits, as just checked"
            )]
            if float.fract() == 0.0 && float.abs() <= WHOLE_FLOAT {
                *value = Value::from(float as i64);
            } else {
                *value = Value::from(float);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{canonical_numbers, decode_base64};

    /// Each outcome is kube-apiserver 1.36's for a Secret.
    #[test]
    fn base64_is_read_as_go_reads_it() {
        for (text, wanted) in [
            ("", Ok("")),
            ("YQ==", Ok("a")),
            ("YR==", Ok("a")),
            ("YW\nJj\r\n", Ok("abc")),
            ("abc", Err(0)),
            ("YQ", Err(0)),
            ("!", Err(0)),
            ("abc=def", Err(4)),
            ("YQ=a", Err(2)),
            ("YWJj!", Err(4)),
        ] {
            let wanted = wanted.map(|text| text.as_bytes().to_vec());
            assert_eq!(decode_base64(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_what_go_makes_of_them() {
        let mut value: Value = serde_json::from_str(
            r#"{"a": [1.0, -0.0, 1e3, 1.5, 12345678901234567890, 9223372036854775807, 9007199254740992.0]}"#,
        )
        .expect("JSON");
        canonical_numbers(&mut value);
        let wanted = json!([
            1,
            0,
            1000,
            1.5,
            12_345_678_901_234_567_890_f64,
            i64::MAX,
            9_007_199_254_740_992_f64
        ]);
        assert_eq!(value["a"], wanted);
    }
}
