//! Types and value validations, in the order and words of `k8s.io/kube-openapi/pkg/validation`.
//!
//! On an update an error is dropped when the value it is about, or one above it, is what was stored before and the
//! old value can be found: fields by name, items of a map list by their keys, items of other lists never.

use serde_json::{Map, Number, Value};

use super::error::{ErrorKind, FieldError};
use super::format::Format;
use super::node::{Kind, Node, Values};
use super::path::Path;

/// Every error in `object`; see the module for `old`.
pub(super) fn validate(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(root, object, old, &Path::Root, &mut errors);
    errors
}

fn check(node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>, out: &mut Vec<FieldError>) {
    let mut errors = Vec::new();
    fresh(node, value, old, path, &mut errors);
    if !errors.is_empty() && old != Some(value) {
        out.append(&mut errors);
    }
}

fn fresh(node: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    check_type(node, value, path, errors);
    if value.is_null() {
        check_enum(&node.values, value, path, errors);
        return;
    }
    check_branches(node, value, path, errors);
    match value {
        Value::String(text) => check_string(&node.values, text, path, errors),
        Value::Number(_) => check_number(node, value, path, errors),
        Value::Array(items) => check_list(node, items, old, path, errors),
        _ => {}
    }
    check_enum(&node.values, value, path, errors);
    if let Value::Object(fields) = value {
        check_object(node, fields, old, path, errors);
    }
}

/// The largest whole number that a float is taken for, and the least but for its sign: 2^53 - 1.
const WHOLE_FLOAT: f64 = 9_007_199_254_740_991.0;

/// Whether a number is an integer: one of 64 bits, or a float such as `1.0` that is surely whole.
fn is_integer(number: &Number) -> bool {
    let whole = |number: f64| number.fract() == 0.0 && number.abs() <= WHOLE_FLOAT;
    number.is_i64() || number.as_f64().is_some_and(whole)
}

/// The JSON type's name.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether Kubernetes names the wanted format of such a value, if there is one, and not the wanted type.
fn names_format(value: &Value) -> bool {
    !value.is_null() && !value.is_string() && !value.is_array()
}

/// What Kubernetes takes for the format of a value whose format is wrong.
fn format_name(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        _ => "",
    }
}

fn check_type(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(kind) = node.kind else { return };
    let fits = match (kind, value) {
        (_, Value::Null) => node.nullable,
        (Kind::Object, Value::Object(_))
        | (Kind::Array, Value::Array(_))
        | (Kind::String | Kind::IntOrString, Value::String(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Number, Value::Number(_)) => true,
        (Kind::Integer | Kind::IntOrString, Value::Number(number)) => is_integer(number),
        _ => false,
    };
    if !fits {
        let (wanted, got) = match node.values.format.filter(|_| names_format(value)) {
            Some(format) => (format.name(), format_name(value)),
            None => (kind.name(), type_name(value)),
        };
        let why = format!("{} in body must be of type {wanted}: \"{got}\"", path.or_empty());
        errors.push(FieldError::of(
            ErrorKind::TypeInvalid,
            path,
            &Value::String(got.to_owned()),
            &why,
        ));
    }
}

fn check_branches(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let failures = |branch: &Node| {
        let mut errors = Vec::new();
        check(branch, value, None, path, &mut errors);
        errors
    };
    let mut say = |why: String| {
        errors.push(FieldError::of(
            ErrorKind::Invalid,
            &Path::Root,
            &Value::String(String::new()),
            &why,
        ));
    };
    let at = path.or_empty();
    let mut details = Vec::new();
    if !node.any_of.is_empty() {
        let all: Vec<Vec<FieldError>> = node.any_of.iter().map(failures).collect();
        if all.iter().all(|failed| !failed.is_empty()) {
            say(format!("\"{at}\" must validate at least one schema (anyOf)"));
            details.extend(fewest(all));
        }
    }
    if !node.one_of.is_empty() {
        let all: Vec<Vec<FieldError>> = node.one_of.iter().map(failures).collect();
        match all.iter().filter(|failed| failed.is_empty()).count() {
            1 => {}
            0 => {
                say(format!(
                    "\"{at}\" must validate one and only one schema (oneOf). Found none valid"
                ));
                details.extend(fewest(all));
            }
            many => {
                say(format!(
                    "\"{at}\" must validate one and only one schema (oneOf). Found {many} valid alternatives"
                ));
            }
        }
    }
    if !node.all_of.is_empty() {
        let all: Vec<Vec<FieldError>> = node.all_of.iter().map(failures).collect();
        let valid = all.iter().filter(|failed| failed.is_empty()).count();
        if valid != all.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            say(format!("\"{at}\" must validate all the schemas (allOf){none}"));
            details.extend(all.into_iter().flatten());
        }
    }
    if node.not.as_ref().is_some_and(|not| failures(not).is_empty()) {
        say(format!("\"{at}\" must not validate the schema (not)"));
    }
    errors.append(&mut details);
}

/// The errors of the alternative that came closest.
fn fewest(alternatives: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    alternatives.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

fn check_string(values: &Values, text: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let at = path.or_empty();
    let shown = || Value::String(text.to_owned());
    // Like Kubernetes, one error per string: length before pattern.
    let length = || text.chars().count() as u64;
    if let Some(limit) = values.max_length.filter(|limit| length() > *limit) {
        let unit = if limit == 1 { "byte" } else { "bytes" };
        errors.push(FieldError::bare(
            ErrorKind::TooLong,
            path,
            &format!("may not be more than {limit} {unit}"),
        ));
    } else if let Some(limit) = values.min_length.filter(|limit| length() < *limit) {
        let why = format!("{at} in body should be at least {limit} chars long");
        errors.push(FieldError::of(ErrorKind::Invalid, path, &shown(), &why));
    } else if let Some(pattern) = values.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let why = format!("{at} in body should match '{}'", pattern.as_str());
        errors.push(FieldError::of(ErrorKind::Invalid, path, &shown(), &why));
    }
    if let Some(format) = values.format.filter(|format| !format.accepts(text)) {
        let why = format!(
            "{at} in body must be of type {}: {}",
            format.name(),
            super::error::quoted(text)
        );
        errors.push(FieldError::of(ErrorKind::TypeInvalid, path, &shown(), &why));
    }
}

fn check_number(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let values = &node.values;
    let at = path.or_empty();
    let mut say = |why: &str| errors.push(FieldError::of(ErrorKind::Invalid, path, value, why));
    if let Some(factor) = values.multiple_of {
        if factor <= 0.0 {
            say(&format!(
                "factor MultipleOf declared for {at} must be positive: {factor}"
            ));
        } else if !is_multiple(value, number, factor) {
            say(&format!("{at} in body should be a multiple of {factor}"));
        }
    }
    if let Some(limit) = values.minimum {
        let exclusive = values.exclusive_minimum;
        if number < limit || (exclusive && number <= limit) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            say(&format!("{at} in body should be greater than{or_equal} {limit}"));
        }
    }
    if let Some(limit) = values.maximum {
        let exclusive = values.exclusive_maximum;
        if number > limit || (exclusive && number >= limit) {
            let or_equal = if exclusive { "" } else { " or equal to" };
            say(&format!("{at} in body should be less than{or_equal} {limit}"));
        }
    }
    let converts = |bits: i32| number.fract() == 0.0 && in_range(number, -(2f64.powi(bits)), 2f64.powi(bits));
    let long = value.is_i64() || converts(63);
    let (kind, format) = match (node.kind, values.format) {
        (Some(Kind::Integer), Some(Format::Int32)) if !converts(31) => ("integer", "with format int32"),
        (Some(Kind::Integer), Some(Format::Int64)) if !long => ("integer", "with format int64"),
        (Some(Kind::Integer), None) if !long => ("integer", "(default format)"),
        (Some(Kind::Number), Some(Format::Float)) if number.abs() > f64::from(f32::MAX) => {
            ("number", "with format float")
        }
        _ => return,
    };
    let why = format!("Checked value must be of type {kind} {format} in {at}");
    errors.push(FieldError::of(
        ErrorKind::Invalid,
        &Path::Root,
        &Value::String(String::new()),
        &why,
    ));
}

fn in_range(number: f64, least: f64, beyond: f64) -> bool {
    number >= least && number < beyond
}

fn is_multiple(value: &Value, number: f64, factor: f64) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "taken only when the factor is whole and within i64"
    )]
    if let Some(whole) = value.as_i64()
        && factor.fract() == 0.0
        && factor < 2f64.powi(63)
    {
        return whole % (factor as i64) == 0;
    }
    let times = if factor < 1.0 {
        1.0 / factor * number
    } else {
        number / factor
    };
    (times - times.round()).abs() <= f64::EPSILON * times.abs().max(1.0)
}

fn check_list(
    node: &Node,
    items: &[Value],
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(schema) = node.items.as_deref() {
        let old = node.correlate(old);
        for (index, item) in items.iter().enumerate() {
            check(schema, item, old.of(item), &Path::Index(path, index), errors);
        }
    }
    let size = items.len() as u64;
    if let Some(limit) = node.values.min_items.filter(|limit| size < *limit) {
        let why = format!("{path} in body should have at least {limit} items");
        errors.push(FieldError::of(ErrorKind::Invalid, path, &Value::from(size), &why));
    }
    if let Some(limit) = node.values.max_items.filter(|limit| size > *limit) {
        errors.push(too_many(path, size, limit));
    }
}

fn too_many(path: &Path<'_>, size: u64, limit: u64) -> FieldError {
    let unit = if limit == 1 { "item" } else { "items" };
    FieldError::of(
        ErrorKind::TooMany,
        path,
        &Value::from(size),
        &format!("must have at most {limit} {unit}"),
    )
}

fn check_enum(values: &Values, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if values.allowed.is_empty() {
        return;
    }
    let same =
        |allowed: &Value| allowed == value || (value.is_number() && allowed.as_f64() == value.as_f64());
    // Kubernetes never finds null in an enum, even where it is listed.
    if !value.is_null() && values.allowed.iter().any(same) {
        return;
    }
    let words: Vec<String> = values
        .allowed
        .iter()
        .map(|allowed| {
            super::error::quoted(
                &allowed
                    .as_str()
                    .map_or_else(|| allowed.to_string(), str::to_owned),
            )
        })
        .collect();
    errors.push(FieldError::of(
        ErrorKind::NotSupported,
        path,
        value,
        &format!("supported values: {}", words.join(", ")),
    ));
}

fn check_object(
    node: &Node,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let size = fields.len() as u64;
    if let Some(limit) = node.values.min_properties.filter(|limit| size < *limit) {
        let why = format!(
            "{} in body should have at least {limit} properties",
            path.or_empty()
        );
        errors.push(FieldError::of(ErrorKind::Invalid, path, &Value::from(size), &why));
    }
    if let Some(limit) = node.values.max_properties.filter(|limit| size > *limit) {
        errors.push(too_many(path, size, limit));
    }
    let old = old.and_then(Value::as_object);
    for (name, field) in fields {
        let Some(schema) = node.field(name) else { continue };
        // Both sides of an update have been converted to one version and kind: comparing them says nothing.
        let typed = path.is_root() && (name == "apiVersion" || name == "kind");
        let old = old.and_then(|old| old.get(name)).filter(|_| !typed);
        check(schema, field, old, &Path::Field(path, name), errors);
    }
    for name in &node.values.required {
        if !fields.contains_key(name) {
            errors.push(FieldError::bare(
                ErrorKind::Required,
                &Path::Field(path, name),
                "",
            ));
        }
    }
}
