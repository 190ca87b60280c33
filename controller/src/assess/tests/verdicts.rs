//! Reports without failures, and what is said of them.

use super::*;

fn exited(exit_code: i64, oom_killed: bool) -> ContainerState {
    ContainerState::Exited {
        exit_code,
        oom_killed,
    }
}

#[test]
fn what_a_container_does_decides() {
    let unknown = Health::Unknown;
    for (state, health, wanted) in [
        (ContainerState::Running, Health::Healthy, "Ready"),
        (
            ContainerState::Running,
            Health::Starting,
            "Progressing: waiting for web to become healthy",
        ),
        (
            ContainerState::Running,
            unknown,
            "Progressing: waiting for web to become healthy",
        ),
        (
            ContainerState::Running,
            Health::Unhealthy,
            "Unhealthy Unhealthy: web: is running and not healthy",
        ),
        (
            ContainerState::Restarting { exit_code: 3 },
            Health::Unhealthy,
            "Unhealthy CrashLoopBackOff: web: exits with code 3 and is started again, over and over",
        ),
        // What the plan does about it comes first.
        (
            ContainerState::Created,
            unknown,
            "Progressing: web: is being started",
        ),
        (exited(1, false), unknown, "Progressing: web: is being started"),
        (
            ContainerState::Paused,
            unknown,
            "Progressing: web: is being unpaused",
        ),
    ] {
        let case = Case::new().state(state.clone(), health);
        assert_eq!(case.verdict(), wanted, "{state:?} {health:?}");
    }
}

#[test]
fn what_is_only_watched_is_told_and_is_not_on_its_way() {
    let watched = || Case::new().with(|c| c.workload.drift = DriftMode::Observe);
    for (state, wanted) in [
        (exited(1, false), "Unhealthy Unhealthy: web: exited with code 1"),
        (
            exited(137, true),
            "Unhealthy Unhealthy: web: exited with code 137, killed for want of memory",
        ),
        (
            ContainerState::Paused,
            "Unhealthy Drifted: web: is paused by hand",
        ),
        (
            ContainerState::Dead,
            "Unhealthy Drifted: web: differs in state, which is only observed",
        ),
    ] {
        assert_eq!(watched().state(state.clone(), Health::Unknown).verdict(), wanted);
    }
    let gone = watched().with(|c| c.observed.containers.clear());
    assert_eq!(
        gone.verdict(),
        "Unhealthy Drifted: web: differs in existence, which is only observed"
    );
    let other = watched().with(|c| c.observed.containers[0].hash = SpecHash("v1:other".into()));
    assert_eq!(
        other.verdict(),
        "Unhealthy Drifted: web: differs in spec, which is only observed"
    );
    // A difference that does no harm is drift of something that is ready.
    let renamed = watched().with(|c| c.observed.containers[0].engine_name = "by-hand".into());
    let state = renamed.judge();
    assert_eq!((state.verdict, state.drifted), (Verdict::Ready, true));
}

#[test]
fn a_change_is_told_step_by_step() {
    let pulled = Case::new().changed();
    assert_eq!(pulled.verdict(), "Progressing: web: its image is being pulled");
    let fresh = Case::new().with(|c| c.observed = running(&[]));
    assert_eq!(fresh.verdict(), "Progressing: web: its image is being pulled");
    let networks = Case::new().with(|c| {
        c.workload.networks.push(longshore_plan::desired::DesiredNetwork {
            name: "hello.default".into(),
            driver: None,
            subnet: None,
            internal: false,
            options: std::collections::BTreeMap::new(),
        });
    });
    assert_eq!(networks.verdict(), "Progressing: a network is being made");
}

#[test]
fn a_device_that_was_not_told_yet_is_not_ready() {
    let case = Case::new().with(|c| c.accepted = false);
    assert_eq!(case.verdict(), "Progressing: the device is being told");
}

#[test]
fn a_runtime_that_does_not_answer_makes_nothing_ready() {
    let away = Case::new().with(|c| {
        c.observed.runtime = RuntimeState::Unavailable {
            message: "no such socket".into(),
        };
    });
    assert_eq!(away.verdict(), "Unhealthy RuntimeUnavailable: no such socket");
    let unasked = Case::new().with(|c| c.observed.runtime = RuntimeState::Unknown);
    assert_eq!(unasked.verdict(), "Progressing: its runtime was not asked yet");
}

#[test]
fn what_is_on_hold_says_who_holds_it() {
    let paused = Case::new().changed().with(|c| c.paused = true);
    assert_eq!(
        paused.verdict(),
        "OnHold DevicePaused: web is not as declared, and its device is paused"
    );
    let suspended = Case::new().changed().with(|c| c.workload.suspend = true);
    assert_eq!(
        suspended.verdict(),
        "OnHold Suspended: web is not as declared, and the workload is suspended"
    );
    // What is as declared is not on hold.
    assert_eq!(Case::new().with(|c| c.paused = true).verdict(), "Ready");
    assert_eq!(Case::new().with(|c| c.workload.suspend = true).verdict(), "Ready");
}

#[test]
fn a_container_that_ran_to_its_end_is_done_under_a_policy_that_lets_it_rest() {
    let done = |policy: RestartPolicy| {
        Case::new()
            .with(|c| {
                c.workload.containers[0].config.restart_policy = policy;
                c.observed = running(std::slice::from_ref(&c.workload));
                c.observed.applied[0].completed = true;
            })
            .state(exited(0, false), Health::Unknown)
    };
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure { max_retries: 0 }] {
        let state = done(policy).judge();
        assert_eq!((state.verdict, state.ready), (Verdict::Ready, 1), "{policy:?}");
        let removed = done(policy).with(|c| c.observed.containers.clear()).judge();
        assert_eq!(
            (removed.verdict, removed.ready),
            (Verdict::Ready, 1),
            "{policy:?}"
        );
    }
    let forever = done(RestartPolicy::Always);
    assert_eq!(forever.verdict(), "Progressing: web: is being started");
    assert_eq!(forever.judge().ready, 0);
    // Declared anew to run for ever, while nothing may be changed.
    let held = done(RestartPolicy::Never).with(|c| {
        c.workload.containers[0].config.restart_policy = RestartPolicy::Always;
        c.paused = true;
    });
    assert_eq!(
        held.verdict(),
        "OnHold DevicePaused: web is not as declared, and its device is paused"
    );
}

#[test]
fn a_container_of_a_later_release_counts_as_it_is() {
    let later = Case::new().with(|c| c.observed.containers[0].hash = SpecHash("v9:x".into()));
    let state = later.judge();
    assert_eq!((state.verdict, state.updated), (Verdict::Ready, true));
}

#[test]
fn of_two_the_one_made_from_the_declaration_counts_and_the_other_one_goes_first() {
    let twice = Case::new().with(|c| {
        let mut old = object(&c.workload, &c.workload.containers[0]);
        old.id = EngineId("a-older".into());
        old.hash = SpecHash("v1:old".into());
        old.engine_name = "hello.web.prev".into();
        old.state = exited(0, false);
        c.observed.containers.insert(0, old);
    });
    let state = twice.judge();
    assert_eq!((state.ready, state.updated), (1, true));
    assert_eq!(words(&state.verdict), "Progressing: web: is being replaced");
}

#[test]
fn one_container_that_is_not_well_is_enough() {
    let case = Case::two().state(ContainerState::Running, Health::Unhealthy);
    assert_eq!(
        case.verdict(),
        "Unhealthy Unhealthy: db: is running and not healthy"
    );
    let Verdict::Unhealthy(trouble) = case.judge().verdict else {
        panic!("it is");
    };
    assert_eq!(trouble.container.as_deref(), Some("db"));
}

#[test]
fn a_status_does_not_tick() {
    let restarts = |restarts| {
        Case::new()
            .state(ContainerState::Restarting { exit_code: 1 }, Health::Unhealthy)
            .with(|c| c.observed.containers[0].restarts = restarts)
            .judge()
    };
    assert_eq!(restarts(1), restarts(2));
}
