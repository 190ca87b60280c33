//! What the ledger records, one line each.

use longshore_bus::envelope::CorrelationId;
use longshore_plan::hash::SpecHash;
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{Applied, OwnedVolume};
use longshore_plan::step::{PlanCommand, StepOutcome};
use serde::{Deserialize, Serialize};

use super::replacement::{ReplaceJournal, ReplacePhase};
use super::state::{CommandOutcome, FailureRecord, LedgerState, OwnedContainer, OwnedImage};

/// One change of the state. Grows by variants only; old ones must load for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Record {
    /// The whole state: the first line of every log, and no other.
    Snapshot(Box<LedgerState>),
    /// Several at once: all of them happened, or none.
    Together(Vec<Record>),
    /// A plan was accepted and will be brought to its end.
    #[serde(rename_all = "camelCase")]
    Accepted {
        command: Box<PlanCommand>,
        correlation_id: CorrelationId,
        response_topic: String,
        /// Unix seconds.
        at: u64,
    },
    /// Somebody asked for an accepted plan once more, under another id.
    #[serde(rename_all = "camelCase")]
    AlsoAsked {
        plan: CorrelationId,
        correlation_id: CorrelationId,
        response_topic: String,
    },
    /// A step of the running plan ended.
    StepEnded {
        id: String,
        outcome: StepOutcome,
        at: u64,
    },
    /// The running plan ended: what converged becomes current, and a waiting plan becomes the running one.
    PlanEnded { outcome: CommandOutcome },
    /// A plan made here is about to be carried out.
    LocalPlan { steps: usize, at: u64 },
    /// A replace begins.
    ReplaceBegan(Box<ReplaceJournal>),
    /// A replace goes on: what the phase stands for is about to be done.
    ReplacePhase(ReplacePhase),
    /// A replace ended, one way or the other.
    ReplaceEnded,
    /// A container is ours.
    #[serde(rename_all = "camelCase")]
    ContainerOwned { id: EngineId, container: OwnedContainer },
    /// A container is about to be stopped by us, in the run that began then: it does not complete.
    #[serde(rename_all = "camelCase")]
    Stopping { id: EngineId, started_at: String },
    /// A container is gone.
    ContainerGone { id: EngineId },
    /// A network is ours.
    NetworkOwned { name: String, workload: DnsLabel },
    /// A network is gone.
    NetworkGone { name: String },
    /// A volume is ours.
    VolumeOwned(OwnedVolume),
    /// A volume is gone, or nobody's any more.
    VolumeGone { name: String },
    /// An image was brought here by us.
    ImageOwned { reference: String, image: OwnedImage },
    /// An image is gone.
    ImageGone { reference: String },
    /// A container is as it was desired.
    Applied(Applied),
    /// A container exited 0 and rests.
    Completed { key: ContainerKey },
    /// A container is not to be there any more.
    Forgotten { key: ContainerKey },
    /// A change did not work.
    Failed(FailureRecord),
    /// A change that had not worked does.
    Healed { key: ContainerKey, hash: SpecHash },
}
