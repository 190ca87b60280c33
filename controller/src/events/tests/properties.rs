//! What holds of any two reports and any words.

use proptest::prelude::*;

use super::*;
use crate::fixtures::arbitrary::reports;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_note_is_within_the_apis_limits_whatever_it_says(action in "\\PC{0,200}", words in "\\PC{0,1200}") {
        let note = note(true, "Reason", action.clone(), words.clone());
        prop_assert!(note.action.len() <= 128);
        prop_assert!(note.words.len() <= 1024);
        prop_assert!(action.starts_with(&note.action) && words.starts_with(&note.words));
    }

    #[test]
    fn nothing_happens_between_a_report_and_itself(report in reports()) {
        prop_assert_eq!(transitions("dev1", &report, &report, &BTreeMap::new()), []);
    }

    #[test]
    fn any_two_reports_have_a_finite_difference_about_what_is_in_them(a in reports(), b in reports()) {
        let notes = transitions("dev1", &a, &b, &BTreeMap::new());
        for (about, note) in &notes {
            prop_assert!(!note.reason.is_empty() && !note.action.is_empty());
            prop_assert!(note.reason.len() <= 128 && note.action.len() <= 128 && note.words.len() <= 1024);
            if let About::Workload(name) = about {
                let said = [&a, &b].into_iter().any(|r| format!("{r:?}").contains(name.as_str()));
                prop_assert!(said, "{name}");
                prop_assert!(note.words.contains("dev1") || note.words.len() > 900);
            }
        }
    }

    #[test]
    fn a_container_comes_or_goes_or_is_replaced_at_most_once(a in reports(), b in reports()) {
        let notes = transitions("dev1", &a, &b, &BTreeMap::new());
        let moves = notes.iter().filter(|(_, n)| {
            ["Created", "Replaced", "Removed", "Updated"].contains(&n.reason.as_str())
        });
        let mut keys: Vec<(&About, &str)> = moves
            .map(|(about, n)| (about, n.action.split('/').nth(1).unwrap()))
            .collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), all);
    }
}
