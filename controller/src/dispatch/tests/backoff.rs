//! What did not help is not sent all day.

use super::*;

/// From the time a plan came to an end: after how many seconds the same is sent again.
fn pause(bench: &mut Bench) -> (u64, Sent) {
    let from = bench.now;
    for second in 0..=BACKOFF_MOST.as_secs() {
        bench.now = from + s(second);
        if let Some(plan) = bench.sends() {
            return (second, plan);
        }
        let due = bench.dispatcher.next_wake().unwrap();
        assert!(due > bench.now, "it was due and not sent");
    }
    panic!("never sent again");
}

/// The pauses between tries that all end like that.
fn pauses(tries: usize, changed: bool, end: impl Fn(&mut Bench, CorrelationId)) -> Vec<u64> {
    let mut bench = Bench::new();
    let mut plan = bench.sends().unwrap();
    let mut all = Vec::new();
    for _ in 0..tries {
        end(&mut bench, plan.id);
        if changed {
            bench.reports_anew();
        }
        let (seconds, next) = pause(&mut bench);
        assert!(next.command.fence.is_after(&plan.command.fence));
        all.push(seconds);
        plan = next;
    }
    all
}

#[test]
fn what_was_answered_and_changed_nothing_is_tried_again_later_and_later() {
    let answered = |bench: &mut Bench, id| drop(bench.succeed(id));
    assert_eq!(
        pauses(9, false, answered),
        [5, 10, 20, 40, 80, 160, 300, 300, 300]
    );
}

#[test]
fn what_was_answered_and_changed_something_goes_on_at_once_and_slows_down() {
    let answered = |bench: &mut Bench, id| drop(bench.succeed(id));
    assert_eq!(pauses(6, true, answered), [0, 0, 2, 4, 8, 16]);
}

#[test]
fn what_was_refused_is_not_asked_for_all_day() {
    let refused = |bench: &mut Bench, id| {
        drop(bench.fail(id, error_code::UNSUPPORTED_FIELD, Value::Null));
    };
    assert_eq!(pauses(3, false, refused), [300, 300, 300]);
    // A device that reports something else may have been repaired.
    assert_eq!(pauses(4, true, refused), [10, 20, 40, 80]);
}

#[test]
fn what_nobody_took_in_time_is_tried_again_soon_and_then_less_often() {
    let expired = |bench: &mut Bench, id| {
        drop(bench.fail(id, error_code::EXPIRED, Value::Null));
    };
    assert_eq!(pauses(5, false, expired), [4, 8, 16, 32, 64]);
    assert_eq!(pauses(3, true, expired), [4, 8, 16]);
}

#[test]
fn a_device_that_comes_back_is_told_at_once() {
    let offline = |bench: &mut Bench, id| {
        drop(bench.publish(id, &Ok(PublishOutcome::NoMatchingSubscribers)));
    };
    assert_eq!(pauses(3, false, offline), [0, 0, 0]);
}

#[test]
fn the_time_wakes_it_when_the_pause_is_over() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.succeed(plan.id);
    assert_eq!(bench.consider(), []);
    assert_eq!(bench.standing(), Standing::Waiting);
    assert_eq!(bench.dispatcher.next_wake(), Some(s(5)));
    assert_eq!(bench.tick(s(5)), [Output::Reconsider(bench.id.clone())]);
    assert!(bench.sends().is_some());
}

#[test]
fn another_declaration_does_not_wait_for_the_failures_of_the_one_before() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        let (_, plan) = pause(&mut bench);
        bench.fail(plan.id, error_code::UNSUPPORTED_FIELD, Value::Null);
    }
    bench.declare("hello:2");
    let plan = bench.sends().unwrap();
    bench.succeed(plan.id);
    assert_eq!(pause(&mut bench).0, 5, "it starts anew");
}

#[test]
fn being_in_sync_ends_the_pauses() {
    let mut bench = Bench::new();
    let desired = bench.plan.clone();
    for _ in 0..4 {
        let (_, plan) = pause(&mut bench);
        bench.succeed(plan.id);
    }
    bench.converged();
    assert_eq!(bench.consider(), []);
    assert_eq!(bench.standing(), Standing::Idle);
    // Something was undone by hand.
    bench.reports_anew();
    bench.plan = desired;
    let plan = bench.sends().unwrap();
    bench.succeed(plan.id);
    assert_eq!(pause(&mut bench).0, 5);
}

#[test]
fn how_the_last_one_ended_is_told() {
    let mut bench = Bench::new();
    assert_eq!(bench.standing(), Standing::Idle, "nobody has looked yet");
    let plan = bench.sends().unwrap();
    assert_eq!(bench.standing(), Standing::InFlight);
    bench.fail(plan.id, error_code::FOREIGN_SITE, Value::Null);
    let refused = Standing::Refused {
        code: "ForeignSite".into(),
        message: "words".into(),
    };
    assert_eq!(bench.standing(), refused);
    let (_, plan) = pause(&mut bench);
    bench.succeed(plan.id);
    assert_eq!(bench.standing(), Standing::Waiting);
}
