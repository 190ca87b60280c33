//! Whom the controller asks for a report, and how often.

use super::*;

#[test]
fn the_roll_is_called_until_everybody_has_answered() {
    let calls = |changes: &[(Uptime, Change)]| -> Vec<u64> {
        let calls = changes.iter().filter(|(_, c)| *c == Change::RollCall);
        calls.map(|(at, _)| at.as_secs()).collect()
    };
    let mut silent = Bench::new();
    assert_eq!(calls(&silent.run_until(s(600))), [0, 3, 12, 40]);
    let mut bench = Bench::new();
    assert_eq!(calls(&bench.run_until(s(5))), [0, 3]);
    bench.hear(report(1, 1, "a"));
    assert_eq!(calls(&bench.run_until(s(100))), [0; 0]);
    // The first one also finds those whose Device object is not read yet.
    let mut empty = Fleet::default();
    empty.link_up(s(7));
    assert_eq!(empty.tick(s(7)), [Change::RollCall]);
    assert_eq!(empty.tick(s(10)), []);
}

#[test]
fn a_device_that_is_declared_is_asked_less_and_less_often_until_its_grace_is_over() {
    let mut bench = Bench::new();
    assert_eq!(asks(&bench.run_until(s(600))), [0, 2, 6, 14, 30, 60]);
}

#[test]
fn who_says_that_it_has_something_else_is_asked_for_it_until_it_reports() {
    let mut bench = Bench::connected();
    bench.run_until(s(10));
    assert_eq!(bench.hear(alive(1, "b")), []);
    assert_eq!(asks(&bench.run_until(s(14))), [11, 13]);
    bench.hear(report(1, 2, "b"));
    assert_eq!(asks(&bench.run_until(s(60))), [0; 0]);
    // The next one is asked at once again.
    bench.hear(alive(1, "c"));
    assert_eq!(asks(&bench.run_until(s(62))), [61]);
}

#[test]
fn a_new_session_is_asked_for_its_report() {
    let mut bench = Bench::connected();
    bench.run_until(s(10));
    let changes = bench.hear(birth(2));
    assert!(changes.contains(&Change::NewSession(bench.id.clone())));
    assert_eq!(
        bench.confirmed(),
        None,
        "what its last session said is not planned from"
    );
    assert_eq!(bench.presence(), Presence::Connected);
    assert_eq!(asks(&bench.run_until(s(11))), [11]);
    bench.hear(report(2, 1, "a"));
    assert_eq!(bench.confirmed(), Some("a"));
    assert_eq!(asks(&bench.run_until(s(100))), [0; 0]);
}

#[test]
fn the_retained_birth_of_a_device_that_is_gone_is_asked_for_once() {
    let mut bench = Bench::connected();
    bench.run_until(LEASE + SWEEP);
    assert!(matches!(bench.presence(), Presence::Gone(_)));
    // The bus came back, and gives the births it kept.
    let now = bench.now;
    bench.fleet.link_up(now);
    assert_eq!(bench.hear(birth(1)), []);
    assert_eq!(asks(&bench.run_until(now + s(3600))), [now.as_secs() + 1]);
    assert_eq!(bench.hear(birth(2)).len(), 2, "or one it had not given us yet");
    assert_eq!(asks(&bench.run_until(now + s(7200))).len(), 1);
}

#[test]
fn who_goes_is_not_asked_any_more() {
    let mut bench = Bench::new();
    bench.hear(alive(1, "a"));
    bench.hear(will(1));
    assert_eq!(asks(&bench.run_until(s(600))), [0; 0]);
    let mut bench = Bench::new();
    bench.hear(alive(1, "a"));
    bench.fleet.not_subscribed(&bench.id);
    assert_eq!(asks(&bench.run_until(s(600))), [0; 0]);
}
