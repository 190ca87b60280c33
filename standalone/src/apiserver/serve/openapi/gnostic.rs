//! An OpenAPI v2 document as the protobuf message `openapi.v2.Document` of gnostic, the only form in which
//! kubectl takes it. Field numbers are those of gnostic's `OpenAPIv2.proto`.

use serde_json::{Map, Value};

/// The document's bytes. What the message has no field for here is left out: documents are our own.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut message = Message::default();
    message.text(1, &document["swagger"]);
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]);
    info.text(2, &document["info"]["version"]);
    message.message(2, &info);
    message.message(8, &named(2, &document["paths"], path_item));
    message.message(9, &named(1, &document["definitions"], schema));
    message.0
}

/// Fields one after another.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, number: u64, message: &Message) {
        self.bytes(number, &message.0);
    }

    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, values: &Value) {
        for value in values.as_array().into_iter().flatten() {
            self.text(number, value);
        }
    }

    fn flag(&mut self, number: u64, value: &Value) {
        if value.as_bool() == Some(true) {
            self.varint(number << 3);
            self.varint(1);
        }
    }

    fn integer(&mut self, number: u64, value: &Value) {
        if let Some(value) = value.as_u64() {
            self.varint(number << 3);
            self.varint(value);
        }
    }

    fn double(&mut self, number: u64, value: &Value) {
        if let Some(value) = value.as_f64() {
            self.varint(number << 3 | 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `Any`: the value as YAML text, of which JSON is a part.
    fn any(&mut self, number: u64, value: &Value) {
        let mut any = Message::default();
        any.bytes(2, value.to_string().as_bytes());
        self.message(number, &any);
    }

    /// `x-…` keywords as `NamedAny`.
    fn extensions(&mut self, number: u64, of: &Map<String, Value>) {
        for (name, value) in of.iter().filter(|(name, _)| name.starts_with("x-")) {
            let mut named = Message::default();
            named.bytes(1, name.as_bytes());
            named.any(2, value);
            self.message(number, &named);
        }
    }
}

/// A map as a message of `{name, value}` messages.
fn named(number: u64, map: &Value, value: fn(&Value) -> Message) -> Message {
    let mut message = Message::default();
    for (name, inner) in map.as_object().into_iter().flatten() {
        let mut pair = Message::default();
        pair.bytes(1, name.as_bytes());
        pair.message(2, &value(inner));
        message.message(number, &pair);
    }
    message
}

fn schema(schema: &Value) -> Message {
    let mut message = Message::default();
    for (number, keyword) in [
        (1, "$ref"),
        (2, "format"),
        (3, "title"),
        (4, "description"),
        (13, "pattern"),
    ] {
        message.text(number, &schema[keyword]);
    }
    for (number, keyword) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        message.double(number, &schema[keyword]);
    }
    for (number, keyword) in [
        (8, "exclusiveMaximum"),
        (10, "exclusiveMinimum"),
        (16, "uniqueItems"),
    ] {
        message.flag(number, &schema[keyword]);
    }
    for (number, keyword) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        message.integer(number, &schema[keyword]);
    }
    message.texts(19, &schema["required"]);
    if let Some(default) = schema.get("default") {
        message.any(5, default);
    }
    for value in schema["enum"].as_array().into_iter().flatten() {
        message.any(20, value);
    }
    if let Some(below) = schema.get("additionalProperties") {
        message.message(21, &only(1, &self::schema(below)));
    }
    if let Some(kind) = schema.get("type") {
        let mut types = Message::default();
        types.text(1, kind);
        message.message(22, &types);
    }
    if let Some(items) = schema.get("items") {
        message.message(23, &only(1, &self::schema(items)));
    }
    if let Some(properties) = schema.get("properties") {
        message.message(25, &named(1, properties, self::schema));
    }
    message.extensions(31, schema.as_object().unwrap_or(&Map::new()));
    message
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (number, verb) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(operation) = item[verb].as_object() {
            message.message(number, &self::operation(operation));
        }
    }
    message
}

fn operation(operation: &Map<String, Value>) -> Message {
    let mut message = Message::default();
    let parameters = operation.get("parameters").and_then(Value::as_array);
    for parameter in parameters.into_iter().flatten() {
        let mut query = Message::default();
        query.text(2, &parameter["in"]);
        query.text(4, &parameter["name"]);
        query.text(6, &parameter["type"]);
        // ParametersItem.parameter, Parameter.non_body_parameter, its query_parameter_sub_schema.
        message.message(8, &only(1, &only(2, &only(3, &query))));
    }
    let responses = operation.get("responses").unwrap_or(&Value::Null);
    message.message(9, &named(1, responses, response));
    message.extensions(13, operation);
    message
}

fn response(response: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, &response["description"]);
    message.message(2, &only(1, &schema(&response["schema"])));
    only(1, &message)
}

/// A message with this one field.
fn only(number: u64, inner: &Message) -> Message {
    let mut message = Message::default();
    message.message(number, inner);
    message
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_stand_as_protobuf_writes_them() {
        // 12: 300; 22: {1: "string"}; 31: {1: "x-a", 2: {2: "1"}}.
        let schema = schema(&json!({"type": "string", "minLength": 300, "x-a": 1}));
        assert_eq!(
            schema.0,
            b"\x60\xac\x02\xb2\x01\x08\x0a\x06string\xfa\x01\x0a\x0a\x03x-a\x12\x03\x12\x011"
        );
    }
}
