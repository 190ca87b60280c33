//! How deep an object may nest.
//!
//! The JSON parser refuses what nests deeper than 128, on this server as on its clients, and much here follows a
//! document recursively. A patch can build what no parser took in; this bound keeps out what could not be read back.

use serde_json::Value;

/// The most objects and lists in each other that a stored object may have. Below the parser's 128, so that what is
/// put around an object (a list, a watch event, a table's row) fits as well.
pub(crate) const LIMIT: usize = 100;

/// Whether `value` has at most `limit` objects and lists in each other. Looks no further than that.
pub(crate) fn is_within(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit > 0 && items.iter().all(|item| is_within(item, limit - 1)),
        Value::Object(fields) => limit > 0 && fields.values().all(|field| is_within(field, limit - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_and_lists_count_and_what_they_hold_does_not() {
        for (value, depth) in [
            (json!(1), 0),
            (json!({}), 1),
            (json!({"a": 1}), 1),
            (json!([{"a": []}]), 3),
        ] {
            assert!(is_within(&value, depth), "{value}");
            assert!(depth == 0 || !is_within(&value, depth - 1), "{value}");
        }
    }
}
