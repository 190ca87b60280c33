//! Plans that were made before something changed on the device, and arrive after it.

use super::harness::*;
use crate::runtime::sim::Op;

#[tokio::test(start_paused = true)]
async fn a_plan_made_in_the_middle_of_a_replace_does_not_remove_what_was_put_back() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let old = world.id("hello.web");
    let desired = hello("hello:sick");
    let first = world.controller.plan(&desired).unwrap();
    world.controller.apply(&first).await;
    world
        .until(20, "the new one runs beside the stopped old one", |w| {
            let report = w.controller.report().unwrap();
            report
                .observed
                .containers
                .iter()
                .filter(|c| c.state.is_up())
                .any(|c| c.id.0 != old)
        })
        .await;
    // Seen from here the old one is one too many. It arrives after it was put back.
    let observed = world.controller.report().unwrap().observed;
    let steps = longshore_plan::plan(&desired, &observed).steps;
    let is_removal = |s: &longshore_plan::step::Step| {
        matches!(s.action, longshore_plan::step::Action::RemoveContainer { .. })
    };
    assert!(steps.iter().any(is_removal), "{steps:#?}");
    let second = world.controller.command(&desired, steps);
    world.controller.apply(&second).await;
    world
        .until(60, "rolled back", |w| w.failure("hello", "web").is_some())
        .await;
    world.seconds(60).await;
    let back = world.machine.container("hello.web").unwrap();
    assert_eq!(back.id.0, old, "{}", world.machine.journal().transcript());
    assert!(back.state.is_up());
}

/// A change that fails, and while it is tried another plan that was made before it failed.
async fn the_same_failing_change_planned_twice(retry: Option<&str>) -> World {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let mut desired = hello("hello:sick");
    let first = world.controller.plan(&desired).unwrap();
    desired.workloads[0].retry = retry.map(str::to_owned);
    let second = world.controller.plan(&desired).unwrap();
    world.controller.apply(&first).await;
    world
        .until(20, "the new one runs", |w| {
            let report = w.controller.report().unwrap();
            report
                .observed
                .containers
                .iter()
                .any(|c| c.state.is_up() && c.hash == first.desired.workloads[0].containers[0].hash)
        })
        .await;
    world.controller.apply(&second).await;
    world
        .until(90, "rolled back", |w| w.failure("hello", "web").is_some())
        .await;
    world.seconds(60).await;
    assert!(world.machine.container("hello.web").unwrap().state.is_up());
    world
}

#[tokio::test(start_paused = true)]
async fn a_plan_made_before_a_change_failed_does_not_try_it_again() {
    let world = the_same_failing_change_planned_twice(None).await;
    let made = world.machine.journal().count(Op::Create, "hello.web.next");
    assert_eq!(made, 1, "{}", world.machine.journal().transcript());
}

#[tokio::test(start_paused = true)]
async fn a_retry_asked_for_while_a_change_is_tried_is_made_after_it_failed() {
    let world = the_same_failing_change_planned_twice(Some("please")).await;
    let made = world.machine.journal().count(Op::Create, "hello.web.next");
    assert_eq!(made, 2, "{}", world.machine.journal().transcript());
}
