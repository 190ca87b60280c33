//! What is looked after between plans: containers that do not become healthy, failures that healed, a
//! ledger that can be written again, and what nobody uses any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_plan::desired::DesiredSet;
use longshore_plan::names::ContainerKey;
use longshore_plan::observed::{ContainerState, FailureReason, Health};
use longshore_plan::spec::ContentDigest;
use tokio::time::Instant;

use super::container::{applied, same_config};
use super::{Executor, Interrupt};
use crate::content;
use crate::ledger::{FailureRecord, Record};
use crate::observer::Snapshot;

/// So many images of a workload that is still here are kept, for a quick way back.
const IMAGES_KEPT: usize = 3;
/// How often a ledger that failed is tried while there is nothing else to do.
const LEDGER_PROBE: Duration = Duration::from_secs(10);

impl Executor {
    /// Returns when to look again at the latest.
    pub(super) async fn housekeeping(&mut self) -> Result<Option<Instant>, Interrupt> {
        let snapshot = self.tools.view.now();
        let mut records = self.unhealthy_for_too_long(&snapshot);
        records.extend(self.recovered(&snapshot));
        let failed = records.iter().any(|r| matches!(r, Record::Failed(_)));
        let mut wake = self.unready.values().map(|u| u.deadline).min();
        if self.tools.view.has_volatile() {
            // A record that means nothing: whether it can be written is all that is asked.
            records.push(Record::LocalPlan {
                steps: 0,
                at: self.stamp(),
            });
            wake = wake.into_iter().chain([Instant::now() + LEDGER_PROBE]).min();
        }
        if !records.is_empty() {
            self.append(records).await?;
            self.ledger_works();
            if failed {
                self.tools.view.compose();
            }
        }
        Ok(wake)
    }

    /// Containers that were started, and whose time to become healthy is over.
    fn unhealthy_for_too_long(&mut self, snapshot: &Snapshot) -> Vec<Record> {
        let now = Instant::now();
        let mut records = Vec::new();
        let view = &self.tools.view;
        self.unready.retain(|id, unready| {
            let Some(container) = snapshot.container(id) else {
                return false;
            };
            let completed = matches!(container.state, ContainerState::Exited { exit_code: 0, .. });
            if container.health == Health::Healthy || completed {
                return false;
            }
            if now < unready.deadline {
                return true;
            }
            let said = view
                .health()
                .words(id)
                .map_or_else(String::new, |words| format!(": {words}"));
            records.push(Record::Failed(FailureRecord {
                key: unready.key.clone(),
                hash: unready.hash.clone(),
                config_digest: unready.config_digest.clone(),
                reason: FailureReason::Unhealthy,
                message: format!("it did not become healthy in time{said}; there is nothing to go back to"),
                blocked: true,
                attempts: 0,
                stops: 0,
            }));
            false
        });
        records
    }

    /// Failures of containers that have become healthy after all.
    fn recovered(&self, snapshot: &Snapshot) -> Vec<Record> {
        let state = self.tools.ledger.state();
        let well = |key: &ContainerKey, failure: &FailureRecord| {
            failure.reason == FailureReason::Unhealthy
                && snapshot
                    .of(key)
                    .any(|c| c.hash == failure.hash && c.health == Health::Healthy)
        };
        state
            .failures
            .iter()
            .filter(|((key, _), failure)| well(key, failure))
            .map(|((key, hash), _)| Record::Healed {
                key: key.clone(),
                hash: hash.clone(),
            })
            .collect()
    }

    /// Containers that are as desired without anything having been done: adopted ones, and those whose
    /// change was undone by hand.
    pub(super) fn found_applied(&self, desired: &DesiredSet, snapshot: &Snapshot) -> Vec<Record> {
        let state = self.tools.ledger.state();
        let mut records = Vec::new();
        for workload in &desired.workloads {
            for container in &workload.containers {
                let key = workload.key(container);
                let known = state.applied.get(&key).is_some_and(|a| {
                    a.hash == container.hash
                        && a.config_digest == longshore_plan::hash::config_digest(&container.config)
                });
                let there = snapshot.of(&key).any(|c| {
                    c.hash == container.hash
                        && !matches!(c.state, ContainerState::Created | ContainerState::Dead)
                        && c.engine_name == container.engine_name
                        && same_config(&c.config, &container.config)
                });
                if there && !known {
                    records.push(applied(workload, container));
                }
            }
        }
        records
    }

    /// Removes content, files and images nobody refers to any more. Best effort: tried again at the end of
    /// the next plan.
    pub(super) async fn collect_unused(&self) {
        let state = self.tools.ledger.state();
        let mut values: BTreeSet<ContentDigest> = BTreeSet::new();
        let mut containers: BTreeSet<_> = state
            .containers
            .values()
            .map(|owned| (owned.key.clone(), owned.hash.clone()))
            .collect();
        for set in state.sets() {
            for workload in &set.workloads {
                values.extend(workload.image_pull_secrets.iter().map(|s| s.digest.clone()));
                for container in &workload.containers {
                    values.extend(content::references(&container.spec, &container.config.content));
                    containers.insert((workload.key(container), container.hash.clone()));
                }
            }
        }
        self.tools.content.collect(&values, &containers).await;
        self.collect_images().await;
    }

    async fn collect_images(&self) {
        let state = self.tools.ledger.state();
        let used: BTreeSet<&str> = state
            .sets()
            .flat_map(|set| &set.workloads)
            .flat_map(|w| &w.containers)
            .map(|c| c.spec.image.as_str())
            .collect();
        let mut by_workload: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (reference, image) in &state.images {
            if !used.contains(reference.as_str()) {
                by_workload
                    .entry(&image.workload)
                    .or_default()
                    .push((image.at, reference));
            }
        }
        for (workload, mut images) in by_workload {
            let stays = state.sets().any(|set| set.workload(workload).is_some());
            images.sort();
            let keep = if stays { IMAGES_KEPT } else { 0 };
            let excess = images.len().saturating_sub(keep);
            for (_, reference) in images.into_iter().take(excess) {
                // One in use stays in the engine, and is then nobody's.
                let removed = self.tools.runtime.remove_image(reference).await;
                if let Err(error) = removed {
                    tracing::warn!(%error, image = %reference, "an unused image could not be removed");
                    continue;
                }
                let gone = Record::ImageGone {
                    reference: reference.clone(),
                };
                if let Err(error) = self.append(vec![gone]).await {
                    tracing::warn!(error = %super::chain(&error), "a removed image could not be struck off");
                    return;
                }
            }
        }
    }
}
