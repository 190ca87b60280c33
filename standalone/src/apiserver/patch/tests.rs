use proptest::prelude::*;
use serde_json::{Value, json};

use super::{PatchError, json_patch, merge_patch, strategic_merge};

#[test]
fn json_patches_apply_as_kubernetes_applies_them() {
    let doc = json!({"a": {"b": [1, 2, 3]}, "c": "x", "m": {"k/~": 1}});
    let table = [
        (
            json!([{"op": "add", "path": "/a/b/-", "value": 4}]),
            json!({"a": {"b": [1, 2, 3, 4]}, "c": "x", "m": {"k/~": 1}}),
        ),
        (
            json!([{"op": "add", "path": "/a/b/1", "value": 9}]),
            json!({"a": {"b": [1, 9, 2, 3]}, "c": "x", "m": {"k/~": 1}}),
        ),
        (
            json!([{"op": "add", "path": "/a/b/-1", "value": 9}]),
            json!({"a": {"b": [1, 2, 3, 9]}, "c": "x", "m": {"k/~": 1}}),
        ),
        (
            json!([{"op": "remove", "path": "/a/b/-1"}]),
            json!({"a": {"b": [1, 2]}, "c": "x", "m": {"k/~": 1}}),
        ),
        (
            json!([{"op": "replace", "path": "/c", "value": null}]),
            json!({"a": {"b": [1, 2, 3]}, "c": null, "m": {"k/~": 1}}),
        ),
        (
            json!([{"op": "replace", "path": "/new", "value": 1}]),
            json!({"a": {"b": [1, 2, 3]}, "c": "x", "m": {"k/~": 1}, "new": 1}),
        ),
        (
            json!([{"op": "remove", "path": "/m/k~1~0"}, {"op": "move", "from": "/c", "path": "/m/d"}]),
            json!({"a": {"b": [1, 2, 3]}, "m": {"d": "x"}}),
        ),
        (
            json!([{"op": "copy", "from": "/a/b/0", "path": "/c"}]),
            json!({"a": {"b": [1, 2, 3]}, "c": 1, "m": {"k/~": 1}}),
        ),
        (
            json!([{"op": "test", "path": "/c", "value": "x"}, {"op": "replace", "path": "", "value": {}}]),
            json!({}),
        ),
        (
            json!([{"op": "add", "path": "/a"}]),
            json!({"a": null, "c": "x", "m": {"k/~": 1}}),
        ),
    ];
    for (patch, wanted) in table {
        assert_eq!(json_patch(&doc, &patch).as_ref(), Ok(&wanted), "{patch}");
    }
}

/// kube's finalizer helper tests that there are no finalizers before it adds its own.
#[test]
fn testing_for_null_passes_where_there_is_nothing() {
    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["longshore.dev/x"]},
    ]);
    let patched = json_patch(&json!({"metadata": {}}), &patch);
    assert_eq!(
        patched,
        Ok(json!({"metadata": {"finalizers": ["longshore.dev/x"]}}))
    );
    assert_eq!(
        json_patch(&json!({"metadata": {"finalizers": ["y"]}}), &patch),
        Err(PatchError::TestFailed {
            path: "/metadata/finalizers".to_owned()
        })
    );
}

#[test]
fn a_bad_json_patch_is_told_from_one_that_does_not_fit() {
    let doc = json!({"a": [1], "b": {"c": 1}});
    for patch in [
        json!({}),
        json!([1]),
        json!([{"op": "add", "path": 1, "value": 1}]),
        json!([{"op": 1, "path": "/a"}]),
    ] {
        let error = json_patch(&doc, &patch).expect_err("malformed");
        assert!(error.is_malformed(), "{patch}: {error}");
    }
    for patch in [
        json!([{"op": "add", "path": "a", "value": 1}]),
        json!([{"op": "add", "path": "", "value": {}}]),
        json!([{"op": "make", "path": "/a"}]),
        json!([{"path": "/a"}]),
        json!([{"op": "move", "from": "/b", "path": "/b/c"}]),
        json!([{"op": "remove", "path": "/x"}]),
        json!([{"op": "remove", "path": ""}]),
        json!([{"op": "add", "path": "/x/y", "value": 1}]),
        json!([{"op": "add", "path": "/a/2", "value": 1}]),
        json!([{"op": "replace", "path": "/a/1", "value": 1}]),
        json!([{"op": "add", "path": "/a/x", "value": 1}]),
        json!([{"op": "test", "path": "/a/0", "value": 2}]),
        json!([{"op": "copy", "from": "/x", "path": "/y"}]),
    ] {
        let error = json_patch(&doc, &patch).expect_err("does not fit");
        assert!(!error.is_malformed(), "{patch}: {error}");
    }
    let many = Value::Array(vec![json!({"op": "test", "path": "/x"}); 10_001]);
    assert_eq!(
        json_patch(&doc, &many),
        Err(PatchError::TooManyOperations {
            limit: 10_000,
            got: 10_001
        })
    );
}

#[test]
fn copies_cannot_grow_without_bound() {
    let doc = json!({"a": ["0123456789"]});
    let patch = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 40]);
    assert!(json_patch(&doc, &patch).is_err());
}

#[test]
fn merge_patches_follow_the_examples_of_rfc_7386() {
    let table = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ];
    for (doc, patch, wanted) in table {
        assert_eq!(merge_patch(&doc, &patch), wanted, "{doc} + {patch}");
    }
}

fn config_map(finalizers: &[&str], owners: &Value) -> Value {
    json!({"metadata": {"name": "x", "finalizers": finalizers, "ownerReferences": owners}, "data": {"a": "1", "b": "2"}})
}

#[test]
fn strategic_merges_know_the_lists_of_metadata() {
    let owners = json!([{"uid": "1", "name": "one"}, {"uid": "2", "name": "two"}]);
    let doc = config_map(&["a", "b", "c"], &owners);
    let table = [
        // The patch's items in its order, the rest by where they stood (as kube-apiserver 1.36 answered).
        (
            json!({"finalizers": ["d", "a"]}),
            json!(["d", "a", "b", "c"]),
            owners.clone(),
        ),
        (
            json!({"$deleteFromPrimitiveList/finalizers": ["b", "z"]}),
            json!(["a", "c"]),
            owners.clone(),
        ),
        (
            json!({"$setElementOrder/finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"]}),
            json!(["c", "a"]),
            owners.clone(),
        ),
        (
            json!({"ownerReferences": [{"uid": "1", "$patch": "delete"}]}),
            json!(["a", "b", "c"]),
            json!([{"uid": "2", "name": "two"}]),
        ),
        (
            json!({"ownerReferences": [{"uid": "2", "kind": "K", "name": null}, {"uid": "3"}]}),
            json!(["a", "b", "c"]),
            json!([{"uid": "1", "name": "one"}, {"uid": "2", "kind": "K"}, {"uid": "3"}]),
        ),
        (
            json!({"ownerReferences": [{"uid": "9"}, {"$patch": "replace"}]}),
            json!(["a", "b", "c"]),
            json!([{"uid": "9"}]),
        ),
        (
            json!({"$setElementOrder/ownerReferences": [{"uid": "2"}, {"uid": "1"}]}),
            json!(["a", "b", "c"]),
            json!([{"uid": "2", "name": "two"}, {"uid": "1", "name": "one"}]),
        ),
    ];
    for (metadata, finalizers, owners) in table {
        let patched =
            strategic_merge("ConfigMap", &doc, &json!({"metadata": metadata})).expect("a good patch");
        assert_eq!(patched["metadata"]["finalizers"], finalizers, "{metadata}");
        assert_eq!(patched["metadata"]["ownerReferences"], owners, "{metadata}");
    }
}

#[test]
fn strategic_merges_obey_directives_on_maps() {
    let doc = config_map(&[], &json!([]));
    let data = |patch: Value| {
        strategic_merge("ConfigMap", &doc, &json!({"data": patch})).expect("a good patch")["data"].clone()
    };
    assert_eq!(data(json!({"a": null, "c": "3"})), json!({"b": "2", "c": "3"}));
    assert_eq!(data(json!({"$patch": "replace", "c": "3"})), json!({"c": "3"}));
    assert_eq!(data(json!({"$patch": "delete"})), json!({}));
    assert_eq!(data(json!({"$retainKeys": ["a"], "a": "9"})), json!({"a": "9"}));
    let conditions = strategic_merge(
        "Namespace",
        &json!({"status": {"conditions": [{"type": "A", "status": "True"}]}, "spec": {"finalizers": ["kubernetes"]}}),
        &json!({"status": {"conditions": [{"type": "B"}, {"type": "A", "status": "False"}]}, "spec": {"finalizers": ["x"]}}),
    );
    assert_eq!(
        conditions,
        Ok(json!({
            "status": {"conditions": [{"type": "B"}, {"type": "A", "status": "False"}]},
            "spec": {"finalizers": ["x"]},
        }))
    );
}

#[test]
fn strategic_merges_that_make_no_sense_are_refused() {
    let doc = config_map(&["a"], &json!([{"uid": "1"}]));
    for patch in [
        json!([]),
        json!({"metadata": {"ownerReferences": [{"name": "no uid"}]}}),
        json!({"metadata": {"$patch": "merge"}}),
        json!({"metadata": {"$retainKeys": ["name"], "labels": {"a": "b"}}}),
        json!({"metadata": {"$setElementOrder/finalizers": ["b"], "finalizers": ["c"]}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}}),
        json!({"metadata": {"finalizers": [{}]}}),
    ] {
        let error = strategic_merge("ConfigMap", &doc, &patch).expect_err("refused");
        assert!(error.is_malformed(), "{patch}: {error}");
    }
    let custom = strategic_merge("Workload", &doc, &json!({}));
    assert_eq!(custom, Err(PatchError::UnsupportedKind("Workload".to_owned())));
}

/// JSON as patches carry it: small alphabets, so that documents and patches meet.
fn json_value(nulls: bool) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(if nulls { Value::Null } else { json!(0) }),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[abc]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let keys = prop_oneof![
            "[abc]".boxed(),
            Just("$patch".to_owned()).boxed(),
            Just("$retainKeys".to_owned()).boxed(),
            Just("$setElementOrder/finalizers".to_owned()).boxed(),
            Just("$deleteFromPrimitiveList/finalizers".to_owned()).boxed(),
            Just("metadata".to_owned()).boxed(),
            Just("finalizers".to_owned()).boxed(),
            Just("ownerReferences".to_owned()).boxed(),
            Just("uid".to_owned()).boxed(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn operations() -> impl Strategy<Value = Value> {
    let path = "(/[abc0-]{0,2}){0,3}";
    let one = (
        "(add|remove|replace|move|copy|test|x)",
        path,
        path,
        json_value(true),
    )
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}));
    prop::collection::vec(one, 0..4).prop_map(Value::from)
}

proptest! {
    #[test]
    fn merging_twice_is_merging_once(doc in json_value(true), patch in json_value(true)) {
        let once = merge_patch(&doc, &patch);
        prop_assert_eq!(merge_patch(&once, &patch), once);
    }

    #[test]
    fn merging_a_document_without_nulls_into_nothing_gives_it(doc in json_value(false)) {
        prop_assert_eq!(merge_patch(&Value::Null, &doc), doc);
    }

    #[test]
    fn merging_an_empty_object_changes_no_object(doc in json_value(true)) {
        let doc = if doc.is_object() { doc } else { json!({"only": doc}) };
        prop_assert_eq!(merge_patch(&doc, &json!({})), doc);
    }

    #[test]
    fn no_patch_panics(doc in json_value(true), patch in json_value(true), operations in operations()) {
        drop(json_patch(&doc, &operations));
        drop(json_patch(&doc, &patch));
        drop(strategic_merge("ConfigMap", &doc, &patch));
    }

    #[test]
    fn finalizers_merge_as_a_set(before in prop::collection::btree_set("[a-e]", 0..5), added in prop::collection::btree_set("[a-e]", 0..5)) {
        let doc = json!({"metadata": {"finalizers": before}});
        let patched = strategic_merge("Secret", &doc, &json!({"metadata": {"finalizers": added}})).expect("a good patch");
        let mut after: Vec<String> = serde_json::from_value(patched["metadata"]["finalizers"].clone()).expect("strings");
        after.sort();
        let wanted: Vec<String> = before.union(&added).cloned().collect();
        prop_assert_eq!(after, wanted);
    }
}
