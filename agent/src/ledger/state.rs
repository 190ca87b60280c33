//! The ledger's state: a pure fold of its records. No record can make it panic.

use std::collections::BTreeMap;

use longshore_bus::envelope::{CorrelationId, Status};
use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload};
use longshore_plan::hash::{SpecHash, config_digest, digest_hex};
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{Applied, FailureReason, OwnedVolume};
use longshore_plan::step::{Fence, PlanCommand, StepOutcome};
use serde::{Deserialize, Serialize};

use super::pairs;
use super::record::Record;
use super::replacement::ReplaceJournal;
use crate::answers;
use crate::local;

/// For how long the outcome of a command is remembered, in seconds.
const OUTCOMES_KEPT: u64 = 24 * 3600;
/// How many outcomes are remembered at most.
const MAX_OUTCOMES: usize = 512;

/// Everything the agent must know after a crash.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LedgerState {
    /// The site this device belongs to, pinned by its first plan.
    pub(crate) site: Option<String>,
    /// The last plan accepted: the highest fence, and the digest that another one of it must have.
    pub(crate) accepted: Option<Accepted>,
    /// What last converged, container by container.
    pub(crate) current: DesiredSet,
    /// What was desired by the last plan that ended, converged or not.
    pub(crate) target: Option<DesiredSet>,
    /// The plan being carried out.
    pub(crate) next: Option<Next>,
    /// A newer plan that waits for the running one's current step.
    pub(crate) pending: Option<Next>,
    /// The replace that is under way.
    pub(crate) replace: Option<ReplaceJournal>,
    pub(crate) containers: BTreeMap<EngineId, OwnedContainer>,
    /// The run of each container, by its start, that we ended before it had ended by itself.
    pub(crate) stopped: BTreeMap<EngineId, String>,
    /// Our networks and their workload.
    pub(crate) networks: BTreeMap<String, DnsLabel>,
    pub(crate) volumes: BTreeMap<String, OwnedVolume>,
    pub(crate) images: BTreeMap<String, OwnedImage>,
    #[serde(with = "pairs")]
    pub(crate) applied: BTreeMap<ContainerKey, Applied>,
    #[serde(with = "pairs")]
    pub(crate) failures: BTreeMap<(ContainerKey, SpecHash), FailureRecord>,
    /// The last retry token seen, by workload.
    pub(crate) retry_tokens: BTreeMap<String, String>,
    pub(crate) outcomes: BTreeMap<CorrelationId, CommandOutcome>,
}

/// What was accepted last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Accepted {
    pub(crate) fence: Fence,
    pub(crate) digest: String,
    pub(crate) desired_digest: String,
    pub(crate) correlation_id: CorrelationId,
}

/// A journaled plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Next {
    pub(crate) command: PlanCommand,
    pub(crate) correlation_id: CorrelationId,
    pub(crate) response_topic: String,
    /// How its steps ended so far, by their ids.
    #[serde(default)]
    pub(crate) outcomes: BTreeMap<String, StepOutcome>,
    /// Who asked for the very same plan under an id of their own, and where they want its end told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<(CorrelationId, String)>,
}

impl Next {
    /// So many ask for one plan at most.
    pub(crate) const MAX_ALSO: usize = 8;

    /// Everybody who asked for it, and where they want its end told.
    pub(crate) fn requesters(&self) -> impl Iterator<Item = (CorrelationId, &str)> {
        let also = self.also.iter().map(|(id, topic)| (*id, topic.as_str()));
        std::iter::once((self.correlation_id, self.response_topic.as_str())).chain(also)
    }

    /// Whether the plan was asked for under that id.
    pub(crate) fn is_asked_by(&self, id: CorrelationId) -> bool {
        self.requesters().any(|(of, _)| of == id)
    }

    /// Whether it has a step of that id.
    pub(crate) fn has_step(&self, id: &str) -> bool {
        self.command.steps.iter().any(|s| s.correlation_id == id)
    }
}

/// A container of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnedContainer {
    pub(crate) key: ContainerKey,
    pub(crate) hash: SpecHash,
}

/// An image we brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnedImage {
    pub(crate) id: String,
    /// Who asked for it last.
    pub(crate) workload: DnsLabel,
    /// Unix seconds of the pull.
    pub(crate) at: u64,
}

/// How a command ended, without bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandOutcome {
    pub(crate) status: Status,
    pub(crate) code: u16,
    /// The stable error code and short words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<(String, String)>,
    /// Unix seconds.
    pub(crate) at: u64,
}

/// A change that did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureRecord {
    pub(crate) key: ContainerKey,
    pub(crate) hash: SpecHash,
    pub(crate) config_digest: String,
    pub(crate) reason: FailureReason,
    pub(crate) message: String,
    /// Not tried again by itself.
    pub(crate) blocked: bool,
    /// Counted by the fold.
    #[serde(default)]
    pub(crate) attempts: u32,
    /// How often what ran was stopped for it; summed by the fold.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) stops: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl LedgerState {
    /// Takes one record.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Snapshot(state) => *self = *state,
            Record::Together(records) => {
                for record in records {
                    self.apply(record);
                }
            }
            Record::Accepted {
                command,
                correlation_id,
                response_topic,
                at,
            } => self.accept(*command, correlation_id, response_topic, at),
            Record::AlsoAsked {
                plan,
                correlation_id,
                response_topic,
            } => {
                let mut open = self.pending.iter_mut().chain(&mut self.next);
                if let Some(plan) = open.find(|next| next.correlation_id == plan) {
                    plan.also.push((correlation_id, response_topic));
                }
            }
            Record::StepEnded { id, outcome, at } => {
                if let Ok(id) = id.parse().map(CorrelationId) {
                    self.remember(id, answers::outcome_of_step(&outcome, at));
                }
                if let Some(next) = &mut self.next {
                    next.outcomes.insert(id, outcome);
                }
            }
            Record::PlanEnded { outcome } => self.end_plan(&outcome),
            Record::LocalPlan { .. } => {}
            Record::ReplaceBegan(journal) => self.replace = Some(*journal),
            Record::ReplacePhase(phase) => {
                if let Some(journal) = &mut self.replace {
                    journal.phase = phase;
                }
            }
            Record::ReplaceEnded => self.replace = None,
            Record::ContainerOwned { id, container } => {
                self.containers.insert(id, container);
            }
            Record::Stopping { id, started_at } => {
                self.stopped.insert(id, started_at);
            }
            Record::ContainerGone { id } => {
                self.containers.remove(&id);
                self.stopped.remove(&id);
            }
            Record::NetworkOwned { name, workload } => {
                self.networks.insert(name, workload);
            }
            Record::NetworkGone { name } => {
                self.networks.remove(&name);
            }
            Record::VolumeOwned(volume) => {
                self.volumes.insert(volume.name.clone(), volume);
            }
            Record::VolumeGone { name } => {
                self.volumes.remove(&name);
            }
            Record::ImageOwned { reference, image } => {
                self.images.insert(reference, image);
            }
            Record::ImageGone { reference } => {
                self.images.remove(&reference);
            }
            Record::Applied(applied) => {
                self.applied.insert(applied.key.clone(), applied);
            }
            Record::Completed { key } => {
                if let Some(applied) = self.applied.get_mut(&key) {
                    applied.completed = true;
                }
            }
            Record::Forgotten { key } => {
                self.applied.remove(&key);
                self.failures.retain(|(of, _), _| *of != key);
            }
            Record::Failed(failure) => self.fail(failure),
            Record::Healed { key, hash } => {
                self.failures.remove(&(key, hash));
            }
        }
    }

    fn accept(
        &mut self,
        command: PlanCommand,
        correlation_id: CorrelationId,
        response_topic: String,
        at: u64,
    ) {
        self.site.get_or_insert_with(|| command.fence.site.clone());
        self.accepted = Some(Accepted {
            fence: command.fence.clone(),
            digest: digest_hex(&command),
            desired_digest: digest_hex(&command.desired),
            correlation_id,
        });
        self.forget_failures(&command.desired);
        let next = Next {
            command,
            correlation_id,
            response_topic,
            outcomes: BTreeMap::new(),
            also: Vec::new(),
        };
        if self.next.is_none() {
            self.next = Some(next);
        } else if let Some(overtaken) = self.pending.replace(next) {
            // Its steps too: who asked for it may have been told nothing yet, and asks again.
            for id in overtaken.command.steps.iter().map(|s| &s.correlation_id) {
                if let Ok(id) = id.parse().map(CorrelationId) {
                    self.remember(id, answers::superseded(at));
                }
            }
            for (id, _) in overtaken.requesters() {
                self.remember(id, answers::superseded(at));
            }
        }
    }

    /// A failure is forgotten when its spec changed, its workload went, or somebody asked for a retry.
    fn forget_failures(&mut self, desired: &DesiredSet) {
        let asked: Vec<&DnsLabel> = desired
            .workloads
            .iter()
            .filter(|w| w.retry.is_some() && w.retry.as_ref() != self.retry_tokens.get(w.name.as_str()))
            .map(|w| &w.name)
            .collect();
        self.failures.retain(|(key, _), failure| {
            !asked.contains(&&key.workload)
                && desired
                    .container(key)
                    .is_some_and(|(_, wanted)| failure.is_of(wanted))
        });
        self.retry_tokens = retry_tokens(desired);
    }

    fn end_plan(&mut self, outcome: &CommandOutcome) {
        let Some(next) = self.next.take() else { return };
        for (id, _) in next.requesters() {
            self.remember(id, outcome.clone());
        }
        if let Some(pending) = self.pending.clone() {
            // Somebody who asks for a retry while the attempt still runs asks for one after it.
            self.retry_tokens = retry_tokens(&next.command.desired);
            self.forget_failures(&pending.command.desired);
        }
        self.current = local::converged(&self.current, &next.command.desired, &self.applied);
        self.target = Some(next.command.desired);
        self.next = self.pending.take();
        // What is neither desired nor there any more need not be known for ever.
        let keys: Vec<ContainerKey> = self.containers.values().map(|c| c.key.clone()).collect();
        let target = self.target.as_ref();
        self.applied
            .retain(|key, _| keys.contains(key) || target.is_some_and(|t| t.container(key).is_some()));
    }

    fn fail(&mut self, mut failure: FailureRecord) {
        let entry = (failure.key.clone(), failure.hash.clone());
        let before = self.failures.get(&entry);
        let same = before.filter(|f| f.config_digest == failure.config_digest);
        failure.attempts = same.map_or(0, |f| f.attempts).saturating_add(1);
        failure.stops = failure.stops.saturating_add(same.map_or(0, |f| f.stops));
        self.failures.insert(entry, failure);
    }

    fn remember(&mut self, id: CorrelationId, outcome: CommandOutcome) {
        let now = outcome.at;
        self.outcomes.insert(id, outcome);
        self.outcomes
            .retain(|_, outcome| now.saturating_sub(outcome.at) <= OUTCOMES_KEPT);
        // Ids are UUIDv7: the first is the oldest.
        while self.outcomes.len() > MAX_OUTCOMES {
            self.outcomes.pop_first();
        }
    }

    /// The plans that were accepted and have not ended, the newest first.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Next> {
        self.pending.iter().chain(&self.next)
    }

    /// Whether we ended this run of a container.
    pub(crate) fn was_stopped(&self, id: &EngineId, started_at: &str) -> bool {
        self.stopped.get(id).is_some_and(|run| run == started_at)
    }

    /// The newest set that was accepted: what reports and drift speak of.
    pub(crate) fn wanted(&self) -> &DesiredSet {
        let accepted = self.pending.as_ref().or(self.next.as_ref());
        accepted
            .map(|next| &next.command.desired)
            .or(self.target.as_ref())
            .unwrap_or(&self.current)
    }

    /// Every set that is known, the newest first.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &DesiredSet> {
        let plans = self.open();
        plans
            .map(|next| &next.command.desired)
            .chain(&self.target)
            .chain(std::iter::once(&self.current))
    }

    /// The declaration a container of `key` with `hash` was made from; the newest of `key` where none has
    /// that hash.
    pub(crate) fn declaration(
        &self,
        key: &ContainerKey,
        hash: &SpecHash,
    ) -> Option<(&DesiredWorkload, &DesiredContainer)> {
        let mut newest = None;
        let journal = self
            .replace
            .as_ref()
            .filter(|journal| journal.key == *key)
            .and_then(|journal| Some((&journal.workload, journal.desired()?)));
        for found in journal
            .into_iter()
            .chain(self.sets().filter_map(|set| set.container(key)))
        {
            if found.1.hash == *hash {
                return Some(found);
            }
            newest.get_or_insert(found);
        }
        newest
    }
}

impl FailureRecord {
    /// Whether it is of exactly this declaration.
    pub(crate) fn is_of(&self, wanted: &DesiredContainer) -> bool {
        self.hash == wanted.hash && self.config_digest == config_digest(&wanted.config)
    }
}

/// The last word of each workload's user on trying again.
fn retry_tokens(desired: &DesiredSet) -> BTreeMap<String, String> {
    let tokens = desired.workloads.iter();
    tokens
        .filter_map(|w| Some((w.name.to_string(), w.retry.clone()?)))
        .collect()
}
