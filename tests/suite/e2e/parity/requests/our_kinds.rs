//! Requests for our kinds, and what their schema and rules refuse.

use super::*;

pub(super) fn custom() -> Vec<Row> {
    let (d, status) = (format!("{DEVICES}/d"), format!("{DEVICES}/d/status"));
    let told = json!({"status": {"observedGeneration": 1, "readyWorkloads": "1/1"}});
    let mut forged = device("forged", &json!({}));
    forged["metadata"]["generation"] = json!(7);
    forged["status"] = json!({"readyWorkloads": "9/9"});
    vec![
        post(DEVICES, "", &device("d", &json!({"displayName": "one"}))),
        post(DEVICES, "", &device("d", &json!({"displayName": "one"}))),
        post(DEVICES, "", &forged),
        patch(MERGE, &d, &json!({"spec": {"displayName": "two"}})),
        patch(MERGE, &d, &json!({"spec": {"displayName": "two"}})),
        patch(MERGE, &d, &json!({"metadata": {"labels": {"x": "1"}}})),
        patch(MERGE, &d, &told),
        patch(MERGE, &status, &told),
        patch(MERGE, &status, &told),
        patch(MERGE, &status, &json!({"spec": {"displayName": "three"}})),
        patch(MERGE, &status, &json!({"status": {"unknown": 1}})),
        patch(
            MERGE,
            &status,
            &json!({"status": {"conditions": [{"type": "X"}]}}),
        ),
        get(status.clone()),
        apply(
            &status,
            "agent",
            "",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"status": {"readyWorkloads": "2/2"}}),
            ),
        ),
        apply(
            &status,
            "agent",
            "&force=true",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"status": {"readyWorkloads": "2/2"}}),
            ),
        ),
        patch(
            STEPS,
            &d,
            &json!([{"op": "replace", "path": "/spec/displayName", "value": "four"}]),
        ),
        patch(
            STEPS,
            &d,
            &json!([{"op": "test", "path": "/metadata/finalizers", "value": null}, {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/f"]}]),
        ),
        patch(
            STEPS,
            &d,
            &json!([{"op": "remove", "path": "/metadata/finalizers"}]),
        ),
        put(&d, "", &device("d", &json!({"displayName": "five"}))),
        get(d.clone()),
        put(
            &d,
            "",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"metadata": {"resourceVersion": "$RV"}, "spec": {"displayName": "five"}}),
            ),
        ),
        put(
            &d,
            "",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"metadata": {"resourceVersion": "$OLDRV"}, "spec": {"displayName": "six"}}),
            ),
        ),
        apply(&d, "one", "", &device("d", &json!({"paused": true}))),
        apply(&d, "two", "", &device("d", &json!({"paused": false}))),
        apply(&d, "two", "&force=true", &device("d", &json!({"paused": false}))),
        apply(&d, "two", "", &device("d", &json!({}))),
        post(
            WORKLOADS,
            "",
            &workload(
                "w",
                &json!([{"name": "web", "image": "x:1", "env": [{"name": "A", "value": "1"}]}]),
            ),
        ),
        apply(
            &format!("{WORKLOADS}/w"),
            "one",
            "",
            &workload("w", &json!([{"name": "side", "image": "y:1"}])),
        ),
        apply(
            &format!("{WORKLOADS}/w"),
            "two",
            "",
            &workload("w", &json!([{"name": "side", "image": "y:2"}])),
        ),
        apply(
            &format!("{WORKLOADS}/w"),
            "one",
            "",
            &workload(
                "w",
                &json!([{"name": "side", "image": "y:1", "ports": [{"containerPort": 80}]}]),
            ),
        ),
        get(DEVICES),
        get(DEVICES).accept(TABLE),
        get(WORKLOADS).accept(TABLE),
        get(format!("{DEVICES}?limit=1")),
        get(format!("{DEVICES}?limit=1&continue=$CONTINUE")),
        get(format!("{DEVICES}?labelSelector=x%3D1"))
            .accept(PARTIALS)
            .differs("an empty list is empty, not null"),
        get(format!("{DEVICES}?fieldSelector=spec.displayName%3Dfive")),
        get(format!(
            "{DEVICES}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dd"
        )),
        get(format!("{DEVICES}/d/scale")),
        get(format!("{DEVICES}/nobody")),
        get("/apis/longshore.dev/v1alpha1/devices?limit=1"),
        get("/apis/longshore.dev/v1alpha1/nothings").differs("a path nobody knows gets a Status, not a text"),
        get("/apis/longshore.dev/v2/devices").differs("a path nobody knows gets a Status, not a text"),
        get("/apis/longshore.dev/v1alpha1").differs("verbs are sorted, and there is no storageVersionHash"),
        get("/apis/longshore.dev"),
    ]
}

pub(super) fn custom_refusals() -> Vec<Row> {
    let (d, w) = (format!("{DEVICES}/d"), format!("{WORKLOADS}/w"));
    let web = |more: Value| {
        let mut container = json!({"name": "web", "image": "x:1"});
        for (field, value) in more.as_object().into_iter().flatten() {
            container[field] = value.clone();
        }
        workload("wrong", &json!([container]))
    };
    let mut kind = device("wrong", &json!({}));
    kind["kind"] = json!("Workload");
    let mut version = device("wrong", &json!({}));
    version["apiVersion"] = json!("longshore.dev/v9");
    let mut late = workload("wrong", &json!([{"name": "web", "image": "x:1"}]));
    late["spec"]["rollout"] = json!({"minReadySeconds": 10, "progressDeadlineSeconds": 5});
    vec![
        post(WORKLOADS, "", &web(json!({"image": "Hello World"}))),
        post(WORKLOADS, "", &web(json!({"stopSignal": "NOSIGNAL"}))),
        post(
            WORKLOADS,
            "",
            &web(json!({"image": "Hello World", "stopSignal": "NOSIGNAL", "containerName": "-"})),
        ),
        post(WORKLOADS, "", &web(json!({"env": [{"name": "A"}]}))),
        post(WORKLOADS, "", &web(json!({"env": [{"name": "A", "value": 1}]}))),
        post(
            WORKLOADS,
            "",
            &web(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
        ),
        post(WORKLOADS, "", &web(json!({"imagePullPolicy": "Sometimes"})))
            .differs("no further cause tells that rules were not checked"),
        post(WORKLOADS, "", &web(json!({"ports": [{"containerPort": 70000}]}))),
        post(WORKLOADS, "", &late),
        post(WORKLOADS, "", &workload("wrong", &json!([]))),
        post(WORKLOADS, "", &workload("wrong", &json!([{"name": "web"}]))),
        post(
            WORKLOADS,
            "",
            &workload(
                "wrong",
                &json!([{"name": "web", "image": "x"}, {"name": "web", "image": "y"}]),
            ),
        ),
        post(
            WORKLOADS,
            "",
            &object("longshore.dev/v1alpha1", "Workload", "wrong", &json!({})),
        ),
        post(
            WORKLOADS,
            "",
            &object("longshore.dev/v1alpha1", "Workload", "wrong", &json!({"spec": 5})),
        ),
        post(DEVICES, "", &device("dotted.name", &json!({}))),
        post(
            DEVICES,
            "",
            &device("a-name-that-is-much-longer-than-forty-characters", &json!({})),
        ),
        post(DEVICES, "", &device("Bad_Name", &json!({}))),
        post(DEVICES, "", &kind),
        post(DEVICES, "", &version).differs("the version is refused before unknown fields are looked for"),
        post(DEVICES, "", &json!({"spec": {}})).in_other_words("the body is not quoted"),
        post(
            DEVICES,
            "&fieldValidation=Strict",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        post(
            DEVICES,
            "&fieldValidation=Warn&dryRun=All",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        post(
            DEVICES,
            "&fieldValidation=Ignore&dryRun=All",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        post(
            DEVICES,
            "&dryRun=All",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        patch(STRATEGIC, &d, &json!({"spec": {}})),
        patch(MERGE, &d, &json!({"spec": {"paused": "yes"}})),
        patch(MERGE, &d, &json!({"spec": {"deletionPolicy": "Perhaps"}}))
            .differs("no further cause tells that rules were not checked"),
        patch(
            MERGE,
            &d,
            &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}),
        )
        .differs("the cause is told once, not twice"),
        patch(MERGE, &d, &json!({"kind": "Workload"})),
        patch(MERGE, &w, &json!({"spec": {"targets": []}})),
        patch(MERGE, &w, &json!({"spec": {"template": null}})),
        apply(&d, "two", "", &device("d", &json!({"displaynam": "x"}))),
        apply(
            &format!("{DEVICES}/new"),
            "two",
            "",
            &device("new", &json!({"paused": "yes"})),
        )
        .in_other_words("Go's way to show a value"),
        row("PATCH", d.clone(), &device("d", &json!({}))).content(APPLY),
    ]
}
