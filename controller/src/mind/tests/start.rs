//! From nothing to a running container, and the quiet afterwards.

use std::time::Duration;

use super::rig::Rig;
use crate::finalizer;
use crate::writes::{Kind, Part};

#[test]
fn a_workload_becomes_a_container_and_a_ready_status() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "Connected"),
        "True AgentConnected"
    );
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Reconciling"),
        "False AsExpected"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "False AsExpected"
    );
    assert_eq!(rig.condition(Kind::Device, "dev1", "Synced"), "True Synced");
    let status = rig.get_workload("hello").unwrap().status.unwrap();
    assert_eq!(status.ready_devices.as_deref(), Some("1/1"));
    assert_eq!(status.observed_generation, Some(1));
    let status = rig.get_device("dev1").status.unwrap();
    assert_eq!(status.ready_workloads.as_deref(), Some("1/1"));
    assert_eq!(rig.reasons("hello"), ["Created"]);
    assert_eq!(rig.reasons("dev1"), ["Connected"]);
}

#[test]
fn the_finalizer_is_there_before_the_first_plan() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(Duration::from_secs(1));
    let first = rig.writes.iter().find(|(t, _)| t.kind == Kind::Workload).unwrap();
    assert_eq!(first.0.part, Part::Metadata);
    assert!(finalizer::has(
        &rig.get_workload("hello").unwrap(),
        finalizer::WORKLOAD
    ));
    let with = |p: &&longshore_plan::step::PlanCommand| !p.desired.workloads.is_empty();
    assert_eq!(rig.agents[&dev].plans.iter().filter(with).count(), 1);
}

#[test]
fn an_idle_fleet_causes_no_writes_and_no_plans() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.live(Duration::from_mins(1));
    let (writes, plans) = (rig.writes.len(), rig.agents[&dev].plans.len());
    rig.live(Duration::from_hours(1));
    assert_eq!(rig.writes.len(), writes, "{:?}", rig.writes.last());
    assert_eq!(rig.agents[&dev].plans.len(), plans);
}

#[test]
fn a_restart_of_the_controller_changes_nothing_on_a_device() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.live(Duration::from_mins(1));
    let (calls, plans) = (rig.agents[&dev].model.calls(), rig.agents[&dev].plans.len());
    let status = rig.get_workload("hello").unwrap().status;
    rig.events.clear();
    rig.restart();
    rig.live(Duration::from_mins(10));
    assert_eq!(rig.agents[&dev].model.calls(), calls);
    assert_eq!(rig.agents[&dev].plans.len(), plans);
    assert_eq!(rig.get_workload("hello").unwrap().status, status);
    assert!(rig.events.is_empty(), "{:?}", rig.events);
}

#[test]
fn nothing_is_decided_before_everything_was_listed_once() {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(Duration::from_secs(1));
    let mut fresh = Rig::unlisted();
    fresh.agents = std::mem::take(&mut rig.agents);
    let plans = fresh.agents[&dev].plans.len();
    fresh.connect(&dev);
    fresh.list_workloads(false);
    fresh.advance(Duration::from_secs(5));
    assert!(fresh.writes.is_empty());
    assert_eq!(fresh.agents[&dev].plans.len(), plans);
}

#[test]
fn a_target_that_does_not_exist_is_named_and_heals_when_it_comes() {
    let mut rig = Rig::new();
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(Duration::from_secs(1));
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "False UnknownTarget"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "True UnknownTarget"
    );
    rig.online("dev1");
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "False AsExpected"
    );
}

#[test]
fn a_device_that_never_comes_leaves_the_workload_unknown() {
    let mut rig = Rig::new();
    rig.device("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(Duration::from_secs(90));
    assert_eq!(
        rig.condition(Kind::Device, "dev1", "Connected"),
        "False AgentGone"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "Unknown DeviceOffline"
    );
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Stalled"),
        "False AsExpected"
    );
}
