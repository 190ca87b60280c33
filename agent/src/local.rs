//! What a device wants while nobody tells it: pure merges of the sets in the ledger.
//!
//! `current` is what last converged, container by container; `target` is what was asked for last. Where
//! the target cannot be had now (its image cannot be pulled, it was rolled back) the container's current
//! declaration stands in, so that what used to run is still kept running.

use std::collections::BTreeMap;

use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload};
use longshore_plan::hash::config_digest;
use longshore_plan::names::ContainerKey;
use longshore_plan::observed::Applied;
use longshore_plan::spec::MountSource;

/// `target`, with what has not been applied as `current` has it: the new `current`.
///
/// How the device and its workloads are treated (pause, suspend, drift mode, …) is taken from the target.
pub(crate) fn converged(
    current: &DesiredSet,
    target: &DesiredSet,
    applied: &BTreeMap<ContainerKey, Applied>,
) -> DesiredSet {
    merge(current, target, |key, wanted| {
        let reached = applied
            .get(key)
            .is_some_and(|a| a.hash == wanted.hash && a.config_digest == config_digest(&wanted.config));
        if reached { Choice::Target } else { Choice::Current }
    })
}

/// What a local plan is made for: `target`, with what is held back as `current` has it.
pub(crate) fn desired(
    current: &DesiredSet,
    target: &DesiredSet,
    held_back: impl Fn(&ContainerKey, &DesiredContainer) -> bool,
) -> DesiredSet {
    merge(current, target, |key, wanted| {
        if held_back(key, wanted) {
            Choice::CurrentOrTarget
        } else {
            Choice::Target
        }
    })
}

enum Choice {
    Target,
    /// The current declaration, or none.
    Current,
    /// The current declaration where there is one.
    CurrentOrTarget,
}

fn merge(
    current: &DesiredSet,
    target: &DesiredSet,
    choose: impl Fn(&ContainerKey, &DesiredContainer) -> Choice,
) -> DesiredSet {
    let workloads = target
        .workloads
        .iter()
        .map(|wanted| {
            if let Some(before) = current.workload(&wanted.name) {
                return merge_workload(before, wanted, &choose);
            }
            let mut merged = wanted.clone();
            merged
                .containers
                .retain(|c| !matches!(choose(&wanted.key(c), c), Choice::Current));
            merged
        })
        .collect();
    DesiredSet {
        paused: target.paused,
        workloads,
        removals: target.removals.clone(),
    }
}

fn merge_workload(
    before: &DesiredWorkload,
    wanted: &DesiredWorkload,
    choose: &impl Fn(&ContainerKey, &DesiredContainer) -> Choice,
) -> DesiredWorkload {
    let mut merged = wanted.clone();
    let mut kept_back = false;
    merged.containers = wanted
        .containers
        .iter()
        .filter_map(|container| {
            let old = before.containers.iter().find(|c| c.name == container.name);
            let chosen = match choose(&wanted.key(container), container) {
                Choice::Target => Some(container),
                Choice::Current => old,
                Choice::CurrentOrTarget => old.or(Some(container)),
            };
            kept_back |= chosen != Some(container);
            chosen.cloned()
        })
        .collect();
    if kept_back {
        // A container made again from the old declaration is one of the old revision, and needs what that
        // one needed.
        merged.revision.clone_from(&before.revision);
        for network in &before.networks {
            let used = |c: &DesiredContainer| c.config.networks.contains(&network.name);
            if merged.containers.iter().any(used) && !merged.networks.iter().any(|n| n.name == network.name) {
                merged.networks.push(network.clone());
            }
        }
        for volume in &before.volumes {
            let used = |c: &DesiredContainer| {
                c.spec
                    .mounts
                    .iter()
                    .any(|m| matches!(&m.source, MountSource::Volume { name } if *name == volume.name))
            };
            if merged.containers.iter().any(used) && !merged.volumes.iter().any(|v| v.name == volume.name) {
                merged.volumes.push(volume.clone());
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests;
