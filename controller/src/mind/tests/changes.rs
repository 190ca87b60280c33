//! Changes to what is declared, and what they are answered with.

use std::time::Duration;

use longshore_plan::model::Micro;
use longshore_plan::names::ContainerKey;
use serde_json::json;

use super::rig::{Rig, spec};
use crate::writes::Kind;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_new_image_replaces_and_the_same_spec_again_does_not() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    let before = rig.agents[&dev].model.observed().containers[0].id.clone();
    rig.workload("hello", "hello:2", &["dev1"]);
    rig.advance(SECOND);
    let after = rig.agents[&dev].model.observed().containers[0].id.clone();
    assert_ne!(before, after);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_eq!(rig.reasons("hello"), ["Created", "Replaced"]);
    assert_eq!(
        rig.get_workload("hello")
            .unwrap()
            .status
            .unwrap()
            .observed_generation,
        Some(2)
    );
    let plans = rig.agents[&dev].plans.len();
    rig.workload("hello", "hello:2", &["dev1"]);
    rig.advance(SECOND);
    assert_eq!(rig.agents[&dev].plans.len(), plans);
}

#[test]
fn an_unhealthy_image_is_rolled_back_told_and_not_tried_again() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    let before = rig.agents[&dev].model.observed().containers[0].id.clone();
    // The hash of the sick one, from a dry run on another device.
    let mut other = Rig::new();
    let probe = other.online("dev1");
    other.workload("hello", "hello:sick", &["dev1"]);
    other.advance(SECOND);
    let sick = other.agents[&probe].model.observed().containers[0].hash.clone();
    let key = ContainerKey::new("hello".parse().unwrap(), "web".parse().unwrap());
    rig.agents
        .get_mut(&dev)
        .unwrap()
        .model
        .inject(key, sick, Micro::Healthy);
    rig.workload("hello", "hello:sick", &["dev1"]);
    rig.advance(SECOND);
    assert_eq!(rig.agents[&dev].model.observed().containers[0].id, before);
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "False RolledBack"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "True RolledBack"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Reconciling"),
        "False AsExpected"
    );
    assert_eq!(rig.condition(Kind::Device, "dev1", "Synced"), "False Held");
    assert!(rig.reasons("hello").contains(&"RolledBack"));
    let status = rig.get_workload("hello").unwrap().status.unwrap();
    assert_eq!(
        (status.failed, status.failing[0].device.as_str()),
        (Some(1), "dev1")
    );
    let plans = rig.agents[&dev].plans.len();
    rig.live(Duration::from_mins(30));
    assert_eq!(rig.agents[&dev].plans.len(), plans, "no retry loop");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_eq!(
        rig.agents[&dev].model.observed().containers[0].id,
        before,
        "it never went"
    );
}

#[test]
fn a_missing_secret_is_named_keeps_what_runs_and_heals() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    let before = rig.agents[&dev].model.observed();
    let mut with = spec("hello:1", &["dev1"]);
    with["template"]["containers"][0]["env"] =
        json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token"}}}]);
    rig.apply(Kind::Workload, "hello", with);
    rig.advance(SECOND);
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "False ContentMissing"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "True ContentMissing"
    );
    let conditions = rig.get_workload("hello").unwrap().status.unwrap().conditions;
    assert!(
        conditions.iter().any(|c| c.message.contains("creds")),
        "{conditions:?}"
    );
    assert_eq!(rig.agents[&dev].model.observed(), before);
    // Said once, however long it lasts.
    rig.live(Duration::from_mins(5));
    let told = rig
        .reasons("hello")
        .into_iter()
        .filter(|r| *r == "ContentMissing")
        .count();
    assert_eq!(told, 1);
    rig.secret("creds", "token", "s3cret-value");
    rig.advance(SECOND);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_ne!(rig.agents[&dev].model.observed(), before);
    // Another value is another container.
    let id = rig.agents[&dev].model.observed().containers[0].id.clone();
    rig.secret("creds", "token", "another");
    rig.advance(SECOND);
    assert_ne!(rig.agents[&dev].model.observed().containers[0].id, id);
    let everything = format!("{:?} {:?} {:?}", rig.writes, rig.events, rig.agents[&dev].plans);
    assert!(!everything.contains("s3cret-value"));
}

#[test]
fn a_workload_that_moves_is_removed_where_it_was() {
    let mut rig = Rig::new();
    let (a, b) = (rig.online("a"), rig.online("b"));
    rig.workload("hello", "hello:1", &["a"]);
    rig.advance(SECOND);
    rig.workload("hello", "hello:1", &["b"]);
    rig.advance(SECOND);
    assert!(rig.containers(&a).is_empty());
    assert_eq!(rig.containers(&b), ["hello.web"]);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert!(rig.reasons("hello").contains(&"Removed"));
    assert!(rig.get_device("a").status.unwrap().workloads.is_empty());
}

#[test]
fn a_suspended_workload_and_a_paused_device_are_left_as_they_are() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    let before = rig.agents[&dev].model.observed();
    let mut suspended = spec("hello:2", &["dev1"]);
    suspended["suspend"] = json!(true);
    rig.apply(Kind::Workload, "hello", suspended);
    rig.advance(SECOND);
    assert_eq!(rig.agents[&dev].model.observed(), before);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "False Suspended");
    rig.apply(Kind::Device, "dev1", json!({"paused": true}));
    rig.workload("hello", "hello:2", &["dev1"]);
    rig.advance(SECOND);
    assert_eq!(rig.agents[&dev].model.observed(), before);
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "False DevicePaused"
    );
    assert!(
        rig.agents[&dev].desired.paused,
        "the agent knows, for when it is alone"
    );
    rig.apply(Kind::Device, "dev1", json!({}));
    rig.advance(SECOND);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
}

#[test]
fn drift_is_told_and_undone() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    rig.agents
        .get_mut(&dev)
        .unwrap()
        .model
        .meddle(|o| o.containers.clear());
    rig.report(&dev);
    rig.advance(SECOND);
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_eq!(rig.condition(Kind::Device, "dev1", "Drifted"), "False AsExpected");
    let reasons = rig.reasons("hello");
    assert!(
        reasons.contains(&"DriftDetected") && reasons.contains(&"DriftUndone"),
        "{reasons:?}"
    );
}

#[test]
fn what_the_schema_would_have_refused_is_told_and_changes_nothing() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    let before = rig.agents[&dev].model.observed();
    rig.apply(
        Kind::Workload,
        "hello",
        json!({"targets": [{"device": "dev1"}], "template": {"containers": []}}),
    );
    rig.advance(SECOND);
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "True InvalidSpec"
    );
    assert_eq!(rig.agents[&dev].model.observed(), before);
}
