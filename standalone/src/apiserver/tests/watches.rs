//! Watches: what they show, where they start and how they end.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::toy::{CONFIG_MAPS, config_map, delete, get, merge, post, send, server, watched};
use crate::apiserver::ApiServer;
use crate::apiserver::store::{Action, Decide, HISTORY_CHANGES, Key};

fn kinds(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(kind, _)| kind.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_an_annotated_bookmark_and_goes_on() {
    let server = server().await;
    post(&server, CONFIG_MAPS, &config_map("a", "web")).await;
    let path = format!(
        "{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=10"
    );
    let writes = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        post(&server, CONFIG_MAPS, &config_map("b", "web")).await;
    };
    let (events, ()) = tokio::join!(watched(&server, &path), writes);
    assert_eq!(kinds(&events), ["ADDED", "BOOKMARK", "ADDED", "BOOKMARK"]);
    assert_eq!(
        events[1].1["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(events[3].1["metadata"]["annotations"], Value::Null);
    assert_eq!(
        events[3].1["metadata"]["resourceVersion"],
        events[2].1["metadata"]["resourceVersion"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_history_lacks_is_an_error_inside_the_stream() {
    let server = server().await;
    for version in ["5", "99999999999999999"] {
        let events = watched(
            &server,
            &format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}"),
        )
        .await;
        assert_eq!(kinds(&events), ["ERROR"]);
        assert_eq!(
            (&events[0].1["code"], &events[0].1["reason"]),
            (&json!(410), &json!("Expired"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_ended_and_must_list_again() {
    let server = server().await;
    let (_, list) = get(&server, CONFIG_MAPS).await;
    let from = list["metadata"]["resourceVersion"].as_str().unwrap();
    post(&server, CONFIG_MAPS, &config_map("a", "web")).await;
    let resource = server.core.registry.by_table("configmaps").unwrap();
    for n in 0..=HISTORY_CHANGES {
        let object = json!({"metadata": {"name": "a"}, "data": {"k": n.to_string()}});
        let put: Decide = Box::new(move |_| Ok(Action::Put(object.clone()).into()));
        server
            .core
            .store
            .write(resource.clone(), Key::new("default", "a"), put)
            .await
            .unwrap();
    }
    let events = watched(
        &server,
        &format!("{CONFIG_MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=1"),
    )
    .await;
    assert_eq!(kinds(&events), ["ERROR"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_asked_for_longer_than_time_goes_lasts_a_day() {
    let server = server().await;
    for seconds in [u64::MAX, i64::MAX.unsigned_abs()] {
        let begin = tokio::time::Instant::now();
        let events = watched(
            &server,
            &format!("{CONFIG_MAPS}?watch=1&timeoutSeconds={seconds}"),
        )
        .await;
        assert!(events.is_empty());
        assert_eq!(begin.elapsed().as_secs(), 24 * 3600);
    }
}

/// However much there is to tell, a watch makes as much of it into text as is being read, and ends in time.
#[tokio::test(start_paused = true)]
async fn a_watch_nobody_reads_holds_little_and_ends_in_time() {
    use http_body_util::BodyExt as _;

    let server = server().await;
    for n in 0..40 {
        let mut object = config_map(&format!("c{n}"), "web");
        object["data"]["k"] = "x".repeat(100_000).into();
        post(&server, CONFIG_MAPS, &object).await;
    }
    let mut request = http::Request::get(format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=60"))
        .body(axum::body::Body::empty())
        .unwrap();
    request
        .extensions_mut()
        .insert(crate::apiserver::serve::InProcess);
    let response = crate::apiserver::serve::handle(server.core.clone(), request).await;
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.len() < 1_500_000, "{}", first.len());
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(rest.len() < 1_500_000, "{}", rest.len());
    assert!(rest.ends_with(b"\n"));

    // Read on, it is whole, and in order.
    let events = watched(&server, &format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=60")).await;
    assert_eq!(events.len(), 40);
    assert!(events.is_sorted_by_key(|(_, object)| object["metadata"]["name"].as_str().unwrap().to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_table_watch_sends_rows() {
    let server = server().await;
    post(&server, CONFIG_MAPS, &config_map("a", "web")).await;
    let mut request = http::Request::get(format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1"))
        .header(
            "accept",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        )
        .body(axum::body::Body::empty())
        .unwrap();
    request
        .extensions_mut()
        .insert(crate::apiserver::serve::InProcess);
    let response = crate::apiserver::serve::handle(server.core.clone(), request).await;
    let bytes = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    let event: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (&event["object"]["kind"], &event["object"]["rows"][0]["cells"][0]),
        (&json!("Table"), &json!("a"))
    );
    assert_eq!(event["object"]["columnDefinitions"][0]["name"], "Name");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_watches_and_refuses_writes() {
    let server = server().await;
    let path = format!("{CONFIG_MAPS}?watch=1");
    let watching = watched(&server, &path);
    let closing = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        server.clone().close().await;
    };
    let (events, ()) = tokio::join!(watching, closing);
    assert!(events.is_empty());
    assert_eq!(
        post(&server, CONFIG_MAPS, &config_map("a", "web")).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(get(&server, CONFIG_MAPS).await.0, StatusCode::OK);
}

/// What a client may do to a handful of objects.
#[derive(Debug, Clone)]
enum Step {
    Create(usize, bool),
    Relabel(usize, bool),
    Touch(usize, u8),
    Remove(usize),
    Hold(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..4usize;
    let step = prop_oneof![
        (name.clone(), any::<bool>()).prop_map(|(n, web)| Step::Create(n, web)),
        (name.clone(), any::<bool>()).prop_map(|(n, web)| Step::Relabel(n, web)),
        (name.clone(), 0..3u8).prop_map(|(n, v)| Step::Touch(n, v)),
        (name.clone(), any::<bool>()).prop_map(|(n, on)| Step::Hold(n, on)),
        name.prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 0..40)
}

fn app(web: bool) -> &'static str {
    if web { "web" } else { "db" }
}

async fn take(server: &ApiServer, step: &Step) {
    let path = |n: &usize| format!("{CONFIG_MAPS}/c{n}");
    match step {
        Step::Create(n, web) => {
            drop(post(server, CONFIG_MAPS, &config_map(&format!("c{n}"), app(*web))).await);
        }
        Step::Relabel(n, web) => drop(
            merge(
                server,
                &path(n),
                &json!({"metadata": {"labels": {"app": app(*web)}}}),
            )
            .await,
        ),
        Step::Touch(n, v) => drop(merge(server, &path(n), &json!({"data": {"k": v.to_string()}})).await),
        Step::Remove(n) => drop(delete(server, &path(n)).await),
        Step::Hold(n, on) => {
            let finalizers = if *on { json!(["x.dev/f"]) } else { json!([]) };
            drop(
                send(
                    server,
                    Method::PATCH,
                    &path(n),
                    "application/merge-patch+json",
                    &json!({"metadata": {"finalizers": finalizers}}),
                )
                .await,
            );
        }
    }
}

fn items(list: &Value) -> BTreeMap<String, Value> {
    let name = |o: &Value| o["metadata"]["name"].as_str().unwrap().to_owned();
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| (name(o), o.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A list, plus everything a watch from its version says, is the next list; whatever happened,
    /// wherever the first list was taken, with and without a selector. Versions only grow.
    #[test]
    fn a_watch_replays_from_one_list_to_the_next(steps in steps(), cut in 0..40usize, selected in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let server = server().await;
            let query = if selected { "labelSelector=app%3Dweb" } else { "limit=500" };
            let cut = cut.min(steps.len());
            for step in &steps[..cut] {
                take(&server, step).await;
            }
            let (_, first) = get(&server, &format!("{CONFIG_MAPS}?{query}")).await;
            for step in &steps[cut..] {
                take(&server, step).await;
            }
            let (_, last) = get(&server, &format!("{CONFIG_MAPS}?{query}")).await;
            let from = first["metadata"]["resourceVersion"].as_str().unwrap();
            let mut replayed = items(&first);
            let mut seen: u64 = from.parse().unwrap();
            for (kind, object) in watched(&server, &format!("{CONFIG_MAPS}?{query}&watch=1&resourceVersion={from}&timeoutSeconds=1")).await {
                let version: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                assert!(version > seen);
                seen = version;
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                let known = match kind.as_str() {
                    "DELETED" => replayed.remove(&name),
                    _ => replayed.insert(name, object),
                };
                assert_eq!(known.is_some(), kind != "ADDED", "{kind}");
            }
            assert_eq!(replayed, items(&last));
            // And the past can still be listed.
            let (_, past) = get(&server, &format!("{CONFIG_MAPS}?{query}&resourceVersion={from}&resourceVersionMatch=Exact")).await;
            assert_eq!(items(&past), items(&first));
        });
    }
}
