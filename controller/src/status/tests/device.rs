//! A Device's status: what is known while it is there, and what stands while it is not.

use longshore_bus::DeviceId;
use longshore_bus::envelope::{Birth, Gone, Report, VERSION};
use longshore_crds::{Device, DeviceStatus};
use longshore_plan::desired::DesiredWorkload;
use longshore_plan::observed::RuntimeState;
use uuid::Uuid;

use super::*;
use crate::decide::{self, Candidate, Decision, Input, Kept};
use crate::dispatch::Standing;
use crate::finalizer::Ending;
use crate::fixtures::{self, device_object, drift, key, rendered, report, running};
use crate::fleet::{DeviceState, Fleet, GRACE, GoneCause, LEASE, Presence, Sign};
use crate::timers::Uptime;

/// One device, with everything that is known of it.
pub(super) struct World {
    pub(super) device: Device,
    pub(super) ending: Ending,
    pub(super) declared: Vec<DesiredWorkload>,
    pub(super) fleet: Fleet,
    pub(super) standing: Standing,
    seq: u64,
}

fn id() -> DeviceId {
    "default.dev1".parse().unwrap()
}

pub(super) fn hello() -> DesiredWorkload {
    fixtures::workload("hello", &[("web", "hello:1")])
}

impl World {
    /// A device nobody has heard of since the controller started.
    pub(super) fn new() -> Self {
        let mut fleet = Fleet::default();
        fleet.link_up(Uptime::ZERO);
        fleet.expect(&id(), Uptime::ZERO);
        Self {
            device: device_object("dev1"),
            ending: Ending::Alive,
            declared: vec![hello()],
            fleet,
            standing: Standing::Idle,
            seq: 0,
        }
    }

    pub(super) fn birth(mut self) -> Self {
        let birth = Birth {
            version: VERSION,
            session: Uuid::from_u128(1),
            protocol: (1, 2),
            agent_version: "0.1.0".into(),
            actions: Vec::new(),
            features: Vec::new(),
            fence: None,
            clock: String::new(),
        };
        self.fleet.on_sign(&id(), Sign::Birth(birth), Uptime::ZERO);
        self
    }

    pub(super) fn hear(mut self, report: Report) -> Self {
        self.seq += 1;
        let report = Report {
            seq: self.seq,
            ..report
        };
        self.fleet
            .on_sign(&id(), Sign::Report(Box::new(report)), Uptime::ZERO);
        self
    }

    /// It reports that, and that it has accepted what it should have.
    pub(super) fn reports(self, observed: longshore_plan::observed::Observed) -> Self {
        let digest = self.decision().digest;
        let report = report(observed, &digest);
        // What is ordered away is so only with a report, which changes the set.
        let world = self.hear(report.clone());
        let digest = world.decision().digest;
        if digest == report.desired_digest {
            return world;
        }
        world.hear(fixtures::report(report.observed, &digest))
    }

    pub(super) fn goodbye(mut self) -> Self {
        let gone = Gone {
            version: VERSION,
            session: Uuid::from_u128(1),
        };
        self.fleet.on_sign(&id(), Sign::Gone(gone), Uptime::ZERO);
        self
    }

    pub(super) fn after(mut self, time: Uptime) -> Self {
        self.fleet.tick(time);
        self
    }

    fn state(&self) -> &DeviceState {
        self.fleet.get(&id()).unwrap()
    }

    pub(super) fn decision(&self) -> Decision {
        let rendered: Vec<_> = self.declared.iter().map(|w| Ok(rendered(w))).collect();
        let objects: Vec<Workload> = self
            .declared
            .iter()
            .map(|w| workload_object(w.name.as_str()))
            .collect();
        let candidates: Vec<Candidate<'_>> = std::iter::zip(&objects, &rendered)
            .map(|(workload, rendered)| Candidate {
                workload,
                ending: Ending::Alive,
                targeted: true,
                rendered,
            })
            .collect();
        let report = self.state().confirmed_report();
        let mut decision = decide::decide(&Input {
            device: &self.device,
            device_ending: self.ending,
            workloads: &candidates,
            report: report.map(std::convert::AsRef::as_ref),
            kept: &Kept::new(),
            accepted: None,
            refused: None,
        });
        if report.is_none() {
            let verdict = match self.state().presence {
                Presence::Gone(cause) => Verdict::Offline(gone_words(cause).to_owned()),
                _ => Verdict::Unconfirmed { was_ready: false },
            };
            for concern in decision.workloads.values_mut() {
                concern.state = decide::offline(concern.state.clone(), verdict.clone());
            }
        }
        decision
    }

    pub(super) fn status_after(&self, stored: &DeviceStatus) -> DeviceStatus {
        let decision = self.decision();
        let facts = DeviceFacts {
            device: &self.device,
            state: self.state(),
            decision: &decision,
            standing: &self.standing,
        };
        device_status(&facts, stored, &at(1))
    }

    pub(super) fn status(&self) -> DeviceStatus {
        self.status_after(&DeviceStatus::default())
    }
}

/// Connected, RuntimeReady, Synced and Drifted, as `status reason`.
pub(super) fn conditions_of(status: &DeviceStatus) -> [String; 4] {
    [
        ConditionType::Connected,
        ConditionType::RuntimeReady,
        ConditionType::Synced,
        ConditionType::Drifted,
    ]
    .map(|kind| {
        let condition = conditions::find(&status.conditions, kind).unwrap();
        format!("{} {}", condition.status, condition.reason)
    })
}

fn connected() -> World {
    World::new().birth().reports(running(&[hello()]))
}

#[test]
fn a_device_that_is_there_and_has_what_it_should_have() {
    let status = connected().status();
    assert_eq!(
        conditions_of(&status),
        [
            "True AgentConnected",
            "True RuntimeReady",
            "True Synced",
            "False AsExpected"
        ]
    );
    let agent = status.agent.unwrap();
    assert_eq!(
        (agent.version.as_str(), agent.protocol.min, agent.protocol.max),
        ("0.1.0", 1, 2)
    );
    let runtime = status.runtime.unwrap();
    assert_eq!(
        (runtime.kind.as_str(), runtime.version.as_str()),
        ("docker", "27.1")
    );
    assert_eq!(status.ready_workloads.as_deref(), Some("1/1"));
    let workload = &status.workloads[0];
    assert_eq!(
        (workload.name.as_str(), workload.state.as_str()),
        ("hello", "Ready")
    );
    assert_eq!((workload.desired, workload.ready), (1, 1));
    assert_eq!(workload.revision, Some(hello().revision));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn a_device_nobody_heard_of_keeps_its_stored_status_for_a_while() {
    let stored = connected().status();
    let mut world = World::new();
    world.device.metadata.generation = Some(2);
    let status = world.status_after(&stored);
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(
        DeviceStatus {
            observed_generation: Some(1),
            ..status
        },
        stored
    );
    // A retained birth proves nobody's presence.
    let born = World::new().birth().status_after(&stored);
    assert_eq!(born.conditions, stored.conditions);
    // One that never had any status says that nothing is known.
    assert_eq!(
        conditions_of(&World::new().status()),
        ["Unknown Unconfirmed"; 4].map(str::to_owned)
    );
}

#[test]
fn of_a_device_that_is_gone_the_last_that_was_seen_stays_and_nothing_else_is_claimed() {
    let other = fixtures::workload("other", &[("x", "i")]);
    let seen = || {
        let mut report = report(running(&[hello(), other.clone()]), "");
        report.desired_digest = connected().decision().digest;
        report.drift = vec![drift(key("hello", "web"), "name", "hello.web", "x")];
        connected().hear(report)
    };
    let stored = seen().status();
    assert_eq!((stored.orphans.len(), stored.drift.len()), (1, 1));
    for (gone, cause) in [
        (seen().goodbye(), GoneCause::Goodbye),
        (seen().after(LEASE), GoneCause::LeaseExpired),
        (World::new().after(GRACE), GoneCause::NeverHeard),
    ] {
        let status = gone.status_after(&stored);
        let unknown = "Unknown AgentGone".to_owned();
        assert_eq!(
            conditions_of(&status),
            [
                "False AgentGone".to_owned(),
                unknown.clone(),
                unknown.clone(),
                unknown
            ],
            "{cause:?}"
        );
        let why = conditions::find(&status.conditions, ConditionType::Connected).unwrap();
        assert_eq!(why.message, gone_words(cause));
        assert_eq!(status.runtime, stored.runtime);
        assert_eq!(status.agent, stored.agent);
        assert_eq!((&status.orphans, &status.drift), (&stored.orphans, &stored.drift));
        assert_eq!(status.ready_workloads.as_deref(), Some("0/1"));
        let workload = &status.workloads[0];
        assert_eq!(workload.state, "DeviceOffline");
        assert_eq!((workload.ready, &workload.revision), (1, &Some(hello().revision)));
        assert_eq!(workload.message.as_deref(), Some(gone_words(cause)));
    }
}

#[test]
fn while_its_report_is_awaited_only_its_presence_is_told() {
    let mut world = World::new().birth();
    let alive = longshore_bus::envelope::Alive {
        version: VERSION,
        session: Uuid::from_u128(1),
        seq: 1,
        state_hash: "h".into(),
        clock: String::new(),
    };
    world.fleet.on_sign(&id(), Sign::Alive(alive), Uptime::ZERO);
    let status = world.status_after(&connected().status());
    let unknown = "Unknown Unconfirmed".to_owned();
    assert_eq!(
        conditions_of(&status),
        [
            "True AgentConnected".to_owned(),
            unknown.clone(),
            unknown.clone(),
            unknown
        ]
    );
    assert_eq!(status.workloads[0].state, "Unconfirmed");
    assert_eq!(
        status.workloads[0].revision,
        Some(hello().revision),
        "as last seen"
    );
    assert_eq!(status.ready_workloads.as_deref(), Some("0/1"));
}

#[test]
fn every_cause_of_absence_has_words_of_its_own() {
    let causes = [
        GoneCause::Goodbye,
        GoneCause::LeaseExpired,
        GoneCause::NotSubscribed,
        GoneCause::NeverHeard,
    ];
    let words: BTreeSet<&str> = causes.into_iter().map(gone_words).collect();
    assert_eq!(words.len(), causes.len());
}

#[test]
fn a_status_stays_bounded_however_much_there_is() {
    let names: Vec<String> = (0..300).map(|n| format!("w{n:03}")).collect();
    let many = |n: usize| -> Vec<DesiredWorkload> {
        names[..n]
            .iter()
            .map(|name| fixtures::workload(name, &[("x", "i")]))
            .collect()
    };
    let mut world = World::new().birth();
    world.declared = many(300);
    let world = world.reports(running(&many(300)));
    let status = world.status();
    assert_eq!(status.workloads.len(), DeviceStatus::MAX_WORKLOADS);
    assert!(status.workloads.is_sorted_by(|a, b| a.name < b.name));

    let mut world = World::new().birth();
    world.declared.clear();
    let mut report = report(running(&many(100)), "");
    report.drift = (0..40)
        .map(|n| drift(key("w000", "x"), &format!("f{n}"), "a", "b"))
        .collect();
    let status = world.hear(report).status();
    assert_eq!(status.orphans.len(), DeviceStatus::MAX_ORPHANS);
    assert_eq!(status.drift.len(), DeviceStatus::MAX_DRIFT);
}

#[test]
fn drift_is_told_with_both_values() {
    let mut report = report(running(&[hello()]), "");
    report.drift = vec![drift(key("hello", "web"), "restartPolicy", "always", "no")];
    let status = connected().hear(report).status();
    let drifted = conditions::find(&status.conditions, ConditionType::Drifted).unwrap();
    assert_eq!(
        (drifted.status.as_str(), drifted.reason.as_str()),
        ("True", "Drifted")
    );
    assert_eq!(drifted.message, "hello.web restartPolicy is no instead of always");
    let entry = &status.drift[0];
    assert_eq!(
        [
            &entry.workload,
            &entry.container,
            &entry.field,
            &entry.want,
            &entry.have
        ],
        ["hello", "web", "restartPolicy", "always", "no"]
    );
}

#[test]
fn a_runtime_that_is_away_is_told_and_stays_known() {
    let stored = connected().status();
    let mut observed = running(&[hello()]);
    observed.runtime = RuntimeState::Unavailable {
        message: "no such socket".into(),
    };
    let status = connected().reports(observed).status_after(&stored);
    assert_eq!(
        conditions_of(&status)[1..3],
        ["False RuntimeUnavailable", "False RuntimeUnavailable"]
    );
    assert_eq!(status.runtime, stored.runtime);
}
