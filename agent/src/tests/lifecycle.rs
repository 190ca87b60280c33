use std::time::Duration;

use longshore_plan::desired::{
    DesiredNetwork, DesiredSet, DesiredVolume, ReclaimPolicy, Removal, RemovalReason,
};
use longshore_plan::observed::{FailureReason, Health, HostPort, Retry};
use longshore_plan::spec::{
    ContentDigest, ContentFile, ContentRef, Dependency, DependencyCondition, EnvSource, EnvVar, Mount,
    MountSource, OnConfigChange, Protocol, Resources, RestartPolicy,
};

use super::harness::*;
use crate::runtime::sim::{Behaviour, Op, SimImage, by_hand};

fn content(digest: &str) -> ContentRef {
    ContentRef {
        digest: ContentDigest(digest.to_owned()),
        secret: true,
    }
}

fn file(path: &str, digest: &str) -> ContentFile {
    ContentFile {
        path: path.to_owned(),
        content: content(digest),
        mode: None,
    }
}

/// `hello.web` with a file volume `conf` that changes in place.
fn with_files(digest: &str) -> DesiredSet {
    let mut desired = hello("hello:1");
    let web = &mut desired.workloads[0].containers[0];
    web.spec.mounts.push(Mount {
        target: "/conf".to_owned(),
        source: MountSource::Content {
            name: "conf".to_owned(),
            files: Vec::new(),
        },
        read_only: true,
        propagation: None,
    });
    web.config
        .content
        .insert("conf".to_owned(), vec![file("app.conf", digest)]);
    rehash(web);
    desired
}

#[tokio::test(start_paused = true)]
async fn while_nobody_is_in_charge_the_device_heals_itself_within_seconds() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    assert!(world.snapshot().supervised);
    // Supervised: only reported.
    world.machine.remove_by_hand("hello.web").unwrap();
    world.seconds(20).await;
    assert!(world.machine.container("hello.web").is_none());
    assert_eq!(world.snapshot().drift[0].field, "existence");
    // The bus goes: healed.
    world.cut();
    world
        .until(5, "healed", |w| w.machine.container("hello.web").is_some())
        .await;
    world.until(20, "healthy", |w| w.is_healthy("hello", "web")).await;
    for change in ["remove", "stop", "pause", "rename", "update"] {
        match change {
            "remove" => world.machine.remove_by_hand("hello.web").unwrap(),
            "stop" => world.machine.stop_by_hand("hello.web").unwrap(),
            "pause" => world.machine.pause_by_hand("hello.web").unwrap(),
            "rename" => world.machine.rename_by_hand("hello.web", "mine").unwrap(),
            _ => {
                let limits = Resources {
                    pids_limit: Some(5),
                    ..Resources::default()
                };
                world
                    .machine
                    .update_by_hand("hello.web", RestartPolicy::Never, &limits)
                    .unwrap();
            }
        }
        world.seconds(15).await;
        let web = world
            .machine
            .container("hello.web")
            .unwrap_or_else(|| panic!("{change}"));
        assert_eq!(
            web.state,
            longshore_plan::observed::ContainerState::Running,
            "{change}"
        );
        assert_eq!(web.restart_policy, RestartPolicy::Always, "{change}");
    }
    // Back in charge: nothing is done here any more.
    world.mend();
    world.until(20, "supervised", |w| w.snapshot().supervised).await;
    let plans = world.snapshot().counters.local_plans;
    world.machine.remove_by_hand("hello.web").unwrap();
    world.seconds(20).await;
    assert_eq!(world.snapshot().counters.local_plans, plans);
    // The controller falls silent without the link noticing.
    world.controller.set_signing(false);
    world
        .until(45, "healed", |w| w.machine.container("hello.web").is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_device_and_a_suspended_workload_are_left_alone_also_when_alone() {
    for paused in [true, false] {
        let mut world = World::new().await;
        let mut desired = hello("hello:1");
        world.converge(&desired).await;
        desired.paused = paused;
        desired.workloads[0].suspend = !paused;
        world.converge(&desired).await;
        world.cut();
        world.machine.remove_by_hand("hello.web").unwrap();
        world.seconds(120).await;
        assert!(world.machine.container("hello.web").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn removing_takes_what_was_ordered_away_and_nothing_else() {
    let mut world = World::new().await;
    let mut desired = hello("hello:1");
    let other = workload("other", vec![container("other", "web", "hello:1")]);
    desired.workloads.push(other);
    for (name, reclaim) in [
        ("hello.keep", ReclaimPolicy::Retain),
        ("hello.drop", ReclaimPolicy::Delete),
    ] {
        desired.workloads[0].volumes.push(DesiredVolume {
            name: name.to_owned(),
            driver: None,
            options: std::collections::BTreeMap::default(),
            reclaim,
        });
        desired.workloads[0].containers[0].spec.mounts.push(Mount {
            target: format!("/{name}"),
            source: MountSource::Volume {
                name: name.to_owned(),
            },
            read_only: false,
            propagation: None,
        });
    }
    rehash(&mut desired.workloads[0].containers[0]);
    world.converge(&desired).await;
    assert_eq!(world.machine.volume_names(), ["hello.drop", "hello.keep"]);
    // Absence removes nothing.
    let mut absent = desired.clone();
    absent.workloads.remove(1);
    world.converge(&absent).await;
    assert!(world.machine.container("other.web").is_some());
    // An order does.
    let mut removed = DesiredSet::default();
    removed.removals.push(Removal {
        workload: label("hello"),
        reason: RemovalReason::Deleted,
    });
    world.converge(&removed).await;
    world
        .until(10, "gone", |w| w.machine.container("hello.web").is_none())
        .await;
    assert_eq!(world.machine.volume_names(), ["hello.keep"]);
    assert!(world.machine.container("other.web").is_some());
    assert!(world.disk.paths("content/hello.web").is_empty());
}

#[tokio::test(start_paused = true)]
async fn dependencies_and_init_containers_come_first() {
    let mut world = World::new().await;
    world.machine.publish(
        "init:1",
        SimImage::new("init", Behaviour::exits(0, Duration::from_secs(3))),
    );
    world.machine.publish(
        "slow:1",
        SimImage::new("slow", Behaviour::ready_after(Duration::from_secs(5))),
    );
    let mut init = container("app", "init", "init:1");
    init.init = true;
    init.config.restart_policy = RestartPolicy::Never;
    init.behaviour.readiness = None;
    let db = container("app", "db", "slow:1");
    let mut web = container("app", "web", "hello:1");
    web.behaviour.depends_on.push(Dependency {
        container: label("db"),
        condition: DependencyCondition::Healthy,
    });
    let desired = DesiredSet {
        workloads: vec![workload("app", vec![init, web, db])],
        ..DesiredSet::default()
    };
    world.converge(&desired).await;
    world.until(60, "all there", |w| w.is_healthy("app", "web")).await;
    let journal = world.machine.journal();
    let start = |name: &str| {
        let found = journal
            .entries
            .iter()
            .find(|e| e.op == Op::Start && e.object == name);
        found
            .unwrap_or_else(|| panic!("{name}\n{}", journal.transcript()))
            .at
    };
    assert!(start("app.db") >= start("app.init") + Duration::from_secs(3));
    assert!(start("app.web") >= start("app.db") + Duration::from_secs(5));

    // What completed rests, whatever restarts.
    let runs = |w: &World| {
        w.machine
            .journal()
            .entries
            .iter()
            .filter(|e| e.op == Op::Start && e.object == "app.init")
            .count()
    };
    assert_eq!(runs(&world), 1);
    world
        .machine
        .crash_engine(crate::runtime::sim::Crash::ContainersDie);
    world.seconds(2).await;
    world.machine.start_engine();
    world.kill().await;
    world.start().await;
    world.cut();
    world.seconds(120).await;
    world.machine.remove_by_hand("app.init").unwrap();
    world.seconds(120).await;
    assert_eq!(runs(&world), 1);
    assert!(world.is_healthy("app", "web"));
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_never_comes_is_a_failure_that_names_it() {
    let mut world = World::new().await;
    let db = container("app", "db", "hello:sick");
    let mut web = container("app", "web", "hello:1");
    web.behaviour.depends_on.push(Dependency {
        container: label("db"),
        condition: DependencyCondition::Healthy,
    });
    let desired = DesiredSet {
        workloads: vec![workload("app", vec![db, web])],
        ..DesiredSet::default()
    };
    world.drive(&desired, 60).await;
    let failure = world.failure("app", "web").unwrap();
    assert_eq!(failure.reason, FailureReason::DependencyNotReady);
    assert!(
        failure.message.contains("db is not healthy"),
        "{}",
        failure.message
    );
    assert!(world.machine.container("app.web").is_none());
    assert_eq!(
        world.failure("app", "db").unwrap().reason,
        FailureReason::Unhealthy
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_liveness_probe_restarts_with_a_growing_pause() {
    let mut world = World::new().await;
    let mut desired = hello("hello:1");
    desired.workloads[0].containers[0].behaviour.liveness = Some(probe(2));
    world.converge(&desired).await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
    let id = world.id("hello.web");
    world.machine.set_sick("hello.web", true).unwrap();
    world
        .until(10, "unhealthy", |w| {
            w.observed("hello", "web").unwrap().health == Health::Unhealthy
        })
        .await;
    world.seconds(300).await;
    let restarts = world.snapshot().counters.liveness_restarts;
    assert!((4..=7).contains(&restarts), "10, 20, 40, 80, 160 s: {restarts}");
    world.machine.set_sick("hello.web", false).unwrap();
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
    assert_eq!(world.id("hello.web"), id);
}

#[tokio::test(start_paused = true)]
async fn without_a_probe_running_long_enough_is_healthy_and_an_agent_restart_forgets_no_age() {
    let mut world = World::new().await;
    let mut desired = hello("hello:1");
    desired.workloads[0].containers[0].behaviour.readiness = None;
    world.converge(&desired).await;
    world.until(15, "healthy", |w| w.is_healthy("hello", "web")).await;
    world.kill().await;
    world.start().await;
    world
        .until(1, "healthy at once", |w| w.is_healthy("hello", "web"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_unhealthy_and_says_so_at_the_deadline() {
    let mut world = World::new().await;
    world.machine.publish(
        "crash:1",
        SimImage::new("crash", Behaviour::exits(1, Duration::from_secs(1))),
    );
    let mut desired = hello("crash:1");
    desired.workloads[0].containers[0].behaviour.readiness = None;
    world.drive(&desired, 20).await;
    world
        .until(60, "unhealthy", |w| {
            w.observed("hello", "web")
                .is_some_and(|c| c.health == Health::Unhealthy && c.restarts >= 3)
        })
        .await;
    world
        .until(60, "told", |w| w.failure("hello", "web").is_some())
        .await;
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(
        (failure.reason, failure.retry),
        (FailureReason::Unhealthy, Retry::Blocked)
    );
    assert_eq!(world.machine.journal().count(Op::Create, "hello.web"), 1);
}

#[tokio::test(start_paused = true)]
async fn content_becomes_environment_and_files_and_never_words() {
    let mut world = World::new().await;
    let secret = "hunter2-".repeat(10_000);
    world.controller.offer("aa01", secret.as_bytes());
    let mut desired = with_files("aa01");
    let web = &mut desired.workloads[0].containers[0];
    web.spec.env.push(EnvVar {
        name: "TOKEN".to_owned(),
        source: EnvSource::Content(content("bb01")),
    });
    rehash(web);
    world.drive(&desired, 3).await;
    world
        .until(10, "missing", |w| w.failure("hello", "web").is_some())
        .await;
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(
        (failure.reason, failure.retry),
        (FailureReason::ContentMissing, Retry::Waiting)
    );
    assert!(failure.message.contains("TOKEN"), "{}", failure.message);
    assert!(world.machine.container("hello.web").is_none());
    // It heals when it appears.
    world.controller.offer("bb01", b"s3cret");
    world.seconds(12).await;
    world.converge(&desired).await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
    let hash = desired.workloads[0].containers[0].hash.0.replace(':', "-");
    let path = format!("content/hello.web/{hash}/conf/app.conf");
    assert_eq!(world.disk.read(&path).unwrap(), secret.as_bytes());
    assert_eq!(world.disk.paths("values/"), ["values/aa01", "values/bb01"]);
    let report = format!("{:?}", world.controller.report());
    assert!(!report.contains("hunter2") && !report.contains("s3cret"));
    // What is not referred to any more goes.
    let mut removed = DesiredSet::default();
    removed.removals.push(Removal {
        workload: label("hello"),
        reason: RemovalReason::Deleted,
    });
    world.converge(&removed).await;
    world.drive(&hello("hello:1"), 20).await;
    assert!(world.disk.paths("values/").is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_swapped_under_the_running_container() {
    let mut world = World::new().await;
    world.controller.offer("aa01", b"one");
    world.controller.offer("aa02", b"two");
    world.converge(&with_files("aa01")).await;
    let before = world.machine.container("hello.web").unwrap();
    let mut desired = with_files("aa02");
    desired.workloads[0].containers[0].behaviour.on_config_change =
        OnConfigChange::Signal("SIGHUP".to_owned());
    world.converge(&desired).await;
    let after = world.machine.container("hello.web").unwrap();
    assert_eq!((after.id, after.started_at), (before.id, before.started_at));
    let hash = desired.workloads[0].containers[0].hash.0.replace(':', "-");
    assert_eq!(
        world
            .disk
            .read(&format!("content/hello.web/{hash}/conf/app.conf"))
            .unwrap(),
        b"two"
    );
    assert_eq!(world.machine.journal().count(Op::Kill, "hello.web"), 1);
    assert_eq!(world.disk.paths("values/"), ["values/aa02"]);
    assert_eq!(
        world.observed("hello", "web").unwrap().config,
        desired.workloads[0].containers[0].config
    );
    // The bus is not asked for what is there.
    let asked = world.controller.content_requests();
    world.kill().await;
    world.start().await;
    world.cut();
    world.machine.remove_by_hand("hello.web").unwrap();
    world
        .until(30, "healed", |w| w.machine.container("hello.web").is_some())
        .await;
    assert_eq!(world.controller.content_requests(), asked);
}

#[tokio::test(start_paused = true)]
async fn networks_are_made_from_the_pool_and_joined_under_the_containers_name() {
    let mut world = World::new().await;
    world
        .machine
        .create_network_by_hand("foreign", Some("10.201.0.0/24"))
        .unwrap();
    let mut desired = hello("hello:1");
    desired.workloads[0]
        .containers
        .push(container("hello", "db", "hello:1"));
    desired.workloads[0].networks.push(DesiredNetwork {
        name: "hello.default".to_owned(),
        driver: None,
        subnet: None,
        internal: false,
        options: std::collections::BTreeMap::default(),
    });
    for c in &mut desired.workloads[0].containers {
        c.config.networks.push("hello.default".to_owned());
    }
    world.converge(&desired).await;
    world
        .until(10, "healthy", |w| {
            w.is_healthy("hello", "web") && w.is_healthy("hello", "db")
        })
        .await;
    assert_eq!(world.snapshot().observed.networks, ["hello.default"]);
    let web = world.machine.container("hello.web").unwrap();
    assert!(
        web.networks[0]
            .address
            .unwrap()
            .to_string()
            .starts_with("10.201.1."),
        "{:?}",
        web.networks
    );
    world
        .machine
        .disconnect_by_hand("hello.default", "hello.web")
        .unwrap();
    world.seconds(2).await;
    assert_eq!(world.snapshot().drift[0].field, "networks");
    world.cut();
    world
        .until(10, "joined again", |w| {
            !w.machine.container("hello.web").unwrap().networks.is_empty()
        })
        .await;
    assert_eq!(world.id("hello.web"), web.id.0);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_is_named() {
    let mut world = World::new().await;
    let port = HostPort {
        port: 8080,
        protocol: Protocol::Tcp,
    };
    world.machine.occupy_port(port, true);
    let mut desired = hello("hello:1");
    let web = &mut desired.workloads[0].containers[0];
    publish(web, 8080);
    world.drive(&desired, 20).await;
    assert_eq!(
        world.failure("hello", "web").unwrap().reason,
        FailureReason::PortConflict
    );
    world.machine.occupy_port(port, false);
    world.seconds(40).await;
    world.converge(&desired).await;
    world.until(20, "healthy", |w| w.is_healthy("hello", "web")).await;
    assert_eq!(world.failure("hello", "web"), None);
}

#[tokio::test(start_paused = true)]
async fn what_imitates_us_is_left_alone() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    world.machine.commit("hello.web", "copy:1").unwrap();
    let ours = world.machine.container("hello.web").unwrap();
    let mut foreign = by_hand("foreign", "hello:1");
    foreign.labels = ours.labels.clone();
    foreign
        .labels
        .insert(crate::labels::SITE.to_owned(), "another".to_owned());
    let mut imitation = by_hand("imitation", "hello:1");
    imitation.labels = ours.labels.clone();
    for request in [by_hand("copied", "copy:1"), foreign, imitation] {
        world.machine.run(&request).unwrap();
    }
    world.converge(&hello("hello:2")).await;
    world.kill().await;
    world.start().await;
    world.cut();
    world.seconds(120).await;
    let mut removed = DesiredSet::default();
    removed.removals.push(Removal {
        workload: label("hello"),
        reason: RemovalReason::Deleted,
    });
    world.mend();
    world.converge(&removed).await;
    let names: Vec<String> = world.machine.containers().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["copied", "foreign", "imitation"]);
    assert!(
        world
            .machine
            .containers()
            .iter()
            .all(|c| c.state.is_up() && c.restarts == 0)
    );
    assert_eq!(world.snapshot().observed.unmanaged.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn pull_secrets_are_used_for_their_registry() {
    let mut world = World::new().await;
    world
        .machine
        .publish("r.example.com/hello:1", SimImage::new("p", Behaviour::default()));
    world.machine.protect("r.example.com/hello:1", "robot", "pw");
    let mut desired = hello("r.example.com/hello:1");
    world.drive(&desired, 8).await;
    assert_eq!(
        world.failure("hello", "web").unwrap().reason,
        FailureReason::RegistryAuthenticationFailed
    );
    world.controller.offer(
        "cc01",
        br#"{"auths":{"r.example.com":{"username":"robot","password":"pw"}}}"#,
    );
    desired.workloads[0].image_pull_secrets.push(content("cc01"));
    world.seconds(15).await;
    world.converge(&desired).await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
}
