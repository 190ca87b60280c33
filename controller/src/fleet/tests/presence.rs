//! Who is there.

use super::*;

const UNCONFIRMED: Presence = Presence::Unconfirmed { until: GRACE };

#[test]
fn a_device_that_reports_is_there_and_may_be_planned_for() {
    let mut bench = Bench::new();
    assert_eq!(bench.presence(), UNCONFIRMED);
    assert_eq!(bench.hear(birth(1)).len(), 2);
    assert_eq!(
        bench.presence(),
        UNCONFIRMED,
        "a birth is retained and may be years old"
    );
    assert_eq!(bench.confirmed(), None);
    let changes = bench.hear(report(1, 1, "a"));
    assert_eq!(bench.presence(), Presence::Connected);
    assert_eq!(bench.confirmed(), Some("a"));
    assert!(changes.contains(&bench.came()) && changes.contains(&bench.dirty()));
    assert_eq!(bench.fleet.connected(), 1);
    assert_eq!(bench.state().birth.as_ref().unwrap().agent_version, "0.1.0");
}

#[test]
fn a_sign_of_life_makes_it_there_and_not_yet_known() {
    let mut bench = Bench::new();
    let changes = bench.hear(alive(1, "a"));
    assert!(changes.contains(&bench.came()));
    assert_eq!(bench.presence(), Presence::Connected);
    assert_eq!(bench.confirmed(), None);
}

#[test]
fn a_report_that_says_the_same_costs_nothing() {
    let mut bench = Bench::connected();
    assert_eq!(bench.hear(report(1, 2, "a")), []);
    assert_eq!(bench.hear(alive(1, "a")), []);
    let changes = bench.hear(report(1, 3, "b"));
    assert_eq!(before(&changes), [Some("a".to_owned())]);
}

#[test]
fn three_missed_signs_of_life_are_gone_and_any_word_is_one() {
    for word in [
        || alive(1, "a"),
        || report(1, 2, "a"),
        || report(1, 2, "b"),
        || Sign::Speech,
    ] {
        let mut bench = Bench::connected();
        bench.run_until(LEASE.saturating_sub(s(1)));
        bench.hear(word());
        let heard = bench.now;
        assert_eq!(
            asks(&bench.run_until((heard + LEASE).saturating_sub(s(1)))),
            [0; 0]
        );
        assert_eq!(bench.presence(), Presence::Connected);
        let changes = bench.run_until(heard + LEASE + SWEEP);
        let last: Vec<Change> = changes.into_iter().map(|(_, change)| change).collect();
        assert_eq!(last, [bench.went(GoneCause::LeaseExpired), bench.dirty()]);
        assert_eq!(bench.confirmed(), None, "what it said last is not planned from");
        assert_eq!(bench.fleet.connected(), 0);
    }
}

#[test]
fn a_device_that_is_gone_comes_back_with_a_word_of_a_session() {
    for word in [|| alive(2, "a"), || report(2, 1, "a"), || report(1, 2, "a")] {
        let mut bench = Bench::connected();
        bench.run_until(LEASE + SWEEP);
        assert!(bench.hear(word()).contains(&bench.came()));
        assert_eq!(bench.presence(), Presence::Connected);
    }
    let mut bench = Bench::connected();
    bench.run_until(LEASE + SWEEP);
    bench.hear(birth(2));
    assert_eq!(bench.presence(), Presence::Gone(GoneCause::LeaseExpired));
}

#[test]
fn a_device_nobody_hears_of_is_gone_when_its_grace_is_over() {
    let mut bench = Bench::new();
    bench.run_until(GRACE.saturating_sub(s(1)));
    assert_eq!(bench.presence(), UNCONFIRMED);
    bench.run_until(GRACE + SWEEP);
    assert_eq!(bench.presence(), Presence::Gone(GoneCause::NeverHeard));
}

#[test]
fn after_the_bus_came_back_nothing_of_before_is_planned_from() {
    let mut bench = Bench::connected();
    bench.now = s(100);
    let changes = bench.fleet.link_up(s(100));
    assert_eq!(changes, [bench.dirty()]);
    let until = s(100) + GRACE;
    assert_eq!(bench.presence(), Presence::Unconfirmed { until });
    assert_eq!(bench.confirmed(), None);
    assert!(bench.state().report.is_some(), "it is remembered all the same");
    // The same report again is news now, and no transition: what happened in between was not seen.
    let changes = bench.hear(report(1, 2, "a"));
    assert_eq!(before(&changes), [None]);
    assert!(changes.contains(&bench.came()));
    assert_eq!(bench.confirmed(), Some("a"));
    // From here on what changes was seen to change.
    assert_eq!(before(&bench.hear(report(1, 3, "b"))), [Some("a".to_owned())]);
}

#[test]
fn who_does_not_answer_after_the_bus_came_back_is_gone_by_then() {
    let mut bench = Bench::connected();
    bench.now = s(100);
    bench.fleet.link_up(s(100));
    bench.run_until((s(100) + GRACE).saturating_sub(s(1)));
    assert!(matches!(bench.presence(), Presence::Unconfirmed { .. }));
    bench.run_until(s(100) + GRACE + SWEEP);
    assert_eq!(bench.presence(), Presence::Gone(GoneCause::NeverHeard));
}

#[test]
fn while_the_bus_is_away_silence_is_ours() {
    let mut bench = Bench::connected();
    bench.fleet.link_down();
    assert_eq!(bench.run_until(s(10_000)), []);
    assert_eq!(bench.fleet.tick(s(10_000)), []);
    assert_eq!(bench.presence(), Presence::Connected);
    let mut bench = Bench::new();
    bench.fleet.link_down();
    bench.run_until(s(10_000));
    assert!(matches!(bench.presence(), Presence::Unconfirmed { .. }));
}

#[test]
fn a_device_that_was_gone_stays_gone_when_the_bus_comes_back() {
    let mut bench = Bench::connected();
    bench.hear(will(1));
    assert_eq!(bench.fleet.link_up(s(100)), []);
    assert_eq!(bench.presence(), Presence::Gone(GoneCause::Goodbye));
}

#[test]
fn that_nobody_is_subscribed_is_news_only_of_one_that_is_there() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.fleet.not_subscribed(&bench.id),
        [],
        "it is still given its grace"
    );
    let mut bench = Bench::connected();
    let changes = bench.fleet.not_subscribed(&bench.id);
    assert_eq!(changes, [bench.went(GoneCause::NotSubscribed), bench.dirty()]);
    assert_eq!(bench.fleet.not_subscribed(&bench.id), []);
    assert_eq!(bench.fleet.not_subscribed(&device("never-seen")), []);
}

#[test]
fn a_stranger_is_told_once_and_known_when_it_is_declared() {
    let mut bench = Bench::new();
    bench.id = device("stranger");
    let stranger = Change::Stranger(bench.id.clone());
    let count = |changes: &[Change]| changes.iter().filter(|c| **c == stranger).count();
    assert_eq!(count(&bench.hear(birth(1))), 1);
    assert_eq!(count(&bench.hear(report(1, 1, "a"))), 0);
    assert_eq!(bench.fleet.connected(), 0, "it does not count");
    let changes = bench.fleet.expect(&bench.id, s(1));
    assert_eq!(changes, [bench.dirty(), bench.came()]);
    assert_eq!(bench.confirmed(), Some("a"));
    assert_eq!(bench.fleet.connected(), 1);
    assert_eq!(bench.fleet.expect(&bench.id, s(1)), [], "it is declared already");
}

#[test]
fn only_so_many_strangers_are_remembered() {
    let mut bench = Bench::new();
    for n in 0..MAX_STRANGERS {
        bench.id = device(&format!("s{n}"));
        assert!(!bench.hear(alive(1, "a")).is_empty());
    }
    bench.id = device("one-more");
    assert_eq!(bench.hear(alive(1, "a")), []);
    assert!(bench.fleet.get(&bench.id).is_none());
    // A declared one is heard however many there are.
    bench.fleet.expect(&bench.id, s(0));
    assert!(bench.hear(alive(1, "a")).contains(&bench.came()));
}

#[test]
fn a_device_that_is_not_declared_any_more_is_forgotten_unless_it_speaks() {
    let mut silent = Bench::new();
    silent.fleet.forget(&silent.id);
    assert!(silent.fleet.get(&silent.id).is_none());
    assert_eq!(asks(&silent.run_until(s(600))), [0; 0]);
    let mut speaking = Bench::connected();
    speaking.fleet.forget(&speaking.id);
    assert_eq!(speaking.confirmed(), Some("a"), "should it be declared again");
    assert_eq!(speaking.fleet.connected(), 0);
    speaking.fleet.forget(&device("never-seen"));
}
