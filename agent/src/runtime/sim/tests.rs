use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, HostPort};
use longshore_plan::spec::{Port, Protocol, RestartPolicy};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::runtime::probe_network::{HttpTarget, ProbeFailure, ProbeNetwork as _};
use crate::runtime::{CreateRequest, PullProgress, PullProgressSender, RegistryAuth, Runtime as _};

const GRACE: Duration = Duration::from_secs(10);

fn machine() -> SimMachine {
    let machine = SimMachine::new(1);
    machine.load("app:1", SimImage::new("v1", Behaviour::default()));
    machine
}

fn request(name: &str, policy: RestartPolicy) -> CreateRequest {
    CreateRequest {
        restart_policy: policy,
        ..by_hand(name, "app:1")
    }
}

fn with_port(mut request: CreateRequest, port: u16) -> CreateRequest {
    let protocol = Protocol::Tcp;
    request.spec.ports = vec![Port {
        container_port: 8080,
        host_port: Some(port),
        host_ip: None,
        protocol,
    }];
    request
}

async fn run(agent: &SimRuntime, request: &CreateRequest) -> EngineId {
    let id = agent.create(request).await.unwrap();
    agent.start(&id).await.unwrap();
    id
}

fn state(machine: &SimMachine, name: &str) -> ContainerState {
    machine.container(name).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn a_container_lives_and_the_journal_tells_it() {
    let machine = machine();
    let agent = machine.runtime();
    let id = run(&agent, &request("a", RestartPolicy::Always)).await;
    let before = agent.inspect(&id).await.unwrap().unwrap();
    assert_eq!(before.state, ContainerState::Running);
    assert!(
        before.started_at.starts_with("2026-01-01T00:00:0"),
        "{}",
        before.started_at
    );
    agent.start(&id).await.unwrap(); // running already
    sleep(Duration::from_hours(1)).await;
    assert_eq!(
        agent.inspect(&id).await.unwrap().unwrap(),
        before,
        "nothing ticks"
    );
    agent.stop(&id, GRACE).await.unwrap();
    agent.stop(&id, GRACE).await.unwrap();
    assert_eq!(
        state(&machine, "a"),
        ContainerState::Exited {
            exit_code: 0,
            oom_killed: false
        }
    );
    agent.remove(&id).await.unwrap();
    agent.remove(&id).await.unwrap();
    assert_eq!(agent.inspect(&id).await.unwrap(), None);
    let journal = machine.journal();
    let counts = [Op::Create, Op::Start, Op::Stop, Op::Remove].map(|op| journal.count(op, "a"));
    assert_eq!(counts, [1, 1, 1, 1], "{}", journal.transcript());
    assert!(
        journal.intervals[0]
            .to
            .unwrap()
            .abs_diff(journal.intervals[0].from)
            > Duration::from_hours(1)
    );
}

#[tokio::test(start_paused = true)]
async fn restarts_back_off_as_dockers_do() {
    let machine = SimMachine::new(1);
    machine.load("app:1", SimImage::new("bad", Behaviour::exits(3, Duration::ZERO)));
    run(&machine.runtime(), &request("a", RestartPolicy::Always)).await;
    sleep(Duration::from_secs(250)).await;
    let starts: Vec<Duration> = machine
        .journal()
        .intervals
        .iter()
        .map(|interval| interval.from)
        .collect();
    let pauses: Vec<u128> = starts
        .windows(2)
        .map(|pair| pair[1].abs_diff(pair[0]).as_millis())
        .collect();
    let wanted = [
        100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000,
    ];
    assert_eq!(pauses, wanted);
    let detail = machine.container("a").unwrap();
    assert_eq!(detail.state, ContainerState::Restarting { exit_code: 3 });
    assert_eq!(detail.restarts, 12);
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_of_running_reset_the_back_off() {
    let machine = SimMachine::new(1);
    machine.load(
        "app:1",
        SimImage::new("bad", Behaviour::exits(0, Duration::from_secs(10))),
    );
    run(&machine.runtime(), &request("a", RestartPolicy::UnlessStopped)).await;
    sleep(Duration::from_mins(1)).await;
    let starts: Vec<Duration> = machine
        .journal()
        .intervals
        .iter()
        .map(|interval| interval.from)
        .collect();
    assert!(starts.len() >= 5);
    assert!(
        starts
            .windows(2)
            .all(|pair| pair[1].abs_diff(pair[0]).as_millis() == 10_100),
        "{starts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn policies_decide_what_an_exit_means() {
    for (policy, code, starts) in [
        (RestartPolicy::Never, 1, 1),
        (RestartPolicy::OnFailure { max_retries: 0 }, 0, 1),
        (RestartPolicy::OnFailure { max_retries: 2 }, 1, 3),
    ] {
        let machine = SimMachine::new(1);
        machine.load(
            "app:1",
            SimImage::new("x", Behaviour::exits(code, Duration::from_secs(1))),
        );
        run(&machine.runtime(), &request("a", policy)).await;
        sleep(Duration::from_mins(2)).await;
        assert_eq!(machine.journal().intervals.len(), starts, "{policy:?} {code}");
        assert_eq!(
            state(&machine, "a"),
            ContainerState::Exited {
                exit_code: code,
                oom_killed: false
            }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_always_comes_back_with_the_engine_and_unless_stopped_does_not() {
    let machine = machine();
    let agent = machine.runtime();
    for (name, policy, stopped) in [
        ("always", RestartPolicy::Always, true),
        ("unless", RestartPolicy::UnlessStopped, true),
        ("no", RestartPolicy::Never, true),
        ("unless-up", RestartPolicy::UnlessStopped, false),
        ("no-up", RestartPolicy::Never, false),
    ] {
        let id = run(&agent, &request(name, policy)).await;
        if stopped {
            agent.stop(&id, GRACE).await.unwrap();
        }
    }
    agent
        .create(&request("never-started", RestartPolicy::Always))
        .await
        .unwrap();
    machine.stop_engine();
    assert_eq!(
        agent.list().await.unwrap_err().kind,
        RuntimeErrorKind::Unavailable
    );
    machine.start_engine();
    let up = |name| state(&machine, name).is_up();
    let all = ["always", "unless", "no", "unless-up", "no-up", "never-started"].map(up);
    assert_eq!(all, [true, false, false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn containers_outlive_a_killed_engine_only_with_live_restore() {
    for live_restore in [false, true] {
        let machine = machine();
        machine.set_live_restore(live_restore);
        run(&machine.runtime(), &request("a", RestartPolicy::Always)).await;
        machine.crash_engine(Crash::ContainersLiveOn);
        sleep(Duration::from_secs(5)).await;
        assert!(machine.journal().intervals[0].to.is_none());
        machine.start_engine();
        assert!(state(&machine, "a").is_up());
        assert_eq!(
            machine.journal().intervals.len(),
            if live_restore { 1 } else { 2 }
        );
    }
}

#[tokio::test(start_paused = true)]
async fn names_and_ports_conflict() {
    let machine = machine();
    let agent = machine.runtime();
    run(&agent, &with_port(request("a", RestartPolicy::Always), 80)).await;
    let taken = agent
        .create(&request("a", RestartPolicy::Never))
        .await
        .unwrap_err();
    assert_eq!(taken.kind, RuntimeErrorKind::NameConflict);
    let b = agent
        .create(&with_port(request("b", RestartPolicy::Always), 80))
        .await
        .unwrap();
    assert_eq!(
        agent.start(&b).await.unwrap_err().kind,
        RuntimeErrorKind::PortConflict
    );
    assert_eq!(state(&machine, "b"), ContainerState::Created);
    assert_eq!(
        agent.rename(&b, "a").await.unwrap_err().kind,
        RuntimeErrorKind::NameConflict
    );
    machine.remove_by_hand("a").unwrap();
    agent.start(&b).await.unwrap();
    agent.rename(&b, "a").await.unwrap();
    let c = agent
        .create(&with_port(request("c", RestartPolicy::Always), 81))
        .await
        .unwrap();
    machine.occupy_port(
        HostPort {
            port: 81,
            protocol: Protocol::Tcp,
        },
        true,
    );
    assert_eq!(
        agent.start(&c).await.unwrap_err().kind,
        RuntimeErrorKind::PortConflict
    );
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_process_is_killed_after_its_grace() {
    let machine = SimMachine::new(1);
    machine.load("app:1", SimImage::new("x", Behaviour::stubborn()));
    let agent = machine.runtime();
    let id = run(&agent, &request("a", RestartPolicy::Always)).await;
    let before = Instant::now();
    agent.stop(&id, GRACE).await.unwrap();
    assert!(before.elapsed() >= GRACE);
    assert_eq!(
        state(&machine, "a"),
        ContainerState::Exited {
            exit_code: 137,
            oom_killed: false
        }
    );
}

#[tokio::test(start_paused = true)]
async fn pulls_show_progress_and_end_in_their_own_errors() {
    let machine = SimMachine::new(1);
    let image = SimImage::new("x", Behaviour::default()).pull_takes(Duration::from_secs(20));
    machine.publish("r.example/app:1", image.clone());
    machine.publish("r.example/private:1", image);
    machine.protect("r.example/private:1", "robot", "right");
    let agent = machine.runtime();
    let pull = async |reference: &str, auth: Option<&RegistryAuth>| {
        agent
            .pull(reference, auth, PullProgressSender::default())
            .await
            .map_err(|error| error.kind)
    };
    let (sender, receiver) = tokio::sync::watch::channel(PullProgress::default());
    let cancelled = timeout(
        Duration::from_secs(5),
        agent.pull("r.example/app:1", None, sender),
    )
    .await;
    assert!(cancelled.is_err());
    assert!(receiver.borrow().done_bytes > 0);
    assert_eq!(agent.image("r.example/app:1").await.unwrap(), None);
    pull("r.example/app:1", None).await.unwrap();
    assert!(agent.image("r.example/app:1").await.unwrap().is_some());

    let auth = |password: &str| RegistryAuth {
        server: "r.example".to_owned(),
        username: "robot".to_owned(),
        password: password.to_owned(),
    };
    assert_eq!(
        pull("r.example/app:9", None).await,
        Err(RuntimeErrorKind::ImageTagNotFound)
    );
    assert_eq!(
        pull("r.example/none:1", None).await,
        Err(RuntimeErrorKind::ImageNotFound)
    );
    let refused = Err(RuntimeErrorKind::RegistryAuthenticationFailed);
    assert_eq!(pull("r.example/private:1", None).await, refused);
    assert_eq!(pull("r.example/private:1", Some(&auth("wrong"))).await, refused);
    pull("r.example/private:1", Some(&auth("right"))).await.unwrap();
    machine.set_registry_reachable("r.example", false);
    assert_eq!(
        pull("r.example/app:1", None).await,
        Err(RuntimeErrorKind::RegistryUnavailable)
    );
}

#[tokio::test(start_paused = true)]
async fn events_wake_at_the_moment_things_happen() {
    let machine = SimMachine::new(1);
    machine.load(
        "app:1",
        SimImage::new("x", Behaviour::exits(1, Duration::from_secs(30))),
    );
    let agent = machine.runtime();
    let mut events = agent.events().await.unwrap();
    run(&agent, &request("a", RestartPolicy::Never)).await;
    let mut actions = Vec::new();
    for _ in 0..3 {
        actions.push(events.next().await.unwrap().unwrap().action);
    }
    assert_eq!(actions, ["create", "start", "die"]);
    machine.lose_events(true);
    machine.remove_by_hand("a").unwrap();
    machine.lose_events(false);
    assert!(timeout(GRACE, events.next()).await.is_err());
    machine.crash_engine(Crash::ContainersDie);
    while let Some(event) = events.next().await {
        if event.is_err() {
            break;
        }
    }
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_caller_can_die_at_any_effect() {
    for phase in [Phase::Before, Phase::After] {
        let machine = machine();
        machine.on_effect(move |effect| {
            if effect.op == Op::Create && effect.phase == phase {
                Fault::CallerDies
            } else {
                Fault::None
            }
        });
        let agent = machine.runtime();
        let victim = agent.clone();
        let task = tokio::spawn(async move { victim.create(&request("a", RestartPolicy::Always)).await });
        agent.died().await;
        task.abort();
        assert!(
            timeout(GRACE, agent.list()).await.is_err(),
            "a dead client gets no answer"
        );
        machine.clear_hook();
        let listed = machine.runtime().list().await.unwrap();
        assert_eq!(listed.len(), usize::from(phase == Phase::After));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_hit_the_call_they_are_meant_for() {
    let machine = machine();
    let agent = machine.runtime();
    machine.fail_next(Op::Create, Some("b"), RuntimeErrorKind::DiskFull);
    agent.create(&request("a", RestartPolicy::Always)).await.unwrap();
    let refused = agent
        .create(&request("b", RestartPolicy::Always))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind, refused.operation.as_str()),
        (RuntimeErrorKind::DiskFull, "create b")
    );
    agent.create(&request("b", RestartPolicy::Always)).await.unwrap();
    let count = AtomicU64::new(0);
    machine.on_effect(move |_| {
        // The second effect succeeds, and its answer is lost.
        if count.fetch_add(1, Ordering::Relaxed) == 1 {
            Fault::Hang
        } else {
            Fault::None
        }
    });
    let lost = agent
        .create(&request("c", RestartPolicy::Always))
        .await
        .unwrap_err();
    assert_eq!(lost.kind, RuntimeErrorKind::Timeout);
    assert!(machine.container("c").is_some());
    machine.freeze_engine(true);
    assert_eq!(agent.list().await.unwrap_err().kind, RuntimeErrorKind::Timeout);
    machine.freeze_engine(false);
    assert_eq!(agent.list().await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn probes_reach_what_runs_and_follow_its_health() {
    let machine = SimMachine::new(1);
    machine.load(
        "app:1",
        SimImage::new("x", Behaviour::ready_after(Duration::from_secs(3))),
    );
    let agent = machine.runtime();
    run(&agent, &with_port(request("a", RestartPolicy::Always), 80)).await;
    let address = machine.container("a").unwrap().address.unwrap().to_string();
    let target = |port| HttpTarget {
        host: address.clone(),
        port,
        path: "/".to_owned(),
        headers: Vec::new(),
    };
    assert_eq!(
        agent.http_get(&target(8080), GRACE).await,
        Err(ProbeFailure::Status(503))
    );
    sleep(Duration::from_secs(3)).await;
    assert_eq!(agent.http_get(&target(8080), GRACE).await, Ok(()));
    assert_eq!(agent.tcp_connect("127.0.0.1", 80, GRACE).await, Ok(()));
    assert!(matches!(
        agent.http_get(&target(9), GRACE).await,
        Err(ProbeFailure::Connect(_))
    ));
    machine.set_sick("a", true).unwrap();
    assert_eq!(
        agent.http_get(&target(8080), GRACE).await,
        Err(ProbeFailure::Status(503))
    );
    machine.set_sick("a", false).unwrap();
    machine.pause_by_hand("a").unwrap();
    assert_eq!(
        agent.http_get(&target(8080), GRACE).await,
        Err(ProbeFailure::Timeout)
    );
}

#[tokio::test(start_paused = true)]
async fn two_of_one_are_found_and_a_hand_made_copy_is_not_counted() {
    let machine = machine();
    let agent = machine.runtime();
    let labelled = |name: &str| CreateRequest {
        labels: BTreeMap::from([("key".to_owned(), "a".to_owned())]),
        ..request(name, RestartPolicy::Always)
    };
    let one = run(&agent, &labelled("one")).await;
    machine.run(&labelled("copy")).unwrap();
    assert!(machine.journal().overlapping(&["key"]).is_empty());
    agent.stop(&one, GRACE).await.unwrap();
    run(&agent, &labelled("two")).await;
    assert!(machine.journal().overlapping(&["key"]).is_empty());
    machine.stop_engine();
    machine.start_engine(); // Docker's trap: the stopped `always` is up again
    assert_eq!(machine.journal().overlapping(&["key"]).len(), 1);
    let id = machine.commit("two", "copy:1").unwrap();
    machine.run(&by_hand("from-commit", "copy:1")).unwrap();
    let copy = machine.container("from-commit").unwrap();
    assert_eq!(
        (copy.image_id, copy.labels.get("key").map(String::as_str)),
        (id, Some("a"))
    );
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_histories() {
    let history = async || {
        let machine = machine();
        let agent = machine.runtime();
        run(&agent, &request("a", RestartPolicy::Always)).await;
        machine.stop_engine();
        machine.start_engine();
        machine.journal()
    };
    let first = history().await;
    assert_eq!(first, history().await);
}
