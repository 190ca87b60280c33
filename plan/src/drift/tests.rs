use super::{drift, state_words};
use crate::arbitrary::{applied, container, key, object, other_hash, publish, ready, workload};
use crate::desired::{DesiredSet, DriftMode};
use crate::observed::{ContainerState, MAX_DRIFT, Observed, RuntimeState};
use crate::spec::{ContentDigest, ContentFile, ContentRef, Resources, RestartPolicy};

fn one() -> (DesiredSet, Observed) {
    let web = container("hello", "web", "i:1");
    let observed = Observed {
        runtime: ready(),
        containers: vec![object("hello", &web, "id1")],
        applied: vec![applied("hello", &web)],
        ..Observed::default()
    };
    (
        DesiredSet {
            workloads: vec![workload("hello", vec![web])],
            ..DesiredSet::default()
        },
        observed,
    )
}

fn words(desired: &DesiredSet, observed: &Observed) -> Vec<String> {
    drift(desired, observed)
        .into_iter()
        .map(|d| format!("{}: {} → {}", d.field, d.want, d.have))
        .collect()
}

#[test]
fn what_is_as_it_was_left_does_not_drift() {
    let (desired, observed) = one();
    assert_eq!(words(&desired, &observed), Vec::<String>::new());
}

#[test]
fn every_field_is_told_with_both_values() {
    let (mut desired, mut observed) = one();
    let web = &mut desired.workloads[0].containers[0];
    let file = |digest: &str| ContentFile {
        path: "app.yaml".into(),
        content: ContentRef {
            digest: ContentDigest(digest.repeat(64)),
            secret: true,
        },
        mode: None,
    };
    web.config.networks = vec!["hello.net".into()];
    web.config.content.insert("conf".into(), vec![file("a")]);
    web.config.resources.cpu_limit_millis = Some(500);
    observed.applied = vec![applied("hello", web)];
    let have = &mut observed.containers[0];
    have.engine_name = "mine".into();
    have.state = ContainerState::Exited {
        exit_code: 137,
        oom_killed: true,
    };
    have.config.restart_policy = RestartPolicy::OnFailure { max_retries: 2 };
    have.config.content.insert("conf".into(), vec![file("b")]);
    have.config.resources = Resources {
        cpu_limit_millis: None,
        cpu_shares: Some(2),
        cpuset_cpus: Some("0".into()),
        memory_limit_bytes: Some(1),
        memory_reservation_bytes: Some(2),
        pids_limit: Some(3),
    };
    assert_eq!(
        words(&desired, &observed),
        [
            "content: conf/app.yaml@aaaaaaaa → conf/app.yaml@bbbbbbbb",
            "name: hello.web → mine",
            "networks: hello.net → ",
            "resources.cpu: 500m → none",
            "resources.cpuShares: none → 2",
            "resources.cpuset: all → 0",
            "resources.memory: none → 1",
            "resources.memoryReservation: none → 2",
            "resources.pids: none → 3",
            "restartPolicy: Always → OnFailure:2",
            "state: running → exited with code 137, out of memory",
        ]
    );
    observed.containers[0].state = ContainerState::Paused;
    assert!(words(&desired, &observed).contains(&"paused: false → true".to_owned()));
    observed.containers[0].hash = other_hash("old");
    let spec = format!(
        "spec: {} → {}",
        desired.workloads[0].containers[0].hash,
        other_hash("old")
    );
    assert_eq!(words(&desired, &observed), [spec]);
    observed.containers.clear();
    assert_eq!(words(&desired, &observed), ["existence: present → absent"]);
}

#[test]
fn a_declared_change_is_no_drift() {
    let (mut desired, observed) = one();
    desired.workloads[0].containers[0].config.restart_policy = RestartPolicy::Never;
    assert_eq!(words(&desired, &observed), Vec::<String>::new());
    let (desired, mut observed) = one();
    observed.containers.clear();
    observed.applied.clear();
    assert_eq!(words(&desired, &observed), Vec::<String>::new());
}

#[test]
fn drift_is_told_whether_or_not_it_may_be_undone() {
    let (mut desired, mut observed) = one();
    observed.containers[0].state = ContainerState::Paused;
    desired.paused = true;
    desired.workloads[0].suspend = true;
    desired.workloads[0].drift = DriftMode::Observe;
    assert_eq!(words(&desired, &observed).len(), 1);
    observed.runtime = RuntimeState::Unknown;
    assert_eq!(words(&desired, &observed), Vec::<String>::new());
}

#[test]
fn one_that_rests_or_makes_way_does_not_drift() {
    let (mut desired, mut observed) = one();
    desired.workloads[0].containers[0].config.restart_policy = RestartPolicy::Never;
    observed.containers[0].config.restart_policy = RestartPolicy::Never;
    observed.containers[0].state = ContainerState::Exited {
        exit_code: 0,
        oom_killed: false,
    };
    observed.applied = vec![applied("hello", &desired.workloads[0].containers[0])];
    assert_eq!(words(&desired, &observed), Vec::<String>::new());

    let (mut desired, mut observed) = one();
    publish(&mut desired.workloads[0].containers[0], 80);
    let mut winner = container("other", "x", "i:1");
    publish(&mut winner, 80);
    observed.containers = vec![
        object("hello", &desired.workloads[0].containers[0], "id1"),
        object("other", &winner, "id2"),
    ];
    observed.applied = vec![
        applied("hello", &desired.workloads[0].containers[0]),
        applied("other", &winner),
    ];
    desired.workloads.push(workload("other", vec![winner]));
    observed.containers[0].state = ContainerState::Exited {
        exit_code: 143,
        oom_killed: false,
    };
    assert_eq!(words(&desired, &observed), Vec::<String>::new());
}

#[test]
fn a_device_names_no_more_than_sixteen_the_first_by_name() {
    let containers: Vec<_> = (0..20)
        .map(|i| container("hello", &format!("c{i:02}"), "i:1"))
        .collect();
    let applied = containers.iter().map(|c| applied("hello", c)).collect();
    let desired = DesiredSet {
        workloads: vec![workload("hello", containers)],
        ..DesiredSet::default()
    };
    let observed = Observed {
        runtime: ready(),
        applied,
        ..Observed::default()
    };
    let found = drift(&desired, &observed);
    assert_eq!(found.len(), MAX_DRIFT);
    assert_eq!(
        (&found[0].key, &found[15].key),
        (&key("hello", "c00"), &key("hello", "c15"))
    );
}

#[test]
fn states_have_words() {
    let states = [
        ContainerState::Created,
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Restarting { exit_code: 2 },
        ContainerState::Exited {
            exit_code: 2,
            oom_killed: false,
        },
        ContainerState::Dead,
    ];
    let words: Vec<_> = states.iter().map(state_words).collect();
    assert_eq!(
        words,
        [
            "created",
            "running",
            "paused",
            "restarting after exit code 2",
            "exited with code 2",
            "dead"
        ]
    );
}
