mod rules;

use serde_json::{Value, json};

use crate::apiserver::schema::{CompileError, Schema};

fn with_rules(spec: &Value, rules: &Value) -> Result<Schema, CompileError> {
    let mut spec = spec.clone();
    spec["x-kubernetes-validations"] = rules.clone();
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}}))
}

fn spec() -> Value {
    json!({"type": "object", "properties": {
        "replicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "name": {"type": "string"},
        "my_field": {"type": "string"},
        "namespace": {"type": "string"},
        "foo-bar": {"type": "string"},
        "list": {"type": "array", "items": {"type": "string"}},
        "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                  "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "at": {"type": "string", "format": "date-time"},
        "timeout": {"type": "string", "format": "duration"},
        "blob": {"type": "string", "format": "byte"},
        "either": {"x-kubernetes-int-or-string": true},
        "memory": {"x-kubernetes-int-or-string": true},
        "url": {"type": "string"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }})
}

#[test]
fn messages_reasons_and_field_paths_are_the_rules() {
    let rules = json!([
        {"rule": "self.replicas > 1"},
        {"rule": "self.replicas > 2", "message": " two \n"},
        {"rule": "self.replicas > 3", "message": "unused", "messageExpression": "'got ' + string(self.replicas)"},
        {"rule": "self.replicas > 4", "message": "fallback", "messageExpression": "self.name"},
        {"rule": "self.replicas > 5", "message": "no", "reason": "FieldValueForbidden", "fieldPath": ".replicas"},
        {"rule": "self.replicas > 6", "message": "no", "reason": "FieldValueRequired", "fieldPath": ".map['a.b']"},
        {"rule": "self.replicas > 7", "message": "no", "reason": "FieldValueDuplicate", "fieldPath": "['foo-bar']"},
    ]);
    let schema = with_rules(&spec(), &rules).expect("good rules");
    let errors = schema.validate(&json!({"spec": {"replicas": 1}}), None);
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.path.as_str(), error.kind.as_str(), error.detail.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "spec",
                "FieldValueInvalid",
                "Invalid value: failed rule: self.replicas > 1"
            ),
            ("spec", "FieldValueInvalid", "Invalid value: two"),
            ("spec", "FieldValueInvalid", "Invalid value: got 1"),
            ("spec", "FieldValueInvalid", "Invalid value: fallback"),
            ("spec.replicas", "FieldValueForbidden", "Forbidden: no"),
            ("spec.map[a.b]", "FieldValueRequired", "Required value: no"),
            ("spec.foo-bar", "FieldValueDuplicate", "Duplicate value"),
        ]
    );
    let scalar = with_rules(
        &json!({"type": "string"}),
        &json!([{"rule": "self == 'a'", "message": "not a"}]),
    )
    .expect("good");
    let errors = scalar.validate(&json!({"spec": "b"}), None);
    assert_eq!(errors[0].detail, "Invalid value: \"b\": not a");
}

#[test]
fn a_rule_at_the_root_sees_the_name() {
    let schema = Schema::compile(&json!({
        "type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "x-kubernetes-validations": [
            {"rule": "self.metadata.name.size() <= 3", "message": "name too long", "fieldPath": ".spec.a"},
            {"rule": "self.kind == 'K'", "message": "wrong kind"},
        ],
    }))
    .expect("good rules");
    let errors = schema.validate(
        &json!({"kind": "L", "metadata": {"name": "abcd"}, "spec": {}}),
        None,
    );
    assert_eq!(
        (errors[0].path.as_str(), errors[0].detail.as_str()),
        ("spec.a", "Invalid value: name too long")
    );
    assert_eq!(
        (errors[1].path.as_str(), errors[1].detail.as_str()),
        ("<nil>", "Invalid value: wrong kind")
    );
}

#[test]
fn transition_rules_wait_for_an_old_value() {
    let immutable = json!([{"rule": "self == oldSelf", "message": "immutable"}]);
    let schema = with_rules(&json!({"type": "string"}), &immutable).expect("good");
    assert!(schema.validate(&json!({"spec": "a"}), None).is_empty());
    assert!(
        schema
            .validate(&json!({"spec": "a"}), Some(&json!({})))
            .is_empty()
    );
    assert!(
        schema
            .validate(&json!({"spec": "a"}), Some(&json!({"spec": "a"})))
            .is_empty()
    );
    assert_eq!(
        schema
            .validate(&json!({"spec": "a"}), Some(&json!({"spec": "b"})))
            .len(),
        1
    );

    // Items of a map list are found again by their key, wherever they stand.
    let items = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "shrank"}]}});
    let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": items}})).expect("good");
    let old = json!({"spec": [{"k": "a", "v": 1}, {"k": "b", "v": 5}]});
    assert!(
        schema
            .validate(
                &json!({"spec": [{"k": "b", "v": 5}, {"k": "a", "v": 2}, {"k": "c", "v": 0}]}),
                Some(&old)
            )
            .is_empty()
    );
    let errors = schema.validate(&json!({"spec": [{"k": "b", "v": 4}]}), Some(&old));
    assert_eq!(errors[0].path, "spec[0]");
}

#[test]
fn an_optional_old_self_is_an_optional() {
    let rules = json!([{"rule": "oldSelf.hasValue() ? self >= oldSelf.value() : self == 0", "optionalOldSelf": true, "message": "no"}]);
    let schema = with_rules(&json!({"type": "integer"}), &rules).expect("good");
    assert!(schema.validate(&json!({"spec": 0}), None).is_empty());
    assert_eq!(schema.validate(&json!({"spec": 1}), None).len(), 1);
    assert!(
        schema
            .validate(&json!({"spec": 2}), Some(&json!({"spec": 1})))
            .is_empty()
    );
    assert_eq!(
        schema
            .validate(&json!({"spec": 0}), Some(&json!({"spec": 1})))
            .len(),
        1
    );
}

#[test]
fn an_unchanged_value_may_break_a_new_rule() {
    let schema = with_rules(&spec(), &json!([{"rule": "self.replicas > 5", "message": "no"}])).expect("good");
    let old = json!({"spec": {"replicas": 1}, "status": {}});
    assert!(
        schema
            .validate(&json!({"spec": {"replicas": 1}}), Some(&old))
            .is_empty()
    );
    assert_eq!(
        schema
            .validate(&json!({"spec": {"replicas": 2}}), Some(&old))
            .len(),
        1
    );
}

#[test]
fn rules_are_not_asked_about_nonsense_or_null() {
    let schema = with_rules(&spec(), &json!([{"rule": "self.replicas > 5", "message": "no"}])).expect("good");
    let errors = schema.validate(&json!({"spec": {"replicas": "x"}}), None);
    assert_eq!(errors.len(), 2);
    assert!(
        errors[1]
            .detail
            .starts_with("Invalid value: null: some validation rules were not checked")
    );
    let nullable = with_rules(
        &json!({"type": "integer", "nullable": true}),
        &json!([{"rule": "self > 5"}]),
    )
    .expect("good");
    assert!(nullable.validate(&json!({"spec": null}), None).is_empty());
}

#[test]
fn a_rule_that_fails_to_run_says_so() {
    let schema = with_rules(
        &spec(),
        &json!([{"rule": "self.list[5] == 'a'", "message": "short"}, {"rule": "self.name"}]),
    )
    .expect("good");
    let errors = schema.validate(&json!({"spec": {"list": [], "name": "x"}}), None);
    assert!(
        errors[0].detail.ends_with("evaluating rule: short"),
        "{}",
        errors[0].detail
    );
    assert!(
        errors[1].detail.contains("must evaluate to a bool"),
        "{}",
        errors[1].detail
    );
}

#[test]
fn rules_that_cannot_work_are_refused_by_name() {
    for (rule, wanted) in [
        (json!({"rule": "self.replicas >"}), "parse the rule"),
        (json!({"rule": "self.?x.hasValue()"}), "undefined field 'x'"),
        (json!({"rule": "self.free.x == 1"}), "undefined field 'x'"),
        (json!({"rule": "has(self.free.x)"}), "undefined field 'x'"),
        (
            json!({"rule": "math.greatest(self.replicas, 5) == 5"}),
            "undeclared reference to 'math",
        ),
        (json!({"rule": "self.replcas > 1"}), "undefined field 'replcas'"),
        (
            json!({"rule": "self.items.all(i, i.x > 0)"}),
            "undefined field 'x'",
        ),
        (json!({"rule": "self.items[0].x > 0"}), "undefined field 'x'"),
        (
            json!({"rule": "self.metadata.name == 'x'"}),
            "undefined field 'metadata'",
        ),
        (
            json!({"rule": "this.replicas > 1"}),
            "undeclared reference to 'this'",
        ),
        (
            json!({"rule": "self.name.frobnicate()"}),
            "undeclared reference to 'frobnicate'",
        ),
        (
            json!({"rule": "self.list.sortBy(x, x) == self.list"}),
            "undeclared reference to",
        ),
        (
            json!({"rule": "cel.bind(x, self.name, x == 'a')"}),
            "undeclared reference to",
        ),
        (
            json!({"rule": "true", "messageExpression": "'a' +"}),
            "parse messageExpression",
        ),
        (json!({"rule": "true", "reason": "Whatever"}), "reason must be"),
        (
            json!({"rule": "true", "fieldPath": ".nope"}),
            "fieldPath \".nope\"",
        ),
        (json!({"rule": "true", "fieldPath": "name"}), "fieldPath \"name\""),
        (json!({"message": "x"}), "rule must be"),
        (json!({"rule": 1}), "rule must be"),
    ] {
        let error = with_rules(&spec(), &json!([rule])).expect_err("refused");
        let CompileError::Rule { path, source, .. } = &error else {
            panic!("{rule}: {error:?}")
        };
        assert_eq!(path, "spec");
        assert!(source.to_string().contains(wanted), "{rule}: {source}");
    }
    let list = json!({"type": "array", "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}});
    let error = Schema::compile(&json!({"type": "object", "properties": {"l": list}})).expect_err("refused");
    let CompileError::Rule { path, source, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (path.as_str(), source.to_string().as_str()),
        (
            "l[*]",
            "oldSelf cannot be used on the uncorrelatable portion of the schema"
        )
    );
}

#[test]
fn rules_below_all_of_are_asked_too() {
    let schema = Schema::compile(&json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"a": {"type": "integer"}},
        "allOf": [{"properties": {"a": {"x-kubernetes-validations": [{"rule": "self > 1", "message": "small"}]}}}],
    }}}))
    .expect("good");
    let errors = schema.validate(&json!({"spec": {"a": 1}}), None);
    assert_eq!(
        (errors[0].path.as_str(), errors[0].detail.as_str()),
        ("spec.a", "Invalid value: 1: small")
    );
}

#[test]
fn schemas_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Schema>();
}
