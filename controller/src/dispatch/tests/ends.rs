//! The ends of a command: each has one, and only one.

use super::*;

/// How a plan ends that fails with that code.
fn end_of(code: &str, details: &Value) -> End {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = bench.fail(plan.id, code, details.clone());
    let ends = ends(&outputs);
    assert_eq!(ends.len(), 1, "{code}");
    assert_eq!(ends[0].0, plan.id);
    assert!(outputs.contains(&Output::Reconsider(bench.id.clone())), "{code}");
    assert_eq!(bench.dispatcher.in_flight(), 0);
    ends[0].1.clone()
}

#[test]
fn every_answer_ends_a_plan_in_its_way() {
    for code in [
        error_code::FOREIGN_SITE,
        error_code::UNSUPPORTED_FIELD,
        error_code::UNSUPPORTED_ACTION,
        error_code::MALFORMED,
        error_code::LEDGER_UNAVAILABLE,
    ] {
        let End::Refused(error) = end_of(code, &Value::Null) else {
            panic!("{code} is a refusal");
        };
        assert_eq!(error.code, code);
    }
    assert_eq!(end_of(error_code::EXPIRED, &Value::Null), End::TimedOut);
    for code in [
        error_code::STEP_FAILED,
        error_code::PRECONDITION_FAILED,
        error_code::INTERRUPTED,
        error_code::RUNTIME_UNAVAILABLE,
        error_code::SUPERSEDED,
        "SomethingNew",
    ] {
        assert_eq!(
            end_of(code, &Value::Null),
            End::Answered,
            "{code}: its report says what came of it"
        );
    }
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = bench.answer(plan.id, Status::Cancelled, None);
    assert_eq!(ends(&outputs), [(plan.id, End::Superseded)]);
    let plan = {
        bench.reports_anew();
        bench.sends().unwrap()
    };
    let outputs = bench.answer(plan.id, Status::Failed, None);
    assert_eq!(
        ends(&outputs),
        [(plan.id, End::Answered)],
        "a failure without a word"
    );
}

#[test]
fn an_answer_that_comes_twice_or_to_nothing_changes_nothing() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let stranger = CorrelationId(uuid::Uuid::from_u128(9));
    assert_eq!(bench.succeed(stranger), []);
    assert_eq!(ends(&bench.succeed(plan.id)).len(), 1);
    assert_eq!(bench.succeed(plan.id), []);
    assert_eq!(bench.answer(plan.id, Status::Accepted, None), []);
    bench.id = device("never-seen");
    assert_eq!(bench.succeed(plan.id), []);
    assert_eq!(bench.publish(plan.id, &Ok(PublishOutcome::Accepted)), []);
}

#[test]
fn nobody_subscribed_is_offline_at_once() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = bench.publish(plan.id, &Ok(PublishOutcome::NoMatchingSubscribers));
    assert_eq!(ends(&outputs), [(plan.id, End::Offline)]);
    assert!(outputs.contains(&Output::NotSubscribed(bench.id.clone())));
}

#[test]
fn what_the_bus_does_not_take_is_a_refusal_in_its_words() {
    let forbidden = PublishError::NotAuthorised { topic: "t".into() };
    let large = PublishError::TooLarge {
        topic: "t".into(),
        size: 2,
        limit: 1,
    };
    for error in [forbidden, large] {
        let mut bench = Bench::new();
        let plan = bench.sends().unwrap();
        let outputs = bench.publish(plan.id, &Err(error.clone()));
        assert_eq!(ends(&outputs), [(plan.id, End::Unsendable(error.to_string()))]);
        let refused = Standing::Refused {
            code: "Unsendable".into(),
            message: error.to_string(),
        };
        assert_eq!(bench.standing(), refused);
    }
}

#[test]
fn a_plan_no_envelope_holds_is_not_sent_and_told() {
    let mut bench = Bench::new();
    bench.declare(&"x".repeat(codec_limit()));
    assert_eq!(bench.consider(), []);
    let Standing::Refused { code, message } = bench.standing() else {
        panic!("not refused");
    };
    assert_eq!(code, "Unsendable");
    assert!(message.contains("more than the limit"), "{message}");
    assert!(!message.contains("xxx"));
    // Trying again changes nothing about its size: not before long, whatever the device reports.
    bench.reports_anew();
    bench.now = s(299);
    assert_eq!(bench.consider(), []);
    // A smaller one goes at once.
    bench.declare("hello:1");
    assert!(bench.sends().is_some());
}

fn codec_limit() -> usize {
    longshore_bus::envelope::MAX_ENVELOPE
}

#[test]
fn a_device_that_goes_ends_its_plan_and_is_told_anew_on_return() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = bench.dispatcher.device_gone(&bench.id, s(1));
    assert_eq!(ends(&outputs), [(plan.id, End::Offline)]);
    assert_eq!(bench.dispatcher.next_wake(), None);
    assert_eq!(bench.standing(), Standing::Idle);
    assert_eq!(
        bench.dispatcher.device_gone(&bench.id, s(2)),
        [],
        "it is gone already"
    );
    bench.now = s(3);
    let again = bench.sends().unwrap();
    assert_eq!(again.fence(), (EPOCH, 2));
}

#[test]
fn a_device_that_is_forgotten_keeps_its_count() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = bench.dispatcher.forget(&bench.id, s(1));
    assert_eq!(ends(&outputs), [(plan.id, End::Offline)]);
    assert_eq!(bench.standing(), Standing::Idle);
    bench.now = s(2);
    assert_eq!(
        bench.sends().unwrap().fence(),
        (EPOCH, 2),
        "it may have taken the first one"
    );
    assert_eq!(bench.dispatcher.forget(&device("never-seen"), s(1)), []);
}
