//! Codes, words and effects of single requests.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::toy::{
    self, CONFIG_MAPS, WORKLOADS, config_map, delete, get, merge, post, send, server, workload,
};
use crate::apiserver::{ApiServer, Backing};

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn only_the_token_opens_the_network_door() {
    let router = server().await.router();
    let ask = |path: &'static str, authorization: &'static str| {
        let request = Request::get(path)
            .header("authorization", authorization)
            .body(Body::empty())
            .unwrap();
        let router = router.clone();
        async move { router.oneshot(request).await.unwrap().status() }
    };
    assert_eq!(ask("/api/v1/secrets", "").await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        ask("/api/v1/secrets", "Bearer 0123456789abcdef0123456789abcdeX").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        ask("/api/v1/secrets", "Bearer 0123456789abcdef0123456789abcdef").await,
        StatusCode::OK
    );
    assert_eq!(ask("/livez/ping", "").await, StatusCode::OK);
    assert_eq!(ask("/version", "").await, StatusCode::OK);
    assert_eq!(ask("/apis", "").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn status_and_spec_do_not_touch_each_other_and_only_spec_counts_generations() {
    let server = server().await;
    let mut made = workload("w", "a");
    made["status"] = json!({"observedGeneration": 9});
    let (code, created) = post(&server, WORKLOADS, &made).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(
        (
            &created["status"],
            &created["metadata"]["generation"],
            &created["spec"]["replicas"]
        ),
        (&Value::Null, &json!(1), &json!(1))
    );
    let path = format!("{WORKLOADS}/w");
    let both = json!({"spec": {"image": "b"}, "status": {"observedGeneration": 2}, "metadata": {"labels": {"a": "b"}}});
    let (_, through_status) = merge(&server, &format!("{path}/status"), &both).await;
    assert_eq!(through_status["spec"]["image"], "a");
    assert_eq!(through_status["status"]["observedGeneration"], 2);
    assert_eq!(through_status["metadata"]["labels"], Value::Null);
    assert_eq!(through_status["metadata"]["generation"], 1);
    let (_, through_main) = merge(
        &server,
        &path,
        &json!({"spec": {"image": "c"}, "status": {"observedGeneration": 7}}),
    )
    .await;
    assert_eq!(through_main["status"]["observedGeneration"], 2);
    assert_eq!(through_main["metadata"]["generation"], 2);
    let (_, labelled) = merge(
        &server,
        &path,
        &json!({"metadata": {"labels": {"a": "b"}, "generation": 50}}),
    )
    .await;
    assert_eq!(labelled["metadata"]["generation"], 2);
    let (_, again) = merge(&server, &path, &json!({"spec": {"image": "c"}})).await;
    assert_eq!(
        version(&again),
        version(&labelled),
        "a write that changes nothing keeps the version"
    );
    let mut stale = through_main.clone();
    stale["spec"]["image"] = "z".into();
    let (code, refused) = send(&server, Method::PUT, &path, "", &stale).await;
    assert_eq!(code, StatusCode::CONFLICT);
    let words = "Operation cannot be fulfilled on workloads.longshore.dev \"w\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(refused["message"], words);
}

#[tokio::test(start_paused = true)]
async fn deleting_waits_for_finalizers_and_answers_with_what_was_done() {
    let server = server().await;
    let mut held = workload("held", "a");
    held["metadata"]["finalizers"] = json!(["x.dev/f"]);
    post(&server, WORKLOADS, &held).await;
    let path = format!("{WORKLOADS}/held");
    let wrong = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}});
    assert_eq!(
        send(&server, Method::DELETE, &path, "", &wrong).await.0,
        StatusCode::CONFLICT
    );
    let (code, marked) = delete(&server, &path).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(marked["metadata"]["generation"], 2);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let (_, again) = delete(&server, &path).await;
    assert_eq!(version(&again), version(&marked));
    let (code, _) = merge(
        &server,
        &path,
        &json!({"metadata": {"finalizers": ["x.dev/f", "y.dev/g"]}}),
    )
    .await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    let (code, _) = merge(&server, &path, &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(get(&server, &path).await.0, StatusCode::NOT_FOUND);
    post(&server, WORKLOADS, &workload("free", "a")).await;
    let (_, gone) = delete(&server, &format!("{WORKLOADS}/free")).await;
    assert_eq!(
        (gone["status"].as_str(), gone["details"]["kind"].as_str()),
        (Some("Success"), Some("workloads"))
    );
    assert!(gone["details"]["uid"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let server = server().await;
    let (code, made) = post(&server, &format!("{WORKLOADS}?dryRun=All"), &workload("w", "a")).await;
    assert_eq!(code, StatusCode::CREATED);
    assert!(made["metadata"]["uid"].is_string());
    assert!(made["metadata"]["resourceVersion"].is_null());
    assert_eq!(
        get(&server, &format!("{WORKLOADS}/w")).await.0,
        StatusCode::NOT_FOUND
    );
    let (code, _) = post(
        &server,
        "/api/v1/namespaces/no/configmaps?dryRun=All",
        &config_map("a", "a"),
    )
    .await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn pages_of_a_list_show_the_first_pages_snapshot() {
    let server = server().await;
    for name in ["a", "b", "c", "d", "e"] {
        post(&server, CONFIG_MAPS, &config_map(name, "web")).await;
    }
    let (_, first) = get(&server, &format!("{CONFIG_MAPS}?limit=2")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    delete(&server, &format!("{CONFIG_MAPS}/d")).await;
    merge(
        &server,
        &format!("{CONFIG_MAPS}/c"),
        &json!({"data": {"k": "new"}}),
    )
    .await;
    post(&server, CONFIG_MAPS, &config_map("cc", "web")).await;
    let mut names = Vec::new();
    let mut token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    while !token.is_empty() {
        let (code, page) = get(&server, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
        assert_eq!(code, StatusCode::OK);
        assert_eq!(version(&page), version(&first));
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["data"]["k"], "v");
            names.push(item["metadata"]["name"].as_str().unwrap().to_owned());
        }
        token = page["metadata"]["continue"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
    }
    assert_eq!(names, ["c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_it_is_empty_and_takes_nothing_new_meanwhile() {
    let server = server().await;
    let inside = "/api/v1/namespaces/team/configmaps";
    post(
        &server,
        "/api/v1/namespaces",
        &json!({"metadata": {"name": "team"}}),
    )
    .await;
    let mut held = config_map("held", "a");
    held["metadata"]["finalizers"] = json!(["x.dev/f"]);
    post(&server, inside, &held).await;
    post(&server, inside, &config_map("free", "a")).await;
    let (_, terminating) = delete(&server, "/api/v1/namespaces/team").await;
    assert_eq!(terminating["status"]["phase"], "Terminating");
    let (code, refused) = post(&server, inside, &config_map("new", "a")).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(
        get(&server, &format!("{inside}/free")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(get(&server, "/api/v1/namespaces/team").await.0, StatusCode::OK);
    merge(
        &server,
        &format!("{inside}/held"),
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(
        get(&server, "/api/v1/namespaces/team").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(&server, &format!("{inside}/held")).await.0,
        StatusCode::NOT_FOUND
    );
}

async fn owned(server: &ApiServer, name: &str, owner: &Value, blocks: bool) {
    let mut object = config_map(name, "a");
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
    }]);
    assert_eq!(post(server, CONFIG_MAPS, &object).await.0, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_their_owner_as_the_policy_says() {
    let server = server().await;
    for (policy, dependent_stays) in [("Background", false), ("Foreground", false), ("Orphan", true)] {
        let (_, owner) = post(&server, WORKLOADS, &workload("owner", "a")).await;
        owned(&server, "dependent", &owner, true).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(
            get(&server, &format!("{CONFIG_MAPS}/dependent")).await.0,
            StatusCode::OK,
            "{policy}"
        );
        delete(&server, &format!("{WORKLOADS}/owner?propagationPolicy={policy}")).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(
            get(&server, &format!("{WORKLOADS}/owner")).await.0,
            StatusCode::NOT_FOUND,
            "{policy}"
        );
        let (code, dependent) = get(&server, &format!("{CONFIG_MAPS}/dependent")).await;
        assert_eq!(code == StatusCode::OK, dependent_stays, "{policy}");
        assert!(
            !dependent["metadata"]["ownerReferences"].is_array(),
            "gone or disowned"
        );
        delete(&server, &format!("{CONFIG_MAPS}/dependent")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_of_a_kind_not_served_here_is_never_held_gone() {
    let server = server().await;
    let mut object = config_map("kept", "a");
    object["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]);
    post(&server, CONFIG_MAPS, &object).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(
        get(&server, &format!("{CONFIG_MAPS}/kept")).await.0,
        StatusCode::OK
    );
}

#[tokio::test(start_paused = true)]
async fn events_written_in_one_version_are_read_in_the_other_and_expire() {
    let (config, hands) = toy::config(Backing::Memory);
    let server = ApiServer::open(config).await.unwrap();
    let event = json!({
        "metadata": {"generateName": "w-"}, "eventTime": "2023-11-14T22:13:20.000000Z", "note": "pulled", "reason": "Pulled",
        "action": "Pull", "type": "Normal", "reportingController": "c", "reportingInstance": "i",
        "regarding": {"kind": "Workload", "name": "w", "namespace": "default", "uid": "u"},
    });
    let (code, made) = post(
        &server,
        "/apis/events.k8s.io/v1/namespaces/default/events",
        &event,
    )
    .await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["note"], &made["apiVersion"]),
        (&json!("pulled"), &json!("events.k8s.io/v1"))
    );
    let selected = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid%3Du,type%21%3DWarning";
    let (_, core) = get(&server, selected).await;
    assert_eq!(core["items"][0]["message"], "pulled");
    assert_eq!(core["items"][0]["involvedObject"]["name"], "w");
    // Empty fields as Kubernetes shows them, without which `--sort-by=.lastTimestamp` finds nothing; what was
    // read can be written back, and is then no change.
    let event = &core["items"][0];
    for (field, empty) in [
        ("firstTimestamp", Value::Null),
        ("lastTimestamp", Value::Null),
        ("source", json!({})),
    ] {
        assert_eq!(event.get(field), Some(&empty), "{field}");
    }
    assert_eq!(made.get("deprecatedLastTimestamp"), Some(&Value::Null));
    for (root, event) in [("/api/v1", event), ("/apis/events.k8s.io/v1", &made)] {
        let name = event["metadata"]["name"].as_str().unwrap();
        let path = format!("{root}/namespaces/default/events/{name}");
        let (code, again) = send(&server, Method::PUT, &path, "", event).await;
        assert_eq!(code, StatusCode::OK, "{again}");
        assert_eq!(again["metadata"], event["metadata"]);
    }
    let (_, none) = get(&server, "/api/v1/events?fieldSelector=reason%3DOther").await;
    assert_eq!(none["items"], json!([]));
    hands.advance(3700);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(get(&server, selected).await.1["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn secrets_take_plain_text_and_keep_their_type() {
    let server = server().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}});
    let (_, made) = post(&server, secrets, &secret).await;
    assert_eq!(made["data"], json!({"a": "Yg==", "c": "ZA=="}));
    assert_eq!(
        (&made["type"], &made["stringData"], &made["kind"]),
        (&json!("Opaque"), &Value::Null, &json!("Secret"))
    );
    let (code, _) = merge(&server, &format!("{secrets}/s"), &json!({"type": "other"})).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, refused) = post(
        &server,
        secrets,
        &json!({"metadata": {"name": "t"}, "data": {"a": "%%hunter2"}}),
    )
    .await;
    assert_eq!(refused["reason"], "BadRequest");
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    let strict = format!("{secrets}/s?fieldValidation=Strict");
    let (_, refused) = merge(
        &server,
        &strict,
        &json!({"stringData": {"x": "hunter2"}, "dta": {}}),
    )
    .await;
    assert_eq!(refused["reason"], "Invalid");
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn finalizers_on_core_kinds_merge_strategically() {
    let server = server().await;
    post(&server, CONFIG_MAPS, &config_map("c", "a")).await;
    let path = format!("{CONFIG_MAPS}/c");
    let strategic = "application/strategic-merge-patch+json";
    for finalizer in ["a.dev/x", "b.dev/y"] {
        send(
            &server,
            Method::PATCH,
            &path,
            strategic,
            &json!({"metadata": {"finalizers": [finalizer]}}),
        )
        .await;
    }
    let (_, both) = get(&server, &path).await;
    let mut finalizers: Vec<&str> = both["metadata"]["finalizers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    finalizers.sort_unstable();
    assert_eq!(finalizers, ["a.dev/x", "b.dev/y"]);
}

#[tokio::test(start_paused = true)]
async fn a_body_beyond_the_limit_is_refused() {
    let server = server().await;
    let mut large = config_map("large", "a");
    large["data"]["k"] = "x".repeat(3 << 20).into();
    assert_eq!(
        post(&server, CONFIG_MAPS, &large).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    large["data"]["k"] = "x".repeat(2 << 20).into();
    assert_eq!(
        post(&server, CONFIG_MAPS, &large).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[tokio::test(start_paused = true)]
async fn generated_names_differ() {
    let server = server().await;
    let body = json!({"metadata": {"generateName": "c-"}});
    let (_, one) = post(&server, CONFIG_MAPS, &body).await;
    let (_, two) = post(&server, CONFIG_MAPS, &body).await;
    let name = |o: &Value| o["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name(&one).starts_with("c-") && name(&one).len() == 7);
    assert_ne!(name(&one), name(&two));
}
