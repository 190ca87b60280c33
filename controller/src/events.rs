//! Kubernetes Events, from what changed between two reports. Pure but for [`publish`].
//!
//! | Reason | On | When |
//! |---|---|---|
//! | `Created`, `Replaced`, `Updated`, `Removed` | Workload | a container came, has another id, another configuration, is gone as ordered |
//! | `RolledBack`, `ImageTagNotFound`, … (Warning) | Workload | an agent reports a failure it did not report before |
//! | `Unhealthy`, `CrashLoopBackOff` (Warning) | Workload | a container that did well does not any more |
//! | `DriftDetected` (Warning), `DriftUndone` | Workload | a difference nobody declared came, or went |
//! | `Connected`, `Disconnected` (Warning) | Device | its agent came or went |
//! | `RuntimeUnavailable` (Warning), `RuntimeReady` | Device | its runtime went or came back |
//! | `DecommissionIncomplete` (Warning) | Device | it was deleted while it was away |
//!
//! The first report after a start is compared with nothing: what happened before was not seen.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use longshore_bus::envelope::Report;
use longshore_crds::conditions::reason;
use longshore_plan::hash::SpecHash;
use longshore_plan::names::ContainerKey;
use longshore_plan::observed::{ContainerState, Failure, Health, ObservedContainer, RuntimeState};

/// What an Event says; about which object is for the caller to add.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Note {
    /// Something went wrong.
    pub(crate) warning: bool,
    /// One word.
    pub(crate) reason: String,
    /// What was done, in a few words that tell this from another event of the same reason.
    pub(crate) action: String,
    /// In words.
    pub(crate) words: String,
}

/// What an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// The device itself.
    Device,
    /// One of its workloads.
    Workload(String),
}

/// A Workload's or Device's note.
pub(crate) fn note(warning: bool, reason: &str, action: impl Into<String>, words: impl Into<String>) -> Note {
    Note {
        warning,
        reason: reason.to_owned(),
        action: cut(action.into(), ACTION_MOST),
        words: cut(words.into(), WORDS_MOST),
    }
}

/// The API's limits, in bytes.
const ACTION_MOST: usize = 128;
const WORDS_MOST: usize = 1024;

fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// What happened between two reports of one device. `images` is what its containers are declared with, and the hash of
/// that: of a container of another hash the image is not known.
pub(crate) fn transitions(
    device: &str,
    before: &Report,
    after: &Report,
    images: &BTreeMap<ContainerKey, (SpecHash, String)>,
) -> Vec<(About, Note)> {
    let mut notes = Vec::new();
    runtime(before, after, &mut notes);
    let (old, new) = (newest(before), newest(after));
    let keys: BTreeSet<&ContainerKey> = old.keys().chain(new.keys()).copied().collect();
    let mut tell = |key: &ContainerKey, warning, reason: &str, tag: &str, words: String| {
        let action = format!("{reason}/{}/{tag}", key.container);
        let about = About::Workload(key.workload.to_string());
        notes.push((
            about,
            note(warning, reason, action, format!("{words} on {device}")),
        ));
    };
    for key in keys {
        let from = |container: &ObservedContainer| match images.get(key) {
            Some((hash, image)) if *hash == container.hash => format!(" from {image}"),
            _ => String::new(),
        };
        let name = &key.container;
        match (old.get(key), new.get(key)) {
            (None, Some(c)) => tell(
                key,
                false,
                "Created",
                &c.id.to_string(),
                format!("created {name}{}", from(c)),
            ),
            // Put back: the failure tells.
            (Some(a), Some(b)) if a.id != b.id && has_failed(after, a) => {}
            (Some(a), Some(b)) if a.id != b.id => {
                tell(
                    key,
                    false,
                    "Replaced",
                    &b.id.to_string(),
                    format!("replaced {name} by one{}", from(b)),
                );
            }
            (Some(c), None) => {
                let missed = after.drift.iter().any(|d| &d.key == key);
                if !missed && !after.observed.applied.iter().any(|a| &a.key == key) {
                    tell(
                        key,
                        false,
                        "Removed",
                        &c.id.to_string(),
                        format!("removed {name}"),
                    );
                }
            }
            (Some(a), Some(b)) => {
                if let (Some(x), Some(y)) = (config(before, key), config(after, key))
                    && x != y
                {
                    tell(key, false, "Updated", y, format!("updated {name} in place"));
                }
                if let Some((reason, words)) = worsened(a, b) {
                    tell(key, true, reason, &b.id.to_string(), format!("{name} {words}"));
                }
            }
            (None, None) => {}
        }
    }
    for failure in &after.observed.failures {
        if !before.observed.failures.iter().any(|f| is_same(f, failure)) {
            let reason = failure.reason.as_str();
            tell(
                &failure.key,
                true,
                reason,
                &failure.hash.0,
                format!("{}: {}", failure.key.container, failure.message),
            );
        }
    }
    let drifts = |a: &Report, b: &Report| -> Vec<(ContainerKey, String, String)> {
        let new = b
            .drift
            .iter()
            .filter(|d| !a.drift.iter().any(|e| e.key == d.key && e.field == d.field));
        new.map(|d| {
            (
                d.key.clone(),
                d.field.clone(),
                format!("{} is {} instead of {}", d.field, d.have, d.want),
            )
        })
        .collect()
    };
    for (key, field, words) in drifts(before, after) {
        tell(
            &key,
            true,
            "DriftDetected",
            &field,
            format!("{}: {words}", key.container),
        );
    }
    for (key, field, _) in drifts(after, before) {
        tell(
            &key,
            false,
            "DriftUndone",
            &field,
            format!("{}: {field} is as declared again", key.container),
        );
    }
    notes
}

/// The container of each key that counts: one that is up before one that is not.
fn newest(report: &Report) -> BTreeMap<&ContainerKey, &ObservedContainer> {
    let mut containers = BTreeMap::new();
    for container in &report.observed.containers {
        let entry = containers.entry(&container.key).or_insert(container);
        if !entry.state.is_up() && container.state.is_up() {
            *entry = container;
        }
    }
    containers
}

fn config<'a>(report: &'a Report, key: &ContainerKey) -> Option<&'a str> {
    let applied = report.observed.applied.iter().find(|a| &a.key == key)?;
    Some(applied.config_digest.as_str())
}

/// Whether what a container was made from is known to have failed.
fn has_failed(report: &Report, container: &ObservedContainer) -> bool {
    let failures = &report.observed.failures;
    failures
        .iter()
        .any(|f| f.key == container.key && f.hash == container.hash)
}

/// The same failure: how often it was tried does not make it another one.
fn is_same(a: &Failure, b: &Failure) -> bool {
    a.key == b.key && a.hash == b.hash && a.config_digest == b.config_digest && a.reason == b.reason
}

fn worsened(before: &ObservedContainer, after: &ObservedContainer) -> Option<(&'static str, String)> {
    let restarting = |c: &ObservedContainer| matches!(c.state, ContainerState::Restarting { .. });
    if let ContainerState::Restarting { exit_code } = after.state
        && !restarting(before)
    {
        let words = format!("exits with code {exit_code} and is started again");
        return Some((reason::CRASH_LOOP_BACK_OFF, words));
    }
    if after.health == Health::Unhealthy && before.health != Health::Unhealthy && !restarting(before) {
        return Some((reason::UNHEALTHY, "is not healthy".to_owned()));
    }
    None
}

fn runtime(before: &Report, after: &Report, notes: &mut Vec<(About, Note)>) {
    match (&before.observed.runtime, &after.observed.runtime) {
        (RuntimeState::Ready { .. }, RuntimeState::Unavailable { message }) => notes.push((
            About::Device,
            note(true, reason::RUNTIME_UNAVAILABLE, "LostRuntime", message.clone()),
        )),
        (RuntimeState::Unavailable { .. }, RuntimeState::Ready { kind, version, .. }) => notes.push((
            About::Device,
            note(
                false,
                reason::RUNTIME_READY,
                "FoundRuntime",
                format!("{kind} {version} answers"),
            ),
        )),
        _ => {}
    }
}

/// Events that wait to be published; the oldest are dropped when there are too many.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    waiting: VecDeque<(ObjectReference, Note)>,
    in_flight: bool,
    dropped: u64,
}

impl EventQueue {
    const CAPACITY: usize = 256;

    /// Adds one, unless the same is waiting already.
    pub(crate) fn push(&mut self, about: ObjectReference, note: Note) {
        if self.waiting.iter().any(|(a, n)| *a == about && *n == note) {
            return;
        }
        if self.waiting.len() == Self::CAPACITY {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back((about, note));
    }

    /// The next one, if none is on its way.
    pub(crate) fn take(&mut self) -> Option<(ObjectReference, Note)> {
        if self.in_flight {
            return None;
        }
        let next = self.waiting.pop_front();
        self.in_flight = next.is_some();
        next
    }

    /// The one on its way is published, or is not worth another try: nobody decides by events.
    pub(crate) fn done(&mut self) {
        self.in_flight = false;
    }

    /// Whether nothing waits and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.in_flight
    }

    /// How many were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The recorder under which events are published.
pub(crate) fn recorder(client: Client, identity: &str) -> Recorder {
    let reporter = Reporter {
        controller: "longshore.dev/controller".to_owned(),
        instance: Some(identity.to_owned()),
    };
    Recorder::new(client, reporter)
}

/// Publishes one.
pub(crate) async fn publish(
    recorder: Recorder,
    about: ObjectReference,
    note: Note,
) -> Result<(), kube::Error> {
    let event = Event {
        type_: if note.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: note.reason,
        note: Some(note.words),
        action: note.action,
        secondary: None,
    };
    recorder.publish(&event, &about).await
}
