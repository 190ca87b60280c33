//! Death before and after every effect, of the agent, of the engine, and of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_plan::desired::DesiredSet;

use super::harness::*;
use crate::runtime::sim::{Crash, Fault, Op, Phase};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Dies {
    Agent,
    Engine,
    Both,
}

/// Converges to `to` with a death at the `nth` effect. `false` when there is no such effect.
async fn with_a_death(to: &DesiredSet, nth: u64, phase: Phase, dies: Dies, alone: bool) -> bool {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let bystander = world
        .machine
        .run(&crate::runtime::sim::by_hand("bystander", "hello:1"))
        .unwrap();
    world.seconds(1).await;
    let creates = |w: &World| {
        let journal = w.machine.journal();
        journal.by_clients().filter(|e| e.op == Op::Create).count()
    };
    let created_before = creates(&world);
    let at = world.machine.effects() + nth;
    let hits = Arc::new(AtomicU64::new(0));
    let (machine, counted) = (world.machine.clone(), Arc::clone(&hits));
    world.machine.on_effect(move |effect| {
        if effect.nth != at || effect.phase != phase {
            return Fault::None;
        }
        counted.fetch_add(1, Ordering::Relaxed);
        if dies != Dies::Agent {
            machine.crash_engine(Crash::ContainersDie);
        }
        if dies == Dies::Engine {
            Fault::None
        } else {
            Fault::CallerDies
        }
    });
    let steps = longshore_plan::plan(to, &world.controller.report().unwrap().observed).steps;
    let command = world.controller.command(to, steps);
    world.controller.apply(&command).await;
    for _ in 0..600 {
        if hits.load(Ordering::Relaxed) > 0 {
            break;
        }
        world.seconds(0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    if hits.load(Ordering::Relaxed) == 0 {
        return false;
    }
    world.machine.clear_hook();
    if alone {
        // The device must finish without anybody.
        world.controller.set_signing(false);
        world.cut();
    }
    if dies != Dies::Engine {
        world.kill().await;
    }
    if dies != Dies::Agent {
        world.seconds(3).await;
        world.machine.start_engine();
    }
    if dies != Dies::Engine {
        world.seconds(2).await;
        world.start().await;
        if alone {
            world.cut();
        }
    }
    if !alone {
        world.seconds(5).await;
        world.drive(to, 120).await;
    }
    let wanted = &to.workloads[0].containers[0];
    let sick = wanted.spec.image == "hello:sick";
    let image = if sick {
        "hello:1"
    } else {
        wanted.spec.image.as_str()
    };
    world
        .until(120, "converged", |w| {
            let ours = w.machine.containers();
            let ours: Vec<_> = ours
                .iter()
                .filter(|c| c.labels.contains_key(crate::labels::SITE))
                .collect();
            ours.len() == 1
                && ours[0].name == "hello.web"
                && ours[0].image == image
                && ours[0].state.is_up()
                && ours[0].restart_policy == longshore_plan::spec::RestartPolicy::Always
                && !w.snapshot().busy
        })
        .await;
    world.seconds(60).await;
    assert_eq!(
        creates(&world) - created_before,
        1,
        "one create\n{}",
        world.machine.journal().transcript()
    );
    world.assert_never_two();
    assert!(
        world.machine.containers().iter().any(|c| c.id == bystander),
        "what is not ours is untouched"
    );
    true
}

async fn at_every_effect(to: &DesiredSet, dies: Dies, alone: bool) {
    for phase in [Phase::Before, Phase::After] {
        let mut nth = 1;
        while with_a_death(to, nth, phase, dies, alone).await {
            nth += 1;
        }
        assert!(nth > 8, "a replace has more effects than {nth}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replace_survives_the_agents_death_at_every_effect() {
    at_every_effect(&hello("hello:2"), Dies::Agent, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_replace_is_finished_alone_after_the_agents_death_at_every_effect() {
    at_every_effect(&hello("hello:2"), Dies::Agent, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_replace_survives_the_engines_death_at_every_effect() {
    at_every_effect(&hello("hello:2"), Dies::Engine, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_replace_survives_the_death_of_both_at_every_effect() {
    at_every_effect(&hello("hello:2"), Dies::Both, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_sick_replace_is_put_back_after_the_agents_death_at_every_effect() {
    at_every_effect(&hello("hello:sick"), Dies::Agent, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_sick_replace_is_put_back_after_the_death_of_both_at_every_effect() {
    at_every_effect(&hello("hello:sick"), Dies::Both, true).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_restart_keeps_what_is_declared_and_makes_nothing_new() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let id = world.id("hello.web");
    let effects = world.machine.effects();
    for _ in 0..3 {
        world.machine.crash_engine(Crash::ContainersDie);
        world
            .until(30, "the runtime is reported as away", |w| {
                let runtime = w.controller.report().unwrap().observed.runtime;
                matches!(
                    runtime,
                    longshore_plan::observed::RuntimeState::Unavailable { .. }
                )
            })
            .await;
        world.machine.start_engine();
        world
            .until(30, "healthy again", |w| w.is_healthy("hello", "web"))
            .await;
    }
    assert_eq!(world.id("hello.web"), id);
    assert_eq!(world.machine.effects(), effects);
}
