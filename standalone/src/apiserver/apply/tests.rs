use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::set::Set;
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

#[test]
fn an_updaters_value_stays_when_the_applier_leaves() {
    let live = apply(None, &json!({"s": "a", "items": [{"name": "i", "v": "1"}]}), "m");
    let live = update(
        Some(&live),
        &json!({"s": "a", "n": 5, "items": [{"name": "i", "v": "1", "w": 7}]}),
        "ctl",
        2,
    );
    let live = apply(Some(&live), &json!({"s": "a"}), "m");
    assert_eq!(
        live["spec"],
        json!({"s": "a", "n": 5, "items": [{"name": "i", "w": 7}]}).clone(),
        "the item is held by what ctl set in it"
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
fn a_write_that_changes_nothing_changes_no_managed_fields() {
    let live = update(None, &json!({"s": "a"}), "ctl", 1);
    let again = update(Some(&live), &json!({"s": "a"}), "other", 99);
    assert_eq!(again, live);
    let applied = apply(Some(&live), &json!({"s": "a"}), "m");
    let again = server_side_apply(
        Some(&applied),
        &object(&json!({"s": "a"})),
        &manager("m", Operation::Apply),
        false,
        &thing(),
        at(99),
    );
    assert_eq!(again, Ok(applied));
}

#[test]
fn updates_take_what_they_change() {
    let live = apply(None, &json!({"s": "a", "n": 1}), "m");
    let live = update(Some(&live), &json!({"s": "b", "n": 1}), "ctl", 5);
    assert_eq!(fields_of(&live, "m"), json!({"f:spec": {"f:n": {}}}));
    assert_eq!(fields_of(&live, "ctl"), json!({"f:spec": {"f:s": {}}}));
    let entry = &live["metadata"]["managedFields"][1];
    assert_eq!(
        (&entry["operation"], &entry["time"]),
        (&json!("Update"), &json!("1970-01-01T00:00:05Z"))
    );
}

#[test]
fn clients_may_reset_managed_fields_but_not_through_a_subresource() {
    let live = apply(None, &json!({"s": "a"}), "m");
    for sent in [json!([]), json!([{}])] {
        let mut after = live.clone();
        after["metadata"]["uid"] = json!("u");
        after["metadata"]["managedFields"] = sent;
        let before = after.clone();
        let mut through_status = after.clone();
        let mut live = live.clone();
        live["metadata"]["uid"] = json!("u");
        record_update(
            Some(&live),
            &mut after,
            &manager("ctl", Operation::Update),
            &thing(),
            at(2),
        );
        assert_eq!(after["metadata"].get("managedFields"), None, "{before}");
        let status = Manager {
            subresource: "status".to_owned(),
            ..manager("ctl", Operation::Update)
        };
        record_update(Some(&live), &mut through_status, &status, &thing(), at(2));
        assert_eq!(
            through_status["metadata"]["managedFields"],
            live["metadata"]["managedFields"]
        );
    }
    let mut forgetful = live.clone();
    forgetful["metadata"]
        .as_object_mut()
        .expect("an object")
        .remove("managedFields");
    record_update(
        Some(&live),
        &mut forgetful,
        &manager("ctl", Operation::Update),
        &thing(),
        at(2),
    );
    assert_eq!(
        forgetful, live,
        "a client that does not know them does not delete them"
    );
}

#[test]
fn an_object_without_managed_fields_gets_them_at_its_first_apply() {
    let mut live = object(&json!({"s": "a", "n": 1}));
    live["metadata"]["uid"] = json!("u");
    let error = try_apply(Some(&live), &json!({"s": "b"}), "m", false).expect_err("a conflict");
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using t.io/v1: .spec.s"
    );
    let applied = apply(Some(&live), &json!({"s": "a"}), "m");
    assert_eq!(
        fields_of(&applied, "before-first-apply"),
        json!({"f:spec": {".": {}, "f:n": {}, "f:s": {}}})
    );
    let mut after = live.clone();
    after["spec"]["s"] = json!("c");
    record_update(
        Some(&live),
        &mut after,
        &manager("ctl", Operation::Update),
        &thing(),
        at(2),
    );
    assert_eq!(
        after["metadata"].get("managedFields"),
        None,
        "until then updates are not followed"
    );
}

#[test]
fn kubectl_takes_over_what_it_applied_from_the_client_side() {
    let last = object(&json!({"s": "a"}));
    let mut live = object(&json!({"s": "a"}));
    live["metadata"]["uid"] = json!("u");
    live["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/last-applied-configuration": last.to_string()});
    record_update(
        None,
        &mut live,
        &manager("kubectl-client-side-apply", Operation::Update),
        &thing(),
        at(1),
    );
    assert!(try_apply(Some(&live), &json!({"s": "b"}), "someone", false).is_err());
    let taken = apply(Some(&live), &json!({"s": "b"}), "kubectl");
    assert_eq!(taken["spec"]["s"], "b");
    let annotation = taken["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        .as_str()
        .expect("kept");
    assert_eq!(
        serde_json::from_str::<Value>(annotation).expect("JSON")["spec"]["s"],
        "b"
    );
}

#[test]
fn status_is_written_by_its_subresource_only() {
    let schema = thing().with_status_subresource();
    let mut config = object(&json!({"s": "a"}));
    config["status"] = json!({"phase": "p"});
    let main = server_side_apply(
        None,
        &config,
        &manager("m", Operation::Apply),
        false,
        &schema,
        at(1),
    )
    .expect("no conflict");
    assert_eq!(fields_of(&main, "m"), json!({"f:spec": {"f:s": {}}}));
    let status = Manager {
        subresource: "status".to_owned(),
        ..manager("m", Operation::Apply)
    };
    let both = server_side_apply(Some(&main), &config, &status, false, &schema, at(1)).expect("no conflict");
    let entry = &both["metadata"]["managedFields"][1];
    assert_eq!(
        (&entry["subresource"], &entry["fieldsV1"]),
        (&json!("status"), &json!({"f:status": {"f:phase": {}}}))
    );
}

#[test]
fn many_updaters_become_ancient() {
    let mut live = update(None, &json!({"labels": {"u0": "x"}}), "u0", 0);
    for number in 1..12_i64 {
        let mut spec = live["spec"].clone();
        spec["labels"][format!("u{number}")] = json!("x");
        live = update(Some(&live), &spec, &format!("u{number}"), number);
    }
    let managers: Vec<&str> = live["metadata"]["managedFields"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    assert_eq!(
        managers,
        [
            "ancient-changes",
            "u3",
            "u4",
            "u5",
            "u6",
            "u7",
            "u8",
            "u9",
            "u10",
            "u11"
        ]
    );
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

#[test]
fn fields_v1_reads_back_as_it_was_written() {
    let text = json!({"f:spec": {".": {}, "f:a": {}, "k:{\"a\":1,\"b\":\"x\"}": {".": {}, "f:c": {}}, "v:true": {}, "i:3": {}}});
    assert_eq!(Set::decode(&text).map(|set| set.encode()), Some(text));
    for bad in [
        json!(1),
        json!({"x:a": {}}),
        json!({"f": {}}),
        json!({"v:{": {}}),
        json!({"k:1": {}}),
        json!({"i:x": {}}),
        json!({"f:a": 1}),
    ] {
        assert_eq!(Set::decode(&bad), None, "{bad}");
    }
}

/// A configuration over few names, so that managers meet.
fn config() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["a", "b", "c"]);
    let words = || prop::collection::btree_set(word(), 0..3);
    let map = || prop::collection::btree_map(word(), word(), 0..3);
    let items = prop::collection::btree_map(
        word(),
        (prop::option::of(word()), prop::option::of(0..3_i64)),
        0..3,
    )
    .prop_map(|items| {
        let item = |(name, (v, w)): (&str, (Option<&str>, Option<i64>))| {
            let mut item = json!({"name": name});
            if let Some(v) = v {
                item["v"] = json!(v);
            }
            if let Some(w) = w {
                item["w"] = json!(w);
            }
            item
        };
        Value::from(items.into_iter().map(item).collect::<Vec<_>>())
    });
    let maybe = |strategy: BoxedStrategy<Value>| prop::option::of(strategy);
    (
        maybe(word().prop_map(Value::from).boxed()),
        maybe((0..3_i64).prop_map(Value::from).boxed()),
        maybe(words().prop_map(|w| json!(w)).boxed()),
        maybe(words().prop_map(|w| json!(w)).boxed()),
        maybe(items.boxed()),
        maybe(map().prop_map(|m| json!(m)).boxed()),
        maybe(map().prop_map(|m| json!(m)).boxed()),
    )
        .prop_map(|(s, n, atomic, set, items, labels, free)| {
            let mut spec = json!({});
            for (name, value) in [
                ("s", s),
                ("n", n),
                ("atomic", atomic),
                ("set", set),
                ("items", items),
                ("labels", labels),
                ("free", free),
            ] {
                if let Some(value) = value {
                    spec[name] = value;
                }
            }
            spec
        })
}

/// Any JSON, for objects that a client sends.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[ab]".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let keys = prop::sample::select(vec![
            "a",
            "name",
            "spec",
            "s",
            "set",
            "items",
            "ports",
            "port",
            "free",
            "labels",
            "metadata",
            "managedFields",
            "manager",
            "operation",
            "apiVersion",
            "fieldsType",
            "fieldsV1",
            "f:a",
            "f:spec",
            "k:{\"name\":\"a\"}",
            "v:\"a\"",
            ".",
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

/// Whether two configurations name a leaf in common.
fn overlap(left: &Value, right: &Value) -> bool {
    let (Some(left), Some(right)) = (left.as_object(), right.as_object()) else {
        return true;
    };
    left.iter()
        .any(|(key, value)| right.get(key).is_some_and(|other| overlap(value, other)))
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(before in config(), spec in config()) {
        let live = apply(None, &before, "one");
        if let Ok(once) = try_apply(Some(&live), &spec, "two", true) {
            prop_assert_eq!(try_apply(Some(&once), &spec, "two", false), Ok(once));
        }
    }

    #[test]
    fn managers_of_disjoint_fields_never_conflict(first in config(), second in config(), third in config()) {
        prop_assume!(!overlap(&first, &second));
        let live = apply(None, &first, "one");
        let live = try_apply(Some(&live), &second, "two", false);
        prop_assert!(live.is_ok(), "{:?}", live);
        if let Ok(live) = live && !overlap(&third, &second) {
            let live = try_apply(Some(&live), &third, "one", false);
            prop_assert!(live.is_ok(), "{:?}", live);
        }
    }

    #[test]
    fn a_field_goes_exactly_when_its_last_owner_leaves(value in "[abc]", shared in any::<bool>(), other in config()) {
        let mut mine = json!({"s": value});
        mine["n"] = json!(1);
        let mut theirs = other;
        theirs.as_object_mut().expect("an object").remove("n");
        if shared { theirs["s"] = json!(value); } else { theirs.as_object_mut().expect("an object").remove("s"); }
        let live = apply(None, &mine, "mine");
        let live = apply(Some(&live), &theirs, "theirs");
        let live = apply(Some(&live), &json!({"n": 1}), "mine");
        prop_assert_eq!(live["spec"].get("s").is_some(), shared);
        prop_assert_eq!(&live["spec"]["n"], &json!(1));
    }

    #[test]
    fn what_is_applied_is_there_and_owned(before in config(), spec in config()) {
        let live = apply(None, &before, "one");
        let after = try_apply(Some(&live), &spec, "two", true).expect("forced");
        for (name, value) in spec.as_object().expect("an object") {
            if !value.is_array() && !value.is_object() {
                prop_assert_eq!(&after["spec"][name], value);
            }
        }
        let owned = Set::decode(&fields_of(&after, "two")).unwrap_or_default();
        let one = Set::decode(&fields_of(&after, "one")).unwrap_or_default();
        prop_assert!(spec.as_object().is_some_and(serde_json::Map::is_empty) || !owned.is_empty());
        // Who was forced off a field does not own it any more.
        for path in owned.intersection(&one).paths() {
            prop_assert!(path.to_string().starts_with(".spec"));
        }
    }

    #[test]
    fn an_update_by_many_leaves_every_field_owned_once(specs in prop::collection::vec((config(), "[xyz]"), 1..5)) {
        let mut live: Option<Value> = None;
        for (index, (spec, name)) in specs.iter().enumerate() {
            live = Some(update(live.as_ref(), spec, name, i64::try_from(index).expect("few")));
        }
        let live = live.expect("at least one");
        let sets: Vec<Set> = ["x", "y", "z"].iter().filter_map(|name| Set::decode(&fields_of(&live, name))).collect();
        for (index, left) in sets.iter().enumerate() {
            for right in &sets[index + 1..] {
                prop_assert!(left.intersection(right).is_empty(), "{}\n{}", left, right);
            }
        }
    }

    #[test]
    fn nothing_panics(live in any_json(), applied in any_json(), schema in any_json()) {
        for schema in [thing(), MergeSchema::core("ConfigMap"), MergeSchema::from_structural(&schema)] {
            drop(server_side_apply(Some(&live), &applied, &manager("kubectl", Operation::Apply), true, &schema, at(1)));
            drop(server_side_apply(None, &applied, &manager("m", Operation::Apply), false, &schema, at(1)));
            let mut after = applied.clone();
            record_update(Some(&live), &mut after, &manager("m", Operation::Update), &schema, at(1));
        }
    }
}
