//! From a message's bytes and its table to JSON, as Go's encoder would write the decoded object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::DecodeError;
use super::tables::{Column, Message, Presence, Type};
use super::wire::{Field, Reader, Wire, text};

/// Decodes one message. Recursion follows the tables, which hold no cycle.
pub(super) fn message(message: &Message, bytes: &[u8]) -> Result<Map<String, Value>, DecodeError> {
    let mut out = Map::new();
    for field in Reader::new(bytes) {
        let Field { number, wire } = field?;
        let Some(column) = message.iter().find(|column| column.number == number) else {
            continue;
        };
        read(column, wire, &mut out)?;
    }
    Ok(out)
}

fn read(column: &Column, wire: Wire<'_>, out: &mut Map<String, Value>) -> Result<(), DecodeError> {
    let fail = |why| DecodeError::Field {
        field: column.name,
        why,
    };
    match column.presence {
        Presence::Repeated => {
            let item = value(column, column.shape, wire)?.ok_or_else(|| fail("an item is empty"))?;
            let list = out.entry(column.name).or_insert_with(|| Value::Array(Vec::new()));
            list.as_array_mut()
                .ok_or_else(|| fail("given twice in two shapes"))?
                .push(item);
        }
        Presence::Map => {
            let Wire::Bytes(entry) = wire else {
                return Err(fail("a map entry was expected"));
            };
            let (key, item) = entry_of(column, entry)?;
            let map = out
                .entry(column.name)
                .or_insert_with(|| Value::Object(Map::new()));
            map.as_object_mut()
                .ok_or_else(|| fail("given twice in two shapes"))?
                .insert(key, item);
        }
        Presence::Plain => {
            // Go writes plain fields even when they are zero; JSON leaves those out.
            match value(column, column.shape, wire)?.filter(|value| !is_zero(value)) {
                Some(value) => out.insert(column.name.to_owned(), value),
                None => out.remove(column.name),
            };
        }
        Presence::Pointer => {
            if let Some(value) = value(column, column.shape, wire)? {
                out.insert(column.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn entry_of(column: &Column, entry: &[u8]) -> Result<(String, Value), DecodeError> {
    let mut key = String::new();
    let mut item = None;
    for field in Reader::new(entry) {
        match field? {
            Field {
                number: 1,
                wire: Wire::Bytes(bytes),
            } => key = text(bytes)?,
            Field { number: 2, wire } => item = value(column, column.shape, wire)?,
            _ => {}
        }
    }
    // A missing value is its type's zero.
    let item = match item {
        Some(item) => item,
        None => value(column, column.shape, Wire::Bytes(&[]))?.unwrap_or(Value::Null),
    };
    Ok((key, item))
}

/// One value; `None` is a time that is not set.
fn value(column: &Column, shape: Type, wire: Wire<'_>) -> Result<Option<Value>, DecodeError> {
    let fail = |why| DecodeError::Field {
        field: column.name,
        why,
    };
    match (shape, wire) {
        (Type::String, Wire::Bytes(bytes)) => Ok(Some(Value::String(text(bytes)?))),
        (Type::Bytes, Wire::Bytes(bytes)) => Ok(Some(Value::String(STANDARD.encode(bytes)))),
        (Type::Bool, Wire::Varint(number)) => Ok(Some(Value::Bool(number != 0))),
        (Type::Int, Wire::Varint(number)) => Ok(Some(Value::from(number.cast_signed()))),
        (Type::Message(inner), Wire::Bytes(bytes)) => message(inner, bytes).map(Value::Object).map(Some),
        (Type::Time, Wire::Bytes(bytes)) => time(bytes, false).ok_or_else(|| fail("not a point in time"))?,
        (Type::MicroTime, Wire::Bytes(bytes)) => {
            time(bytes, true).ok_or_else(|| fail("not a point in time"))?
        }
        (Type::Json, Wire::Bytes(bytes)) => {
            for field in Reader::new(bytes) {
                if let Field {
                    number: 1,
                    wire: Wire::Bytes(raw),
                } = field?
                {
                    return serde_json::from_slice(raw)
                        .map(Some)
                        .map_err(|_| fail("the JSON inside is broken"));
                }
            }
            Ok(None)
        }
        (Type::Strings, Wire::Bytes(bytes)) => {
            let mut items = Vec::new();
            for field in Reader::new(bytes) {
                if let Field {
                    number: 1,
                    wire: Wire::Bytes(item),
                } = field?
                {
                    items.push(Value::String(text(item)?));
                }
            }
            Ok(Some(Value::Array(items)))
        }
        _ => Err(fail("encoded as another type")),
    }
}

/// Seconds and nanoseconds since the epoch to RFC 3339; `Ok(None)` is Go's zero time.
type Time = Result<Option<Value>, DecodeError>;

fn time(bytes: &[u8], micro: bool) -> Option<Time> {
    let (mut seconds, mut nanoseconds, mut set) = (0_i64, 0_i64, false);
    for field in Reader::new(bytes) {
        match field {
            Ok(Field {
                number: 1,
                wire: Wire::Varint(number),
            }) => (seconds, set) = (number.cast_signed(), true),
            Ok(Field {
                number: 2,
                wire: Wire::Varint(number),
            }) => nanoseconds = number.cast_signed(),
            Ok(_) => {}
            Err(error) => return Some(Err(error)),
        }
    }
    if !set {
        return Some(Ok(None));
    }
    let at = Timestamp::new(
        seconds,
        i32::try_from(nanoseconds)
            .ok()
            .filter(|n| (0..1_000_000_000).contains(n))?,
    )
    .ok()?;
    let text = if micro {
        at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%SZ")
    };
    Some(Ok(Some(Value::String(text.to_string()))))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
