use std::collections::BTreeMap;

use longshore_plan::hash::SpecHash;
use longshore_plan::names::EngineId;
use longshore_plan::spec::RestartPolicy;
use longshore_plan::step::{Fence, PlanCommand};

use super::*;
use crate::fixtures::{SITE, device, hello, key};
use crate::ledger::{Record, ReplaceJournal};

/// A ledger that knows one plan, and owns the container `mine`.
fn ledger() -> LedgerState {
    let mut state = LedgerState::default();
    state.apply(Record::Accepted {
        command: Box::new(PlanCommand {
            desired: hello("hello:1"),
            steps: Vec::new(),
            fence: Fence {
                site: SITE.to_owned(),
                epoch: 1,
                n: 1,
            },
        }),
        correlation_id: longshore_bus::envelope::CorrelationId(uuid::Uuid::nil()),
        response_topic: String::new(),
        at: 0,
    });
    state.apply(Record::ContainerOwned {
        id: EngineId("mine".to_owned()),
        container: owned(),
    });
    state
}

fn wanted() -> SpecHash {
    hello("hello:1").workloads[0].containers[0].hash.clone()
}

fn owned() -> OwnedContainer {
    OwnedContainer {
        key: key("hello", "web"),
        hash: wanted(),
    }
}

/// What we would have made, under an id that nobody knows.
fn made() -> ContainerSummary {
    ContainerSummary {
        id: EngineId("new".to_owned()),
        name: "hello.web".to_owned(),
        labels: labels::of_container(SITE, &device(), &key("hello", "web"), "1", &wanted()),
        host_ports: Vec::new(),
    }
}

fn relabelled(name: &str, value: Option<&str>) -> ContainerSummary {
    let mut container = made();
    match value {
        Some(value) => drop(container.labels.insert(name.to_owned(), value.to_owned())),
        None => drop(container.labels.remove(name)),
    }
    container
}

fn named(name: &str) -> ContainerSummary {
    ContainerSummary {
        name: name.to_owned(),
        ..made()
    }
}

#[test]
fn only_what_we_would_have_made_is_adopted() {
    for (what, container, adopted) in [
        ("what we would have made", made(), true),
        ("another name", named("hello.web-2"), false),
        (
            "our name for a replacement, with none under way",
            named("hello.web.next"),
            false,
        ),
        ("another site", relabelled(labels::SITE, Some("site-b")), false),
        ("no site", relabelled(labels::SITE, None), false),
        (
            "another device",
            relabelled(labels::DEVICE, Some("default.dev2")),
            false,
        ),
        (
            "another spec",
            relabelled(labels::SPEC_HASH, Some("v1:00")),
            false,
        ),
        ("no spec", relabelled(labels::SPEC_HASH, None), false),
        (
            "another workload",
            relabelled(labels::WORKLOAD, Some("other")),
            false,
        ),
        (
            "another container",
            relabelled(labels::CONTAINER, Some("db")),
            false,
        ),
        (
            "a name that is none",
            relabelled(labels::CONTAINER, Some("../web")),
            false,
        ),
        ("another revision", relabelled(labels::REVISION, Some("2")), true),
    ] {
        let expected = if adopted {
            Verdict::Adopt(owned())
        } else {
            Verdict::Unmanaged
        };
        assert_eq!(judge(&container, &device(), &ledger()), expected, "{what}");
    }
}

#[test]
fn what_is_in_the_ledger_is_ours_whatever_it_is_called_as_long_as_its_labels_say_so() {
    let known = |mut container: ContainerSummary| {
        container.id = EngineId("mine".to_owned());
        judge(&container, &device(), &ledger())
    };
    assert_eq!(known(made()), Verdict::Ours(owned()));
    assert_eq!(known(named("renamed-by-hand")), Verdict::Ours(owned()));
    let other_hash = relabelled(labels::SPEC_HASH, Some("v1:00"));
    assert_eq!(
        known(other_hash),
        Verdict::Ours(owned()),
        "the ledger's word counts"
    );
    let other_site = relabelled(labels::SITE, Some("site-b"));
    assert_eq!(known(other_site), Verdict::Unmanaged);
}

#[test]
fn without_a_site_nothing_is_ours() {
    let verdict = judge(&made(), &device(), &LedgerState::default());
    assert_eq!(verdict, Verdict::Unmanaged);
}

#[test]
fn a_replacement_that_was_made_and_not_recorded_is_found_while_it_is_being_made() {
    let journal = |phase| ReplaceJournal {
        key: key("hello", "web"),
        workload: hello("hello:1").workloads[0].clone(),
        step: None,
        old: EngineId("old".to_owned()),
        old_name: "hello.web".to_owned(),
        old_policy: RestartPolicy::Always,
        old_runs: true,
        phase,
    };
    let switching = ReplacePhase::Switching {
        new: EngineId("known".to_owned()),
    };
    for (phase, adopted) in [(ReplacePhase::Creating, true), (switching, false)] {
        let mut state = ledger();
        state.apply(Record::ReplaceBegan(Box::new(journal(phase))));
        let expected = if adopted {
            Verdict::Adopt(owned())
        } else {
            Verdict::Unmanaged
        };
        let found = judge(&named(&next_name("hello.web")), &device(), &state);
        assert_eq!(found, expected);
        let previous = judge(&named(&previous_name("hello.web")), &device(), &state);
        assert_eq!(previous, Verdict::Unmanaged);
    }
}

#[test]
fn labels_come_back_as_they_went() {
    let made = made().labels;
    assert_eq!(labels::key(&made), Some(key("hello", "web")));
    assert_eq!(labels::hash(&made), Some(wanted()));
    assert!(labels::are_of(&made, SITE, &device()));
    assert_eq!(labels::key(&BTreeMap::new()), None);
}
