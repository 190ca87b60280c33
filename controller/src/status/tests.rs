//! Statuses: the rows of the module's table, what kstatus makes of them, and what they never say.

use longshore_crds::workload::{DeletionPolicy, WorkloadStatus};

use super::*;
use crate::fixtures::workload_object;

mod device;
mod properties;
mod synced;
mod workload;

fn at(second: i64) -> Time {
    Time(jiff::Timestamp::from_second(second).unwrap())
}

fn trouble(word: &str) -> Trouble {
    Trouble::new(word, "words")
}

/// A device on which the workload has one container.
fn on_device(verdict: Verdict) -> OnDevice {
    let ready = verdict == Verdict::Ready;
    OnDevice {
        updated: ready,
        ready: u32::from(ready),
        desired: 1,
        drifted: false,
        revision: ready.then(|| "r1".to_owned()),
        verdict,
    }
}

fn offline() -> Verdict {
    Verdict::Offline("its agent disconnected".into())
}

/// What a status is made from, owned.
#[derive(Debug, Clone)]
struct Facts {
    workload: Workload,
    rendered: Result<String, Trouble>,
    devices: Vec<(String, OnDevice)>,
    unknown: BTreeSet<String>,
    leaving: Vec<String>,
    overdue: bool,
}

impl Facts {
    /// A workload that renders, on devices that stand like that.
    fn of(verdicts: &[Verdict]) -> Self {
        let devices = std::iter::zip(1.., verdicts).map(|(n, v)| (format!("dev{n}"), on_device(v.clone())));
        Self {
            workload: workload_object("hello"),
            rendered: Ok("r1".into()),
            devices: devices.collect(),
            unknown: BTreeSet::new(),
            leaving: Vec::new(),
            overdue: false,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn status_after(&self, stored: &WorkloadStatus, now: i64) -> WorkloadStatus {
        let facts = WorkloadFacts {
            workload: &self.workload,
            rendered: self.rendered.as_deref(),
            devices: self.devices.iter().map(|(name, d)| (name.as_str(), d)).collect(),
            unknown: &self.unknown,
            leaving: self.leaving.iter().map(String::as_str).collect(),
            overdue: self.overdue,
        };
        workload_status(&facts, stored, &at(now))
    }

    fn status(&self) -> WorkloadStatus {
        self.status_after(&WorkloadStatus::default(), 1)
    }
}

/// `status reason` of a condition.
fn told(status: &WorkloadStatus, kind: ConditionType) -> String {
    let condition = conditions::find(&status.conditions, kind).unwrap();
    format!("{} {}", condition.status, condition.reason)
}

fn message(status: &WorkloadStatus, kind: ConditionType) -> &str {
    &conditions::find(&status.conditions, kind).unwrap().message
}

/// What kstatus (`kubectl wait`-like tools, Flux, Argo) makes of an object, by its own rules.
fn kstatus(workload: &Workload, status: &WorkloadStatus) -> &'static str {
    let is =
        |kind, value: &str| conditions::find(&status.conditions, kind).is_some_and(|c| c.status == value);
    if workload.metadata.deletion_timestamp.is_some() {
        "Terminating"
    } else if status.observed_generation != workload.metadata.generation
        || is(ConditionType::Reconciling, "True")
    {
        "InProgress"
    } else if is(ConditionType::Stalled, "True") {
        "Failed"
    } else if is(ConditionType::Ready, "True") {
        "Current"
    } else {
        "InProgress"
    }
}

struct Row {
    what: &'static str,
    facts: Facts,
    ready: &'static str,
    progressing: &'static str,
    reconciling: &'static str,
    stalled: &'static str,
    kstatus: &'static str,
}

const NO: &str = "False AsExpected";

fn deleting() -> Facts {
    Facts::of(&[Verdict::Ready]).with(|f| f.workload.metadata.deletion_timestamp = Some(at(0)))
}

/// The table of the module's docs, row by row.
fn rows() -> Vec<Row> {
    let stuck = |what, facts, why: [&'static str; 2]| Row {
        what,
        facts,
        ready: why[0],
        progressing: why[0],
        reconciling: NO,
        stalled: why[1],
        kstatus: "Failed",
    };
    let moving = |what, facts, ready, why: [&'static str; 1]| Row {
        what,
        facts,
        ready,
        progressing: why[0],
        reconciling: why[0],
        stalled: NO,
        kstatus: "InProgress",
    };
    let quiet = |what, facts, ready, progressing, kstatus| Row {
        what,
        facts,
        ready,
        progressing,
        reconciling: NO,
        stalled: NO,
        kstatus,
    };
    let retrying = || Facts::of(&[Verdict::Ready, Verdict::Retrying(trouble("ImageNotFound"))]);
    let complete = "False Complete";
    vec![
        Row {
            kstatus: "Terminating",
            ..moving("being deleted", deleting(), "False Deleting", ["True Deleting"])
        },
        stuck(
            "cannot be rendered: missing content",
            Facts::of(&[Verdict::Stalled(trouble("ContentMissing"))])
                .with(|f| f.rendered = Err(trouble("ContentMissing"))),
            ["False ContentMissing", "True ContentMissing"],
        ),
        stuck(
            "cannot be rendered: invalid",
            Facts::of(&[offline()]).with(|f| f.rendered = Err(trouble("InvalidSpec"))),
            ["False InvalidSpec", "True InvalidSpec"],
        ),
        stuck(
            "a target does not exist",
            Facts::of(&[Verdict::Ready]).with(|f| f.unknown = ["dev9".to_owned()].into()),
            ["False UnknownTarget", "True UnknownTarget"],
        ),
        stuck(
            "a change failed for good",
            Facts::of(&[Verdict::Ready, Verdict::Stalled(trouble("RolledBack"))]),
            ["False RolledBack", "True RolledBack"],
        ),
        Row {
            progressing: "False ProgressDeadlineExceeded",
            ..stuck(
                "a change fails longer than its deadline",
                retrying().with(|f| f.overdue = true),
                ["False ImageNotFound", "True ProgressDeadlineExceeded"],
            )
        },
        moving(
            "a change fails and is tried again",
            retrying(),
            "False ImageNotFound",
            ["True Progressing"],
        ),
        moving(
            "a change is on its way",
            Facts::of(&[
                Verdict::Ready,
                Verdict::Progressing("web: is being created".into()),
            ]),
            "False Progressing",
            ["True Progressing"],
        ),
        moving(
            "its device is being deleted",
            Facts::of(&[Verdict::Ready, Verdict::Removing]),
            "False Progressing",
            ["True Progressing"],
        ),
        quiet(
            "suspended on the way",
            Facts::of(&[Verdict::OnHold(trouble("Suspended"))])
                .with(|f| f.workload.spec.suspend = Some(true)),
            "False Suspended",
            "False Suspended",
            "InProgress",
        ),
        quiet(
            "paused on the way",
            Facts::of(&[Verdict::OnHold(trouble("DevicePaused"))]),
            "False DevicePaused",
            "False DevicePaused",
            "InProgress",
        ),
        quiet(
            "unhealthy",
            Facts::of(&[Verdict::Ready, Verdict::Unhealthy(trouble("Unhealthy"))]),
            "False Unhealthy",
            "False Unhealthy",
            "InProgress",
        ),
        quiet(
            "restarting",
            Facts::of(&[Verdict::Unhealthy(trouble("CrashLoopBackOff"))]),
            "False CrashLoopBackOff",
            "False CrashLoopBackOff",
            "InProgress",
        ),
        quiet(
            "runtime away",
            Facts::of(&[Verdict::Unhealthy(trouble("RuntimeUnavailable"))]),
            "False RuntimeUnavailable",
            "False RuntimeUnavailable",
            "InProgress",
        ),
        quiet(
            "not heard of since we started, and not ready before",
            Facts::of(&[Verdict::Ready, Verdict::Unconfirmed { was_ready: false }]),
            "Unknown Unconfirmed",
            complete,
            "InProgress",
        ),
        quiet(
            "no target is connected",
            Facts::of(&[offline(), offline()]),
            "Unknown DeviceOffline",
            complete,
            "InProgress",
        ),
        quiet(
            "every connected target runs it healthily",
            Facts::of(&[Verdict::Ready, offline()]),
            "True Ready",
            complete,
            "Current",
        ),
        quiet(
            "not heard of since we started, and ready before",
            Facts::of(&[Verdict::Unconfirmed { was_ready: true }]),
            "True Ready",
            complete,
            "Current",
        ),
        quiet(
            "it runs healthily and differs from its declaration",
            Facts::of(&[Verdict::Ready]).with(|f| f.devices[0].1.drifted = true),
            "True Drifted",
            complete,
            "Current",
        ),
        quiet(
            "suspended and there",
            Facts::of(&[Verdict::Ready]).with(|f| f.workload.spec.suspend = Some(true)),
            "True Ready",
            "False Suspended",
            "Current",
        ),
    ]
}

#[test]
fn each_row_of_the_table_is_so() {
    for row in rows() {
        let status = row.facts.status();
        for (kind, wanted) in [
            (ConditionType::Ready, row.ready),
            (ConditionType::Progressing, row.progressing),
            (ConditionType::Reconciling, row.reconciling),
            (ConditionType::Stalled, row.stalled),
        ] {
            assert_eq!(told(&status, kind), wanted, "{}: {}", row.what, kind.as_str());
        }
        assert_eq!(status.conditions.len(), 4, "{}", row.what);
        assert_eq!(kstatus(&row.facts.workload, &status), row.kstatus, "{}", row.what);
    }
}

#[test]
fn of_two_rows_that_fit_the_first_counts() {
    let rows = rows();
    // From gravest to mildest, each on a device of its own: taking the gravest away uncovers the next.
    let mut facts = Facts::of(&[
        Verdict::Stalled(trouble("RolledBack")),
        Verdict::Retrying(trouble("ImageNotFound")),
        Verdict::Progressing("on".into()),
        Verdict::OnHold(trouble("DevicePaused")),
        Verdict::Unhealthy(trouble("Unhealthy")),
        Verdict::Unconfirmed { was_ready: false },
        offline(),
    ])
    .with(|f| {
        f.workload = deleting().workload;
        f.rendered = Err(trouble("ContentMissing"));
        f.unknown = ["dev9".to_owned()].into();
    });
    let mut seen = vec![told(&facts.status(), ConditionType::Ready)];
    facts.workload.metadata.deletion_timestamp = None;
    seen.push(told(&facts.status(), ConditionType::Ready));
    facts.rendered = Ok("r1".into());
    seen.push(told(&facts.status(), ConditionType::Ready));
    facts.unknown.clear();
    while !facts.devices.is_empty() {
        seen.push(told(&facts.status(), ConditionType::Ready));
        facts.devices.remove(0);
    }
    let wanted = [
        "False Deleting",
        "False ContentMissing",
        "False UnknownTarget",
        "False RolledBack",
        "False ImageNotFound",
        "False Progressing",
        "False DevicePaused",
        "False Unhealthy",
        "Unknown Unconfirmed",
        "Unknown DeviceOffline",
    ];
    assert_eq!(seen, wanted);
    assert!(rows.iter().all(|row| row.ready.contains(' ')));
}
