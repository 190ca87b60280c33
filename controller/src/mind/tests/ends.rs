//! The ends of objects: which of them remove anything, and which do not.

use std::time::Duration;

use serde_json::json;

use super::rig::{Rig, name_of, spec};
use crate::finalizer::{self, CrdState};
use crate::writes::Kind;

const SECOND: Duration = Duration::from_secs(1);

fn running() -> (Rig, longshore_bus::DeviceId) {
    let mut rig = Rig::new();
    let dev = rig.online("dev1");
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    (rig, dev)
}

#[test]
fn a_deleted_workload_goes_from_its_device_and_then_from_the_api() {
    let (mut rig, dev) = running();
    rig.delete(Kind::Workload, "hello");
    rig.advance(SECOND);
    assert!(rig.containers(&dev).is_empty());
    assert!(!rig.exists(Kind::Workload, "hello"));
    assert!(rig.reasons("hello").contains(&"Removed"));
    // Nor does it come back with what is written or said afterwards.
    rig.live(Duration::from_mins(5));
    assert!(rig.get_device("dev1").status.unwrap().workloads.is_empty());
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    assert_eq!(rig.containers(&dev), ["hello.web"]);
}

#[test]
fn a_workload_deleted_while_the_controller_was_away_is_removed_when_it_is_back() {
    let (mut rig, dev) = running();
    let mind = std::mem::replace(&mut rig.mind, Rig::unlisted().mind);
    drop(mind);
    rig.delete(Kind::Workload, "hello");
    rig.restart();
    rig.advance(Duration::from_secs(5));
    assert!(rig.containers(&dev).is_empty());
    assert!(!rig.exists(Kind::Workload, "hello"));
}

#[test]
fn under_orphan_the_containers_stay_and_are_told() {
    let (mut rig, dev) = running();
    let mut orphan = spec("hello:1", &["dev1"]);
    orphan["deletionPolicy"] = json!("Orphan");
    rig.apply(Kind::Workload, "hello", orphan);
    rig.advance(SECOND);
    rig.delete(Kind::Workload, "hello");
    rig.live(Duration::from_mins(2));
    assert!(!rig.exists(Kind::Workload, "hello"));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert_eq!(rig.get_device("dev1").status.unwrap().orphans, ["hello.web"]);
}

#[test]
fn nothing_is_removed_when_the_crd_is_deleted() {
    let (mut rig, dev) = running();
    rig.crd = Some(CrdState::Goes);
    rig.delete(Kind::Workload, "hello");
    rig.live(Duration::from_mins(2));
    assert!(
        !rig.exists(Kind::Workload, "hello"),
        "its finalizer does not hold the CRD up"
    );
    assert_eq!(rig.containers(&dev), ["hello.web"]);
}

#[test]
fn nothing_is_removed_while_it_cannot_be_seen_whether_the_crd_stays() {
    let (mut rig, dev) = running();
    rig.crd = None;
    rig.delete(Kind::Workload, "hello");
    rig.live(Duration::from_mins(2));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert!(rig.exists(Kind::Workload, "hello"));
    rig.crd = Some(CrdState::Stays);
    rig.live(Duration::from_secs(30));
    assert!(rig.containers(&dev).is_empty());
    assert!(!rig.exists(Kind::Workload, "hello"));
}

#[test]
fn a_workload_that_merely_vanishes_leaves_orphans_that_come_back_with_it() {
    let (mut rig, dev) = running();
    let id = rig.agents[&dev].model.observed().containers[0].id.clone();
    rig.vanish(Kind::Workload, "hello");
    rig.live(Duration::from_mins(5));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert_eq!(rig.get_device("dev1").status.unwrap().orphans, ["hello.web"]);
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.live(Duration::from_secs(30));
    assert_eq!(
        rig.agents[&dev].model.observed().containers[0].id,
        id,
        "adopted, not made anew"
    );
    assert!(rig.get_device("dev1").status.unwrap().orphans.is_empty());
}

#[test]
fn an_empty_list_removes_nothing() {
    let (mut rig, dev) = running();
    let id = rig.agents[&dev].model.observed().containers[0].id.clone();
    rig.list_workloads(false);
    rig.live(Duration::from_mins(5));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    rig.list_workloads(true);
    rig.live(Duration::from_secs(30));
    assert_eq!(rig.agents[&dev].model.observed().containers[0].id, id);
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
}

#[test]
fn a_device_that_is_away_owes_the_removal_and_pays_on_return() {
    let (mut rig, dev) = running();
    rig.disconnect(&dev);
    rig.delete(Kind::Workload, "hello");
    rig.advance(Duration::from_secs(59));
    assert!(rig.exists(Kind::Workload, "hello"));
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "False Deleting");
    rig.advance(Duration::from_secs(5));
    assert!(!rig.exists(Kind::Workload, "hello"));
    assert_eq!(finalizer::pending(&rig.get_device("dev1")).len(), 1);
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    // Over a restart of the controller.
    rig.restart();
    rig.advance(Duration::from_secs(100));
    rig.connect(&dev);
    rig.advance(SECOND);
    assert!(rig.containers(&dev).is_empty());
    assert!(finalizer::pending(&rig.get_device("dev1")).is_empty());
}

#[test]
fn a_debt_is_forgotten_when_the_workload_is_declared_again() {
    let (mut rig, dev) = running();
    let id = rig.agents[&dev].model.observed().containers[0].id.clone();
    rig.disconnect(&dev);
    rig.delete(Kind::Workload, "hello");
    rig.advance(Duration::from_secs(65));
    rig.workload("hello", "hello:1", &["dev1"]);
    rig.advance(SECOND);
    rig.connect(&dev);
    rig.advance(SECOND);
    assert_eq!(rig.agents[&dev].model.observed().containers[0].id, id);
    assert!(finalizer::pending(&rig.get_device("dev1")).is_empty());
    assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), "True Ready");
}

#[test]
fn a_deleted_device_is_emptied_first() {
    let (mut rig, dev) = running();
    rig.delete(Kind::Device, "dev1");
    rig.live(Duration::from_secs(10));
    assert!(rig.containers(&dev).is_empty());
    assert!(!rig.exists(Kind::Device, "dev1"));
    assert_eq!(
        rig.condition(Kind::Workload, "hello", "Ready"),
        "False UnknownTarget"
    );
}

#[test]
fn the_workloads_of_a_device_that_lingers_do_not_claim_to_run_there() {
    for (policy, ready) in [
        (json!({}), "False Progressing"),
        (json!({"deletionPolicy": "Orphan"}), "False Deleting"),
    ] {
        let (mut rig, _) = running();
        rig.apply(Kind::Device, "dev1", policy);
        rig.add_finalizer(Kind::Device, "dev1", "other/one");
        rig.advance(SECOND);
        rig.delete(Kind::Device, "dev1");
        rig.live(Duration::from_secs(10));
        assert!(rig.exists(Kind::Device, "dev1"));
        assert_eq!(rig.condition(Kind::Workload, "hello", "Ready"), ready);
        // A spec that comes now is taken note of.
        rig.workload("hello", "hello:2", &["dev1"]);
        rig.advance(SECOND);
        let status = rig.get_workload("hello").unwrap().status.unwrap();
        assert_eq!(status.observed_generation, Some(2));
    }
}

#[test]
fn a_device_deleted_under_orphan_keeps_its_containers() {
    let (mut rig, dev) = running();
    rig.apply(Kind::Device, "dev1", json!({"deletionPolicy": "Orphan"}));
    rig.advance(SECOND);
    rig.delete(Kind::Device, "dev1");
    rig.live(Duration::from_secs(10));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert!(!rig.exists(Kind::Device, "dev1"));
}

#[test]
fn a_device_deleted_while_it_is_away_is_let_go_after_a_while_and_left_alone() {
    let (mut rig, dev) = running();
    rig.disconnect(&dev);
    rig.advance(SECOND);
    rig.delete(Kind::Device, "dev1");
    rig.advance(Duration::from_secs(30));
    assert!(rig.exists(Kind::Device, "dev1"));
    rig.advance(Duration::from_secs(40));
    assert!(!rig.exists(Kind::Device, "dev1"));
    assert_eq!(rig.containers(&dev), ["hello.web"]);
    assert!(rig.reasons("dev1").contains(&"DecommissionIncomplete"));
    assert_eq!(name_of(&rig.get_workload("hello").unwrap()), "hello");
}

#[test]
fn the_finalizers_of_others_are_theirs() {
    let (mut rig, dev) = running();
    rig.add_finalizer(Kind::Workload, "hello", "other/one");
    rig.delete(Kind::Workload, "hello");
    rig.advance(SECOND);
    assert!(rig.containers(&dev).is_empty());
    let left = rig.get_workload("hello").unwrap().metadata.finalizers.unwrap();
    assert_eq!(left, ["other/one"]);
}
