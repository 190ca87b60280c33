//! Devices that refuse, go silent, come back, or know more than we do.

use std::time::Duration;

use longshore_bus::envelope::ErrorBody;
use longshore_plan::observed::RuntimeState;
use longshore_plan::step::Fence;
use serde_json::{Value, json};

use super::rig::Rig;
use crate::writes::Kind;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_device_that_went_is_told_and_catches_up_on_return() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    rig.disconnect(&dev);
    rig.workload("hello", "hello:2", &["dev1"]);
    rig.advance(Duration::from_secs(30));
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "Connected"),
        "False AgentGone"
    );
    assert_eq!(rig.condition(Kind::Device, "dev1", "Synced"), "Unknown AgentGone");
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "Unknown DeviceOffline"
    );
    rig.connect(&dev);
    rig.advance(SECOND);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_eq!(rig.reasons("dev1"), ["Connected", "Disconnected", "Connected"]);
}

#[test]
fn a_silent_death_is_noticed_after_three_missed_signs() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.live(Duration::from_mins(1));
    rig.agents.get_mut(&dev).unwrap().connected = false;
    rig.advance(Duration::from_secs(150));
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "Connected"),
        "True AgentConnected"
    );
    rig.advance(Duration::from_secs(50));
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "Connected"),
        "False AgentGone"
    );
}

#[test]
fn one_silent_device_delays_nobody_else() {
    let mut rig = Rig::new();
    let (a, b) = (rig.online("a"), rig.online("b"));
    rig.agents.get_mut(&a).unwrap().mute = true;
    rig.workload("hello", "hello:1", &["a", "b"]);
    rig.advance(SECOND);
    assert_eq!(rig.containers(&b), ["hello.web"]);
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Reconciling"),
        "True Progressing"
    );
    rig.agents.get_mut(&a).unwrap().mute = false;
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.containers(&a), ["hello.web"], "a repeat found it again");
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
}

#[test]
fn a_refusal_is_told_and_not_repeated_all_day() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.agents.get_mut(&dev).unwrap().refuses = Some(ErrorBody {
        code: "UnsupportedField".into(),
        message: "workloads[0].gpu".into(),
        details: Value::Null,
    });
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.live(Duration::from_mins(1));
    assert_eq!(rig.condition(Kind::Device, "dev1", "Synced"), "False PlanRefused");
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "True PlanRefused"
    );
    let sent = rig.published.len();
    rig.live(Duration::from_hours(1));
    let requests = rig.published[sent..]
        .iter()
        .filter(|t| t.ends_with("/request"))
        .count();
    assert!(requests <= 13, "{requests}");
    let writes = rig.writes.len();
    rig.live(Duration::from_hours(1));
    assert!(
        rig.writes.len() - writes <= 48,
        "a refusal every five minutes is told at most"
    );
    rig.agents.get_mut(&dev).unwrap().refuses = None;
    rig.live(Duration::from_secs(400));
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
}

#[test]
fn a_device_that_has_seen_a_higher_fence_gets_a_higher_one() {
    let mut rig = Rig::new();
    let dev = rig.device("dev1");
    let fence = |epoch, n| Fence {
        site: "site".into(),
        epoch,
        n,
    };
    // Of this epoch: a count above what it saw is enough.
    rig.agents.get_mut(&dev).unwrap().fence = Some(fence(1000, 7));
    rig.connect(&dev);
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert!(rig.epochs.is_empty());
    // Of a later epoch, from before the API's store was restored.
    rig.agents.get_mut(&dev).unwrap().fence = Some(fence(5000, 3));
    rig.workload("hello", "hello:2", &["dev1"]);
    rig.advance(Duration::from_secs(10));
    assert_eq!(rig.epochs, [5001]);
    let seen = rig.agents[&dev].fence.clone().unwrap();
    assert_eq!(seen.epoch, 5001);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
}

#[test]
fn a_runtime_that_is_away_is_told_with_its_words() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    rig.agents.get_mut(&dev).unwrap().model.meddle(|o| {
        o.runtime = RuntimeState::Unavailable {
            message: "connect /var/run/docker.sock: no such file".into(),
        };
    });
    rig.report(&dev);
    rig.advance(SECOND);
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "RuntimeReady"),
        "False RuntimeUnavailable"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "False RuntimeUnavailable"
    );
    assert_eq!(
        rig.get_device("dev1").status.unwrap().runtime.unwrap().kind,
        "sim",
        "as last seen"
    );
    assert!(rig.reasons("dev1").contains(&"RuntimeUnavailable"));
}

#[test]
fn a_stranger_is_counted_and_not_listened_to_until_it_is_declared() {
    let mut rig = Rig::new();
    let dev = rig.device("dev1");
    rig.vanish(Kind::Device, "dev1");
    rig.settle();
    rig.connect(&dev);
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    assert!(rig.containers(&dev).is_empty());
    assert_eq!(rig.mind.counters.strangers.get(), 1);
    rig.apply(Kind::Device, "dev1", json!({}));
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
}

#[test]
fn malformed_messages_are_counted_and_dropped() {
    let mut rig = Rig::new();
    rig.online("dev1");
    let topics = [
        "longshore/v1/default.dev1/evt/report",
        "longshore/v1/default.dev1/evt/what",
        "elsewhere",
    ];
    for topic in topics {
        let message = longshore_bus::Message {
            topic: topic.into(),
            payload: b"{\"version\":1,\"sess".as_slice().into(),
            properties: longshore_bus::Properties::default(),
        };
        rig.mind.on_message(&message, rig.now);
    }
    assert_eq!(rig.mind.counters.malformed.get(), 3);
    rig.advance(SECOND);
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "Connected"),
        "True AgentConnected"
    );
}
