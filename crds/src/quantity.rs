//! Kubernetes' quantities and its port references: an integer or a string in YAML, text here, a number
//! once read.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the schema lets through, and [`Quantity::parse`] reads: a decimal of at most 15 digits before
/// and 9 after the point, and a suffix.
const PATTERN: &str = r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

/// Why a [`Quantity`] has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid quantity {text:?}: {reason}")]
pub struct InvalidQuantity {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// An amount in Kubernetes' notation: `500m`, `1.5`, `64Mi`, `1G`. Never negative.
///
/// Kept as it was written; [`Quantity::millis`] and [`Quantity::bytes`] read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Quantity(pub String);

impl Quantity {
    /// The amount in thousandths, rounded up as Kubernetes does.
    pub fn millis(&self) -> Result<u64, InvalidQuantity> {
        self.scaled(1000)
    }

    /// The amount in whole units (bytes, mostly), rounded up as Kubernetes does.
    pub fn bytes(&self) -> Result<u64, InvalidQuantity> {
        self.scaled(1)
    }

    fn scaled(&self, scale: u128) -> Result<u64, InvalidQuantity> {
        let invalid = |reason| InvalidQuantity {
            text: self.0.clone(),
            reason,
        };
        let (mantissa, decimals, multiplier, divisor) = parse(&self.0)
            .ok_or_else(|| invalid("must be a number with a suffix such as m, k, M, Ki, Mi or Gi"))?;
        let numerator = mantissa
            .checked_mul(multiplier)
            .and_then(|n| n.checked_mul(scale))
            .ok_or_else(|| invalid("is too large"))?;
        u64::try_from(numerator.div_ceil(divisor * 10u128.pow(decimals)))
            .ok()
            .filter(|value| i64::try_from(*value).is_ok())
            .ok_or_else(|| invalid("is too large"))
    }
}

/// (digits without the point, how many of them follow it, suffix multiplier, suffix divisor).
fn parse(text: &str) -> Option<(u128, u32, u128, u128)> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, ""),
    };
    if whole.is_empty() || whole.len() > 15 || fraction.len() > 9 {
        return None;
    }
    let mantissa = format!("{whole}{fraction}").parse().ok()?;
    let (multiplier, divisor) = match suffix {
        "" => (1, 1),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1000u128.pow(2), 1),
        "G" => (1000u128.pow(3), 1),
        "T" => (1000u128.pow(4), 1),
        "P" => (1000u128.pow(5), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        _ => return None,
    };
    Some((mantissa, u32::try_from(fraction.len()).ok()?, multiplier, divisor))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(IntOrText::deserialize(deserializer)?.into_text()))
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            // `minimum` speaks of the integer, `pattern` of the string.
            "minimum": 0,
            "pattern": PATTERN,
        })
    }
}

/// A port by its number, or by the name of one of the container's ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortRef {
    /// A number.
    Number(u16),
    /// The `name` of an entry of the container's `ports`.
    Name(String),
}

impl JsonSchema for PortRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PortRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": 65535,
            "pattern": "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$",
        })
    }
}

/// A user by number or name, or anything else that YAML may write without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum IntOrText {
    Int(i64),
    Text(String),
}

impl IntOrText {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Reads an integer or a string as a string, for `#[serde(deserialize_with)]`.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<IntOrText>::deserialize(deserializer)?.map(IntOrText::into_text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_mean_what_they_mean_in_kubernetes() {
        let table = [
            ("0", Some(0), Some(0)),
            ("1", Some(1000), Some(1)),
            ("500m", Some(500), Some(1)), // rounded up
            ("1.5", Some(1500), Some(2)),
            ("0.1", Some(100), Some(1)),
            ("0.0001", Some(1), Some(1)),
            ("2k", Some(2_000_000), Some(2000)),
            ("64Mi", Some(67_108_864_000), Some(67_108_864)),
            ("1.5Gi", Some(1_610_612_736_000), Some(1_610_612_736)),
            ("1G", Some(1_000_000_000_000), Some(1_000_000_000)),
            ("10P", None, Some(10_000_000_000_000_000)), // its thousandths are past 2^63
            ("10000Pi", None, None),
            ("", None, None),
            ("-1", None, None),
            ("1.", None, None),
            (".5", None, None),
            ("1 Mi", None, None),
            ("1Mb", None, None),
            ("1e3", None, None),
            ("1.2.3", None, None),
        ];
        for (text, millis, bytes) in table {
            let quantity = Quantity::from(text);
            assert_eq!(quantity.millis().ok(), millis, "{text} in thousandths");
            assert_eq!(quantity.bytes().ok(), bytes, "{text} in units");
        }
    }

    #[test]
    fn a_number_and_its_text_are_the_same_quantity() {
        let from = |json| serde_json::from_str::<Quantity>(json).unwrap();
        assert_eq!(from("2"), from("\"2\""));
        assert_eq!(from("4294967296").bytes(), Ok(1 << 32));
    }

    proptest! {
        #[test]
        fn the_schema_lets_through_what_can_be_read(text in "[0-9.kMGTPim]{0,6}") {
            let schema = regex::Regex::new(PATTERN).unwrap();
            prop_assert_eq!(schema.is_match(&text), parse(&text).is_some());
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let quantity = Quantity(text);
            prop_assert!(quantity.millis().is_err() || quantity.bytes().is_ok());
            prop_assert!(quantity.bytes().is_err() || parse(&quantity.0).is_some());
        }
    }
}
