//! How plans end that do not simply run through.

use std::time::Duration;

use longshore_bus::envelope::{CorrelationId, ResponseEnvelope, Status, action, error_code};
use longshore_plan::desired::DesiredSet;
use longshore_plan::step::PlanCommand;
use serde_json::{Value, json};

use super::commands::{first_plan, ready};
use super::harness::*;
use crate::runtime::sim::{Behaviour, Crash, Fault, Op, Phase, SimImage, by_hand};

/// An image that takes ten minutes to come.
fn publish_slow(world: &World) {
    let slow = SimImage::new("slow", Behaviour::default()).pull_takes(Duration::from_mins(10));
    world.machine.publish("slow:1", slow);
}

fn with_port(mut desired: DesiredSet) -> DesiredSet {
    let web = &mut desired.workloads[0].containers[0];
    publish(web, 8080);
    desired
}

fn last(world: &World, id: CorrelationId) -> ResponseEnvelope {
    let answers = world.controller.answers(id);
    answers
        .last()
        .cloned()
        .unwrap_or_else(|| panic!("no answer to {id}"))
}

fn step_answers(world: &World, command: &PlanCommand) -> Vec<ResponseEnvelope> {
    let steps = command.steps.iter();
    let ids = steps.map(|s| CorrelationId(s.correlation_id.parse().unwrap()));
    ids.map(|id| last(world, id)).collect()
}

async fn ended(world: &mut World, seconds: u64, id: CorrelationId) -> ResponseEnvelope {
    world
        .until(seconds, "ended", |w| {
            w.controller.answers(id).iter().any(|a| a.is_final)
        })
        .await;
    last(world, id)
}

async fn cancel(world: &World, id: CorrelationId) {
    let cancel = world
        .controller
        .envelope(action::CANCEL, json!({ "correlationId": id }));
    world.controller.send(&cancel).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_plan_made_again_holds_back_is_answered_as_not_done() {
    let mut world = ready().await;
    publish_slow(&world);
    let command = first_plan(&mut world, &with_port(hello("slow:1")));
    let id = world.controller.apply(&command).await;
    world.seconds(5).await;
    world.kill().await;
    // Meanwhile somebody else takes the port, and the container is held for it.
    world
        .machine
        .load("hello:1", SimImage::new("1", Behaviour::default()));
    let mut other = by_hand("other", "hello:1");
    other
        .spec
        .ports
        .clone_from(&with_port(hello("hello:1")).workloads[0].containers[0].spec.ports);
    world.machine.run(&other).unwrap();
    world.start().await;
    let answer = ended(&mut world, 30, id).await;
    assert_eq!(answer.status, Status::Failed, "{answer:?}");
    assert_eq!(answer.result.unwrap()["skipped"], command.steps.len());
    for answer in step_answers(&world, &command) {
        assert_eq!(answer.status, Status::Cancelled, "{answer:?}");
        let message = answer.error.unwrap().message;
        assert!(message.contains("8080") && message.contains("other"), "{message}");
    }
    assert!(world.machine.container("hello.web").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_plan_ends_as_cancelled_and_its_pull_with_it() {
    let mut world = ready().await;
    publish_slow(&world);
    let command = first_plan(&mut world, &hello("slow:1"));
    let id = world.controller.apply(&command).await;
    world.seconds(5).await;
    cancel(&world, id).await;
    let answer = ended(&mut world, 5, id).await;
    assert_eq!((answer.status, answer.code), (Status::Cancelled, 410));
    assert_eq!(answer.error.unwrap().code, error_code::CANCELLED);
    assert_eq!(answer.result.unwrap()["skipped"], command.steps.len());
    for answer in step_answers(&world, &command) {
        assert_eq!(answer.status, Status::Cancelled);
        assert_eq!(answer.error.unwrap().code, error_code::CANCELLED);
    }
    assert!(world.machine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_stays_so_when_the_plan_is_made_again() {
    let mut world = ready().await;
    publish_slow(&world);
    let minute = SimImage::new("minute", Behaviour::default()).pull_takes(Duration::from_mins(1));
    world.machine.publish("minute:1", minute);
    let mut desired = hello("slow:1");
    desired
        .workloads
        .push(workload("other", vec![container("other", "web", "minute:1")]));
    let command = first_plan(&mut world, &desired);
    let id = world.controller.apply(&command).await;
    world.seconds(5).await;
    cancel(
        &world,
        CorrelationId(command.steps[0].correlation_id.parse().unwrap()),
    )
    .await;
    world.seconds(5).await;
    world.machine.crash_engine(Crash::ContainersDie);
    world.seconds(2).await;
    world.machine.start_engine();
    let answer = ended(&mut world, 180, id).await;
    assert_eq!(answer.status, Status::Failed, "one of its steps was cancelled");
    let answers = step_answers(&world, &command);
    for (step, answer) in command.steps.iter().zip(answers) {
        let cancelled = step.step.workload == label("hello");
        let expected = if cancelled {
            Status::Cancelled
        } else {
            Status::Succeeded
        };
        assert_eq!(answer.status, expected, "{}", step.step);
    }
    let names: Vec<String> = world.machine.containers().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["other.web"]);
}

/// How a command ended, as the device remembers it.
async fn outcome_of(world: &World, id: CorrelationId) -> Value {
    let ask = world
        .controller
        .envelope(action::OUTCOME_GET, json!({ "correlationId": id }));
    world.controller.send(&ask).await;
    world.seconds(1).await;
    let answer = last(world, ask.correlation_id);
    answer.result.unwrap_or_else(|| panic!("{:?}", answer.error))
}

/// A plan that was accepted while the engine is away.
async fn without_an_engine(world: &mut World, desired: &DesiredSet) -> (PlanCommand, CorrelationId) {
    let command = first_plan(world, desired);
    world.machine.crash_engine(Crash::ContainersLiveOn);
    world.seconds(2).await;
    let id = world.controller.apply(&command).await;
    world.seconds(30).await;
    assert_eq!(last(world, id).status, Status::Accepted);
    (command, id)
}

#[tokio::test(start_paused = true)]
async fn a_plan_can_be_cancelled_while_the_engine_is_away() {
    let mut world = ready().await;
    let (command, id) = without_an_engine(&mut world, &hello("hello:1")).await;
    cancel(&world, id).await;
    let answer = ended(&mut world, 1, id).await;
    assert_eq!(answer.error.unwrap().code, error_code::CANCELLED);
    for answer in step_answers(&world, &command) {
        assert_eq!(answer.status, Status::Cancelled);
    }
    // One without steps has not been looked at either.
    let empty = world.controller.command(&hello("hello:2"), Vec::new());
    let second = world.controller.apply(&empty).await;
    cancel(&world, second).await;
    assert_eq!(ended(&mut world, 1, second).await.status, Status::Cancelled);
    world.machine.start_engine();
    world.seconds(30).await;
    assert!(world.machine.containers().is_empty());
    assert_eq!(last(&world, id).status, Status::Cancelled);
    // The device goes on as before.
    world.converge(&hello("hello:1")).await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_plan_ends_the_one_that_waits_for_the_engine() {
    let mut world = ready().await;
    let (command, first) = without_an_engine(&mut world, &hello("hello:2")).await;
    let newer = world.controller.command(&hello("hello:1"), Vec::new());
    let second = world.controller.apply(&newer).await;
    let answer = ended(&mut world, 1, first).await;
    assert_eq!(answer.error.unwrap().code, error_code::SUPERSEDED);
    for answer in step_answers(&world, &command) {
        assert_eq!(answer.error.unwrap().code, error_code::SUPERSEDED);
    }
    assert_eq!(last(&world, second).status, Status::Accepted);
    world.machine.start_engine();
    let answer = ended(&mut world, 60, second).await;
    assert_eq!(answer.status, Status::Succeeded, "{answer:?}");
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:1");
    assert_eq!(world.machine.journal().count(Op::Create, "hello.web"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replace_that_has_begun_is_finished_before_its_cancelled_plan_ends() {
    let mut world = ready().await;
    world.converge(&hello("hello:1")).await;
    let mut desired = hello("hello:2");
    desired
        .workloads
        .push(workload("other", vec![container("other", "web", "hello:1")]));
    let command = first_plan(&mut world, &desired);
    let machine = world.machine.clone();
    world.machine.on_effect(move |effect| {
        if effect.op == Op::Stop && effect.phase == Phase::After {
            machine.crash_engine(Crash::ContainersLiveOn);
        }
        Fault::None
    });
    let id = world.controller.apply(&command).await;
    world.seconds(15).await;
    world.machine.clear_hook();
    cancel(&world, id).await;
    world.seconds(5).await;
    let open: Vec<String> = command
        .steps
        .iter()
        .filter(|s| {
            let id = CorrelationId(s.correlation_id.parse().unwrap());
            !world.controller.answers(id).iter().any(|a| a.is_final)
        })
        .map(|s| s.step.to_string())
        .collect();
    assert_eq!(open, ["replace hello.web, because its declaration changed"]);
    assert!(!last(&world, id).is_final);
    world.machine.start_engine();
    let answer = ended(&mut world, 60, id).await;
    assert_eq!(answer.status, Status::Cancelled, "{answer:?}");
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:2");
    assert!(world.machine.container("other.web").is_none());
    world.assert_never_two();
}

#[tokio::test(start_paused = true)]
async fn a_plan_can_be_cancelled_while_the_ledger_cannot_be_written() {
    let mut world = ready().await;
    publish_slow(&world);
    let command = first_plan(&mut world, &hello("slow:1"));
    let id = world.controller.apply(&command).await;
    world.seconds(5).await;
    world.disk.set_full(true);
    // The pull under way is not what ends it.
    world.machine.crash_engine(Crash::ContainersLiveOn);
    world.seconds(1).await;
    world.machine.start_engine();
    world.seconds(20).await;
    cancel(&world, id).await;
    let answer = ended(&mut world, 1, id).await;
    assert_eq!(answer.error.unwrap().code, error_code::CANCELLED);
    for answer in step_answers(&world, &command) {
        assert_eq!(answer.status, Status::Cancelled);
    }
    world.disk.set_full(false);
    world.seconds(120).await;
    assert!(world.machine.containers().is_empty());
    assert!(!world.snapshot().busy);
    // Told once, and written down by now.
    let told = world.controller.answers(id);
    assert_eq!(told.iter().filter(|a| a.is_final).count(), 1);
    world.kill().await;
    world.start().await;
    assert_eq!(outcome_of(&world, id).await["error"]["code"], "Cancelled");
}

#[tokio::test(start_paused = true)]
async fn what_was_overtaken_before_it_began_is_known_with_all_its_steps_after_a_crash() {
    let mut world = ready().await;
    publish_slow(&world);
    let running = first_plan(&mut world, &hello("slow:1"));
    world.controller.apply(&running).await;
    world.seconds(1).await;
    // The running one may go on: the next wants the same and more.
    let mut more = hello("slow:1");
    more.workloads
        .push(workload("other", vec![container("other", "web", "hello:1")]));
    let overtaken = first_plan(&mut world, &more);
    let id = world.controller.apply(&overtaken).await;
    let newest = first_plan(&mut world, &hello("slow:1"));
    world.controller.apply(&newest).await;
    world.seconds(1).await;
    world.kill().await;
    world.start().await;
    assert!(!overtaken.steps.is_empty());
    let steps = overtaken.steps.iter();
    let steps = steps.map(|s| CorrelationId(s.correlation_id.parse().unwrap()));
    for id in std::iter::once(id).chain(steps) {
        let outcome = outcome_of(&world, id).await;
        assert_eq!(
            (&outcome["status"], &outcome["error"]["code"]),
            (&json!("cancelled"), &json!("Superseded"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_asks_for_the_same_plan_is_told_its_end() {
    for crash in [false, true] {
        let mut world = ready().await;
        publish_slow(&world);
        let command = first_plan(&mut world, &hello("slow:1"));
        let first = world.controller.apply(&command).await;
        world.seconds(1).await;
        let second = world.controller.apply(&command).await;
        world.seconds(1).await;
        assert_eq!(last(&world, second).status, Status::Accepted);
        if crash {
            world.kill().await;
            world.start().await;
            world.seconds(2).await;
        }
        assert_eq!(outcome_of(&world, second).await["status"], "accepted");
        // Whoever asked may end it.
        cancel(&world, second).await;
        let ends = [
            ended(&mut world, 5, first).await,
            ended(&mut world, 5, second).await,
        ];
        for (id, answer) in [first, second].into_iter().zip(ends) {
            assert_eq!(answer.status, Status::Cancelled, "{answer:?}");
            assert_eq!(outcome_of(&world, id).await["error"]["code"], "Cancelled");
        }
        // Who comes too late is told at once, and a plan is never carried out again.
        let third = world.controller.apply(&command).await;
        assert_eq!(ended(&mut world, 1, third).await.status, Status::Cancelled);
        assert_eq!(world.snapshot().counters.plans, u64::from(!crash));
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_asked_for_a_plan_is_told_that_it_was_overtaken() {
    let mut world = ready().await;
    publish_slow(&world);
    let running = first_plan(&mut world, &hello("slow:1"));
    world.controller.apply(&running).await;
    world.seconds(1).await;
    let waiting = world.controller.command(&hello("slow:1"), Vec::new());
    let mut asked = Vec::new();
    for _ in 0..12 {
        asked.push(world.controller.apply(&waiting).await);
        world.seconds(1).await;
    }
    let newest = world.controller.command(&hello("slow:1"), Vec::new());
    world.controller.apply(&newest).await;
    for (n, id) in asked.into_iter().enumerate() {
        let answer = ended(&mut world, 1, id).await;
        let code = answer.error.unwrap().code;
        // The ledger does not grow with those who ask.
        let expected = if n <= 8 {
            error_code::SUPERSEDED
        } else {
            error_code::PRECONDITION_FAILED
        };
        assert_eq!(code, expected, "{n}");
    }
}
