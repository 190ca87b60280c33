//! Typed values: which of a type's forms a value takes, how a list's items are named, whether a configuration fits its
//! type, and the set of fields it mentions (`typed` of structured-merge-diff).

use serde_json::Value;

use super::ApplyError;
use super::set::{PathElement, Scalar as ScalarValue, Set};
use super::types::{List, ListKind, MapType, Scalar, Type};

/// The form of a type that fits a value. Where none does, and for null, it is the type's first: map, scalar, list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'t> {
    Map(&'t MapType),
    Scalar(Scalar),
    List(&'t List),
}

/// Which forms are left of a type after looking at a value, and the first of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deduced<'t> {
    forms: u8,
    pub(super) form: Form<'t>,
}

impl PartialEq for Deduced<'_> {
    fn eq(&self, other: &Deduced<'_>) -> bool {
        self.forms == other.forms
    }
}

/// Deduces the form of `value`; an absent one leaves the type as it is.
pub(super) fn deduce<'t>(shape: &'t Type, value: Option<&Value>) -> Deduced<'t> {
    let (map, scalar, list) = (shape.map.as_ref(), shape.scalar, shape.list.as_ref());
    match (value, map, scalar, list) {
        (Some(Value::Object(_)), Some(map), _, _) => {
            return Deduced {
                forms: 1,
                form: Form::Map(map),
            };
        }
        (Some(Value::Array(_)), _, _, Some(list)) => {
            return Deduced {
                forms: 4,
                form: Form::List(list),
            };
        }
        (Some(Value::Bool(_) | Value::Number(_) | Value::String(_)), _, Some(scalar), _) => {
            return Deduced {
                forms: 2,
                form: Form::Scalar(scalar),
            };
        }
        _ => {}
    }
    let forms = u8::from(map.is_some()) | (u8::from(scalar.is_some()) << 1) | (u8::from(list.is_some()) << 2);
    let form = match (map, scalar, list) {
        (Some(map), _, _) => Form::Map(map),
        (None, None, Some(list)) => Form::List(list),
        (None, scalar, _) => Form::Scalar(scalar.unwrap_or(Scalar::Untyped)),
    };
    Deduced { forms, form }
}

/// What a list calls one of its items; the error says why it cannot.
pub(super) fn item_name(list: &List, item: &Value) -> Result<PathElement, String> {
    let keys = match &list.kind {
        ListKind::Set => {
            return match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".to_owned())
                }
                scalar => Ok(PathElement::Value(ScalarValue(scalar.clone()))),
            };
        }
        ListKind::Atomic => return Err("invalid indexing of non-associative list".to_owned()),
        ListKind::Map(keys) => keys,
    };
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let declared = list.items.get().map.as_ref().map(|map| &map.fields);
    let default = |key: &String| {
        declared
            .and_then(|fields| fields.get(key))
            .and_then(|field| field.default.as_ref())
    };
    let mut name: Vec<(String, ScalarValue)> = keys
        .iter()
        .filter_map(|key| {
            Some((
                key.clone(),
                ScalarValue(fields.get(key).or_else(|| default(key))?.clone()),
            ))
        })
        .collect();
    if name.is_empty() && !keys.is_empty() {
        return Err(format!(
            "associative list with keys has an element that omits all key fields {keys:?} (and doesn't have default \
             values for any key fields)"
        ));
    }
    name.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(PathElement::Key(name))
}

/// Whether a value is a scalar of this type, or null.
pub(super) fn fits(scalar: Scalar, value: &Value) -> bool {
    match (scalar, value) {
        (_, Value::Null)
        | (Scalar::Numeric, Value::Number(_))
        | (Scalar::String, Value::String(_))
        | (Scalar::Boolean, Value::Bool(_)) => true,
        (Scalar::Untyped, value) => !value.is_array() && !value.is_object(),
        _ => false,
    }
}

/// Checks a configuration against its type: no unknown field, no value of another type, nothing twice in a list.
pub(super) fn validate(shape: &Type, value: &Value) -> Result<(), ApplyError> {
    check(shape, value, &mut Vec::new())
}

fn check(shape: &Type, value: &Value, path: &mut Vec<PathElement>) -> Result<(), ApplyError> {
    let fail = |path: &[PathElement], why: String| {
        Err(ApplyError::Typed {
            path: path.iter().map(ToString::to_string).collect(),
            why,
        })
    };
    match (deduce(shape, Some(value)).form, value) {
        (Form::Map(_) | Form::List(_), Value::Null) => Ok(()),
        (Form::Scalar(scalar), value) if fits(scalar, value) => Ok(()),
        (Form::Scalar(scalar), value) => {
            let wanted = match scalar {
                Scalar::Numeric => "numeric (int or float)",
                Scalar::String => "string",
                Scalar::Boolean => "boolean",
                Scalar::Untyped => "any scalar",
            };
            fail(path, format!("expected {wanted}, got {}", describe(value)))
        }
        (Form::Map(map), Value::Object(fields)) => {
            for (key, field) in fields {
                path.push(PathElement::Field(key.clone()));
                if !map.fields.contains_key(key) && map.others.is_none() {
                    return fail(path, "field not declared in schema".to_owned());
                }
                check(map.of(key).get(), field, path)?;
                path.pop();
            }
            Ok(())
        }
        (Form::Map(_), value) => fail(path, format!("expected map, got {}", describe(value))),
        (Form::List(list), Value::Array(items)) => {
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let name = match list.kind {
                    ListKind::Atomic => PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX)),
                    ListKind::Set | ListKind::Map(_) => match item_name(list, item) {
                        Ok(name) => name,
                        Err(why) => return fail(path, format!("element {index}: {why}")),
                    },
                };
                if !seen.insert(name.clone()) {
                    return fail(path, format!("duplicate entries for key {name}"));
                }
                path.push(name);
                check(list.items.get(), item, path)?;
                path.pop();
            }
            Ok(())
        }
        (Form::List(_), value) => fail(path, format!("expected list, got {}", describe(value))),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The fields a value mentions: leaves, list items, and keys of maps without a schema.
pub(super) fn to_set(shape: &Type, value: &Value) -> Set {
    let mut set = Set::default();
    mention(shape, value, &mut Vec::new(), &mut set);
    set
}

fn mention(shape: &Type, value: &Value, path: &mut Vec<PathElement>, set: &mut Set) {
    match deduce(shape, Some(value)).form {
        Form::Scalar(_) => set.insert(path),
        Form::Map(map) if map.atomic => set.insert(path),
        Form::List(list) if list.kind == ListKind::Atomic => set.insert(path),
        Form::Map(map) => {
            for (key, field) in value.as_object().into_iter().flatten() {
                path.push(PathElement::Field(key.clone()));
                mention(map.of(key).get(), field, path, set);
                let empty = field.is_null() || field.as_object().is_some_and(serde_json::Map::is_empty);
                if empty || !map.fields.contains_key(key) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Form::List(list) => {
            let named: Vec<(PathElement, &Value)> = value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|item| Some((item_name(list, item).ok()?, item)))
                .collect();
            let mut times = std::collections::BTreeMap::new();
            for (name, _) in &named {
                *times.entry(name.clone()).or_insert(0) += 1;
            }
            for (name, item) in named {
                let once = times.get(&name) == Some(&1);
                path.push(name);
                // Of items that are there twice only the name can be owned.
                if once {
                    mention(list.items.get(), item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}
