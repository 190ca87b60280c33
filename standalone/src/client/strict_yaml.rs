//! YAML documents in which no key stands twice.
//!
//! The parser would take the last of two silently: a forgotten `---` merges two objects into one, and a
//! field written twice is set to the one that the reader did not see.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// One document's value. An error names the key and, as the parser knows it, the line.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("{value} is no number in JSON")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(NewKey(&map))? {
            let Strict(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

/// A key that the map does not have yet. Refused while the key is read, so that the error is about its line.
struct NewKey<'m>(&'m Map<String, Value>);

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is text")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.0.contains_key(key) {
            let hint = match key {
                "apiVersion" | "kind" => " (is a line `---` missing between two objects?)",
                _ => "",
            };
            return Err(E::custom(format!("key {key:?} is given twice{hint}")));
        }
        Ok(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let read: Result<Strict, _> = serde_yaml::from_str(text);
        read.map(|Strict(value)| value).map_err(|e| e.to_string())
    }

    #[test]
    fn values_are_those_of_the_plain_parser() {
        let text =
            "a: {b: [1, -2, 2.5, true, null, ~, '3', \"x\"], c: &x {d: e}, f: *x}\n8080: port\ng: |\n  h\n";
        let plain: Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(read(text).unwrap(), plain);
        assert_eq!(read("").unwrap(), json!(null));
    }

    #[test]
    fn a_key_given_twice_is_refused_with_its_line() {
        let error = read("spec:\n  image: a\n  args: []\n  image: b\n").unwrap_err();
        assert!(error.contains("\"image\" is given twice"), "{error}");
        assert!(error.contains("line 4"), "{error}");
        let error = read("kind: A\nmetadata: {}\nkind: B\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("---"), "{error}");
    }
}
