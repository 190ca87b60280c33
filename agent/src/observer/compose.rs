//! From the last listing, the ledger and the probes to one [`Snapshot`].

use std::collections::BTreeMap;

use longshore_plan::names::EngineId;
use longshore_plan::observed::{Failure, Health, Observed, ObservedContainer, Retry, RuntimeState};
use longshore_plan::spec::ContainerConfig;
use tokio::time::Instant;

use super::{Mine, Snapshot, View, health_of};
use crate::labels;
use crate::ledger::{FailureRecord, LedgerState};
use crate::runtime::{ContainerDetail, RuntimeInfo};

impl View {
    pub(super) fn composed(&self) -> Snapshot {
        let state = self.ledger.state();
        let (mut observed, details, epoch) = {
            let raw = self.raw();
            let details: BTreeMap<EngineId, ContainerDetail> = raw
                .containers
                .iter()
                .map(|(id, mine)| (id.clone(), mine.detail.clone()))
                .collect();
            let mut containers: Vec<ObservedContainer> = raw
                .containers
                .values()
                .map(|mine| self.container(mine, &state))
                .collect();
            containers.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
            let volumes = state.volumes.values().filter(|v| raw.volumes.contains(&v.name));
            let observed = Observed {
                runtime: raw.runtime.clone(),
                containers,
                applied: state.applied.values().cloned().collect(),
                networks: raw.networks.clone(),
                volumes: volumes.cloned().collect(),
                unmanaged: raw.unmanaged.clone(),
                failures: Vec::new(),
            };
            (observed, details, raw.epoch)
        };
        observed.failures = self.failures(&state);
        Snapshot {
            observed,
            details,
            epoch,
        }
    }

    fn container(&self, mine: &Mine, state: &LedgerState) -> ObservedContainer {
        let Mine {
            owned,
            summary,
            detail,
        } = mine;
        let mut networks: Vec<String> = detail.networks.iter().map(|a| a.network.clone()).collect();
        networks.sort();
        let mut host_ports = if detail.state.is_up() {
            summary.host_ports.clone()
        } else {
            Vec::new()
        };
        host_ports.sort();
        host_ports.dedup();
        let by_engine = state
            .declaration(&owned.key, &owned.hash)
            .is_some_and(|(_, wanted)| wanted.behaviour.image_healthcheck);
        let noted = self.health.of(detail, by_engine);
        ObservedContainer {
            key: owned.key.clone(),
            id: detail.id.clone(),
            engine_name: detail.name.clone(),
            hash: owned.hash.clone(),
            revision: detail.labels.get(labels::REVISION).cloned().unwrap_or_default(),
            health: health_of(&detail.state, noted),
            state: detail.state.clone(),
            config: ContainerConfig {
                restart_policy: detail.restart_policy,
                resources: detail.resources.clone(),
                networks,
                content: self.content.files_of(&owned.key, &owned.hash),
            },
            host_ports,
            restarts: detail.restarts,
            image_id: detail.image_id.clone(),
            started_at: detail.started_at.clone(),
            interrupted: !detail.state.is_up() && state.was_stopped(&detail.id, &detail.started_at),
        }
    }

    fn failures(&self, state: &LedgerState) -> Vec<Failure> {
        let now = Instant::now();
        let mut retries = self.retries();
        retries.at.retain(|entry, _| state.failures.contains_key(entry));
        let failure = |record: &FailureRecord, retry| Failure {
            key: record.key.clone(),
            hash: record.hash.clone(),
            config_digest: record.config_digest.clone(),
            reason: record.reason,
            message: record.message.clone(),
            retry,
            attempts: record.attempts,
        };
        let kept = state.failures.iter().map(|(entry, record)| {
            let retry = match retries.at.get(entry) {
                _ if record.blocked => Retry::Blocked,
                Some(at) if *at > now => Retry::Waiting,
                _ => Retry::Due,
            };
            failure(record, retry)
        });
        let volatile = retries
            .volatile
            .iter()
            .map(|record| failure(record, Retry::Waiting));
        let mut all: Vec<Failure> = kept.chain(volatile).collect();
        all.sort_by(|a, b| (&a.key, &a.hash, a.reason).cmp(&(&b.key, &b.hash, b.reason)));
        all
    }

    /// The engine answers; everything known of it is read anew after this.
    pub(super) fn runtime_found(&self, info: RuntimeInfo) {
        let RuntimeInfo {
            kind,
            version,
            api_version,
            os,
            arch,
            capabilities,
        } = info;
        let mut raw = self.raw();
        raw.epoch += 1;
        raw.runtime = RuntimeState::Ready {
            kind,
            version,
            api_version,
            os,
            arch,
            capabilities,
        };
    }

    /// What the periodic pass compares: everything but health, which has no events.
    pub(super) fn listing(&self) -> Vec<(EngineId, longshore_plan::observed::ContainerState, String)> {
        let raw = self.raw();
        raw.containers
            .values()
            .map(|mine| {
                let detail = &mine.detail;
                (detail.id.clone(), detail.state.clone(), detail.name.clone())
            })
            .collect()
    }

    /// Notes a container's health as its probes found it.
    pub(crate) fn note_health(
        &self,
        id: &EngineId,
        started_at: &str,
        restarts: u32,
        health: Health,
        words: String,
    ) {
        if self.health.note(id, started_at, restarts, health, words) {
            self.compose();
        }
    }
}
