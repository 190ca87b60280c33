//! Conditions: their types, their reasons, and how a new observation is merged into the stored ones.
//!
//! Reasons are part of the API: people script against them. A change's own failure reasons
//! (`ImageNotFound`, `RolledBack`, …) come from the agent and are written as they are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Workload: every connected target runs the observed generation healthily.
    Ready,
    /// Workload: a change is being brought about, as a Deployment's.
    Progressing,
    /// Workload, for kstatus: not there yet, and moving.
    Reconciling,
    /// Workload, for kstatus: not there, and it will not get there by itself.
    Stalled,
    /// Device: its agent is there.
    Connected,
    /// Device: its container runtime answers.
    RuntimeReady,
    /// Device: it has what it should have.
    Synced,
    /// Device: something differs that nobody declared.
    Drifted,
}

impl ConditionType {
    /// The type as conditions write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Connected => "Connected",
            Self::RuntimeReady => "RuntimeReady",
            Self::Synced => "Synced",
            Self::Drifted => "Drifted",
        }
    }
}

/// Why a condition is as it is. One-word reasons a script can match on.
pub mod reason {
    /// Ready: everything runs.
    pub const READY: &str = "Ready";
    /// Ready, Progressing, Reconciling: a change is on its way.
    pub const PROGRESSING: &str = "Progressing";
    /// Progressing: nothing is left to do.
    pub const COMPLETE: &str = "Complete";
    /// Stalled=False, Reconciling=False, Drifted=False: nothing to tell.
    pub const AS_EXPECTED: &str = "AsExpected";
    /// Ready, Stalled: a named target does not exist.
    pub const UNKNOWN_TARGET: &str = "UnknownTarget";
    /// Ready: the target's agent is not connected.
    pub const DEVICE_OFFLINE: &str = "DeviceOffline";
    /// Ready, Stalled: a referenced ConfigMap or Secret, or a key of it, does not exist.
    pub const CONTENT_MISSING: &str = "ContentMissing";
    /// Ready, Stalled: the spec passed the schema and cannot be rendered all the same.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Ready, Stalled: with it, what a device should have does not fit into one message.
    pub const TOO_LARGE: &str = "TooLarge";
    /// Ready, Progressing: the workload is suspended.
    pub const SUSPENDED: &str = "Suspended";
    /// Ready, Progressing: the device is paused.
    pub const DEVICE_PAUSED: &str = "DevicePaused";
    /// Ready: a container is not healthy.
    pub const UNHEALTHY: &str = "Unhealthy";
    /// Ready: a container exits and is started again, over and over.
    pub const CRASH_LOOP_BACK_OFF: &str = "CrashLoopBackOff";
    /// Ready: a device reports drift that is only observed.
    pub const DRIFTED: &str = "Drifted";
    /// Progressing, Stalled: the deadline passed.
    pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
    /// Ready: the workload is being removed from its devices.
    pub const DELETING: &str = "Deleting";
    /// Connected: the agent speaks.
    pub const AGENT_CONNECTED: &str = "AgentConnected";
    /// Connected: it said goodbye, or its leases ran out.
    pub const AGENT_GONE: &str = "AgentGone";
    /// Connected, and whatever hangs on it: nothing was heard of it since the controller started.
    pub const UNCONFIRMED: &str = "Unconfirmed";
    /// RuntimeReady: the runtime answers.
    pub const RUNTIME_READY: &str = "RuntimeReady";
    /// RuntimeReady: it does not.
    pub const RUNTIME_UNAVAILABLE: &str = "RuntimeUnavailable";
    /// Synced: the device has what it should have.
    pub const SYNCED: &str = "Synced";
    /// Synced: a plan is on its way or being carried out.
    pub const APPLYING: &str = "Applying";
    /// Synced: something is held back; the message says what and why.
    pub const HELD: &str = "Held";
    /// Synced: the device refused the plan.
    pub const PLAN_REFUSED: &str = "PlanRefused";
}

/// A condition as it is observed now, before it is merged with what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What it is about.
    pub kind: ConditionType,
    /// True, False, or absent for Unknown.
    pub status: Option<bool>,
    /// A word of [`reason`], or an agent's failure reason.
    pub reason: String,
    /// In words, for people.
    pub message: String,
}

impl Observation {
    /// A condition of that kind that is `True` or `False`.
    pub fn new(
        kind: ConditionType,
        status: bool,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status: Some(status),
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// One of which nothing is known.
    pub fn unknown(kind: ConditionType, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            reason: reason.into(),
            message: message.into(),
        }
    }

    fn status_text(&self) -> &'static str {
        match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// The longest message the API's own schema of conditions allows.
const MESSAGE_MAX: usize = 32768;

/// The stored conditions with `observed` merged in, sorted by type.
///
/// - A transition time moves to `now` only when the status changes, so merging the same observation
///   twice yields the same conditions and costs no write.
/// - Types that are not observed are kept as they are: absence is not an instruction, and others may
///   have written them.
/// - An empty reason becomes `Unknown`, because the API wants one.
pub fn merge(
    stored: &[Condition],
    observed: &[Observation],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let mut merged: Vec<Condition> = stored
        .iter()
        .filter(|c| observed.iter().all(|o| o.kind.as_str() != c.type_))
        .cloned()
        .collect();
    for (index, observation) in observed.iter().enumerate() {
        if observed[index + 1..]
            .iter()
            .any(|later| later.kind == observation.kind)
        {
            continue; // said twice: the later one counts
        }
        let status = observation.status_text();
        let before = stored.iter().find(|c| c.type_ == observation.kind.as_str());
        let last_transition_time = before
            .filter(|c| c.status == status)
            .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
        merged.push(Condition {
            type_: observation.kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: if observation.reason.is_empty() {
                "Unknown".to_owned()
            } else {
                observation.reason.clone()
            },
            message: observation.message.chars().take(MESSAGE_MAX / 4).collect(),
            last_transition_time,
            observed_generation: generation,
        });
    }
    merged.sort_by(|a, b| a.type_.cmp(&b.type_));
    merged
}

/// The condition of that type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Whether the condition of that type is `True`.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|c| c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    fn ready(status: bool, reason: &str) -> Observation {
        Observation::new(ConditionType::Ready, status, reason, "words")
    }

    #[test]
    fn a_transition_time_moves_only_with_the_status() {
        let first = merge(&[], &[ready(false, reason::PROGRESSING)], Some(1), &at(1));
        assert_eq!(first[0].last_transition_time, at(1));
        let other_reason = merge(&first, &[ready(false, reason::UNHEALTHY)], Some(2), &at(2));
        assert_eq!(other_reason[0].last_transition_time, at(1));
        assert_eq!(other_reason[0].reason, "Unhealthy");
        assert_eq!(other_reason[0].observed_generation, Some(2));
        let other_status = merge(&other_reason, &[ready(true, reason::READY)], Some(2), &at(3));
        assert_eq!(other_status[0].last_transition_time, at(3));
        assert!(is_true(&other_status, ConditionType::Ready));
    }

    #[test]
    fn merging_the_same_twice_changes_nothing() {
        let observed = [
            ready(true, reason::READY),
            Observation::unknown(ConditionType::Connected, "", ""),
        ];
        let once = merge(&[], &observed, Some(1), &at(1));
        assert_eq!(merge(&once, &observed, Some(1), &at(9)), once);
    }

    #[test]
    fn conditions_of_others_are_kept_and_all_are_sorted() {
        let foreign = Condition {
            type_: "Audited".into(),
            status: "True".into(),
            reason: "ByHand".into(),
            message: String::new(),
            last_transition_time: at(0),
            observed_generation: None,
        };
        let merged = merge(
            std::slice::from_ref(&foreign),
            &[
                ready(true, "Ready"),
                Observation::new(ConditionType::Progressing, false, "Complete", ""),
            ],
            None,
            &at(1),
        );
        let types: Vec<_> = merged.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["Audited", "Progressing", "Ready"]);
        assert_eq!(merged[0], foreign);
    }

    #[test]
    fn what_the_api_would_refuse_is_made_acceptable() {
        let long = Observation::new(ConditionType::Ready, false, "", "é".repeat(100_000));
        let merged = merge(&[], &[long], None, &at(1));
        assert_eq!(merged[0].reason, "Unknown");
        assert!(merged[0].message.len() <= MESSAGE_MAX);
    }

    #[test]
    fn the_later_of_two_observations_counts() {
        let merged = merge(&[], &[ready(true, "A"), ready(false, "B")], None, &at(1));
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].reason, "B");
    }
}
