use longshore_plan::desired::{
    DesiredNetwork, DesiredVolume, DriftMode, ReclaimPolicy, Removal, RemovalReason,
};
use longshore_plan::spec::Mount;

use super::*;
use crate::fixtures::{container, hello, key, label, rehash, workload};

fn set(workloads: Vec<DesiredWorkload>) -> DesiredSet {
    DesiredSet {
        workloads,
        ..DesiredSet::default()
    }
}

fn applied(set: &DesiredSet, workload: &str, container: &str) -> (ContainerKey, Applied) {
    let key = key(workload, container);
    let (_, wanted) = set.container(&key).unwrap();
    let applied = Applied {
        key: key.clone(),
        hash: wanted.hash.clone(),
        config_digest: config_digest(&wanted.config),
        completed: false,
    };
    (key, applied)
}

/// `workload.container=image`, in order.
fn words(set: &DesiredSet) -> Vec<String> {
    let containers = set
        .workloads
        .iter()
        .flat_map(|w| w.containers.iter().map(move |c| (w, c)));
    containers
        .map(|(w, c)| format!("{}={}", w.key(c), c.spec.image))
        .collect()
}

fn two(web: &str, db: &str) -> DesiredSet {
    set(vec![workload(
        "app",
        vec![container("app", "web", web), container("app", "db", db)],
    )])
}

#[test]
fn current_becomes_what_was_reached_container_by_container() {
    let (before, target) = (two("web:1", "db:1"), two("web:2", "db:2"));
    for (reached, expected) in [
        (vec![], ["app.web=web:1", "app.db=db:1"]),
        (vec!["web"], ["app.web=web:2", "app.db=db:1"]),
        (vec!["db"], ["app.web=web:1", "app.db=db:2"]),
        (vec!["web", "db"], ["app.web=web:2", "app.db=db:2"]),
    ] {
        let applied = reached.iter().map(|name| applied(&target, "app", name)).collect();
        assert_eq!(
            words(&converged(&before, &target, &applied)),
            expected,
            "{reached:?}"
        );
    }
}

#[test]
fn another_configuration_is_another_declaration() {
    let before = hello("hello:1");
    let mut target = hello("hello:1");
    target.workloads[0].containers[0]
        .config
        .resources
        .memory_limit_bytes = Some(64 << 20);
    let old = BTreeMap::from([applied(&before, "hello", "web")]);
    assert_eq!(converged(&before, &target, &old), before);
    let new = BTreeMap::from([applied(&target, "hello", "web")]);
    assert_eq!(converged(&before, &target, &new), target);
}

#[test]
fn what_was_never_reached_is_nothing_to_go_back_to_and_what_left_the_target_goes() {
    let target = two("web:1", "db:1");
    let only_web = BTreeMap::from([applied(&target, "app", "web")]);
    assert_eq!(
        words(&converged(&DesiredSet::default(), &target, &only_web)),
        ["app.web=web:1"]
    );
    let without_db = set(vec![workload("app", vec![container("app", "web", "web:2")])]);
    assert_eq!(
        words(&converged(&target, &without_db, &BTreeMap::new())),
        ["app.web=web:1"]
    );
    assert_eq!(
        words(&converged(&target, &DesiredSet::default(), &BTreeMap::new())),
        Vec::<String>::new()
    );
}

#[test]
fn alone_a_device_wants_the_target_and_what_worked_where_that_is_held_back() {
    let (before, mut target) = (two("web:1", "db:1"), two("web:2", "db:2"));
    target
        .workloads
        .push(workload("new", vec![container("new", "web", "new:1")]));
    for (held, expected) in [
        (vec![], ["app.web=web:2", "app.db=db:2", "new.web=new:1"]),
        (vec!["app.web"], ["app.web=web:1", "app.db=db:2", "new.web=new:1"]),
        // There is nothing else to want.
        (vec!["new.web"], ["app.web=web:2", "app.db=db:2", "new.web=new:1"]),
    ] {
        let wanted = desired(&before, &target, |key, _| {
            held.contains(&key.to_string().as_str())
        });
        assert_eq!(words(&wanted), expected, "{held:?}");
    }
}

#[test]
fn how_the_device_is_treated_is_the_targets_word_also_where_containers_are_kept_back() {
    let before = hello("hello:1");
    let mut target = hello("hello:2");
    target.paused = true;
    target.workloads[0].suspend = true;
    target.workloads[0].drift = DriftMode::Observe;
    target.removals.push(Removal {
        workload: label("gone"),
        reason: RemovalReason::Deleted,
    });
    for merged in [
        converged(&before, &target, &BTreeMap::new()),
        desired(&before, &target, |_, _| true),
    ] {
        assert_eq!(words(&merged), ["hello.web=hello:1"]);
        assert!(merged.paused && merged.workloads[0].suspend);
        assert_eq!(merged.workloads[0].drift, DriftMode::Observe);
        assert_eq!(merged.removals, target.removals);
    }
}

#[test]
fn what_is_kept_back_keeps_its_revision_and_what_it_needs_and_no_more() {
    let mut before = two("web:1", "db:1");
    let mut target = two("web:2", "db:2");
    target.workloads[0].revision = "2".to_owned();
    let app = &mut before.workloads[0];
    for name in ["app.net", "app.unused"] {
        app.networks.push(DesiredNetwork {
            name: name.to_owned(),
            driver: None,
            subnet: None,
            internal: false,
            options: BTreeMap::new(),
        });
    }
    for name in ["app.data", "app.unused"] {
        app.volumes.push(DesiredVolume {
            name: name.to_owned(),
            driver: None,
            options: BTreeMap::new(),
            reclaim: ReclaimPolicy::Retain,
        });
    }
    let web = &mut app.containers[0];
    web.config.networks.push("app.net".to_owned());
    web.spec.mounts.push(Mount {
        target: "/data".to_owned(),
        source: MountSource::Volume {
            name: "app.data".to_owned(),
        },
        read_only: false,
        propagation: None,
    });
    rehash(web);
    let names = |set: &DesiredSet| {
        let app = &set.workloads[0];
        let networks: Vec<String> = app.networks.iter().map(|n| n.name.clone()).collect();
        let volumes: Vec<String> = app.volumes.iter().map(|v| v.name.clone()).collect();
        (app.revision.clone(), networks, volumes)
    };
    let kept = desired(&before, &target, |key, _| key.container == label("web"));
    assert_eq!(words(&kept), ["app.web=web:1", "app.db=db:2"]);
    let needed = (vec!["app.net".to_owned()], vec!["app.data".to_owned()]);
    assert_eq!(names(&kept), ("1".to_owned(), needed.0, needed.1));
    let other = desired(&before, &target, |key, _| key.container == label("db"));
    assert_eq!(names(&other), ("1".to_owned(), vec![], vec![]));
    let neither = desired(&before, &target, |_, _| false);
    assert_eq!(names(&neither), ("2".to_owned(), vec![], vec![]));
}
