//! Fences only ever grow, and a device that has seen a higher one gets a higher one.

use super::*;

fn stale(bench: &mut Bench, of: CorrelationId, site: &str, epoch: u64, n: u64) -> Vec<Output> {
    let seen = json!({"seen": {"site": site, "epoch": epoch, "n": n}});
    bench.fail(of, error_code::STALE_FENCE, seen)
}

#[test]
fn every_plan_of_a_device_has_a_higher_fence_than_the_one_before() {
    let mut bench = Bench::new();
    for n in 1..5 {
        bench.declare(&format!("hello:{n}"));
        assert_eq!(bench.sends().unwrap().fence(), (EPOCH, n));
    }
    bench.dispatcher.set_epoch(EPOCH + 1, bench.now);
    bench.declare("hello:9");
    assert_eq!(bench.sends().unwrap().fence(), (EPOCH + 1, 1));
    // An epoch that comes late is none.
    bench.dispatcher.set_epoch(EPOCH, bench.now);
    assert_eq!(bench.dispatcher.epoch(), EPOCH + 1);
    bench.declare("hello:10");
    assert_eq!(bench.sends().unwrap().fence(), (EPOCH + 1, 2));
}

#[test]
fn a_count_above_what_the_device_has_seen_is_enough_within_an_epoch() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = stale(&mut bench, plan.id, "site", EPOCH, 41);
    assert_eq!(ends(&outputs), [(plan.id, End::Superseded)]);
    assert!(outputs.contains(&Output::Reconsider(bench.id.clone())));
    assert_eq!(bench.sends().unwrap().fence(), (EPOCH, 42), "and at once");
}

#[test]
fn an_epoch_above_what_the_device_has_seen_is_asked_for() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = stale(&mut bench, plan.id, "site", 5000, 3);
    assert!(outputs.contains(&Output::NeedEpoch(5000)));
    assert_eq!(bench.consider(), [], "under this epoch it is of no use");
    bench.dispatcher.set_epoch(5001, bench.now);
    assert_eq!(
        bench.tick(s(0)),
        [Output::Reconsider(bench.id.clone())],
        "every device is looked at again"
    );
    assert_eq!(bench.sends().unwrap().fence(), (5001, 1), "and at once");
}

#[test]
fn an_answer_to_a_plan_of_the_epoch_before_does_not_ask_for_another_one() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    bench.dispatcher.set_epoch(5001, bench.now);
    let outputs = stale(&mut bench, plan.id, "site", 5000, 3);
    assert!(!outputs.iter().any(|o| matches!(o, Output::NeedEpoch(_))));
    assert_eq!(bench.sends().unwrap().fence(), (5001, 1));
}

#[test]
fn the_fence_of_another_site_or_of_none_is_a_refusal() {
    for seen in [
        json!({"seen": {"site": "other", "epoch": 1, "n": 1}}),
        json!({"seen": "everything"}),
        Value::Null,
    ] {
        let mut bench = Bench::new();
        let plan = bench.sends().unwrap();
        let outputs = bench.fail(plan.id, error_code::STALE_FENCE, seen);
        assert!(matches!(ends(&outputs)[..], [(_, End::Refused(_))]));
        assert_eq!(bench.consider(), []);
    }
}

#[test]
fn the_highest_count_there_is_needs_another_epoch() {
    let mut bench = Bench::new();
    let plan = bench.sends().unwrap();
    let outputs = stale(&mut bench, plan.id, "site", EPOCH, u64::MAX);
    assert!(outputs.contains(&Output::NeedEpoch(EPOCH)));
    bench.now = s(300);
    drop(bench.consider());
    bench.dispatcher.set_epoch(EPOCH + 1, bench.now);
    bench.declare("hello:2");
    assert_eq!(bench.sends().unwrap().fence(), (EPOCH + 1, 1));
}

#[test]
fn a_device_for_which_no_fence_is_high_enough_is_not_asked_all_day() {
    for above in [0, 1] {
        let mut bench = Bench::new();
        let mut plans = 0;
        for _ in 0..60 {
            while let Some(plan) = bench.sends() {
                plans += 1;
                assert!(plans < 100, "without a pause");
                let epoch = bench.dispatcher.epoch() + above;
                let outputs = stale(&mut bench, plan.id, "site", epoch, plan.fence().1);
                if outputs.contains(&Output::NeedEpoch(epoch)) {
                    bench.dispatcher.set_epoch(epoch + 1, bench.now);
                }
            }
            bench.now += s(1);
        }
        assert!(plans <= 8, "{plans} plans in a minute");
    }
}
