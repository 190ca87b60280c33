use longshore_plan::observed::FailureReason;
use longshore_plan::spec::{Resources, RestartPolicy};

use super::harness::*;
use crate::runtime::sim::Op;

#[tokio::test(start_paused = true)]
async fn drift_that_cannot_be_undone_in_place_is_told_and_never_costs_the_container() {
    let mut world = World::new().await;
    world.converge(&hello("hello:1")).await;
    let before = world.machine.container("hello.web").unwrap();
    // What was declared has no limit, and the engine can lift none.
    let limits = Resources {
        memory_limit_bytes: Some(64 << 20),
        ..Resources::default()
    };
    let limited = world
        .machine
        .update_by_hand("hello.web", RestartPolicy::Always, &limits);
    limited.unwrap();
    // Long enough for several tries, by a controller and then alone.
    for alone in [false, true] {
        if alone {
            world.cut();
        }
        for _ in 0..90 {
            world.drive(&hello("hello:1"), 10).await;
        }
        let failure = world.failure("hello", "web").unwrap();
        assert_eq!(failure.reason, FailureReason::UpdateFailed, "{failure:?}");
        assert!(failure.attempts > 2, "{failure:?}");
        assert_eq!(world.snapshot().drift[0].field, "resources.memory");
        let after = world.machine.container("hello.web").unwrap();
        assert_eq!((&after.id, &after.started_at), (&before.id, &before.started_at));
        assert_eq!(world.machine.journal().count(Op::Create, "hello.web.next"), 0);
    }
}
