//! What holds whatever the devices are like.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn verdicts() -> impl Strategy<Value = Verdict> {
    let some = || select(vec!["RolledBack", "Unhealthy", "ContentMissing"]).prop_map(trouble);
    prop_oneof![
        4 => Just(Verdict::Ready),
        1 => ".{0,4}".prop_map(Verdict::Progressing),
        1 => some().prop_map(Verdict::Retrying),
        1 => some().prop_map(Verdict::Stalled),
        1 => some().prop_map(Verdict::Unhealthy),
        1 => some().prop_map(Verdict::OnHold),
        1 => Just(offline()),
        1 => any::<bool>().prop_map(|was_ready| Verdict::Unconfirmed { was_ready }),
        1 => Just(Verdict::Removing),
    ]
}

fn facts() -> impl Strategy<Value = Facts> {
    let unknown = prop_oneof![2 => Just(BTreeSet::new()), 1 => btree_set("[a-z]{1,3}", 0..8)];
    let flags = (
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.9),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (vec(verdicts(), 0..5), unknown, flags).prop_map(
        |(verdicts, unknown, (ends, renders, overdue, suspend, drifted))| {
            Facts::of(&verdicts).with(|f| {
                f.unknown = unknown;
                f.overdue = overdue;
                f.workload.spec.suspend = Some(suspend);
                if ends {
                    f.workload.metadata.deletion_timestamp = Some(at(0));
                }
                if !renders {
                    f.rendered = Err(trouble("ContentMissing"));
                }
                if let Some((_, first)) = f.devices.first_mut() {
                    first.drifted = drifted;
                }
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn ready_is_said_only_when_every_connected_target_was_seen_ready(facts in facts()) {
        let status = facts.status();
        if conditions::is_true(&status.conditions, ConditionType::Ready) {
            prop_assert!(facts.rendered.is_ok() && facts.unknown.is_empty());
            prop_assert!(facts.workload.metadata.deletion_timestamp.is_none());
            for (name, device) in &facts.devices {
                let fine = matches!(
                    device.verdict,
                    Verdict::Ready | Verdict::Offline(_) | Verdict::Unconfirmed { was_ready: true }
                );
                prop_assert!(fine, "{name}: {:?}", device.verdict);
            }
            let seen = status.ready > Some(0) || facts.devices.is_empty();
            prop_assert!(seen, "somebody must have been seen");
        }
    }

    #[test]
    fn nobody_is_on_the_way_and_stuck_at_once(facts in facts()) {
        let status = facts.status();
        let is = |kind| conditions::is_true(&status.conditions, kind);
        let (moves, stuck) = (is(ConditionType::Reconciling), is(ConditionType::Stalled));
        prop_assert!(!(moves && stuck));
        prop_assert_eq!(moves, is(ConditionType::Progressing));
        if moves || stuck {
            prop_assert!(!is(ConditionType::Ready));
        }
    }

    #[test]
    fn counts_add_up_and_conditions_are_what_the_api_takes(facts in facts()) {
        let status = facts.status();
        let desired = status.desired.unwrap();
        for part in [status.ready, status.updated, status.drifted, status.offline, status.failed] {
            prop_assert!(part.unwrap() <= desired);
        }
        prop_assert!(status.ready.unwrap() + status.offline.unwrap() + status.failed.unwrap() <= desired);
        for condition in &status.conditions {
            prop_assert!(!condition.reason.is_empty() && condition.reason.len() <= 1024);
            prop_assert!(condition.message.len() <= 32768);
        }
        let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
        prop_assert_eq!(types, ["Progressing", "Ready", "Reconciling", "Stalled"]);
    }

    #[test]
    fn the_same_facts_are_written_once(facts in facts()) {
        let first = facts.status();
        prop_assert_eq!(facts.status_after(&first, 1000), first);
    }
}
