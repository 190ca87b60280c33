//! Arguments of commands: what this agent does not know is refused by its path, never ignored.
//!
//! serde's own messages quote values, so none of them is passed on.

use longshore_bus::envelope::error_code;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answers::Answer;

/// So many places are tried to find the field that is not known.
const MAX_TRIES: usize = 64;

/// The arguments, or the answer that refuses them.
pub(super) fn parse<T: DeserializeOwned>(args: Value) -> Result<T, Answer> {
    // Most commands are fine: only one that is not costs a copy.
    let original = args.clone();
    match serde_json::from_value::<T>(args) {
        Ok(parsed) => Ok(parsed),
        Err(error) => Err(refuse::<T>(&original, &error.to_string())),
    }
}

fn refuse<T: DeserializeOwned>(args: &Value, error: &str) -> Answer {
    let unknown = ["unknown field `", "unknown variant `"]
        .iter()
        .find_map(|prefix| error.strip_prefix(prefix)?.split('`').next());
    if let Some(name) = unknown {
        let path = locate::<T>(args, name, error).unwrap_or_else(|| name.to_owned());
        let message = format!("this agent does not know {path}");
        return Answer::refused(
            422,
            error_code::UNSUPPORTED_FIELD,
            message,
            json!({ "path": path }),
        );
    }
    let message = match error
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        Some(name) => format!("the arguments lack the field {name}"),
        None => "the arguments have another shape than this action's".to_owned(),
    };
    Answer::refused(422, error_code::MALFORMED, message, Value::Null)
}

/// The path of the unknown name: the place without which the error is another one.
fn locate<T: DeserializeOwned>(args: &Value, name: &str, error: &str) -> Option<String> {
    let mut places = Vec::new();
    collect(args, name, &mut Vec::new(), &mut places);
    // Where the name is known, and needed, its absence is another error too.
    let needed = format!("missing field `{name}`");
    let decisive = places.iter().take(MAX_TRIES).find(|place| {
        let mut changed = args.clone();
        remove(&mut changed, place);
        let Err(now) = serde_json::from_value::<T>(changed) else {
            return true;
        };
        let now = now.to_string();
        now != error && !now.starts_with(&needed)
    });
    decisive.or_else(|| places.first()).map(|place| words(place))
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Key(String),
    Index(usize),
}

/// Every place where `name` is a key or a string.
fn collect(value: &Value, name: &str, at: &mut Vec<Part>, places: &mut Vec<Vec<Part>>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                at.push(Part::Key(key.clone()));
                if key == name {
                    places.push(at.clone());
                }
                collect(inner, name, at, places);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                at.push(Part::Index(index));
                collect(inner, name, at, places);
                at.pop();
            }
        }
        Value::String(text) if text == name => places.push(at.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove(value: &mut Value, place: &[Part]) {
    let Some((last, way)) = place.split_last() else {
        return;
    };
    let mut inner = value;
    for part in way {
        let next = match part {
            Part::Key(key) => inner.get_mut(key),
            Part::Index(index) => inner.get_mut(index),
        };
        let Some(next) = next else { return };
        inner = next;
    }
    match (last, inner) {
        (Part::Key(key), Value::Object(map)) => {
            map.remove(key);
        }
        (Part::Index(index), Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}

fn words(place: &[Part]) -> String {
    let mut words = String::new();
    for part in place {
        match part {
            Part::Key(key) => {
                if !words.is_empty() {
                    words.push('.');
                }
                words.push_str(key);
            }
            Part::Index(index) => {
                words.push('[');
                words.push_str(&index.to_string());
                words.push(']');
            }
        }
    }
    words
}
