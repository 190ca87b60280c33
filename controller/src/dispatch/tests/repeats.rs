//! Repeats: until it is taken, and when it goes silent afterwards.

use super::*;

/// When a plan is repeated, in seconds, and how it ends.
fn timeline(outputs: &[(Uptime, Output)]) -> Vec<(u64, &'static str)> {
    let words = outputs.iter().filter_map(|(at, output)| {
        let word = match output {
            Output::Send(..) => "again",
            Output::Ended(_, _, End::TimedOut) => "timed out",
            Output::Ended(_, _, End::Answered) => "answered",
            Output::Ended(..) => "ended",
            _ => return None,
        };
        Some((at.as_secs(), word))
    });
    words.collect()
}

#[test]
fn what_nobody_takes_is_repeated_further_and_further_apart_until_its_time_is_over() {
    let mut bench = Bench::new();
    let first = bench.sends().unwrap();
    let outputs = bench.run_until(s(63));
    let wanted = [
        (1, "again"),
        (3, "again"),
        (7, "again"),
        (15, "again"),
        (30, "again"),
        (45, "again"),
        (60, "timed out"),
    ];
    assert_eq!(timeline(&outputs), wanted);
    let left: Vec<u64> = outputs
        .iter()
        .flat_map(|(_, output)| sent(std::slice::from_ref(output)))
        .map(|repeat| {
            assert_eq!(repeat.id, first.id);
            assert_eq!(repeat.message.payload, first.message.payload, "byte for byte");
            repeat.message.properties.message_expiry.unwrap().as_secs()
        })
        .collect();
    assert_eq!(
        left,
        [59, 57, 53, 45, 30, 15],
        "the bus drops it when nobody wants it any more"
    );
    assert_eq!(bench.dispatcher.in_flight(), 0);
}

#[test]
fn what_was_taken_does_not_expire_and_is_asked_for_when_it_goes_silent() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.now = s(10);
    assert_eq!(bench.answer(plan.id, Status::Accepted, None), []);
    let outputs = bench.run_until(s(400));
    assert_eq!(
        timeline(&outputs),
        [(40, "again"), (100, "again"), (220, "again"), (340, "again")]
    );
    for repeat in outputs
        .iter()
        .flat_map(|(_, output)| sent(std::slice::from_ref(output)))
    {
        assert_eq!(repeat.message.properties.message_expiry, Some(s(60)));
    }
    assert_eq!(bench.standing(), Standing::InFlight);
}

#[test]
fn every_answer_to_it_or_to_a_step_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.answer(plan.id, Status::Accepted, None);
    for step in plan.steps() {
        bench.now += s(29);
        assert_eq!(bench.answer(step, Status::Progress, None), []);
        let now = bench.now;
        assert_eq!(bench.run_until(now + s(29)), []);
        bench.now = now;
        // Its last answer ends the step, not the plan.
        assert_eq!(bench.answer(step, Status::Succeeded, None), []);
    }
    assert_eq!(bench.standing(), Standing::InFlight);
    assert_eq!(ends(&bench.succeed(plan.id)), [(plan.id, End::Answered)]);
}

#[test]
fn a_bus_that_is_away_ends_nothing() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let away = Err(PublishError::NotConnected { topic: "t".into() });
    assert_eq!(bench.publish(plan.id, &away), []);
    assert_eq!(bench.publish(plan.id, &Ok(PublishOutcome::Accepted)), []);
    assert_eq!(bench.dispatcher.in_flight(), 1);
    assert_eq!(sent(&bench.tick(s(1))).len(), 1, "the repeat finds the bus back");
}

#[test]
fn a_report_that_shows_the_end_stands_for_an_answer_that_got_lost() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.answer(plan.id, Status::Accepted, None);
    bench.now = s(2);
    bench.accepted.1 = Some(plan.command.fence.clone());
    bench.busy = true;
    assert_eq!(bench.consider(), []);
    assert_eq!(timeline(&bench.run_until(s(20))), [], "it is still at it");
    bench.busy = false;
    assert_eq!(bench.consider(), []);
    assert_eq!(timeline(&bench.run_until(s(21))), [(20, "answered")]);
}

#[test]
fn a_report_made_just_after_acceptance_is_not_taken_for_the_end() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.answer(plan.id, Status::Accepted, None);
    bench.accepted.1 = Some(plan.command.fence.clone());
    bench.consider();
    assert_eq!(timeline(&bench.run_until(s(4))), []);
    bench.answer(plan.id, Status::Progress, None);
    assert_eq!(timeline(&bench.run_until(s(8))), []);
    assert_eq!(timeline(&bench.run_until(s(9))), [(9, "answered")]);
}

#[test]
fn a_report_of_an_older_plan_ends_nothing() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.answer(plan.id, Status::Accepted, None);
    bench.accepted.1 = Some(Fence {
        n: 0,
        ..plan.command.fence
    });
    bench.consider();
    assert_eq!(timeline(&bench.run_until(s(29))), []);
}
