//! What the ledger knows of the replace under way.

use longshore_plan::desired::{DesiredContainer, DesiredWorkload};
use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::FailureReason;
use longshore_plan::spec::RestartPolicy;
use serde::{Deserialize, Serialize};

/// A replace under way: everything needed to finish it, forward or back, without the plan it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplaceJournal {
    pub(crate) key: ContainerKey,
    /// The workload as desired, with the new container in it.
    pub(crate) workload: DesiredWorkload,
    /// The step it carries out, if it is one of a plan.
    pub(crate) step: Option<String>,
    pub(crate) old: EngineId,
    pub(crate) old_name: String,
    pub(crate) old_policy: RestartPolicy,
    /// Whether the old one is started again when it is put back.
    pub(crate) old_runs: bool,
    pub(crate) phase: ReplacePhase,
}

/// How far a replace is. Recorded before the phase's first effect; every phase can be begun again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ReplacePhase {
    /// The new one is made as `<name>.next`. The old one is untouched.
    Creating,
    /// The old one steps aside and the new one is started and watched.
    Switching { new: EngineId },
    /// The new one is healthy, or kept as it is; the old one goes.
    Committing {
        new: EngineId,
        /// Kept although not healthy (`onFailure: Continue`): the reason and words.
        kept: Option<(FailureReason, String)>,
    },
    /// The new one goes and the old one comes back.
    #[serde(rename_all = "camelCase")]
    PuttingBack { new: EngineId, why: PutBack },
}

impl std::fmt::Display for ReplacePhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Creating => "making the new container",
            Self::Switching { .. } => "switching over to the new container",
            Self::Committing { .. } => "removing the old container",
            Self::PuttingBack { .. } => "putting the old container back",
        })
    }
}

/// Why a new container was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PutBack {
    /// It failed.
    Failed {
        reason: FailureReason,
        message: String,
        /// It is its own fault, and would fail again: not the fault of who holds its port, its name, or
        /// the disk.
        #[serde(default = "its_own")]
        own: bool,
    },
    /// A newer plan wants something else.
    Superseded,
}

/// An older journal's word, which blocked whatever the reason was.
fn its_own() -> bool {
    true
}

impl ReplaceJournal {
    /// The new container as desired.
    pub(crate) fn desired(&self) -> Option<&DesiredContainer> {
        self.workload
            .containers
            .iter()
            .find(|c| c.name == self.key.container)
    }
}
