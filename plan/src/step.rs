//! A plan: ordered steps, each naming its object, what is done to it, what must be true before, and why.
//! A plan is a value one can print; nothing is decided while it is carried out.

use serde::{Deserialize, Serialize};

use crate::desired::{DesiredSet, RemovalReason};
use crate::names::{ContainerKey, DnsLabel, EngineId};
use crate::observed::FailureReason;

/// Who decided, and in which order: (siteUID, epoch, n), compared within one site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fence {
    /// Made once per site; another site's fence is never compared, only refused.
    pub site: String,
    /// Grows with every acquisition of leadership.
    pub epoch: u64,
    /// Counts the plans of one device within an epoch.
    pub n: u64,
}

impl Fence {
    /// Whether `self` comes after `other` of the same site.
    pub fn is_after(&self, other: &Self) -> bool {
        (self.epoch, self.n) > (other.epoch, other.n)
    }
}

/// What the planner answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What to do, in order. Empty means the device is as desired, or nothing can be done now.
    pub steps: Vec<Step>,
    /// What is not done, and why. Sorted by key.
    pub held: Vec<Held>,
}

/// One imperative action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// The workload it serves. When one of its steps fails, its later steps are skipped and those of
    /// other workloads go on.
    pub workload: DnsLabel,
    /// What is done. Everything it needs beyond ids lies in the [`DesiredSet`] that travels along.
    pub action: Action,
    /// What must be true when its turn comes; otherwise it is refused without effect.
    pub precondition: Precondition,
    /// Why.
    pub reason: Reason,
}

impl Step {
    /// The container it acts on. An image, a network or a volume is no container's own.
    pub fn container(&self) -> Option<ContainerKey> {
        match &self.action {
            Action::PullImage { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::CreateVolume { .. }
            | Action::RemoveVolume { .. } => None,
            Action::CreateContainer { container }
            | Action::StartContainer { container }
            | Action::StopContainer { container }
            | Action::UnpauseContainer { container }
            | Action::RenameContainer { container }
            | Action::UpdateContainer { container }
            | Action::ReplaceContainer { container }
            | Action::RemoveContainer { container } => {
                Some(ContainerKey::new(self.workload.clone(), container.clone()))
            }
        }
    }
}

/// What a step does. Containers are named by key; their spec is looked up in the desired set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Action {
    /// Bring the image to the device (or see that it is there, by the container's pull policy).
    PullImage {
        /// The container that needs it.
        container: DnsLabel,
        /// The image.
        image: String,
    },
    /// Make a network.
    CreateNetwork {
        /// Its engine name.
        name: String,
    },
    /// Remove a network of ours that nobody uses any more.
    RemoveNetwork {
        /// Its engine name.
        name: String,
    },
    /// Make a volume, or attach the retained one of that name.
    CreateVolume {
        /// Its engine name.
        name: String,
    },
    /// Remove a volume of ours whose reclaim policy is `Delete`.
    RemoveVolume {
        /// Its engine name.
        name: String,
    },
    /// Wait for its dependencies, make the container and start it.
    CreateContainer {
        /// Which.
        container: DnsLabel,
    },
    /// Start one that exists and does not run.
    StartContainer {
        /// Which.
        container: DnsLabel,
    },
    /// Stop one that must not run beside another.
    StopContainer {
        /// Which.
        container: DnsLabel,
    },
    /// Unfreeze it.
    UnpauseContainer {
        /// Which.
        container: DnsLabel,
    },
    /// Give it its engine name back.
    RenameContainer {
        /// Which.
        container: DnsLabel,
    },
    /// Bring its changeable part to what is desired, without a restart: restart policy, resources,
    /// networks, content.
    UpdateContainer {
        /// Which.
        container: DnsLabel,
    },
    /// The new one instead of the old one, put back if it does not become healthy.
    ReplaceContainer {
        /// Which.
        container: DnsLabel,
    },
    /// Stop (with its grace period) and remove it, with its anonymous volumes.
    RemoveContainer {
        /// Which.
        container: DnsLabel,
    },
}

/// What must be true before a step has an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Precondition {
    /// Nothing: the action is idempotent by itself.
    None,
    /// No managed container of that key exists.
    Absent,
    /// The managed container of that key has this engine id.
    Is {
        /// The id.
        id: EngineId,
    },
}

/// Why a step is taken. The words are in [`crate::explain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Reason {
    /// Declared, and not there yet.
    Declared,
    /// The declaration changed.
    Changed,
    /// Somebody or something changed it behind our back. An update for this reason that the engine cannot
    /// make in place fails; it never becomes a replacement, since what is declared has not changed.
    Drifted {
        /// Which fields, as [`crate::observed::Drift::field`] names them.
        fields: Vec<String>,
    },
    /// It exited and its policy wants it to run.
    Exited,
    /// The workload, or the container within it, is to go.
    Removed {
        /// Absent when the workload stays and only this container left its spec.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<RemovalReason>,
    },
    /// More than one of a container exists; one too many goes.
    Duplicate,
    /// A later step needs it.
    NeededBy {
        /// The container that needs it.
        container: DnsLabel,
    },
    /// An earlier attempt at something declared failed and is due again. Drift stays drift.
    Retry,
}

/// A container for which nothing is done although it is not as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The container.
    #[serde(flatten)]
    pub key: ContainerKey,
    /// Why.
    pub cause: HeldCause,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum HeldCause {
    /// The device is paused.
    DevicePaused,
    /// The workload is suspended.
    WorkloadSuspended,
    /// The difference is drift and the workload only observes it.
    DriftObserved {
        /// Which fields.
        fields: Vec<String>,
    },
    /// An attempt failed; its back-off runs, or its hash is blocked.
    Failed {
        /// Why it failed.
        reason: FailureReason,
        /// In words.
        message: String,
        /// Never again by itself.
        blocked: bool,
    },
    /// Another container holds the host port.
    PortConflict {
        /// The port.
        port: u16,
        /// Whose it is: an engine name or `<workload>.<container>`.
        with: String,
    },
    /// Another object holds the name.
    NameConflict {
        /// The name.
        name: String,
        /// Whose it is.
        with: String,
    },
    /// The runtime does not answer.
    RuntimeUnavailable,
    /// Its workload is neither desired nor ordered away: kept, reported, removed by an explicit act only.
    Orphaned,
}

/// A plan on its way to a device: everything the agent needs to bring it to its end alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanCommand {
    /// Who decided.
    pub fence: Fence,
    /// The whole desired set.
    pub desired: DesiredSet,
    /// The steps, each with the id its answer carries.
    pub steps: Vec<NumberedStep>,
}

/// A step with its correlation id (a UUID in text form).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NumberedStep {
    /// Joins the step and its answer.
    pub correlation_id: String,
    /// The step.
    pub step: Step,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StepOutcome {
    /// Done, or found already done.
    Done {
        /// Whether anything had to be changed.
        changed: bool,
    },
    /// Refused without effect: the precondition did not hold.
    PreconditionFailed {
        /// What was found instead.
        found: String,
    },
    /// Tried and failed; what ran before runs.
    Failed {
        /// Why.
        reason: FailureReason,
        /// In words, without secrets.
        message: String,
    },
    /// Not tried, because an earlier step of its workload failed or a newer plan took over.
    Skipped {
        /// Why, in words.
        because: String,
    },
}
