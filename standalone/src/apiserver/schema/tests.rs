use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CompileError, ErrorKind, Names, Schema, validate_metadata};

fn compile(schema: &Value) -> Schema {
    Schema::compile(schema).expect("a good schema")
}

/// A resource whose `spec` has this schema.
fn with_spec(spec: &Value) -> Schema {
    compile(&json!({"type": "object", "properties": {"spec": spec}}))
}

fn errors(schema: &Schema, object: &Value) -> Vec<(String, &'static str, String)> {
    let errors = schema.validate(object, None);
    errors
        .into_iter()
        .map(|error| (error.path, error.kind.as_str(), error.detail))
        .collect()
}

/// Each line is one that kube-apiserver 1.36 wrote for the same schema and object.
#[test]
fn errors_read_as_in_kubernetes() {
    let table = [
        (
            json!({"type": "integer"}),
            json!("x"),
            "FieldValueTypeInvalid",
            "Invalid value: \"string\": spec in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "string"}),
            json!(null),
            "FieldValueTypeInvalid",
            "Invalid value: \"null\": spec in body must be of type string: \"null\"",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "FieldValueTypeInvalid",
            "Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"type": "string", "enum": ["A", "B"]}),
            json!("x"),
            "FieldValueNotSupported",
            "Unsupported value: \"x\": supported values: \"A\", \"B\"",
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            "FieldValueNotSupported",
            "Unsupported value: 3: supported values: \"1\", \"2\"",
        ),
        (
            json!({"type": "string", "maxLength": 1}),
            json!("ab"),
            "FieldValueTooLong",
            "Too long: may not be more than 1 byte",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            "FieldValueInvalid",
            "Invalid value: \"a\": spec in body should be at least 2 chars long",
        ),
        (
            json!({"type": "string", "pattern": "^a$"}),
            json!("\n\"b\""),
            "FieldValueInvalid",
            "Invalid value: \"\\n\\\"b\\\"\": spec in body should match '^a$'",
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "FieldValueInvalid",
            "Invalid value: 0: spec in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(1),
            "FieldValueInvalid",
            "Invalid value: 1: spec in body should be greater than 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5}),
            json!(2),
            "FieldValueInvalid",
            "Invalid value: 2: spec in body should be less than or equal to 1.5",
        ),
        (
            json!({"type": "number", "maximum": 2, "exclusiveMaximum": true}),
            json!(2),
            "FieldValueInvalid",
            "Invalid value: 2: spec in body should be less than 2",
        ),
        (
            json!({"type": "integer", "multipleOf": 3}),
            json!(4),
            "FieldValueInvalid",
            "Invalid value: 4: spec in body should be a multiple of 3",
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
            json!([1, 2]),
            "FieldValueTooMany",
            "Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}, "minItems": 1}),
            json!([]),
            "FieldValueInvalid",
            "Invalid value: 0: spec in body should have at least 1 items",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1}),
            json!({"a": 1, "b": 2}),
            "FieldValueTooMany",
            "Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}),
            json!({}),
            "FieldValueInvalid",
            "Invalid value: 0: spec in body should have at least 1 properties",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            "FieldValueTypeInvalid",
            "Invalid value: \"x\": spec in body must be of type date-time: \"x\"",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "b", "a"]),
            "FieldValueDuplicate",
            "Duplicate value: \"a\"",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {"name": {"type": "string"}, "x": {"type": "integer"}}}}),
            json!([{"name": "a", "x": 1}, {"name": "a", "x": 2}]),
            "FieldValueDuplicate",
            "Duplicate value: {\"name\":\"a\"}",
        ),
    ];
    for (spec, value, reason, detail) in table {
        let found = errors(&with_spec(&spec), &json!({"spec": value}));
        let path = if reason == "FieldValueDuplicate" {
            format!("spec[{}]", value.as_array().map_or(0, Vec::len) - 1)
        } else {
            "spec".to_owned()
        };
        assert_eq!(found, [(path, reason, detail.to_owned())], "{spec} on {value}");
    }
}

#[test]
fn errors_of_no_field_have_the_path_kubernetes_gives_them() {
    let found = errors(
        &with_spec(&json!({"type": "integer", "format": "int32"})),
        &json!({"spec": 3_000_000_000_u64}),
    );
    assert_eq!(
        found,
        [(
            "<nil>".to_owned(),
            "FieldValueInvalid",
            "Invalid value: \"\": Checked value must be of type integer with format int32 in spec".to_owned()
        )]
    );
    let one_of = json!({"type": "string", "oneOf": [{"pattern": "^a"}, {"pattern": "b$"}]});
    let found = errors(&with_spec(&one_of), &json!({"spec": "ab"}));
    assert_eq!(found, [("<nil>".to_owned(), "FieldValueInvalid", "Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives".to_owned())]);
    assert!(errors(&with_spec(&one_of), &json!({"spec": "a"})).is_empty());
    let not = json!({"type": "integer", "not": {"enum": [2]}});
    let found = errors(&with_spec(&not), &json!({"spec": 2}));
    assert_eq!(
        found[0].2,
        "Invalid value: \"\": \"spec\" must not validate the schema (not)"
    );
}

#[test]
fn paths_lead_through_lists_and_maps() {
    let schema = with_spec(&json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}},
    }}));
    let found = errors(&schema, &json!({"spec": {"m": {"k": "x"}}}));
    assert_eq!(found[0].0, "spec.m.k");
    assert_eq!(
        found[1],
        (
            "spec.a".to_owned(),
            "FieldValueRequired",
            "Required value".to_owned()
        )
    );
    let found = errors(&schema, &json!({"spec": {"a": [{}]}}));
    assert_eq!(found[0].0, "spec.a[0].name");
}

#[test]
fn numbers_may_be_whole_without_looking_it() {
    assert!(errors(&with_spec(&json!({"type": "integer"})), &json!({"spec": 2.0})).is_empty());
    // Kubernetes says it twice: of the type, and of the default format.
    let found = errors(&with_spec(&json!({"type": "integer"})), &json!({"spec": 2.5}));
    assert_eq!(
        found.iter().map(|(_, kind, _)| &**kind).collect::<Vec<_>>(),
        ["FieldValueTypeInvalid", "FieldValueInvalid"]
    );
    assert!(errors(&with_spec(&json!({"type": "number"})), &json!({"spec": 2})).is_empty());
}

#[test]
fn unknown_fields_are_named_and_pruned() {
    let schema = compile(&json!({"type": "object", "properties": {
        "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": {
            "template": {"type": "object", "properties": {"containers": {"type": "array", "items": {"type": "object", "properties": {"image": {"type": "string"}}}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"x": {"type": "string"}}},
        }},
    }}));
    let mut object = json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "Workload",
        "metadata": {"name": "x", "labels": {"a": "b"}, "colour": "red"},
        "spec": {
            "template": {"containers": [{"image": "a", "imge": "b"}]},
            "free": {"anything": {"goes": 1}, "known": {"a": "1", "b": "2"}},
            "map": {"k": {"a": "1", "b": "2"}},
            "embedded": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "e"}, "x": "1", "y": "2"},
        },
        "extra": {"deep": 1},
    });
    assert_eq!(
        schema.unknown_fields(&object),
        [
            "extra",
            "metadata.colour",
            "spec.embedded.y",
            "spec.free.known.b",
            "spec.map.k.b",
            "spec.template.containers[0].imge",
        ]
    );
    schema.prune(&mut object);
    assert_eq!(schema.unknown_fields(&object), Vec::<String>::new());
    assert_eq!(
        object["spec"]["free"],
        json!({"anything": {"goes": 1}, "known": {"a": "1"}})
    );
    assert_eq!(object["metadata"], json!({"name": "x", "labels": {"a": "b"}}));
}

#[test]
fn defaults_fill_what_is_absent_and_nulls_nobody_declared() {
    let schema = with_spec(&json!({"type": "object", "properties": {
        "a": {"type": "integer", "default": 1},
        "b": {"type": "string"},
        "c": {"type": "string", "nullable": true, "default": "x"},
        "o": {"type": "object", "default": {}, "properties": {"deep": {"type": "boolean", "default": true}}},
        "l": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
        "m": {"type": "object", "additionalProperties": {"type": "integer", "default": 7}},
    }}));
    let mut object =
        json!({"spec": {"a": null, "b": null, "c": null, "l": [{}, {"p": "UDP"}], "m": {"k": null}}});
    schema.drop_nulls(&mut object);
    schema.default(&mut object);
    assert_eq!(
        object,
        json!({"spec": {"a": 1, "c": null, "o": {"deep": true}, "l": [{"p": "TCP"}, {"p": "UDP"}], "m": {"k": 7}}})
    );
    let mut absent = json!({"spec": {}});
    schema.default(&mut absent);
    assert_eq!(absent, json!({"spec": {"a": 1, "c": "x", "o": {"deep": true}}}));
    let mut none = json!({});
    schema.default(&mut none);
    assert_eq!(none, json!({}));
}

#[test]
fn what_was_invalid_before_may_stay_untouched() {
    let schema = with_spec(&json!({"type": "object", "properties": {
        "a": {"type": "string", "maxLength": 1},
        "b": {"type": "string"},
        "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
              "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}}}},
        "atomic": {"type": "array", "items": {"type": "string", "maxLength": 1}},
    }}));
    let old = json!({"spec": {"a": "long", "l": [{"k": "x", "v": "long"}], "atomic": ["long"]}});
    let update = |new: Value| {
        schema
            .validate(&new, Some(&old))
            .into_iter()
            .map(|error| error.path)
            .collect::<Vec<_>>()
    };
    assert!(update(json!({"spec": {"a": "long", "b": "new"}})).is_empty());
    assert_eq!(update(json!({"spec": {"a": "longer"}})), ["spec.a"]);
    assert!(update(json!({"spec": {"l": [{"k": "new"}, {"k": "x", "v": "long"}]}})).is_empty());
    assert_eq!(
        update(json!({"spec": {"l": [{"k": "y", "v": "long"}]}})),
        ["spec.l[0].v"]
    );
    assert!(update(json!({"spec": {"atomic": ["long"]}})).is_empty());
    assert_eq!(
        update(json!({"spec": {"atomic": ["long", "a"]}})),
        ["spec.atomic[0]"]
    );
}

#[test]
fn schemas_that_cannot_work_are_refused() {
    for (schema, wanted) in [
        (json!(1), "schema must be an object"),
        (json!({"type": "thing"}), "type must be"),
        (json!({"$ref": "#/x"}), "$ref is forbidden"),
        (json!({"uniqueItems": true}), "uniqueItems must be"),
        (json!({"minLength": -1}), "minLength must be"),
        (
            json!({"x-kubernetes-list-type": "map"}),
            "x-kubernetes-list-map-keys must be",
        ),
        (json!({"type": "integer", "default": "x"}), "default must be"),
        (json!({"pattern": "(a"}), "compile pattern \"(a\" at spec"),
    ] {
        let error =
            Schema::compile(&json!({"type": "object", "properties": {"spec": schema}})).expect_err("refused");
        assert!(error.to_string().contains(wanted), "{schema}: {error}");
    }
    let deep = (0..100).fold(
        json!({"type": "string"}),
        |below, _| json!({"type": "object", "properties": {"a": below}}),
    );
    assert!(matches!(
        Schema::compile(&deep),
        Err(CompileError::TooDeep { .. })
    ));
}

#[test]
fn metadata_is_checked_as_kubernetes_does() {
    let found = |metadata: Value| -> Vec<(String, ErrorKind)> {
        let errors = validate_metadata(&json!({"metadata": metadata}), Names::Subdomains);
        errors.into_iter().map(|error| (error.path, error.kind)).collect()
    };
    assert!(found(json!({
        "name": "a.b-c", "generateName": "a-", "namespace": "n", "labels": {"longshore.dev/x": "Y_1", "k": ""},
        "annotations": {"Longshore.DEV/X": "any ☃"}, "finalizers": ["longshore.dev/f"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true}],
    })).is_empty());
    for (metadata, path) in [
        (json!({"name": "A"}), "metadata.name"),
        (json!({"name": "-a"}), "metadata.name"),
        (json!({"name": "a..b"}), "metadata.name"),
        (json!({"name": "a".repeat(254)}), "metadata.name"),
        (json!({"generateName": "A-"}), "metadata.generateName"),
        (json!({"namespace": "a.b"}), "metadata.namespace"),
        (json!({"labels": {"-": "x"}}), "metadata.labels"),
        (json!({"labels": {"a/b/c": "x"}}), "metadata.labels"),
        (json!({"labels": {"/a": "x"}}), "metadata.labels"),
        (json!({"labels": {"a": "x y"}}), "metadata.labels"),
        (json!({"labels": {"a": "x".repeat(64)}}), "metadata.labels"),
        (json!({"annotations": {"a b": "x"}}), "metadata.annotations"),
        (
            json!({"annotations": {"a": "x".repeat(300_000)}}),
            "metadata.annotations",
        ),
        (json!({"finalizers": ["a b"]}), "metadata.finalizers"),
        (
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n"}]}),
            "metadata.ownerReferences.uid",
        ),
    ] {
        let found = found(metadata.clone());
        assert_eq!(
            found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
            [path],
            "{metadata}"
        );
    }
    assert_eq!(
        found(json!({"labels": {"a": 1}})),
        [("metadata.labels".to_owned(), ErrorKind::TypeInvalid)]
    );
    let name = &validate_metadata(&json!({"metadata": {"name": "A"}}), Names::Subdomains)[0];
    assert_eq!(
        name.detail,
        "Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
         and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    );
}

/// Schemas and objects over the same few names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "object",
            "array",
            "string",
            "integer",
            "number",
            "map",
            "set",
            "a",
            "^a",
            "int32",
            "date-time",
            "self == oldSelf",
            "self.a > 1",
            "size(self) < 3"
        ])
        .prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 5, |inner| {
        let keys = prop::sample::select(vec![
            "a",
            "b",
            "type",
            "properties",
            "items",
            "additionalProperties",
            "default",
            "nullable",
            "required",
            "enum",
            "pattern",
            "format",
            "minimum",
            "multipleOf",
            "maxItems",
            "x-kubernetes-list-type",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-int-or-string",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-validations",
            "rule",
            "message",
            "messageExpression",
            "fieldPath",
            "allOf",
            "oneOf",
            "not",
            "metadata",
            "labels",
            "name",
            "finalizers",
            "ownerReferences",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..6).prop_map(|map| Value::Object(
                map.into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(schema in any_json(), spec in any_json(), object in any_json(), old in any_json()) {
        for schema in [schema, json!({"type": "object", "properties": {"a": spec, "b": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})] {
            let Ok(schema) = Schema::compile(&schema) else { continue };
            drop(schema.unknown_fields(&object));
            let mut pruned = object.clone();
            schema.prune(&mut pruned);
            schema.default(&mut pruned);
            drop(schema.validate(&object, Some(&old)));
            drop(schema.validate(&pruned, None));
        }
        drop(validate_metadata(&object, Names::Subdomains));
        drop(validate_metadata(&json!({"metadata": object}), Names::Subdomains));
    }

    #[test]
    fn pruning_and_defaulting_twice_is_doing_it_once(spec in any_json(), object in any_json()) {
        if let Ok(schema) = Schema::compile(&json!({"type": "object", "properties": {"a": spec}})) {
            let mut once = object;
            schema.prune(&mut once);
            schema.default(&mut once);
            let mut twice = once.clone();
            schema.default(&mut twice);
            prop_assert_eq!(&twice, &once);
        }
    }

    #[test]
    fn an_unchanged_object_can_always_be_written_again(spec in any_json(), object in any_json()) {
        if let Ok(schema) = Schema::compile(&json!({"type": "object", "properties": {"a": spec}})) {
            let old = json!({"a": object});
            let errors = schema.validate(&old, Some(&old));
            prop_assert!(errors.iter().all(|error| error.detail.contains("rule")), "{:?}", errors);
        }
    }
}
