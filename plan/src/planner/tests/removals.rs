//! What goes, what stays, and in which order.

use std::collections::BTreeMap;

use super::{acts, empty, failure, held, planned, set};
use crate::arbitrary::{container, key, label, object, workload};
use crate::desired::{
    DesiredContainer, DesiredNetwork, DesiredSet, DesiredVolume, ReclaimPolicy, Removal, RemovalReason,
};
use crate::hash::spec_hash;
use crate::observed::{FailureReason, Observed, OwnedVolume, Retry};
use crate::spec::{Mount, MountSource};
use crate::step::{HeldCause, Reason};

fn network(name: &str) -> DesiredNetwork {
    DesiredNetwork {
        name: name.into(),
        driver: None,
        subnet: None,
        internal: false,
        options: BTreeMap::new(),
    }
}

fn volume(name: &str, reclaim: ReclaimPolicy) -> DesiredVolume {
    DesiredVolume {
        name: name.into(),
        driver: None,
        options: BTreeMap::new(),
        reclaim,
    }
}

fn owned(name: &str, workload: &str, reclaim: ReclaimPolicy) -> OwnedVolume {
    OwnedVolume {
        name: name.into(),
        workload: workload.into(),
        reclaim,
    }
}

fn with_network(mut container: DesiredContainer, name: &str) -> DesiredContainer {
    container.config.networks = vec![name.into()];
    container
}

/// A device with everything `app` once had: `db`, then `web`, on a network, with three volumes.
fn app() -> Observed {
    let db = with_network(container("app", "db", "i"), "app.net");
    let web = with_network(container("app", "web", "i"), "app.net");
    let mut containers = vec![object("app", &db, "id1"), object("app", &web, "id2")];
    containers[0].started_at = "2026-01-01T00:00:00Z".into();
    containers[1].started_at = "2026-01-01T00:00:05Z".into();
    Observed {
        containers,
        networks: vec!["app.net".into(), "other.net".into()],
        volumes: vec![
            owned("app.data", "app", ReclaimPolicy::Retain),
            owned("app.cache", "app", ReclaimPolicy::Delete),
            owned("other.cache", "other", ReclaimPolicy::Delete),
        ],
        ..empty()
    }
}

fn without_app() -> DesiredSet {
    let removals = vec![Removal {
        workload: label("app"),
        reason: RemovalReason::MovedAway,
    }];
    DesiredSet {
        removals,
        ..DesiredSet::default()
    }
}

#[test]
fn a_workload_goes_last_started_first_and_takes_its_network_and_deletable_volumes() {
    let (plan, _) = planned(&without_app(), &app());
    assert_eq!(
        acts(&without_app(), &app()),
        [
            "remove app.web (id2) with its anonymous volumes",
            "remove app.db (id1) with its anonymous volumes",
            "remove network app.net",
            "remove volume app.cache and its data"
        ]
    );
    assert!(plan.steps.iter().all(|s| s.reason
        == Reason::Removed {
            cause: Some(RemovalReason::MovedAway)
        }));
}

#[test]
fn a_workload_that_is_merely_missing_is_kept_with_all_it_has() {
    let desired = DesiredSet::default();
    assert_eq!(acts(&desired, &app()), Vec::<String>::new());
    for name in ["db", "web"] {
        assert_eq!(held(&desired, &app(), &key("app", name)), [HeldCause::Orphaned]);
    }
}

#[test]
fn one_that_is_desired_and_ordered_away_is_desired() {
    let mut desired = without_app();
    desired.workloads = set(vec![workload("app", vec![container("app", "web", "i")])]).workloads;
    let acts = acts(&desired, &app());
    assert!(
        !acts
            .iter()
            .any(|a| a.contains("remove app.web") || a.contains("remove volume")),
        "{acts:?}"
    );
}

#[test]
fn a_container_that_left_its_workload_goes_with_the_network_only_it_was_on() {
    let web = container("app", "web", "i");
    let mut observed = app();
    observed.containers[1].config.networks.clear();
    let (plan, _) = planned(&set(vec![workload("app", vec![web.clone()])]), &observed);
    assert_eq!(plan.steps[0].reason, Reason::Removed { cause: None });
    assert_eq!(
        acts(&set(vec![workload("app", vec![web])]), &observed),
        [
            "remove app.db (id1) with its anonymous volumes",
            "remove network app.net"
        ]
    );
}

#[test]
fn a_network_stays_while_anybody_is_on_it() {
    // web must leave it first, and cannot.
    let web = container("app", "web", "i");
    let db = container("app", "db", "i");
    let desired = set(vec![workload("app", vec![db, web.clone()])]);
    let mut observed = app();
    assert_eq!(
        acts(&desired, &observed),
        [
            "update app.db in place",
            "update app.web in place",
            "remove network app.net"
        ]
    );
    observed.failures = vec![failure("app", &web, FailureReason::UpdateFailed, Retry::Waiting)];
    assert_eq!(acts(&desired, &observed), ["update app.db in place"]);
}

#[test]
fn a_removal_that_failed_waits_and_so_does_all_behind_it() {
    let mut observed = app();
    observed.failures = vec![failure(
        "app",
        &container("app", "db", "i"),
        FailureReason::RemoveFailed,
        Retry::Waiting,
    )];
    assert_eq!(
        acts(&without_app(), &observed),
        ["remove app.web (id2) with its anonymous volumes"]
    );
    observed.failures[0].retry = Retry::Due;
    assert_eq!(acts(&without_app(), &observed).len(), 4);
}

#[test]
fn a_volume_that_somebody_mounts_stays() {
    let mut reader = container("other", "x", "i");
    reader.spec.mounts.push(Mount {
        target: "/data".into(),
        source: MountSource::Volume {
            name: "app.cache".into(),
        },
        read_only: true,
        propagation: None,
    });
    reader.hash = spec_hash(&reader.spec);
    let mut desired = without_app();
    desired.workloads.push(workload("other", vec![reader]));
    assert!(
        !acts(&desired, &app())
            .iter()
            .any(|a| a.contains("volume app.cache"))
    );
}

#[test]
fn a_suspended_workload_keeps_even_what_left_its_spec() {
    let mut desired = set(vec![workload("app", vec![])]);
    desired.workloads[0].suspend = true;
    assert_eq!(acts(&desired, &app()), Vec::<String>::new());
    assert_eq!(
        held(&desired, &app(), &key("app", "db")),
        [HeldCause::WorkloadSuspended]
    );
}

#[test]
fn networks_and_volumes_are_made_before_their_users_and_only_if_missing() {
    let mut web = with_network(container("app", "web", "i"), "app.net");
    web.spec.mounts.push(Mount {
        target: "/data".into(),
        source: MountSource::Volume {
            name: "app.data".into(),
        },
        read_only: false,
        propagation: None,
    });
    web.hash = spec_hash(&web.spec);
    let mut desired = set(vec![workload("app", vec![web])]);
    desired.workloads[0].networks = vec![network("app.net")];
    desired.workloads[0].volumes = vec![volume("app.data", ReclaimPolicy::Retain)];
    assert_eq!(
        acts(&desired, &empty()),
        [
            "pull i for app.web",
            "create network app.net",
            "create volume app.data",
            "create app.web"
        ]
    );
    // A retained volume is attached again by name.
    let volumes = vec![owned("app.data", "app", ReclaimPolicy::Retain)];
    let observed = Observed {
        volumes,
        networks: vec!["app.net".into()],
        ..empty()
    };
    assert_eq!(
        acts(&desired, &observed),
        ["pull i for app.web", "create app.web"]
    );
    // Nothing is made for one that is held.
    let failures = vec![failure(
        "app",
        &desired.workloads[0].containers[0],
        FailureReason::ImageNotFound,
        Retry::Waiting,
    )];
    assert_eq!(
        acts(&desired, &Observed { failures, ..empty() }),
        Vec::<String>::new()
    );
}
