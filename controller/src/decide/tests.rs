//! Deciding about one device: the rows of the module's table, what is orphaned, and what holds always.

use longshore_plan::hash::digest_hex;
use longshore_plan::step::Action;

use super::*;
use crate::fixtures::{self, device_object, rendered, running, workload_object};

mod device;
mod orphans;
mod properties;
mod size;
mod states;

/// A workload of the namespace, owned.
#[derive(Debug, Clone)]
struct Known {
    object: Workload,
    ending: Ending,
    targeted: bool,
    rendered: Result<Arc<Rendered>, Trouble>,
}

/// All that a decision depends on, owned.
#[derive(Debug, Clone)]
struct World {
    device: Device,
    device_ending: Ending,
    workloads: Vec<Known>,
    report: Option<Report>,
    kept: Kept,
    accepted: Option<DesiredSet>,
    refused: Option<String>,
}

impl World {
    /// The device `dev1`, without workloads, connected and empty.
    fn new() -> Self {
        Self {
            device: device_object("dev1"),
            device_ending: Ending::Alive,
            workloads: Vec::new(),
            report: Some(fixtures::report(running(&[]), "")),
            kept: Kept::new(),
            accepted: None,
            refused: None,
        }
    }

    /// A workload that targets the device and renders to that.
    fn with(mut self, workload: &longshore_plan::desired::DesiredWorkload) -> Self {
        self.workloads.push(Known {
            object: workload_object(workload.name.as_str()),
            ending: Ending::Alive,
            targeted: true,
            rendered: Ok(rendered(workload)),
        });
        self
    }

    /// These run on the device.
    fn having(mut self, workloads: &[longshore_plan::desired::DesiredWorkload]) -> Self {
        self.report = Some(fixtures::report(running(workloads), "of before"));
        self
    }

    /// That was rendered for it last, from the object as it is now.
    fn keeping(mut self, workload: &longshore_plan::desired::DesiredWorkload) -> Self {
        let name = workload.name.to_string();
        self.kept
            .insert(name.clone(), (format!("uid-{name}"), rendered(workload)));
        self
    }

    /// The device has accepted just what it should have.
    fn settled(mut self) -> Self {
        let digest = self.decide().digest;
        if let Some(report) = &mut self.report {
            report.desired_digest = digest;
        }
        self
    }

    fn observed(&mut self) -> &mut longshore_plan::observed::Observed {
        &mut self.report.as_mut().unwrap().observed
    }

    fn decide(&self) -> Decision {
        let candidates: Vec<Candidate<'_>> = self
            .workloads
            .iter()
            .map(|known| Candidate {
                workload: &known.object,
                ending: known.ending,
                targeted: known.targeted,
                rendered: &known.rendered,
            })
            .collect();
        decide(&Input {
            device: &self.device,
            device_ending: self.device_ending,
            workloads: &candidates,
            report: self.report.as_ref(),
            kept: &self.kept,
            accepted: self.accepted.as_ref(),
            refused: self.refused.as_deref(),
        })
    }
}

fn missing() -> Trouble {
    Trouble::new(reason::CONTENT_MISSING, "there is no Secret \"s\"")
}

/// What a decision does with the workload `hello`, in words.
fn fate(decision: &Decision) -> String {
    let set = &decision.desired;
    let desired = set.workloads.iter().find(|w| w.name.as_str() == "hello");
    let removal = set.removals.iter().find(|r| r.workload.as_str() == "hello");
    match (desired, removal) {
        (Some(workload), None) => format!("desired as {}", workload.containers[0].spec.image),
        (None, Some(removal)) => format!("ordered away: {:?}", removal.reason),
        (None, None) => "left out".to_owned(),
        (Some(_), Some(_)) => "both".to_owned(),
    }
}

const NEW: &str = "desired as i:new";
const LAST: &str = "desired as i:last";
const OUT: &str = "left out";
const DELETED: &str = "ordered away: Deleted";
const MOVED: &str = "ordered away: MovedAway";

/// How a workload relates to the device, and what is to become of it there.
struct Row {
    what: &'static str,
    known: fn(&mut Known),
    /// On a device that has something of it and for which it was rendered before.
    traced: &'static str,
    /// On a device that has something of it and for which nothing is known to have been rendered.
    forgotten: &'static str,
    /// On a device that has nothing of it.
    bare: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        what: "it targets the device and renders",
        known: |_| {},
        traced: NEW,
        forgotten: NEW,
        bare: NEW,
    },
    Row {
        what: "it targets the device and cannot be rendered now",
        known: |known| known.rendered = Err(missing()),
        traced: LAST,
        forgotten: OUT,
        bare: OUT,
    },
    Row {
        what: "it is being deleted, and its containers with it",
        known: |known| known.ending = Ending::Explicit(DeletionPolicy::Delete),
        traced: DELETED,
        forgotten: DELETED,
        bare: OUT,
    },
    Row {
        what: "it is being deleted, and targeted another device before",
        known: |known| {
            known.ending = Ending::Explicit(DeletionPolicy::Delete);
            known.targeted = false;
        },
        traced: DELETED,
        forgotten: DELETED,
        bare: OUT,
    },
    Row {
        what: "it is being deleted and cannot be rendered",
        known: |known| {
            known.ending = Ending::Explicit(DeletionPolicy::Delete);
            known.rendered = Err(missing());
        },
        traced: DELETED,
        forgotten: DELETED,
        bare: OUT,
    },
    Row {
        what: "it is being deleted under Orphan",
        known: |known| known.ending = Ending::Explicit(DeletionPolicy::Orphan),
        traced: OUT,
        forgotten: OUT,
        bare: OUT,
    },
    Row {
        what: "it is being deleted because its CRD is",
        known: |known| known.ending = Ending::Collateral,
        traced: OUT,
        forgotten: OUT,
        bare: OUT,
    },
    Row {
        what: "it is being deleted, and why is not known yet",
        known: |known| known.ending = Ending::Unexplained,
        traced: LAST,
        forgotten: OUT,
        bare: OUT,
    },
    Row {
        what: "it lacks our finalizer",
        known: |known| known.object.metadata.finalizers = Some(vec!["other/one".into()]),
        traced: LAST,
        forgotten: OUT,
        bare: OUT,
    },
    Row {
        what: "it targets others",
        known: |known| known.targeted = false,
        traced: MOVED,
        forgotten: MOVED,
        bare: OUT,
    },
    Row {
        what: "it targets others and lacks our finalizer",
        known: |known| {
            known.targeted = false;
            known.object.metadata.finalizers = None;
        },
        traced: MOVED,
        forgotten: MOVED,
        bare: OUT,
    },
    Row {
        what: "it targets others and is suspended",
        known: |known| {
            known.targeted = false;
            known.object.spec.suspend = Some(true);
        },
        traced: OUT,
        forgotten: OUT,
        bare: OUT,
    },
];

fn new() -> longshore_plan::desired::DesiredWorkload {
    fixtures::workload("hello", &[("web", "i:new")])
}

fn last() -> longshore_plan::desired::DesiredWorkload {
    fixtures::workload("hello", &[("web", "i:last")])
}

impl Row {
    /// A world in which the workload so relates to the device.
    fn world(&self) -> World {
        let mut world = World::new().with(&new());
        (self.known)(&mut world.workloads[0]);
        world
    }
}

#[test]
fn each_row_of_the_table_is_so() {
    for row in ROWS {
        let what = row.what;
        let traced = row.world().having(&[last()]).keeping(&last());
        assert_eq!(fate(&traced.decide()), row.traced, "{what}, with traces");
        let forgotten = row.world().having(&[last()]);
        assert_eq!(
            fate(&forgotten.decide()),
            row.forgotten,
            "{what}, after a restart of ours"
        );
        assert_eq!(fate(&row.world().decide()), row.bare, "{what}, without traces");
    }
}

#[test]
fn what_is_gone_is_ordered_away_only_where_its_removal_is_owed() {
    let gone = World::new().having(&[last()]).keeping(&last());
    assert_eq!(fate(&gone.decide()), OUT);
    let owing = |names: &str| {
        let mut world = gone.clone();
        world.device.metadata.annotations = Some([(finalizer::PENDING.into(), names.into())].into());
        world
    };
    assert_eq!(fate(&owing("other").decide()), OUT);
    assert_eq!(fate(&owing("other,hello").decide()), DELETED);
    let mut bare = owing("hello");
    bare.report = World::new().report;
    assert_eq!(fate(&bare.decide()), OUT, "there is nothing to remove");
    // One of that name that exists again speaks for itself, whatever it says.
    for row in ROWS {
        let mut world = owing("hello");
        world.workloads = row.world().workloads;
        assert_eq!(fate(&world.decide()), row.traced, "{}", row.what);
    }
}

#[test]
fn another_object_of_the_same_name_does_not_inherit_what_was_rendered() {
    for row in ROWS.iter().filter(|row| row.traced == LAST) {
        let mut world = row.world().having(&[last()]).keeping(&last());
        world.workloads[0].object.metadata.uid = Some("another".into());
        assert_eq!(fate(&world.decide()), OUT, "{}", row.what);
    }
}

#[test]
fn without_a_report_to_plan_from_nothing_is_removed_and_nothing_is_sent() {
    for row in ROWS {
        let mut world = row.world().keeping(&last());
        world.device.metadata.annotations = Some([(finalizer::PENDING.into(), "hello,gone".into())].into());
        world.report = None;
        let decision = world.decide();
        assert!(decision.desired.removals.is_empty(), "{}", row.what);
        assert_eq!(decision.plan, None, "{}", row.what);
        assert!(
            decision.orphans.is_empty() && decision.traces.is_empty(),
            "{}",
            row.what
        );
        assert!(!decision.is_accepted && !decision.settled, "{}", row.what);
        assert!(
            !decision.is_bare() && !decision.is_clean_of("hello"),
            "{}",
            row.what
        );
    }
}

#[test]
fn what_is_left_out_stays_as_it_is() {
    for row in ROWS.iter().filter(|row| row.forgotten == OUT) {
        let decision = row.world().having(&[last()]).decide();
        let plan = decision.plan.unwrap();
        assert_eq!(plan.steps, [], "{}", row.what);
        assert_eq!(plan.held.len(), 1, "{}", row.what);
        assert_eq!(plan.held[0].cause, HeldCause::Orphaned, "{}", row.what);
    }
}

#[test]
fn what_is_remembered_is_what_was_decided_and_no_more() {
    let world = World::new().with(&new()).keeping(&last());
    let decision = world.decide();
    assert_eq!(decision.kept["hello"].1.workload, new());
    assert_eq!(decision.kept["hello"].0, "uid-hello");
    let mut gone = world;
    gone.workloads.clear();
    assert!(gone.decide().kept.is_empty());
}

#[test]
fn a_network_or_a_doomed_volume_is_a_trace_and_a_retained_volume_is_none() {
    let row = ROWS.iter().find(|row| row.what == "it targets others").unwrap();
    let with = |network: &str, volume: Option<ReclaimPolicy>| {
        let mut world = row.world();
        world.observed().networks = vec![network.to_owned()];
        world.observed().volumes = volume
            .map(|reclaim| longshore_plan::observed::OwnedVolume {
                name: "hello.data".into(),
                workload: "hello".into(),
                reclaim,
            })
            .into_iter()
            .collect();
        fate(&world.decide())
    };
    assert_eq!(with("hello.default", None), MOVED);
    assert_eq!(with("other.default", None), OUT);
    assert_eq!(with("hello", None), OUT, "not a name of ours");
    assert_eq!(with("other.default", Some(ReclaimPolicy::Delete)), MOVED);
    assert_eq!(with("other.default", Some(ReclaimPolicy::Retain)), OUT);
}

#[test]
fn the_desired_set_is_sorted_and_its_digest_is_its_own() {
    let names = ["c", "a", "b"];
    let mut world = World::new();
    for name in names {
        world = world.with(&fixtures::workload(name, &[("x", "i")]));
    }
    let decision = world.decide();
    let sorted: Vec<&str> = decision
        .desired
        .workloads
        .iter()
        .map(|w| w.name.as_str())
        .collect();
    assert_eq!(sorted, ["a", "b", "c"]);
    assert_eq!(decision.digest, digest_hex(decision.desired.as_ref()));
    world.workloads.reverse();
    assert_eq!(world.decide(), decision);
    let creates = |d: &Decision| {
        let steps = &d.plan.as_ref().unwrap().steps;
        steps
            .iter()
            .filter(|s| matches!(s.action, Action::CreateContainer { .. }))
            .count()
    };
    assert_eq!(creates(&decision), 3);
}
