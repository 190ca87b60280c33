//! A replacement that cannot take over for a reason that is not its own.

use longshore_plan::desired::DesiredSet;
use longshore_plan::observed::{FailureReason, HostPort, Retry};
use longshore_plan::spec::Protocol;

use super::harness::*;
use crate::runtime::RuntimeErrorKind;
use crate::runtime::sim::{Fault, Op, Phase};

const PORT: HostPort = HostPort {
    port: 8080,
    protocol: Protocol::Tcp,
};

fn with_port() -> DesiredSet {
    let mut desired = hello("hello:2");
    let web = &mut desired.workloads[0].containers[0];
    publish(web, PORT.port);
    desired
}

/// How often a container that ran was stopped for a replacement.
fn stops(world: &World) -> usize {
    world.machine.journal().count(Op::Stop, "hello.web.prev")
}

fn image(world: &World) -> String {
    let web = world.machine.container("hello.web").unwrap();
    assert!(web.state.is_up());
    web.image
}

#[tokio::test(start_paused = true)]
async fn a_port_that_was_taken_in_the_moment_of_the_stop_is_waited_for_without_another_stop() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let machine = world.machine.clone();
    world.machine.on_effect(move |effect| {
        if effect.op == Op::Stop && effect.phase == Phase::After {
            machine.occupy_port(PORT, true);
        }
        Fault::None
    });
    world.drive(&with_port(), 60).await;
    world.machine.clear_hook();
    let failure = world.failure("hello", "web").unwrap();
    assert_eq!(failure.reason, FailureReason::PortConflict);
    assert_ne!(failure.retry, Retry::Blocked, "{failure:?}");
    // It is tried again, and what runs is left alone.
    for _ in 0..6 {
        world.drive(&with_port(), 10).await;
        world.seconds(300).await;
    }
    assert!(world.failure("hello", "web").unwrap().attempts > 4);
    assert_eq!((image(&world).as_str(), stops(&world)), ("hello:1", 1));
    world.machine.occupy_port(PORT, false);
    world.seconds(300).await;
    world.converge(&with_port()).await;
    assert_eq!((image(&world).as_str(), stops(&world)), ("hello:2", 2));
    assert_eq!(world.failure("hello", "web"), None);
    world.assert_never_two();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_seen_before_the_stop_costs_three_of_them_and_no_more() {
    for kind in [
        RuntimeErrorKind::PortConflict,
        RuntimeErrorKind::DiskFull,
        RuntimeErrorKind::Other,
    ] {
        let mut world = World::new().await;
        world.converge(&hello("hello:1")).await;
        let machine = world.machine.clone();
        world.machine.on_effect(move |effect| {
            let new = machine
                .container("hello.web")
                .is_some_and(|c| c.image == "hello:2");
            if effect.op == Op::Start && effect.phase == Phase::Before && effect.object == "hello.web" && new
            {
                return Fault::Error(kind);
            }
            Fault::None
        });
        for n in 1..=5 {
            world.drive(&hello("hello:2"), 60).await;
            let failure = world.failure("hello", "web").unwrap();
            assert_eq!(failure.retry == Retry::Blocked, n >= 3, "{kind:?}: {failure:?}");
            assert_eq!((image(&world).as_str(), stops(&world)), ("hello:1", n.min(3)));
            world.seconds(300).await;
        }
        let message = world.failure("hello", "web").unwrap().message;
        assert!(message.contains("stopped 3 times"), "{message}");
        // Somebody who knows better asks for another try.
        world.machine.clear_hook();
        let mut again = hello("hello:2");
        again.workloads[0].retry = Some("now".to_owned());
        world.converge(&again).await;
        assert_eq!(image(&world), "hello:2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_fails_before_the_stop_is_tried_until_it_works_with_a_growing_pause() {
    use RuntimeErrorKind::{NameConflict, Other};
    for (op, object, kind, reason) in [
        (Op::Rename, "hello.web", NameConflict, FailureReason::NameConflict),
        (Op::Rename, "hello.web", Other, FailureReason::CreateFailed),
        (Op::Rename, "hello.web.next", Other, FailureReason::CreateFailed),
        (Op::Update, "hello.web", Other, FailureReason::CreateFailed),
        (Op::Stop, "hello.web.prev", Other, FailureReason::CreateFailed),
    ] {
        let what = format!("{op:?} {object} {kind:?}");
        let mut world = World::new().await;
        world.converge(&hello("hello:1")).await;
        let id = world.id("hello.web");
        world.machine.on_effect(move |effect| {
            let hit = effect.op == op && effect.phase == Phase::Before && effect.object == object;
            if hit { Fault::Error(kind) } else { Fault::None }
        });
        for _ in 0..20 {
            world.drive(&hello("hello:2"), 30).await;
        }
        let failure = world.failure("hello", "web").unwrap();
        assert_eq!(failure.reason, reason, "{what}: {failure:?}");
        assert_ne!(failure.retry, Retry::Blocked, "{what}: {failure:?}");
        assert_eq!(image(&world), "hello:1", "{what}");
        assert_eq!(world.id("hello.web"), id, "{what}");
        // 10 + 20 + 40 + 80 + 160 s and then every 300 s.
        let tries = world.machine.journal().count(Op::Create, "hello.web.next");
        assert!((3..=6).contains(&tries), "{what}: {tries}");
        let stopped = world.machine.journal().count(Op::Start, "hello.web");
        assert_eq!(stopped, 1, "{what}: what ran had to be started again");
        world.machine.clear_hook();
        world.seconds(300).await;
        world.converge(&hello("hello:2")).await;
        assert_eq!(image(&world), "hello:2", "{what}");
        assert_eq!(world.failure("hello", "web"), None, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rename_that_fails_says_why_and_is_tried_with_a_growing_pause() {
    use RuntimeErrorKind::{NameConflict, Other};
    for (kind, reason) in [
        (NameConflict, FailureReason::NameConflict),
        (Other, FailureReason::UpdateFailed),
    ] {
        let mut world = World::new().await;
        world.converge(&hello("hello:1")).await;
        world.machine.rename_by_hand("hello.web", "by-hand").unwrap();
        let before = world.snapshot().counters.steps;
        world.machine.on_effect(move |effect| {
            let hit = effect.op == Op::Rename && effect.phase == Phase::Before;
            if hit { Fault::Error(kind) } else { Fault::None }
        });
        for _ in 0..20 {
            world.drive(&hello("hello:1"), 30).await;
        }
        let failure = world.failure("hello", "web").unwrap();
        assert_eq!(failure.reason, reason, "{failure:?}");
        let tries = world.snapshot().counters.steps - before;
        assert!((3..=6).contains(&tries), "{kind:?}: {tries}");
        world.machine.clear_hook();
        world.seconds(300).await;
        world.converge(&hello("hello:1")).await;
        assert!(world.machine.container("hello.web").is_some());
        assert_eq!(world.failure("hello", "web"), None);
    }
}
