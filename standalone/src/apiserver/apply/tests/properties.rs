//! What holds for any configurations.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{apply, at, fields_of, manager, thing, try_apply, update};
use crate::apiserver::apply::set::Set;
use crate::apiserver::apply::{MergeSchema, Operation, record_update, server_side_apply};

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

/// What `config` says of leaves that `other` does not name. Lists count as one leaf.
fn apart_from(other: &Value, config: &Value) -> Value {
    let (Some(other), Some(config)) = (other.as_object(), config.as_object()) else {
        return Value::Null;
    };
    let kept = config.iter().filter_map(|(key, value)| match other.get(key) {
        None => Some((key.clone(), value.clone())),
        Some(named) if named.is_object() && value.is_object() => {
            Some((key.clone(), apart_from(named, value)))
        }
        Some(_) => None,
    });
    Value::Object(kept.collect())
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
        let second = apart_from(&first, &second);
        let third = apart_from(&second, &third);
        let live = apply(None, &first, "one");
        let live = try_apply(Some(&live), &second, "two", false);
        prop_assert!(live.is_ok(), "{:?}", live);
        if let Ok(live) = live {
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
        // An empty map is owned itself. Of a list only the items are, unless it is atomic: an empty one leaves nothing.
        let spec = spec.as_object().expect("an object");
        let nothing = |(name, value): (&String, &Value)| name != "atomic" && value.as_array().is_some_and(Vec::is_empty);
        prop_assert_eq!(!spec.is_empty() && spec.iter().all(nothing), owned.is_empty());
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
