mod managers;
mod properties;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ApplyError, Conflict, Conflicts, Manager, MergeSchema, Operation, record_update, server_side_apply,
};

fn thing() -> MergeSchema {
    MergeSchema::from_structural(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "s": {"type": "string"},
            "n": {"type": "integer"},
            "atomic": {"type": "array", "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}, "v": {"type": "string"}, "w": {"type": "integer"}}}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {"port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "v": {"type": "string"}}}},
            "amap": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }}))
}

fn manager(name: &str, operation: Operation) -> Manager {
    Manager {
        name: name.to_owned(),
        operation,
        subresource: String::new(),
        api_version: "t.io/v1".to_owned(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "t.io/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec})
}

fn try_apply(live: Option<&Value>, spec: &Value, name: &str, force: bool) -> Result<Value, ApplyError> {
    server_side_apply(
        live,
        &object(spec),
        &manager(name, Operation::Apply),
        force,
        &thing(),
        at(1),
    )
}

fn apply(live: Option<&Value>, spec: &Value, name: &str) -> Value {
    try_apply(live, spec, name, false).expect("no conflict")
}

/// What an update by `name` stores.
fn update(live: Option<&Value>, spec: &Value, name: &str, second: i64) -> Value {
    let mut after = live.cloned().unwrap_or_else(|| object(&json!({})));
    after["metadata"]["uid"] = json!("u");
    after["spec"] = spec.clone();
    record_update(
        live,
        &mut after,
        &manager(name, Operation::Update),
        &thing(),
        at(second),
    );
    after
}

fn fields_of(object: &Value, name: &str) -> Value {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries
        .into_iter()
        .find(|entry| entry["manager"] == name)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

#[test]
fn an_apply_creates_and_owns_what_it_names() {
    let made = apply(
        None,
        &json!({"s": "a", "set": ["x"], "items": [{"name": "i", "v": "1"}], "atomic": ["p"], "labels": {"k": "v"}, "amap": {"a": "1"}}),
        "m",
    );
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{
            "manager": "m", "operation": "Apply", "apiVersion": "t.io/v1", "time": "1970-01-01T00:00:01Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {
                "f:s": {}, "f:atomic": {}, "f:amap": {}, "f:labels": {"f:k": {}}, "f:set": {"v:\"x\"": {}},
                "f:items": {"k:{\"name\":\"i\"}": {".": {}, "f:name": {}, "f:v": {}}},
            }},
        }])
    );
}

#[test]
fn another_managers_value_is_a_conflict_in_kubernetes_words() {
    let live = apply(
        None,
        &json!({"s": "a", "n": 1, "items": [{"name": "i", "v": "1"}]}),
        "one",
    );
    let live = update(
        Some(&live),
        &json!({"s": "a", "n": 2, "items": [{"name": "i", "v": "1"}]}),
        "two",
        2,
    );
    let error = try_apply(
        Some(&live),
        &json!({"s": "b", "n": 3, "items": [{"name": "i", "v": "2"}]}),
        "three",
        false,
    );
    let Err(ApplyError::Conflict(conflicts)) = error else {
        panic!("{error:?}")
    };
    let conflict = |manager: &str, path: &str| Conflict {
        manager: manager.to_owned(),
        path: path.to_owned(),
    };
    assert_eq!(
        conflicts,
        [
            conflict("\"one\"", ".spec.s"),
            conflict("\"one\"", ".spec.items[name=\"i\"].v"),
            conflict("\"two\" using t.io/v1", ".spec.n"),
        ]
    );
    assert_eq!(
        Conflicts(conflicts.clone()).to_string(),
        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .spec.s\n- .spec.items[name=\"i\"].v\nconflicts with \"two\" using t.io/v1:\n- .spec.n"
    );
    assert_eq!(
        ApplyError::Conflict(conflicts[..1].to_vec()).to_string(),
        "Apply failed with 1 conflict: conflict with \"one\": .spec.s"
    );
    let forced = try_apply(Some(&live), &json!({"s": "b"}), "three", true).expect("forced");
    assert_eq!(forced["spec"]["s"], "b");
    assert_eq!(fields_of(&forced, "three"), json!({"f:spec": {"f:s": {}}}));
    assert_eq!(fields_of(&forced, "one")["f:spec"].get("f:s"), None);
}

#[test]
fn the_same_value_is_shared() {
    let live = apply(None, &json!({"s": "a"}), "one");
    let live = apply(Some(&live), &json!({"s": "a", "n": 1}), "two");
    assert_eq!(fields_of(&live, "one"), json!({"f:spec": {"f:s": {}}}));
    let live = apply(Some(&live), &json!({"n": 1}), "two");
    assert_eq!(live["spec"], json!({"s": "a", "n": 1}), "one still owns s");
    let live = apply(Some(&live), &json!({"n": 1}), "one");
    assert_eq!(live["spec"], json!({"n": 1}), "nobody does now");
}

#[test]
fn what_is_not_applied_any_more_goes() {
    let live = apply(
        None,
        &json!({"s": "a", "n": 1, "set": ["x", "y"], "items": [{"name": "i", "v": "1", "w": 1}, {"name": "j"}], "labels": {"a": "1", "b": "2"}}),
        "m",
    );
    let live = apply(
        Some(&live),
        &json!({"n": 1, "set": ["y"], "items": [{"name": "i", "w": 1}], "labels": {"b": "2"}}),
        "m",
    );
    assert_eq!(
        live["spec"],
        json!({"n": 1, "set": ["y"], "items": [{"name": "i", "w": 1}], "labels": {"b": "2"}})
    );
    let mut empty = object(&json!({}));
    empty.as_object_mut().expect("an object").remove("spec");
    let live = server_side_apply(
        Some(&live),
        &empty,
        &manager("m", Operation::Apply),
        false,
        &thing(),
        at(2),
    )
    .expect("no conflict");
    assert_eq!(live.get("spec"), None);
    assert_eq!(live["metadata"].get("managedFields"), None);
}

/// Every object here is what kube-apiserver 1.36 made of the same three requests, but for the null: it refuses that
/// with `spec.items in body must be of type array: "null"`.
#[test]
fn an_updaters_value_stays_when_the_applier_leaves() {
    let made = apply(None, &json!({"s": "a", "items": [{"name": "i", "v": "1"}]}), "m");
    let with = |items: Value| {
        let live = update(Some(&made), &json!({"s": "a", "n": 5, "items": items}), "ctl", 2);
        apply(Some(&live), &json!({"s": "a"}), "m")
    };
    // The item was m's, by its name: what ctl set in it does not hold it. The field of the object is held.
    let live = with(json!([{"name": "i", "v": "1", "w": 7}]));
    assert_eq!(
        live["spec"],
        json!({"s": "a", "n": 5, "items": null}),
        "Kubernetes removes the item and leaves a null"
    );
    let live = with(json!([{"name": "i", "v": "1", "w": 7}, {"name": "j"}]));
    assert_eq!(
        live["spec"],
        json!({"s": "a", "n": 5, "items": [{"name": "j"}]}),
        "ctl's own item and number stay"
    );
    assert_eq!(fields_of(&live, "m"), json!({"f:spec": {"f:s": {}}}));
    assert_eq!(
        fields_of(&live, "ctl"),
        json!({"f:spec": {"f:n": {}, "f:items": {"k:{\"name\":\"j\"}": {".": {}, "f:name": {}}}}})
    );
    let live = apply(Some(&made), &json!({"items": [{"name": "i", "w": 1}]}), "two");
    let live = apply(Some(&live), &json!({"s": "a"}), "m");
    assert_eq!(
        live["spec"],
        json!({"s": "a", "items": [{"name": "i", "w": 1}]}),
        "who applies an item does hold it"
    );
}

#[test]
fn lists_keep_the_order_of_the_configuration() {
    let live = apply(
        None,
        &json!({"items": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
        "one",
    );
    let live = apply(
        Some(&live),
        &json!({"items": [{"name": "c"}, {"name": "x"}, {"name": "a"}]}),
        "two",
    );
    let names: Vec<&str> = live["spec"]["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert_eq!(names, ["b", "c", "x", "a"]);
}

#[test]
fn defaulted_keys_name_items() {
    let live = apply(None, &json!({"ports": [{"port": 80, "v": "1"}]}), "one");
    assert_eq!(
        fields_of(&live, "one")["f:spec"]["f:ports"]
            .as_object()
            .expect("a map")
            .keys()
            .collect::<Vec<_>>(),
        ["k:{\"port\":80,\"protocol\":\"TCP\"}"]
    );
    let live = apply(
        Some(&live),
        &json!({"ports": [{"port": 80, "protocol": "TCP", "v": "1"}, {"port": 80, "protocol": "UDP"}]}),
        "two",
    );
    assert_eq!(live["spec"]["ports"].as_array().map(Vec::len), Some(2));
}

#[test]
fn configurations_that_do_not_fit_are_refused_by_path() {
    for (spec, path, why) in [
        (
            json!({"colour": 1}),
            ".spec.colour",
            "field not declared in schema",
        ),
        (
            json!({"items": [{"name": "a", "x": 1}]}),
            ".spec.items[name=\"a\"].x",
            "field not declared in schema",
        ),
        (
            json!({"set": ["a", "a"]}),
            ".spec.set",
            "duplicate entries for key [=\"a\"]",
        ),
        (
            json!({"n": "x"}),
            ".spec.n",
            "expected numeric (int or float), got a string",
        ),
        (json!({"set": "x"}), ".spec.set", "expected list, got a string"),
        (json!({"labels": []}), ".spec.labels", "expected map, got a list"),
        (
            json!({"items": [null]}),
            ".spec.items",
            "element 0: associative list with keys may not have a null element",
        ),
    ] {
        let error = try_apply(None, &spec, "m", false).expect_err("refused");
        assert_eq!(
            error,
            ApplyError::Typed {
                path: path.to_owned(),
                why: why.to_owned()
            }
        );
    }
    let mut with_fields = object(&json!({}));
    with_fields["metadata"]["managedFields"] = json!([]);
    let error = server_side_apply(
        None,
        &with_fields,
        &manager("m", Operation::Apply),
        false,
        &thing(),
        at(1),
    );
    assert_eq!(error, Err(ApplyError::ManagedFieldsGiven));
}

#[test]
fn core_kinds_merge_by_their_own_rules() {
    let schema = MergeSchema::core("ConfigMap");
    let config = |data: Value, finalizers: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "finalizers": finalizers, "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}]}, "data": data});
    let one = manager("one", Operation::Apply);
    let two = manager("two", Operation::Apply);
    let live = server_side_apply(
        None,
        &config(json!({"a": "1"}), json!(["f/1"])),
        &one,
        false,
        &schema,
        at(1),
    )
    .expect("made");
    let live = server_side_apply(
        Some(&live),
        &config(json!({"b": "2"}), json!(["f/2"])),
        &two,
        false,
        &schema,
        at(1),
    )
    .expect("merged");
    assert_eq!(live["data"], json!({"a": "1", "b": "2"}));
    assert_eq!(live["metadata"]["finalizers"], json!(["f/1", "f/2"]));
    assert_eq!(
        fields_of(&live, "two")["f:metadata"],
        json!({"f:finalizers": {"v:\"f/2\"": {}}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}})
    );
}
