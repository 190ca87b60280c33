//! Whatever comes in whatever order: it ends well.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Birth(u128),
    Will(u128),
    Alive(u128, &'static str),
    Report(u128, u64, &'static str),
    Speech,
    Wait(u64),
    LinkUp,
    LinkDown,
    NotSubscribed,
    Expect,
    Forget,
}

fn events() -> impl Strategy<Value = Event> {
    let session = || 1_u128..4;
    let hash = || select(vec!["a", "b"]);
    prop_oneof![
        2 => session().prop_map(Event::Birth),
        2 => session().prop_map(Event::Will),
        3 => (session(), hash()).prop_map(|(s, h)| Event::Alive(s, h)),
        4 => (session(), 0_u64..5, hash()).prop_map(|(s, n, h)| Event::Report(s, n, h)),
        1 => Just(Event::Speech),
        3 => (0_u64..300).prop_map(Event::Wait),
        1 => Just(Event::LinkUp),
        1 => Just(Event::LinkDown),
        1 => Just(Event::NotSubscribed),
        1 => Just(Event::Expect),
        1 => Just(Event::Forget),
    ]
}

fn happen(bench: &mut Bench, event: &Event) -> Vec<Change> {
    match event {
        Event::Birth(session) => bench.hear(birth(*session)),
        Event::Will(session) => bench.hear(will(*session)),
        Event::Alive(session, hash) => bench.hear(alive(*session, hash)),
        Event::Report(session, seq, hash) => bench.hear(report(*session, *seq, hash)),
        Event::Speech => bench.hear(Sign::Speech),
        Event::Wait(seconds) => {
            let end = bench.now + s(*seconds);
            bench
                .run_until(end)
                .into_iter()
                .map(|(_, change)| change)
                .collect()
        }
        Event::LinkUp => bench.fleet.link_up(bench.now),
        Event::LinkDown => {
            bench.fleet.link_down();
            Vec::new()
        }
        Event::NotSubscribed => bench.fleet.not_subscribed(&bench.id),
        Event::Expect => bench.fleet.expect(&bench.id, bench.now),
        Event::Forget => {
            bench.fleet.forget(&bench.id);
            Vec::new()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn only_what_was_said_since_the_bus_came_up_is_planned_from(events in vec(events(), 0..40)) {
        let mut bench = Bench::new();
        let mut reported = false;
        let mut link = true;
        for event in &events {
            let changes = happen(&mut bench, event);
            match event {
                Event::LinkUp => (reported, link) = (false, true),
                Event::LinkDown => link = false,
                Event::Report(..) => reported = true,
                _ => {}
            }
            let expired = changes.iter().any(|c| matches!(
                c,
                Change::Went(_, GoneCause::LeaseExpired | GoneCause::NeverHeard)
            ));
            prop_assert!(link || !expired, "the silence is ours");
            let Some(state) = bench.fleet.get(&bench.id) else { continue };
            if let Some(report) = state.confirmed_report() {
                prop_assert!(reported, "{event:?}");
                prop_assert_eq!(state.presence, Presence::Connected);
                prop_assert!(state.sessions.is_current(report.session));
            }
        }
    }

    #[test]
    fn a_repeat_changes_nothing(events in vec(events(), 0..30), last in events()) {
        let mut bench = Bench::new();
        for event in &events {
            happen(&mut bench, event);
        }
        let repeatable = matches!(last, Event::Birth(_) | Event::Will(_) | Event::Report(..));
        if repeatable && bench.fleet.get(&bench.id).is_some() {
            happen(&mut bench, &last);
            let (presence, hash) = (bench.presence(), bench.confirmed().map(str::to_owned));
            let again = happen(&mut bench, &last);
            prop_assert_eq!(again, []);
            prop_assert_eq!((bench.presence(), bench.confirmed()), (presence, hash.as_deref()));
        }
    }

    #[test]
    fn whatever_misled_us_a_session_that_goes_on_reporting_wins(events in vec(events(), 0..40), session in 1_u128..5) {
        let mut bench = Bench::new();
        for event in &events {
            happen(&mut bench, event);
        }
        bench.fleet.link_up(bench.now);
        bench.fleet.expect(&bench.id, bench.now);
        // Its numbers are above all that were heard of it.
        happen(&mut bench, &Event::Report(session, 10, "now"));
        prop_assert_eq!(bench.presence(), Presence::Connected);
        prop_assert_eq!(bench.confirmed(), Some("now"));
        prop_assert_eq!(bench.fleet.connected(), 1);
    }

    #[test]
    fn who_is_there_and_not_known_is_asked_until_it_is(events in vec(events(), 0..30)) {
        let mut bench = Bench::new();
        for event in &events {
            happen(&mut bench, event);
        }
        bench.fleet.link_up(bench.now);
        bench.fleet.expect(&bench.id, bench.now);
        happen(&mut bench, &Event::Alive(9, "now"));
        let end = bench.now + s(60);
        let changes = bench.run_until(end);
        prop_assert!(!asks(&changes).is_empty());
        prop_assert!(asks(&changes).len() <= 7);
    }
}
