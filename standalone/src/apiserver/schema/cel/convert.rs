//! From JSON to the values a rule sees: `UnstructuredToVal` of `k8s.io/apiextensions-apiserver`, with the field names
//! of `Escape` in `k8s.io/apiserver/pkg/cel`.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::core::cel::cel::objects::{Key, Map};
use kube::core::cel::cel::{Context, Program, Value as CelValue};
use serde_json::{Number, Value};

use crate::apiserver::schema::format::{Format, go_duration};
use crate::apiserver::schema::node::{Additional, Kind, Node};

/// Words of the language, which no field can be selected by.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

thread_local! {
    static TIMESTAMP: Program = Program::compile("timestamp(text)").expect("a constant expression parses");
    static DURATION: Program = Program::compile("duration(text)").expect("a constant expression parses");
}

/// The name a rule selects a field by; `None` when it cannot.
pub(super) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut characters = name.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '_' if characters.next_if_eq(&'_').is_some() => out.push_str("__underscores__"),
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            plain if plain.is_ascii_alphanumeric() || plain == '_' => out.push(plain),
            _ => return None,
        }
    }
    Some(out)
}

/// `value` as CEL sees it under `node`. Recursion is bounded by the schema, and below what it does not know by the
/// JSON parser's own limit of 128.
pub(super) fn to_cel(value: &Value, node: Option<&Node>, functions: &Context<'_>) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => CelValue::Bool(*flag),
        Value::Number(number) => to_number(number, node.and_then(|node| node.kind)),
        Value::String(text) => to_text(text, node.and_then(|node| node.values.format), functions),
        Value::Array(items) => {
            let below = node.and_then(|node| node.items.as_deref());
            CelValue::List(Arc::new(
                items.iter().map(|item| to_cel(item, below, functions)).collect(),
            ))
        }
        Value::Object(fields) => {
            let is_map = node.is_some_and(|node| !matches!(node.additional, Additional::None));
            let mut map = HashMap::with_capacity(fields.len());
            for (name, field) in fields {
                let key = if is_map { Some(name.clone()) } else { escape(name) };
                let Some(key) = key else { continue };
                let below = node.and_then(|node| node.field(name));
                map.insert(Key::String(Arc::new(key)), to_cel(field, below, functions));
            }
            CelValue::Map(Map { map: Arc::new(map) })
        }
    }
}

fn to_number(number: &Number, kind: Option<Kind>) -> CelValue {
    let float = || CelValue::Float(number.as_f64().unwrap_or(f64::NAN));
    if kind == Some(Kind::Number) {
        return float();
    }
    if let Some(whole) = number.as_i64() {
        return CelValue::Int(whole);
    }
    let value = number.as_f64().unwrap_or(f64::NAN);
    if kind.is_some() && value.fract() == 0.0 && value.abs() < 2f64.powi(63) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within i64, as just checked"
        )]
        return CelValue::Int(value as i64);
    }
    float()
}

fn to_text(text: &str, format: Option<Format>, functions: &Context<'_>) -> CelValue {
    let plain = || CelValue::String(Arc::new(text.to_owned()));
    let call = |program: &Program, argument: String| {
        let mut scope = functions.new_inner_scope();
        scope.add_variable_from_value("text", CelValue::String(Arc::new(argument)));
        program.execute(&scope).unwrap_or_else(|_| plain())
    };
    match format {
        Some(Format::DateTime) => TIMESTAMP.with(|program| call(program, text.to_owned())),
        Some(Format::Date) => TIMESTAMP.with(|program| call(program, format!("{text}T00:00:00Z"))),
        Some(Format::Duration) => match go_duration(text) {
            Some(nanoseconds) => DURATION.with(|program| call(program, format!("{nanoseconds}ns"))),
            None => plain(),
        },
        Some(Format::Byte) => STANDARD
            .decode(text)
            .map_or_else(|_| plain(), |bytes| CelValue::Bytes(Arc::new(bytes))),
        _ => plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn field_names_are_escaped_as_kubernetes_does() {
        for (name, escaped) in [
            ("spec", Some("spec")),
            ("my_field", Some("my_field")),
            ("a__b", Some("a__underscores__b")),
            ("a___b", Some("a__underscores___b")),
            ("namespace", Some("__namespace__")),
            ("foo-bar", Some("foo__dash__bar")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("9a", None),
            ("", None),
            ("ä", None),
            ("a$", None),
        ] {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
        }
    }
}
