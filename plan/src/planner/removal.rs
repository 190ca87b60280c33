//! What goes: containers that were ordered away, then the networks and volumes nobody uses any more.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::decide::{Gate, remove_gate};
use super::index::{Index, Item};
use crate::desired::{ReclaimPolicy, RemovalReason};
use crate::names::{ContainerKey, DnsLabel};
use crate::observed::{Observed, ObservedContainer};
use crate::spec::{ContainerSpec, MountSource};
use crate::step::{Action, Held, HeldCause, Precondition, Reason, Step};

/// What becomes of our objects that belong to no desired container.
#[derive(Default)]
pub(crate) struct Strays<'a> {
    /// To be removed, in this order, and why.
    pub(crate) going: Vec<(&'a ObservedContainer, Option<RemovalReason>)>,
    /// Kept: orphaned, of a suspended workload, or not to be removed just now.
    pub(crate) staying: Vec<&'a ObservedContainer>,
    pub(crate) held: Vec<Held>,
}

/// Sorts out the strays.
///
/// What depended on what is no longer known of a container whose spec is gone. What started last goes
/// first: dependents start after what they depend on.
pub(crate) fn strays<'a>(index: &Index<'a>) -> Strays<'a> {
    let mut found = Strays::default();
    for object in index.strays() {
        let key = &object.key;
        let cause = match (
            index.workloads.get(&key.workload),
            index.removals.get(&key.workload),
        ) {
            (Some(workload), _) if workload.suspend => Err(HeldCause::WorkloadSuspended),
            (Some(_), _) => Ok(None),
            (None, Some(removal)) => Ok(Some(removal.reason)),
            (None, None) => Err(HeldCause::Orphaned),
        };
        let cause = cause.and_then(|reason| match remove_gate(&index.failures(key), None, object) {
            Gate::Held(cause) => Err(cause),
            Gate::Clear | Gate::Retry => Ok(reason),
        });
        match cause {
            Ok(reason) => found.going.push((object, reason)),
            Err(cause) => {
                found.staying.push(object);
                found.held.push(Held {
                    key: key.clone(),
                    cause,
                });
            }
        }
    }
    found.going.sort_by(|(a, _), (b, _)| {
        let rank =
            |c: &'a ObservedContainer| (&c.key.workload, Reverse(&c.started_at), Reverse(&c.key), &c.id);
        rank(a).cmp(&rank(b))
    });
    found
}

/// The step that removes one object.
pub(crate) fn remove_container(object: &ObservedContainer, reason: Reason) -> Step {
    let ContainerKey { workload, container } = object.key.clone();
    Step {
        workload,
        action: Action::RemoveContainer { container },
        precondition: Precondition::Is {
            id: object.id.clone(),
        },
        reason,
    }
}

/// Who uses which network, now and when the plan is done.
pub(crate) struct NetworkUse {
    now: BTreeSet<String>,
    then: BTreeSet<String>,
}

impl NetworkUse {
    /// `moved` are the items whose configuration will be as desired afterwards.
    pub(crate) fn new(
        items: &[Item<'_>],
        staying: &[&ObservedContainer],
        moved: impl Fn(usize) -> bool,
    ) -> Self {
        let mut now = BTreeSet::new();
        let mut then = BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            then.extend(item.desired.config.networks.iter().cloned());
            for object in item.keeper.iter().chain(&item.extras) {
                now.extend(object.config.networks.iter().cloned());
            }
            if let Some(keeper) = item.keeper.filter(|_| !moved(i)) {
                then.extend(keeper.config.networks.iter().cloned());
            }
        }
        for object in staying {
            now.extend(object.config.networks.iter().cloned());
            then.extend(object.config.networks.iter().cloned());
        }
        now.extend(then.iter().cloned());
        Self { now, then }
    }
}

/// Steps for networks and volumes of workloads that were ordered away, and of networks a desired workload
/// no longer names. The first list belongs behind the removals, the second at the end, when containers
/// have left the networks.
pub(crate) fn leftovers(
    index: &Index<'_>,
    observed: &Observed,
    staying: &[&ObservedContainer],
    networks: &NetworkUse,
) -> (Vec<Step>, Vec<Step>) {
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let wanted_networks: BTreeSet<&str> = index
        .workloads
        .values()
        .flat_map(|w| &w.networks)
        .map(|n| n.name.as_str())
        .collect();
    let existing: BTreeSet<&str> = observed.networks.iter().map(String::as_str).collect();
    for name in existing {
        let Some(Ok(owner)) = name.split_once('.').map(|(owner, _)| DnsLabel::new(owner)) else {
            continue;
        };
        if wanted_networks.contains(name) || networks.then.contains(name) {
            continue;
        }
        let action = Action::RemoveNetwork {
            name: name.to_owned(),
        };
        match (index.workloads.get(&owner), index.removals.get(&owner)) {
            (Some(workload), _) if !workload.suspend => late.push(removed(owner, action, None)),
            (None, Some(removal)) if staying.iter().all(|c| c.key.workload != owner) => {
                let list = if networks.now.contains(name) {
                    &mut late
                } else {
                    &mut early
                };
                list.push(removed(owner, action, Some(removal.reason)));
            }
            _ => {}
        }
    }
    let mounted = mounted_volumes(index);
    let mut seen = BTreeSet::new();
    let mut volumes: Vec<_> = observed.volumes.iter().collect();
    volumes.sort_by(|a, b| {
        (&a.workload, &a.name, a.reclaim as u8).cmp(&(&b.workload, &b.name, b.reclaim as u8))
    });
    for volume in volumes {
        let Ok(owner) = DnsLabel::new(volume.workload.as_str()) else {
            continue;
        };
        let Some(removal) = index.removals.get(&owner) else {
            continue;
        };
        if volume.reclaim == ReclaimPolicy::Delete
            && !mounted.contains(volume.name.as_str())
            && staying.iter().all(|c| c.key.workload != owner)
            && seen.insert(&volume.name)
        {
            let action = Action::RemoveVolume {
                name: volume.name.clone(),
            };
            early.push(removed(owner, action, Some(removal.reason)));
        }
    }
    (early, late)
}

fn removed(workload: DnsLabel, action: Action, cause: Option<RemovalReason>) -> Step {
    Step {
        workload,
        action,
        precondition: Precondition::None,
        reason: Reason::Removed { cause },
    }
}

/// The volumes that desired workloads name or mount.
fn mounted_volumes<'a>(index: &Index<'a>) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for workload in index.workloads.values() {
        names.extend(workload.volumes.iter().map(|v| v.name.as_str()));
        names.extend(workload.containers.iter().flat_map(|c| volumes_of(&c.spec)));
    }
    names
}

/// The named volumes a container mounts.
pub(crate) fn volumes_of(spec: &ContainerSpec) -> impl Iterator<Item = &str> {
    spec.mounts.iter().filter_map(|m| match &m.source {
        MountSource::Volume { name } => Some(name.as_str()),
        MountSource::HostPath { .. } | MountSource::Content { .. } | MountSource::Tmpfs { .. } => None,
    })
}
