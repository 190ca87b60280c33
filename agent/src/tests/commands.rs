use longshore_bus::Topic;
use longshore_bus::envelope::{Status, action, error_code};
use longshore_plan::desired::DesiredSet;
use longshore_plan::step::{PlanCommand, StepOutcome};
use serde_json::json;

use super::harness::*;
use crate::runtime::sim::{Behaviour, Fault, Op, Phase, SimImage};

pub(super) fn first_plan(world: &mut World, desired: &DesiredSet) -> PlanCommand {
    let report = world.controller.report().unwrap();
    let steps = longshore_plan::plan(desired, &report.observed).steps;
    world.controller.command(desired, steps)
}

pub(super) async fn ready() -> World {
    let mut world = World::new().await;
    world
        .until(5, "a first report", |w| {
            let report = w.controller.report();
            report.is_some_and(|r| {
                matches!(
                    r.observed.runtime,
                    longshore_plan::observed::RuntimeState::Ready { .. }
                )
            })
        })
        .await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_accepted_each_step_answers_and_the_end_counts_them() {
    let mut world = ready().await;
    let command = first_plan(&mut world, &hello("hello:1"));
    let id = world.controller.apply(&command).await;
    world
        .until(30, "ended", |w| {
            w.controller.answers(id).iter().any(|a| a.is_final)
        })
        .await;
    let answers = world.controller.answers(id);
    let stages: Vec<_> = answers.iter().map(|a| (a.seq, a.status, a.is_final)).collect();
    assert_eq!(
        stages,
        [(0, Status::Accepted, false), (1, Status::Succeeded, true)]
    );
    assert_eq!(
        answers[1].result.as_ref().unwrap()["changed"],
        command.steps.len()
    );
    for step in &command.steps {
        let step = longshore_bus::envelope::CorrelationId(step.correlation_id.parse().unwrap());
        let answers = world.controller.answers(step);
        let last = answers.last().unwrap();
        assert!(last.is_final && last.status == Status::Succeeded, "{last:?}");
        let outcome: StepOutcome =
            serde_json::from_value(last.result.as_ref().unwrap()["outcome"].clone()).unwrap();
        assert_eq!(outcome, StepOutcome::Done { changed: true });
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_command_takes_effect_once_and_is_answered_again_also_after_a_crash() {
    let mut world = ready().await;
    let command = first_plan(&mut world, &hello("hello:1"));
    let envelope = world
        .controller
        .envelope(action::PLAN_APPLY, serde_json::to_value(&command).unwrap());
    for _ in 0..3 {
        world.controller.send(&envelope).await;
    }
    world
        .until(30, "ended", |w| {
            w.controller
                .answers(envelope.correlation_id)
                .iter()
                .any(|a| a.is_final)
        })
        .await;
    world.controller.send(&envelope).await;
    world.seconds(1).await;
    world.kill().await;
    world.start().await;
    world.seconds(1).await;
    let before = world.controller.answers(envelope.correlation_id).len();
    world.controller.send(&envelope).await;
    world.seconds(5).await;
    let answers = world.controller.answers(envelope.correlation_id);
    assert!(answers.len() > before);
    assert_eq!(answers.last().unwrap().status, Status::Succeeded);
    // The same plan under another id is the same plan.
    let id = world.controller.apply(&command).await;
    world.seconds(5).await;
    assert_eq!(world.controller.answers(id)[0].status, Status::Succeeded);
    assert_eq!(world.machine.journal().count(Op::Create, "hello.web"), 1);
    assert_eq!(world.snapshot().counters.plans, 0, "this life accepted none");
}

#[tokio::test(start_paused = true)]
async fn stale_and_foreign_plans_are_refused_and_change_nothing() {
    let mut world = ready().await;
    let old = first_plan(&mut world, &hello("hello:1"));
    let newer = first_plan(&mut world, &hello("hello:2"));
    let mut same_fence = newer.clone();
    same_fence.desired.paused = true;
    let mut foreign = newer.clone();
    foreign.fence.site = "elsewhere".to_owned();
    foreign.fence.epoch += 100;
    world.controller.apply(&newer).await;
    world.seconds(30).await;
    for (command, code) in [
        (&old, error_code::STALE_FENCE),
        (&same_fence, error_code::STALE_FENCE),
        (&foreign, error_code::FOREIGN_SITE),
    ] {
        let id = world.controller.apply(command).await;
        world.seconds(1).await;
        let answer = &world.controller.answers(id)[0];
        assert_eq!(
            (answer.code, answer.error.as_ref().unwrap().code.as_str()),
            (409, code)
        );
        if code == error_code::STALE_FENCE {
            let seen = &answer.error.as_ref().unwrap().details["seen"];
            assert_eq!(*seen, serde_json::to_value(&newer.fence).unwrap());
        }
    }
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:2");
    assert_eq!(world.snapshot().counters.refused_plans, 3);
    // Also after a restart.
    world.kill().await;
    world.start().await;
    let id = world.controller.apply(&old).await;
    world.seconds(2).await;
    assert_eq!(
        world.controller.answers(id)[0].error.as_ref().unwrap().code,
        error_code::STALE_FENCE
    );
}

#[tokio::test(start_paused = true)]
async fn a_field_this_agent_does_not_know_is_refused_by_its_path() {
    let mut world = ready().await;
    let command = first_plan(&mut world, &hello("hello:1"));
    let mut args = serde_json::to_value(&command).unwrap();
    args["desired"]["workloads"][0]["containers"][0]["spec"]["gpus"] = json!("hunter2");
    let envelope = world.controller.envelope(action::PLAN_APPLY, args);
    let id = world.controller.send(&envelope).await;
    world.seconds(1).await;
    let error = world.controller.answers(id)[0].error.clone().unwrap();
    assert_eq!(error.code, error_code::UNSUPPORTED_FIELD);
    assert_eq!(
        error.details["path"],
        "desired.workloads[0].containers[0].spec.gpus"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(world.machine.effects(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_counted_and_dropped() {
    let world = ready().await;
    let request = Topic::Request(device());
    let own = Topic::Response(device(), label(CONTROLLER)).to_string();
    let counted = |w: &World| w.snapshot().counters.malformed;
    let valid = world.controller.envelope(action::REPORT_GET, json!({}));
    let bytes = |value: &serde_json::Value| bytes::Bytes::from(serde_json::to_vec(value).unwrap());
    let valid_value = serde_json::to_value(&valid).unwrap();
    let mut other_version = valid_value.clone();
    other_version["version"] = json!(2);
    let mut other_device = valid_value.clone();
    other_device["device"] = json!("dev2");
    for (payload, response) in [
        (bytes::Bytes::from_static(b"not json"), Some(own.clone())),
        (bytes::Bytes::from_static(b"{}"), Some(own.clone())),
        (bytes(&other_version), Some(own.clone())),
        (bytes(&other_device), Some(own.clone())),
        (bytes(&valid_value), None),
        (
            bytes(&valid_value),
            Some("longshore/v1/default.dev2/evt/plugin/container/response/x".to_owned()),
        ),
        (
            bytes(&valid_value),
            Some("longshore/v1/default.dev1/evt/report".to_owned()),
        ),
    ] {
        let before = counted(&world);
        super::harness::send(&world.controller.bus, &request, payload, response).await;
        world.seconds(1).await;
        assert_eq!(counted(&world), before + 1);
    }
    let id = world.controller.send(&valid).await;
    world.seconds(1).await;
    assert_eq!(world.controller.answers(id)[0].status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn unknown_actions_and_expired_commands_are_answered() {
    let world = ready().await;
    let unknown = world.controller.envelope("container.paint", json!({}));
    let mut expired = world.controller.envelope(action::REPORT_GET, json!({}));
    expired.ttl_ms = 0;
    let lost = world
        .controller
        .envelope(action::OUTCOME_GET, json!({ "correlationId": uuid::Uuid::nil() }));
    for (envelope, code) in [
        (unknown, error_code::UNSUPPORTED_ACTION),
        (expired, error_code::EXPIRED),
        (lost, error_code::UNKNOWN_COMMAND),
    ] {
        let id = world.controller.send(&envelope).await;
        world.seconds(1).await;
        assert_eq!(world.controller.answers(id)[0].error.as_ref().unwrap().code, code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_can_be_cancelled_and_its_outcome_asked_for() {
    let mut world = ready().await;
    let slow = SimImage::new("slow", Behaviour::default()).pull_takes(std::time::Duration::from_mins(10));
    world.machine.publish("slow:1", slow);
    let command = first_plan(&mut world, &hello("slow:1"));
    let plan = world.controller.apply(&command).await;
    world.seconds(10).await;
    let pull = command.steps[0].correlation_id.clone();
    let ask = |w: &World, action: &str| w.controller.envelope(action, json!({ "correlationId": pull }));
    let outcome = ask(&world, action::OUTCOME_GET);
    world.controller.send(&outcome).await;
    world.seconds(1).await;
    assert_eq!(
        world.controller.answers(outcome.correlation_id)[0]
            .result
            .as_ref()
            .unwrap()["code"],
        202
    );
    let pull_id = longshore_bus::envelope::CorrelationId(pull.parse().unwrap());
    assert!(
        world
            .controller
            .answers(pull_id)
            .iter()
            .any(|a| a.status == Status::Progress)
    );
    let cancel = ask(&world, action::CANCEL);
    world.controller.send(&cancel).await;
    world
        .until(5, "cancelled", |w| {
            w.controller.answers(plan).iter().any(|a| a.is_final)
        })
        .await;
    assert_eq!(
        world.controller.answers(pull_id).last().unwrap().status,
        Status::Cancelled
    );
    let outcome = ask(&world, action::OUTCOME_GET);
    world.controller.send(&outcome).await;
    world.seconds(1).await;
    assert_eq!(
        world.controller.answers(outcome.correlation_id)[0]
            .result
            .as_ref()
            .unwrap()["code"],
        410
    );
    assert!(world.machine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_newer_plan_overtakes_a_pull_and_every_step_of_the_old_one_is_answered() {
    let mut world = ready().await;
    let slow = SimImage::new("slow", Behaviour::default()).pull_takes(std::time::Duration::from_mins(10));
    world.machine.publish("slow:1", slow);
    let slow = first_plan(&mut world, &hello("slow:1"));
    let first = world.controller.apply(&slow).await;
    world.seconds(5).await;
    let newer = first_plan(&mut world, &hello("hello:1"));
    let second = world.controller.apply(&newer).await;
    world
        .until(20, "both ended", |w| {
            [first, second]
                .iter()
                .all(|id| w.controller.answers(*id).iter().any(|a| a.is_final))
        })
        .await;
    let ended = world.controller.answers(first);
    assert_eq!(ended.last().unwrap().status, Status::Cancelled);
    assert_eq!(
        ended.last().unwrap().error.as_ref().unwrap().code,
        error_code::SUPERSEDED
    );
    for step in &slow.steps {
        let id = longshore_bus::envelope::CorrelationId(step.correlation_id.parse().unwrap());
        assert_eq!(
            world.controller.answers(id).last().unwrap().status,
            Status::Cancelled
        );
    }
    assert_eq!(
        world.controller.answers(second).last().unwrap().status,
        Status::Succeeded
    );
    assert_eq!(world.machine.container("hello.web").unwrap().image, "hello:1");
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_precondition_does_not_hold_has_no_effect() {
    let mut world = ready().await;
    world.converge(&hello("hello:1")).await;
    let command = first_plan(&mut world, &hello("hello:2"));
    world.machine.remove_by_hand("hello.web").unwrap();
    let effects = world.machine.journal().by_clients().count();
    let id = world.controller.apply(&command).await;
    world
        .until(30, "ended", |w| {
            w.controller.answers(id).iter().any(|a| a.is_final)
        })
        .await;
    let answer = world.controller.answers(id).pop().unwrap();
    assert_eq!(
        (answer.code, answer.error.unwrap().code.as_str()),
        (409, error_code::PRECONDITION_FAILED)
    );
    let journal = world.machine.journal();
    let done: Vec<_> = journal.by_clients().skip(effects).map(|e| e.op).collect();
    assert_eq!(done, [Op::Pull]);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_every_step_of_the_plan_is_still_answered() {
    let mut world = ready().await;
    let command = first_plan(&mut world, &hello("hello:1"));
    world.machine.on_effect(|effect| {
        if effect.op == Op::Create && effect.phase == Phase::After {
            Fault::CallerDies
        } else {
            Fault::None
        }
    });
    let id = world.controller.apply(&command).await;
    world.seconds(10).await;
    world.machine.clear_hook();
    world.kill().await;
    world.start().await;
    world
        .until(30, "ended", |w| {
            w.controller.answers(id).iter().any(|a| a.is_final)
        })
        .await;
    for step in &command.steps {
        let id = longshore_bus::envelope::CorrelationId(step.correlation_id.parse().unwrap());
        assert_eq!(
            world.controller.answers(id).last().unwrap().status,
            Status::Succeeded,
            "{step:?}"
        );
    }
    assert_eq!(world.machine.journal().count(Op::Create, "hello.web"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_says_goodbye_and_leaves_containers_running() {
    let mut world = ready().await;
    world.converge(&hello("hello:1")).await;
    let mut gone = longshore_bus::Bus::subscribe(&*world.controller.bus, &["longshore/v1/+/evt/gone"])
        .await
        .unwrap();
    world.agent.take().unwrap().stop().await.unwrap();
    assert!(gone.recv().await.is_some());
    assert!(world.machine.container("hello.web").unwrap().state.is_up());
    world.start().await;
    world.until(10, "healthy", |w| w.is_healthy("hello", "web")).await;
}
