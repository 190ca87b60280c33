//! Who is noted as the manager of what.

use serde_json::{Value, json};

use super::{apply, at, fields_of, manager, object, thing, try_apply, update};
use crate::apiserver::apply::set::Set;
use crate::apiserver::apply::{Manager, Operation, record_update, server_side_apply};

/// As kube-apiserver 1.36 wrote them: an empty list has nothing to own, an empty map is owned itself.
#[test]
fn an_empty_list_is_owned_by_nobody() {
    let live = apply(None, &json!({"set": []}), "m");
    assert_eq!(
        (&live["spec"], live["metadata"].get("managedFields")),
        (&json!({"set": []}), None)
    );
    let live = apply(
        Some(&live),
        &json!({"set": [], "items": [], "labels": {}, "free": {}}),
        "two",
    );
    assert_eq!(
        fields_of(&live, "two"),
        json!({"f:spec": {"f:free": {}, "f:labels": {}}})
    );
    assert_eq!(
        fields_of(&live, "before-first-apply"),
        json!({"f:spec": {".": {}, "f:set": {}}})
    );
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

/// The managed fields are those that kube-apiserver 1.36 wrote for the same requests, in its order.
#[test]
fn status_is_written_by_its_subresource_only() {
    let schema = thing().with_status_subresource();
    let mut config = object(&json!({"s": "a"}));
    config["status"] = json!({"phase": "p"});
    let mut main = server_side_apply(
        None,
        &config,
        &manager("m", Operation::Apply),
        false,
        &schema,
        at(1),
    )
    .expect("no conflict");
    assert_eq!(fields_of(&main, "m"), json!({"f:spec": {"f:s": {}}}));
    // Creating stores no status.
    main.as_object_mut().expect("an object").remove("status");
    let status = Manager {
        subresource: "status".to_owned(),
        ..manager("m", Operation::Apply)
    };
    let both = server_side_apply(Some(&main), &config, &status, false, &schema, at(1)).expect("no conflict");
    let of_main = json!({
        "manager": "m", "operation": "Apply", "apiVersion": "t.io/v1", "time": "1970-01-01T00:00:01Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:s": {}}},
    });
    let mut of_status = of_main.clone();
    of_status["subresource"] = json!("status");
    of_status["fieldsV1"] = json!({"f:status": {"f:phase": {}}});
    assert_eq!(both["metadata"]["managedFields"], json!([of_main, of_status]));
    // Who applies what is there already changed nothing, so has no time, and comes first.
    main["status"] = json!({"phase": "p"});
    let both = server_side_apply(Some(&main), &config, &status, false, &schema, at(2)).expect("no conflict");
    of_status.as_object_mut().expect("an object").remove("time");
    assert_eq!(both["metadata"]["managedFields"], json!([of_status, of_main]));
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
