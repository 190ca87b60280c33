//! What does not fit into one message gives way, and nothing else does.

use longshore_crds::conditions::reason;
use longshore_plan::desired::DesiredWorkload;

use super::*;
use crate::decide::fit::SET_MOST;

/// A workload of about that many bytes.
fn of_size(name: &str, bytes: usize) -> DesiredWorkload {
    let mut workload = fixtures::workload(name, &[("web", "hello:1")]);
    workload.containers[0].spec.args = vec!["x".repeat(bytes)];
    workload
}

fn wanted(world: &World) -> Vec<String> {
    let decision = world.decide();
    decision
        .desired
        .workloads
        .iter()
        .map(|w| w.name.to_string())
        .collect()
}

fn trouble(world: &World, name: &str) -> Option<Trouble> {
    match &world.decide().workloads[name].state.verdict {
        Verdict::Stalled(trouble) => Some(trouble.clone()),
        _ => None,
    }
}

#[test]
fn the_one_that_does_not_fit_is_left_out_and_named_and_the_rest_goes_on() {
    let world = World::new()
        .with(&of_size("small", 100))
        .with(&of_size("large", SET_MOST));
    assert_eq!(wanted(&world), ["small"]);
    assert_eq!(trouble(&world, "small"), None);
    let why = trouble(&world, "large").unwrap();
    assert_eq!(why.reason, reason::TOO_LARGE);
    assert!(
        why.message.contains("dev1") && why.message.contains("ConfigMap"),
        "{}",
        why.message
    );
    assert!(!why.message.contains("xxx"));
}

#[test]
fn what_the_device_has_does_not_give_way_to_what_is_new() {
    let half = SET_MOST / 2;
    let mut world = World::new()
        .with(&of_size("a-new", half))
        .with(&of_size("b-old", half));
    world.accepted = Some(fixtures::set(&[of_size("b-old", half)]));
    assert_eq!(wanted(&world), ["b-old"]);
    world.accepted = None;
    world.workloads[0].rendered = Ok(rendered(&DesiredWorkload {
        priority: 1,
        ..of_size("a-new", half)
    }));
    assert_eq!(wanted(&world), ["a-new"], "the more important one stays");
}

#[test]
fn one_that_grew_too_large_stays_as_it_was() {
    let before = of_size("hello", 100);
    let world = World::new()
        .with(&of_size("hello", SET_MOST))
        .having(std::slice::from_ref(&before))
        .keeping(&before);
    let decision = world.decide();
    assert_eq!(decision.desired.workloads, std::slice::from_ref(&before));
    assert_eq!(trouble(&world, "hello").unwrap().reason, reason::TOO_LARGE);
    assert!(
        decision.plan.unwrap().steps.is_empty(),
        "what runs is not touched"
    );
    assert_eq!(decision.kept["hello"].1.workload, before);
}
