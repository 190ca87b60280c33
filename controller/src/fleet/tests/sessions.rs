//! Messages that come late, twice, and of another session.

use super::*;

#[test]
fn the_will_of_the_current_session_counts_and_no_other() {
    let mut bench = Bench::connected();
    assert_eq!(bench.hear(will(9)), [], "of a session nobody knows");
    bench.hear(birth(2));
    bench.hear(report(2, 1, "b"));
    assert_eq!(bench.hear(will(1)), [], "of the session before");
    assert_eq!(bench.confirmed(), Some("b"));
    let changes = bench.hear(will(2));
    assert_eq!(changes, [bench.went(GoneCause::Goodbye), bench.dirty()]);
    assert_eq!(bench.confirmed(), None);
    assert_eq!(bench.hear(will(2)), [], "once is enough");
}

#[test]
fn the_will_of_a_device_that_was_never_heard_of_says_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.hear(will(1)), []);
    assert!(matches!(bench.presence(), Presence::Unconfirmed { .. }));
}

#[test]
fn a_will_during_the_grace_counts() {
    let mut bench = Bench::connected();
    bench.fleet.link_up(s(10));
    bench.hear(will(1));
    assert_eq!(bench.presence(), Presence::Gone(GoneCause::Goodbye));
}

#[test]
fn what_was_on_its_way_before_the_goodbye_does_not_bring_it_back() {
    let mut bench = Bench::connected();
    bench.hear(will(1));
    assert_eq!(bench.hear(alive(1, "a")), []);
    assert_eq!(bench.presence(), Presence::Gone(GoneCause::Goodbye));
    assert_eq!(
        asks(&bench.run_until(s(10))),
        [1],
        "but it is asked, in case it is there"
    );
    assert_eq!(bench.hear(report(1, 1, "a")), [], "an old report neither");
    assert!(
        bench.hear(report(1, 2, "a")).contains(&bench.came()),
        "a new one does"
    );
}

#[test]
fn an_older_report_of_the_session_changes_nothing() {
    let mut bench = Bench::connected();
    bench.hear(report(1, 5, "e"));
    for seq in [5, 4, 1, 0] {
        assert_eq!(bench.hear(report(1, seq, "late")), [], "{seq}");
    }
    assert_eq!(bench.confirmed(), Some("e"));
}

#[test]
fn late_messages_of_the_session_before_change_nothing() {
    let mut bench = Bench::connected();
    bench.hear(report(1, 3, "c"));
    bench.hear(birth(2));
    bench.hear(report(2, 1, "z"));
    for sign in [
        birth(1),
        report(1, 3, "c"),
        report(1, 2, "b"),
        alive(1, "c"),
        will(1),
    ] {
        assert_eq!(bench.hear(sign), []);
        assert_eq!(bench.confirmed(), Some("z"));
    }
}

#[test]
fn a_late_report_of_the_session_before_is_put_right_by_the_next_one() {
    let mut bench = Bench::connected();
    bench.hear(birth(2));
    bench.hear(report(2, 1, "new"));
    // Newer than all that was heard of its session: that cannot be told from a session that goes on.
    bench.hear(report(1, 2, "late"));
    assert_eq!(bench.confirmed(), Some("late"));
    // The session that is there says so with its next word, is asked, and reports.
    assert_eq!(bench.hear(alive(2, "new")), []);
    assert_eq!(asks(&bench.run_until(s(1))), [1]);
    bench.hear(report(2, 2, "new"));
    assert_eq!(bench.confirmed(), Some("new"));
}

#[test]
fn a_late_birth_is_put_right_by_the_session_that_goes_on() {
    let mut bench = Bench::connected();
    bench.hear(birth(9));
    assert_eq!(bench.confirmed(), None);
    bench.hear(report(1, 2, "b"));
    assert_eq!(bench.confirmed(), Some("b"));
    assert_eq!(bench.hear(will(9)), []);
}

#[test]
fn the_first_report_of_a_new_session_is_compared_with_nothing() {
    let mut bench = Bench::connected();
    bench.hear(birth(2));
    assert_eq!(before(&bench.hear(report(2, 1, "b"))), [None]);
    // Also when its birth comes after it, or never.
    let mut bench = Bench::connected();
    let changes = bench.hear(report(2, 1, "b"));
    assert_eq!(before(&changes), [None]);
    assert!(changes.contains(&Change::NewSession(bench.id.clone())));
    assert!(
        !bench
            .hear(birth(2))
            .contains(&Change::NewSession(bench.id.clone()))
    );
    assert_eq!(bench.confirmed(), Some("b"));
}

#[test]
fn of_many_sessions_the_last_few_are_remembered_and_older_ones_are_new_again() {
    let mut bench = Bench::new();
    for session in 1..=6 {
        bench.hear(birth(session));
    }
    for past in 2..=5 {
        let changes = bench.hear(alive(past, "x"));
        assert_eq!(changes, [], "{past} is past");
    }
    let new = Change::NewSession(bench.id.clone());
    assert!(bench.hear(alive(1, "x")).contains(&new));
}
