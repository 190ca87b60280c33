use longshore_bus::clock::{IdSource, SystemClock};
use longshore_bus::memory::{Access, ClientOptions};
use longshore_plan::observed::FailureReason;
use std::sync::Arc;

use super::harness::*;
use crate::runtime::RuntimeErrorKind;
use crate::runtime::sim::Op;
use crate::{Agent, AgentConfig, StartError, Storage};

#[tokio::test(start_paused = true)]
async fn a_corrupt_ledger_is_moved_aside_and_what_runs_is_adopted_without_a_restart() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let before = world.machine.container("hello.web").unwrap();
    world.kill().await;
    let mut bytes = world.disk.read("ledger").unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    world.disk.put("ledger", bytes);
    world.start().await;
    world
        .until(5, "reported", |w| {
            w.controller.report().is_some_and(|r| r.fence.is_none())
        })
        .await;
    assert!(world.disk.paths("ledger.corrupt-").len() == 1);
    world.converge(&hello("hello:1")).await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
    let after = world.machine.container("hello.web").unwrap();
    assert_eq!((after.id, after.started_at), (before.id, before.started_at));
    assert_eq!(world.snapshot().counters.adopted, 1);
    assert_eq!(world.machine.journal().count(Op::Create, "hello.web"), 1);
    // What was adopted is kept as what was made.
    world.cut();
    world.machine.remove_by_hand("hello.web").unwrap();
    world
        .until(10, "healed", |w| w.machine.container("hello.web").is_some())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_every_change_and_no_container() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let id = world.id("hello.web");
    world.disk.set_full(true);
    let effects = world.machine.effects();
    world.drive(&hello("hello:2"), 30).await;
    assert_eq!(world.machine.effects(), effects);
    assert_eq!(
        world.failure("hello", "web").unwrap().reason,
        FailureReason::LedgerUnavailable
    );
    assert!(
        world
            .machine
            .container("hello.web")
            .is_some_and(|c| c.id.0 == id && c.state.is_up())
    );
    world.disk.set_full(false);
    world
        .until(30, "the failure is taken back", |w| {
            w.failure("hello", "web").is_none()
        })
        .await;
    world.converge(&hello("hello:2")).await;
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:2");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_in_the_middle_of_a_replace_is_waited_for() {
    for nth in 1..8 {
        let mut world = World::new().await;
        world.converge(&hello("hello:1")).await;
        let at = world.machine.effects() + nth;
        let disk = world.disk.clone();
        world.machine.on_effect(move |effect| {
            if effect.nth == at {
                disk.set_full(true);
            }
            crate::runtime::sim::Fault::None
        });
        world.drive(&hello("hello:2"), 30).await;
        world.machine.clear_hook();
        world.disk.set_full(false);
        world.seconds(90).await;
        world.converge(&hello("hello:2")).await;
        world
            .until(60, "replaced", |w| {
                w.machine.containers().len() == 1
                    && w.machine
                        .container("hello.web")
                        .is_some_and(|c| c.image == "hello:2")
            })
            .await;
        assert_eq!(world.machine.journal().count(Op::Create, "hello.web.next"), 1);
        world.assert_never_two();
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_agent_on_the_same_storage_is_refused() {
    let world = World::new().await;
    let bus = world.broker.connect(ClientOptions {
        client_id: "second".to_owned(),
        will: None,
        access: Access::Controller,
    });
    let clock = Arc::new(SystemClock);
    let config = AgentConfig::new(
        device(),
        Storage::Memory(world.disk.clone()),
        clock.clone(),
        IdSource::from_seed(clock, 1),
    );
    let runtime = Arc::new(world.machine.runtime());
    let refused = Agent::start(config, runtime.clone(), runtime, bus).await;
    assert!(matches!(refused, Err(StartError::Storage(_))));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_answer_is_reported_and_waited_for() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    world.machine.freeze_engine(true);
    let report = world.controller.report().unwrap();
    let steps = longshore_plan::plan(&hello("hello:2"), &report.observed).steps;
    let command = world.controller.command(&hello("hello:2"), steps);
    let id = world.controller.apply(&command).await;
    world.seconds(200).await;
    world.machine.freeze_engine(false);
    world
        .until(120, "ended", |w| {
            w.controller.answers(id).iter().any(|a| a.is_final)
        })
        .await;
    world.converge(&hello("hello:2")).await;
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:2");
    world.assert_never_two();
}

#[tokio::test(start_paused = true)]
async fn single_errors_of_the_engine_at_any_call_are_survived() {
    for op in [
        Op::List,
        Op::Inspect,
        Op::Create,
        Op::Start,
        Op::Stop,
        Op::Rename,
        Op::Update,
        Op::Remove,
        Op::Image,
        Op::Pull,
    ] {
        for kind in [
            RuntimeErrorKind::Other,
            RuntimeErrorKind::Unavailable,
            RuntimeErrorKind::Timeout,
        ] {
            let mut world = World::new().await;
            world.converge(&hello("hello:1")).await;
            world.machine.fail_next(op, None, kind);
            world.drive(&hello("hello:2"), 60).await;
            let name = world.machine.container("hello.web");
            assert!(
                name.is_some_and(|c| c.state.is_up()),
                "{op:?} {kind:?}\n{}",
                world.machine.journal().transcript()
            );
            world.seconds(320).await;
            let mut again = hello("hello:2");
            again.workloads[0].retry = Some("again".to_owned());
            world.converge(&again).await;
            world
                .until(60, "replaced", |w| {
                    w.machine.containers().len() == 1
                        && w.machine
                            .container("hello.web")
                            .is_some_and(|c| c.image == "hello:2" && c.state.is_up())
                })
                .await;
            world.assert_never_two();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_made_up_for_by_the_periodic_pass_and_counted() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    world.machine.lose_events(true);
    world.machine.remove_by_hand("hello.web").unwrap();
    world
        .until(70, "noticed", |w| w.observed("hello", "web").is_none())
        .await;
    assert_eq!(world.snapshot().counters.missed_by_events, 1);
}
