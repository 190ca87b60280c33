use longshore_plan::desired::OnFailure;
use longshore_plan::names::EngineId;
use longshore_plan::observed::{FailureReason, HostPort, Retry};
use longshore_plan::spec::{Protocol, RestartPolicy};

use super::harness::*;
use crate::runtime::sim::{Behaviour, Op, SimImage, by_hand};

#[tokio::test(start_paused = true)]
async fn what_is_declared_runs_and_planning_again_finds_nothing_to_do() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
    let id = world.id("hello.web");
    let effects = world.machine.effects();
    world.seconds(300).await;
    world.drive(&hello("hello:1"), 10).await;
    assert_eq!(
        world.machine.effects(),
        effects,
        "nothing is done to what is as desired"
    );
    assert_eq!(world.id("hello.web"), id);
    assert_eq!(world.snapshot().counters.missed_by_events, 0);
    assert!(world.snapshot().drift.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_image_takes_over_and_the_old_container_goes() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let old = world.id("hello.web");
    world.converge(&hello("hello:2")).await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
    let new = world.machine.container("hello.web").unwrap();
    assert_ne!(new.id.0, old);
    assert_eq!(new.image, "hello:2");
    assert_eq!(new.restart_policy, RestartPolicy::Always);
    assert_eq!(world.machine.containers().len(), 1);
    world.assert_never_two();
}

#[tokio::test(start_paused = true)]
async fn a_sick_replacement_gives_way_to_the_same_old_container_and_is_not_tried_again() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let old = world.id("hello.web");
    world.drive(&hello("hello:sick"), 60).await;
    world
        .until(60, "rolled back", |w| w.failure("hello", "web").is_some())
        .await;
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(
        (failure.reason, failure.retry),
        (FailureReason::RolledBack, Retry::Blocked)
    );
    assert!(failure.message.contains("status 503"), "{}", failure.message);
    let back = world.machine.container("hello.web").unwrap();
    assert_eq!(
        (back.id.0.as_str(), back.restart_policy),
        (old.as_str(), RestartPolicy::Always)
    );
    assert!(back.state.is_up());
    assert_eq!(world.machine.containers().len(), 1);
    world.drive(&hello("hello:sick"), 600).await;
    world.seconds(600).await;
    assert_eq!(
        world.machine.journal().count(Op::Create, "hello.web.next"),
        1,
        "no retry loop"
    );
    world.assert_never_two();

    // The old one is still looked after, though it is not what is desired.
    world.controller.set_signing(false);
    world.seconds(60).await;
    world.machine.remove_by_hand("hello.web").unwrap();
    world
        .until(10, "the old declaration is healed", |w| {
            w.machine
                .container("hello.web")
                .is_some_and(|c| c.image == "hello:1" && c.state.is_up())
        })
        .await;
    // A retry asked for tries again.
    world.controller.set_signing(true);
    let mut again = hello("hello:sick");
    again.workloads[0].retry = Some("please".to_owned());
    world.drive(&again, 120).await;
    assert_eq!(world.machine.journal().count(Op::Create, "hello.web.next"), 2);
}

#[tokio::test(start_paused = true)]
async fn on_failure_continue_keeps_the_new_one() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let mut desired = hello("hello:sick");
    desired.workloads[0].on_failure = OnFailure::Continue;
    world.drive(&desired, 90).await;
    let kept = world.machine.container("hello.web").unwrap();
    assert_eq!(kept.image, "hello:sick");
    assert_eq!(
        world.failure("hello", "web").unwrap().reason,
        FailureReason::Unhealthy
    );
    assert_eq!(world.machine.containers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_fails_leaves_alone_what_runs_and_is_tried_again() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let id = EngineId(world.id("hello.web"));
    let desired = hello("hello:absent");
    world.drive(&desired, 8).await;
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(failure.reason, FailureReason::ImageTagNotFound);
    assert!(
        failure.message.contains("hello:absent") && failure.message.contains("docker.io"),
        "{}",
        failure.message
    );
    assert_ne!(failure.retry, Retry::Blocked);
    assert!(
        world
            .machine
            .container("hello.web")
            .is_some_and(|c| c.id == id && c.state.is_up())
    );
    world
        .machine
        .publish("hello:absent", SimImage::new("late", Behaviour::default()));
    // The back-off has to run out first.
    world.seconds(20).await;
    world.converge(&desired).await;
    assert_eq!(
        world.machine.container("hello.web").unwrap().image,
        "hello:absent"
    );
    assert_eq!(world.failure("hello", "web"), None);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_fails_leaves_alone_what_runs() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let id = world.id("hello.web");
    let refused = Behaviour {
        create_error: Some(crate::runtime::RuntimeErrorKind::Invalid),
        ..Behaviour::default()
    };
    world
        .machine
        .publish("hello:refused", SimImage::new("refused", refused));
    world.drive(&hello("hello:refused"), 30).await;
    assert_eq!(
        world.failure("hello", "web").unwrap().reason,
        FailureReason::CreateFailed
    );
    assert_eq!(world.id("hello.web"), id);
    assert_eq!(world.machine.journal().count(Op::Stop, "hello.web"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_start_gives_way_and_is_blocked() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let id = world.id("hello.web");
    let broken = Behaviour {
        start_error: Some(crate::runtime::RuntimeErrorKind::Invalid),
        ..Behaviour::default()
    };
    world
        .machine
        .publish("hello:broken", SimImage::new("broken", broken));
    world.drive(&hello("hello:broken"), 60).await;
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(
        (failure.reason, failure.retry),
        (FailureReason::StartFailed, Retry::Blocked)
    );
    assert_eq!(world.id("hello.web"), id);
    assert!(world.machine.container("hello.web").unwrap().state.is_up());
    world.assert_never_two();
}

#[tokio::test(start_paused = true)]
async fn a_newer_plan_ends_the_wait_for_health_and_puts_back_first() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let mut slow = hello("hello:sick");
    slow.workloads[0].progress_deadline_seconds = 600;
    world.drive(&slow, 3).await;
    world
        .until(20, "the sick one is being watched", |w| {
            w.machine
                .container("hello.web")
                .is_some_and(|c| c.image == "hello:sick" && c.state.is_up())
        })
        .await;
    let newer = hello("hello:2");
    let report = world.controller.report().unwrap();
    let steps = longshore_plan::plan(&newer, &report.observed).steps;
    let command = world.controller.command(&newer, steps);
    world.controller.apply(&command).await;
    world.converge(&newer).await;
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:2");
    assert_eq!(world.machine.containers().len(), 1);
    assert_eq!(world.failure("hello", "web"), None, "nobody failed");
    world.assert_never_two();
}

#[tokio::test(start_paused = true)]
async fn a_port_somebody_else_holds_costs_the_old_one_no_stop_and_heals() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let id = world.id("hello.web");
    let port = HostPort {
        port: 8080,
        protocol: Protocol::Tcp,
    };
    world.machine.occupy_port(port, true);
    let mut desired = hello("hello:2");
    let web = &mut desired.workloads[0].containers[0];
    publish(web, 8080);
    world.drive(&desired, 20).await;
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(failure.reason, FailureReason::PortConflict);
    assert!(
        failure.message.contains("8080") && failure.message.contains("no container"),
        "{}",
        failure.message
    );
    assert_ne!(failure.retry, Retry::Blocked);
    assert_eq!(world.id("hello.web"), id);
    assert_eq!(world.machine.journal().count(Op::Stop, "hello.web"), 0);
    world.machine.occupy_port(port, false);
    world.seconds(40).await;
    world.converge(&desired).await;
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:2");
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_while_it_is_being_made_is_not_called_adopted() {
    let mut world = World::new().await;
    world
        .machine
        .load("hello:1", SimImage::new("1", Behaviour::default()));
    world.machine.run(&by_hand("restless", "hello:1")).unwrap();
    // Something happens all the time, so that the device is looked at all the time.
    let machine = world.machine.clone();
    let restless = tokio::spawn(async move {
        loop {
            machine.stop_by_hand("restless").unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(7)).await;
            machine.start_by_hand("restless").unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(7)).await;
        }
    });
    for round in 0..20 {
        let image = ["hello:1", "hello:2"][round % 2];
        world.converge(&hello(image)).await;
    }
    restless.abort();
    assert_eq!(world.snapshot().counters.adopted, 0);
}
