//! Statuses of Devices and Workloads, from what was observed. Pure.
//!
//! Conditions of a Workload, first match wins:
//!
//! | Situation | Ready | Progressing | Reconciling | Stalled |
//! |---|---|---|---|---|
//! | being deleted | False `Deleting` | True | True | – |
//! | cannot be rendered: missing content, invalid | False `ContentMissing`, `InvalidSpec` | False | – | True |
//! | does not fit into a message to its device | False `TooLarge` | False | – | True |
//! | a target does not exist | False `UnknownTarget` | False | – | True |
//! | a change failed for good: rolled back, port or name taken, plan refused | False, the failure's | False | – | True |
//! | a change fails longer than its deadline | False, the failure's | False `ProgressDeadlineExceeded` | – | True |
//! | a change fails and is tried again (an image, say) | False, the failure's | True | True | – |
//! | a change is on its way | False `Progressing` | True | True | – |
//! | it is being taken off a device that is being deleted | False `Progressing` | True | True | – |
//! | suspended or paused on the way | False `Suspended`, `DevicePaused` | False, the same | – | – |
//! | a device is being deleted and keeps it | False `Deleting` | False, the same | – | – |
//! | unhealthy, restarting, runtime away | False, which | False, the same | – | – |
//! | no target is connected | Unknown `DeviceOffline` | False | – | – |
//! | every connected target runs it healthily | True `Ready`, `Drifted` | False `Complete` | – | – |
//!
//! "–" is False with reason `AsExpected`. kstatus reads them as InProgress (Reconciling), Failed (Stalled)
//! and otherwise by Ready; never are Reconciling and Stalled both True. `observedGeneration` moves when
//! the spec of that generation has been decided on.

mod device;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_crds::conditions::{self, ConditionType, Observation, reason};
use longshore_crds::workload::FailingDevice;
use longshore_crds::{Workload, WorkloadStatus};

use crate::assess::{OnDevice, Trouble, Verdict};

pub(crate) use self::device::{DeviceFacts, device_status, gone_words};

/// What a Workload's status is made from.
#[derive(Debug)]
pub(crate) struct WorkloadFacts<'a> {
    /// The object.
    pub(crate) workload: &'a Workload,
    /// The revision it renders to, or why it does not.
    pub(crate) rendered: Result<&'a str, &'a Trouble>,
    /// Its targets that exist, and how it stands there, by name.
    pub(crate) devices: Vec<(&'a str, &'a OnDevice)>,
    /// Names in its targets that no device has.
    pub(crate) unknown: &'a BTreeSet<String>,
    /// Devices that still have something of it and should not, by name.
    pub(crate) leaving: Vec<&'a str>,
    /// It fails for longer than its progress deadline.
    pub(crate) overdue: bool,
}

/// The four conditions before they are merged with the stored ones.
struct Conditions {
    ready: (Option<bool>, String, String),
    progressing: (bool, String, String),
    reconciling: Option<(String, String)>,
    stalled: Option<(String, String)>,
}

/// The Workload's status now, from the stored one (for transition times) and what is known.
pub(crate) fn workload_status(
    facts: &WorkloadFacts<'_>,
    stored: &WorkloadStatus,
    now: &Time,
) -> WorkloadStatus {
    let count = |pred: fn(&OnDevice) -> bool| number(facts.devices.iter().filter(|(_, d)| pred(d)).count());
    let desired = number(facts.devices.len() + facts.unknown.len());
    let ready = count(is_ready);
    let failing = facts
        .devices
        .iter()
        .filter_map(|(name, d)| Some((*name, d.verdict.failure()?)));
    let generation = facts.workload.metadata.generation;
    WorkloadStatus {
        observed_generation: generation,
        revision: facts
            .rendered
            .ok()
            .map(str::to_owned)
            .or_else(|| stored.revision.clone()),
        ready_devices: Some(format!("{ready}/{desired}")),
        desired: Some(desired),
        updated: Some(count(is_updated)),
        ready: Some(ready),
        drifted: Some(count(|d| d.drifted)),
        offline: Some(count(|d| matches!(d.verdict, Verdict::Offline(_)))),
        failed: Some(number(failing.clone().count())),
        failing: failing
            .take(WorkloadStatus::MAX_FAILING)
            .map(|(device, trouble)| FailingDevice {
                device: device.to_owned(),
                container: trouble.container.clone(),
                reason: trouble.reason.clone(),
                message: Some(trouble.message.clone()),
            })
            .collect(),
        conditions: conditions::merge(
            &stored.conditions,
            &observe(facts, ready, desired),
            generation,
            now,
        ),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn is_ready(device: &OnDevice) -> bool {
    matches!(
        device.verdict,
        Verdict::Ready | Verdict::Unconfirmed { was_ready: true }
    )
}

/// Of one that was ready when it was last seen its stored status still counts.
fn is_updated(device: &OnDevice) -> bool {
    device.updated || matches!(device.verdict, Verdict::Unconfirmed { was_ready: true })
}

fn observe(facts: &WorkloadFacts<'_>, ready: u32, desired: u32) -> Vec<Observation> {
    let Conditions {
        ready,
        progressing,
        reconciling,
        stalled,
    } = situation(facts, ready, desired);
    let (status, word, message) = ready;
    let when = |kind, told: Option<(String, String)>| match told {
        Some((word, message)) => Observation::new(kind, true, word, message),
        None => Observation::new(kind, false, reason::AS_EXPECTED, ""),
    };
    vec![
        Observation {
            kind: ConditionType::Ready,
            status,
            reason: word,
            message,
        },
        Observation::new(
            ConditionType::Progressing,
            progressing.0,
            progressing.1,
            progressing.2,
        ),
        when(ConditionType::Reconciling, reconciling),
        when(ConditionType::Stalled, stalled),
    ]
}

fn situation(facts: &WorkloadFacts<'_>, ready: u32, desired: u32) -> Conditions {
    if facts.workload.metadata.deletion_timestamp.is_some() {
        let message = match facts.leaving.as_slice() {
            [] => "waiting for its devices".to_owned(),
            names => format!("waiting for {}", some_of(names)),
        };
        return moving(reason::DELETING, message.clone(), reason::DELETING, message);
    }
    if let Err(trouble) = facts.rendered {
        return stuck(&trouble.reason, &trouble.message);
    }
    if !facts.unknown.is_empty() {
        let names: Vec<&str> = facts.unknown.iter().map(String::as_str).collect();
        let message = format!("there is no device {}", some_of(&names));
        return stuck(reason::UNKNOWN_TARGET, &message);
    }
    if let Some((device, trouble)) = first(facts, |v| match v {
        Verdict::Stalled(trouble) => Some(trouble),
        _ => None,
    }) {
        return stuck(&trouble.reason, &on(device, &trouble.message));
    }
    if let Some((device, trouble)) = first(facts, |v| match v {
        Verdict::Retrying(trouble) => Some(trouble),
        _ => None,
    }) {
        let message = on(device, &trouble.message);
        if facts.overdue {
            let why = format!("not there within the progress deadline: {message}");
            return Conditions {
                ready: (Some(false), trouble.reason.clone(), message),
                progressing: (false, reason::PROGRESS_DEADLINE_EXCEEDED.to_owned(), why.clone()),
                reconciling: None,
                stalled: Some((reason::PROGRESS_DEADLINE_EXCEEDED.to_owned(), why)),
            };
        }
        return moving(&trouble.reason, message.clone(), reason::PROGRESSING, message);
    }
    if let Some((device, message)) = first(facts, |v| match v {
        Verdict::Progressing(message) => Some(message.as_str()),
        Verdict::Removing => Some("is being taken off"),
        _ => None,
    }) {
        let message = format!("{ready}/{desired} ready; {}", on(device, message));
        return moving(reason::PROGRESSING, message.clone(), reason::PROGRESSING, message);
    }
    settled(facts, ready, desired)
}

/// Nothing is being changed: how does it stand?
fn settled(facts: &WorkloadFacts<'_>, ready: u32, desired: u32) -> Conditions {
    let offline = facts
        .devices
        .iter()
        .filter(|(_, d)| matches!(d.verdict, Verdict::Offline(_)))
        .count();
    let counts = match offline {
        0 => format!("{ready}/{desired} ready"),
        _ => format!("{ready}/{desired} ready, {offline} offline"),
    };
    let suspended = facts.workload.spec.suspend == Some(true);
    let progressing = if suspended {
        (
            false,
            reason::SUSPENDED.to_owned(),
            "the workload is suspended".to_owned(),
        )
    } else {
        (false, reason::COMPLETE.to_owned(), counts.clone())
    };
    let quiet = |ready, progressing| Conditions {
        ready,
        progressing,
        reconciling: None,
        stalled: None,
    };
    if let Some((device, trouble)) = first(facts, |v| match v {
        Verdict::OnHold(trouble) => Some(trouble),
        _ => None,
    }) {
        let message = on(device, &trouble.message);
        let progressing = (false, trouble.reason.clone(), message.clone());
        return quiet((Some(false), trouble.reason.clone(), message), progressing);
    }
    if let Some((device, trouble)) = first(facts, |v| match v {
        Verdict::Unhealthy(trouble) => Some(trouble),
        _ => None,
    }) {
        let message = on(device, &trouble.message);
        // Nothing is being changed, and nothing is complete either.
        let progressing = if suspended {
            progressing
        } else {
            (false, trouble.reason.clone(), message.clone())
        };
        return quiet((Some(false), trouble.reason.clone(), message), progressing);
    }
    let unconfirmed = facts
        .devices
        .iter()
        .any(|(_, d)| matches!(d.verdict, Verdict::Unconfirmed { was_ready: false }));
    if unconfirmed {
        return quiet((None, reason::UNCONFIRMED.to_owned(), counts), progressing);
    }
    if offline > 0 && ready == 0 {
        return quiet((None, reason::DEVICE_OFFLINE.to_owned(), counts), progressing);
    }
    let drifted: Vec<&str> = facts
        .devices
        .iter()
        .filter(|(_, d)| d.drifted)
        .map(|(name, _)| *name)
        .collect();
    let ready = match drifted.as_slice() {
        [] => (Some(true), reason::READY.to_owned(), counts),
        names => {
            let message = format!("{counts}; differs from its declaration on {}", some_of(names));
            (Some(true), reason::DRIFTED.to_owned(), message)
        }
    };
    quiet(ready, progressing)
}

/// On its way.
fn moving(ready: &str, ready_message: String, why: &str, message: String) -> Conditions {
    Conditions {
        ready: (Some(false), ready.to_owned(), ready_message),
        progressing: (true, why.to_owned(), message.clone()),
        reconciling: Some((why.to_owned(), message)),
        stalled: None,
    }
}

/// Not going to get there by itself.
fn stuck(why: &str, message: &str) -> Conditions {
    Conditions {
        ready: (Some(false), why.to_owned(), message.to_owned()),
        progressing: (false, why.to_owned(), message.to_owned()),
        reconciling: None,
        stalled: Some((why.to_owned(), message.to_owned())),
    }
}

/// The first device, by name, whose verdict is of some kind.
fn first<'a, T: ?Sized>(
    facts: &WorkloadFacts<'a>,
    pick: impl Fn(&'a Verdict) -> Option<&'a T>,
) -> Option<(&'a str, &'a T)> {
    facts
        .devices
        .iter()
        .find_map(|(name, d)| Some((*name, pick(&d.verdict)?)))
}

fn on(device: &str, message: &str) -> String {
    format!("{device}: {message}")
}

/// A few names, and how many more.
fn some_of(names: &[&str]) -> String {
    const SOME: usize = 5;
    let shown = names[..names.len().min(SOME)].join(", ");
    match names.len().saturating_sub(SOME) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
