//! Containers that run to an end, and are stopped before it.

use std::time::Duration;

use longshore_plan::desired::{DesiredSet, DesiredWorkload, Removal, RemovalReason};
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::RestartPolicy;

use super::harness::*;
use crate::runtime::RuntimeErrorKind;
use crate::runtime::sim::{Behaviour, Fault, Op, Phase, SimImage};

/// One that runs until it is stopped, and then exits 0.
fn job(image: &str, policy: RestartPolicy) -> DesiredWorkload {
    let mut run = container("job", "run", image);
    run.config.restart_policy = policy;
    run.behaviour.readiness = None;
    let mut job = workload("job", vec![run]);
    job.min_ready_seconds = 1;
    job
}

fn with_port(mut workload: DesiredWorkload) -> DesiredWorkload {
    let container = &mut workload.containers[0];
    publish(container, 80);
    workload
}

fn set(workloads: Vec<DesiredWorkload>) -> DesiredSet {
    DesiredSet {
        workloads,
        ..DesiredSet::default()
    }
}

fn completed(world: &World) -> bool {
    let applied = world.snapshot().observed.applied;
    applied.iter().any(|a| a.key == key("job", "run") && a.completed)
}

#[tokio::test(start_paused = true)]
async fn one_stopped_to_make_way_did_not_complete_and_runs_again_when_the_way_is_free() {
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure { max_retries: 3 }] {
        let mut world = World::new().await;
        let job = with_port(job("hello:1", policy));
        world.converge(&set(vec![job.clone()])).await;
        let id = world.id("job.run");
        let mut boss = with_port(workload("boss", vec![container("boss", "web", "hello:1")]));
        boss.priority = 10;
        world.drive(&set(vec![boss, job.clone()]), 60).await;
        let stopped = world.observed("job", "run").unwrap();
        assert!(
            matches!(stopped.state, ContainerState::Exited { exit_code: 0, .. }),
            "{stopped:?}"
        );
        assert!(!completed(&world), "{policy:?}");
        // An agent that did not stop it itself knows no less.
        world.kill().await;
        world.start().await;
        world.seconds(90).await;
        assert!(!completed(&world), "{policy:?}");
        let mut free = set(vec![job]);
        free.removals.push(Removal {
            workload: label("boss"),
            reason: RemovalReason::Deleted,
        });
        world.drive(&free, 60).await;
        let again = world.observed("job", "run").unwrap();
        assert_eq!(
            (again.id.0, again.state),
            (id, ContainerState::Running),
            "{policy:?}"
        );
        assert_eq!(again.config.restart_policy, policy);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_be_put_back_at_once_runs_again_later() {
    let mut world = World::new().await;
    world
        .converge(&set(vec![job("hello:1", RestartPolicy::Never)]))
        .await;
    let id = world.id("job.run");
    let broken = Behaviour {
        start_error: Some(RuntimeErrorKind::Invalid),
        ..Behaviour::default()
    };
    world
        .machine
        .publish("hello:broken", SimImage::new("broken", broken));
    // One for the new one, which cannot start anyway, and one for each attempt to go back.
    for _ in 0..6 {
        world
            .machine
            .fail_next(Op::Start, Some("job.run"), RuntimeErrorKind::Other);
    }
    world
        .drive(&set(vec![job("hello:broken", RestartPolicy::Never)]), 240)
        .await;
    let back = world.machine.container("job.run").unwrap();
    assert_eq!(
        (back.id.0.as_str(), back.state.is_up()),
        (id.as_str(), true),
        "{back:?}"
    );
    assert!(!completed(&world));
}

#[tokio::test(start_paused = true)]
async fn one_whose_restart_got_stuck_halfway_did_not_complete_either() {
    let mut world = World::new().await;
    let sick_later = Behaviour {
        sick_after: Some(Duration::from_secs(20)),
        ..Behaviour::default()
    };
    world.machine.publish("job:1", SimImage::new("job", sick_later));
    let mut job = job("job:1", RestartPolicy::Never);
    job.containers[0].behaviour.liveness = Some(probe(2));
    let desired = set(vec![job]);
    world.converge(&desired).await;
    let machine = world.machine.clone();
    world.machine.on_effect(move |effect| {
        if effect.op != Op::Restart || effect.phase != Phase::Before {
            return Fault::None;
        }
        machine.stop_by_hand(effect.object).unwrap();
        Fault::Error(RuntimeErrorKind::Other)
    });
    world
        .until(60, "restarted", |w| w.snapshot().counters.liveness_restarts > 0)
        .await;
    world.machine.clear_hook();
    world.seconds(2).await;
    assert!(!world.machine.container("job.run").unwrap().state.is_up());
    assert!(!completed(&world));
    world.drive(&desired, 20).await;
    assert_eq!(
        world.observed("job", "run").unwrap().state,
        ContainerState::Running
    );
}
