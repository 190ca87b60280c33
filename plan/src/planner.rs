//! The planner: what a device has × what it should have → the ordered steps between.
//!
//! Pure, total and deterministic: no input makes it panic or run for long, and the order of lists that
//! have no meaningful order (all but a workload's containers) changes nothing. Planning again on the
//! result of a plan that worked yields no steps.
//!
//! The order of a plan:
//! 1. objects that are one too many of their container (what runs is kept, see [`index`]);
//! 2. every image that will be needed, before anything else is stopped or removed;
//! 3. containers that were ordered away, last started first, with their networks and volumes;
//! 4. networks and volumes that will be needed;
//! 5. containers: higher priority first, dependencies before dependents, who gives up a port or a name
//!    before who takes it. Within one: rename, update, unpause, start, replace or create;
//! 6. networks that nobody is on any more.
//!
//! A [`Action::StopContainer`] makes way for a container of a workload with a higher priority. It stands
//! directly before the step it makes way for (its reason names the container), and an executor that skips
//! that step because the workload failed before skips the stop as well: nothing is stopped for nothing.
//!
//! What is left undone is held, with the cause. Absence is never a reason: see [`removal`] and
//! [`HeldCause::Orphaned`].

mod claims;
mod decide;
mod index;
mod order;
mod removal;
mod settle;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use index::{Index, Item, is_leftover, rests};

use crate::desired::{DesiredSet, DesiredWorkload};
use crate::names::{ContainerKey, DnsLabel, EngineId};
use crate::observed::{Observed, ObservedContainer, RuntimeState};
use crate::step::{Action, Held, HeldCause, Plan, Precondition, Reason, Step};
use decide::{Forbidden, Make};
use settle::{Fixed, Settled};

/// The ordered steps that take one device from what it has to what it should have, and what is held.
///
/// # Guarantees
/// - Touches only objects of a workload that is desired, and those of one that is ordered away.
/// - Nothing at all while the device is paused or its runtime does not answer, nothing of a suspended
///   workload, no change whose last attempt must wait or is blocked.
/// - Never starts or makes a container while another object of it stays.
/// - Every step on an object names its engine id, every creation demands absence.
///
/// # Assumptions
/// - `observed` holds every managed object. What it does not hold is made.
/// - An engine name never ends in `.prev` or `.next` by accident: the agent uses those while it replaces.
pub fn plan(desired: &DesiredSet, observed: &Observed) -> Plan {
    let Plan { steps, mut held } = plan_unpaused(desired, observed);
    let cause = match observed.runtime {
        RuntimeState::Ready { .. } if !desired.paused => return finish(steps, held),
        RuntimeState::Ready { .. } => HeldCause::DevicePaused,
        RuntimeState::Unavailable { .. } | RuntimeState::Unknown => HeldCause::RuntimeUnavailable,
    };
    let concerned: BTreeSet<ContainerKey> = steps.iter().filter_map(Step::container).collect();
    held.retain(|h| !concerned.contains(&h.key));
    held.extend(concerned.into_iter().map(|key| Held {
        key,
        cause: cause.clone(),
    }));
    finish(Vec::new(), held)
}

fn finish(steps: Vec<Step>, mut held: Vec<Held>) -> Plan {
    held.sort_by_cached_key(|h| (h.key.clone(), format!("{:?}", h.cause)));
    held.dedup();
    Plan { steps, held }
}

fn plan_unpaused(desired: &DesiredSet, observed: &Observed) -> Plan {
    let index = Index::new(desired, observed);
    let (suspended, mut items): (Vec<_>, Vec<_>) =
        index.items().into_iter().partition(|item| item.workload.suspend);
    items.sort_by_key(|item| Reverse(item.workload.priority));
    let strays = removal::strays(&index);
    let mut held = strays.held;
    held.extend(suspended.iter().flat_map(hold_suspended));

    let mut staying = strays.staying;
    staying.extend(suspended.iter().flat_map(objects));
    let fixed = fixed(observed, &staying, &suspended, &items);
    let settled = settle::settle(&items, &fixed);
    for (item, needs) in items.iter().zip(&settled.needs) {
        held.extend(needs.held.iter().map(|cause| Held {
            key: item.key.clone(),
            cause: cause.clone(),
        }));
    }

    let mut steps = duplicates(&items);
    steps.extend(pulls(&items, &settled));
    steps.extend(
        strays
            .going
            .into_iter()
            .map(|(object, cause)| removal::remove_container(object, Reason::Removed { cause })),
    );
    let moved = |i: usize| settled.needs[i].update.is_some() || settled.needs[i].make.is_some();
    let users = removal::NetworkUse::new(&items, &staying, moved);
    let (early, late) = removal::leftovers(&index, observed, &staying, &users);
    steps.extend(early);
    steps.extend(surroundings(&index, &items, &settled, observed));
    for &i in &settled.order {
        container_steps(&items, &settled, i, &mut steps);
    }
    steps.extend(late);
    Plan { steps, held }
}

/// All objects of a desired container.
fn objects<'a>(item: &Item<'a>) -> Vec<&'a ObservedContainer> {
    item.keeper.iter().chain(&item.extras).copied().collect()
}

/// A suspended workload's container: what it needs is not told, only that it needs something.
fn hold_suspended(item: &Item<'_>) -> Vec<Held> {
    let needs = decide::decide(item, &Forbidden::default());
    let hold = |cause| Held {
        key: item.key.clone(),
        cause,
    };
    if needs.any() || !item.extras.is_empty() {
        vec![hold(HeldCause::WorkloadSuspended)]
    } else {
        needs.held.into_iter().map(hold).collect()
    }
}

/// What this plan cannot move: what is not ours, what stays as it is, and what could not be removed.
fn fixed(
    observed: &Observed,
    staying: &[&ObservedContainer],
    suspended: &[Item<'_>],
    items: &[Item<'_>],
) -> Fixed {
    let mut fixed = Fixed::default();
    let mut unmanaged: Vec<_> = observed.unmanaged.iter().collect();
    unmanaged.sort_by(|a, b| (&a.name, &a.host_ports).cmp(&(&b.name, &b.host_ports)));
    for other in unmanaged {
        fixed
            .names
            .entry(other.name.clone())
            .or_insert_with(|| other.name.clone());
        fixed
            .ports
            .extend(other.host_ports.iter().map(|p| (p.into(), other.name.clone())));
    }
    let ours = |fixed: &mut Fixed, object: &ObservedContainer| {
        let words = object.key.to_string();
        if object.state.is_up() {
            fixed
                .ports
                .extend(claims::of_object(object).into_iter().map(|c| (c, words.clone())));
        }
        fixed.names.entry(object.engine_name.clone()).or_insert(words);
    };
    for object in staying {
        ours(&mut fixed, object);
    }
    for item in suspended {
        fixed.ports.extend(
            claims::held_now(item)
                .into_iter()
                .map(|c| (c, item.key.to_string())),
        );
    }
    for item in items.iter().filter(|item| decide::stuck_extra(item).is_some()) {
        for object in objects(item) {
            ours(&mut fixed, object);
        }
    }
    for item in items
        .iter()
        .filter(|i| decide::stuck_extra(i).is_some() || decide::cannot_stop(i))
    {
        fixed.ports.extend(
            claims::held_now(item)
                .into_iter()
                .map(|c| (c, item.key.to_string())),
        );
    }
    fixed
}

/// Two of one container must not run together, so this comes before everything else.
fn duplicates(items: &[Item<'_>]) -> Vec<Step> {
    items
        .iter()
        .filter(|item| decide::stuck_extra(item).is_none())
        .flat_map(|item| item.extras.iter())
        .map(|extra| removal::remove_container(extra, Reason::Duplicate))
        .collect()
}

fn pulls<'a>(items: &'a [Item<'_>], settled: &'a Settled) -> impl Iterator<Item = Step> + 'a {
    settled
        .order
        .iter()
        .filter(|&&i| settled.needs[i].make.is_some())
        .map(|&i| {
            let item = &items[i];
            let container = item.key.container.clone();
            Step {
                workload: item.key.workload.clone(),
                action: Action::PullImage {
                    container: container.clone(),
                    image: item.desired.spec.image.clone(),
                },
                precondition: Precondition::None,
                reason: Reason::NeededBy { container },
            }
        })
}

/// The networks and volumes that are missing: those that a container about to be worked on uses, and
/// those that none of the workload uses (somebody asked for them).
fn surroundings(index: &Index<'_>, items: &[Item<'_>], settled: &Settled, observed: &Observed) -> Vec<Step> {
    let mut networks: BTreeMap<&str, &DnsLabel> = BTreeMap::new();
    let mut volumes: BTreeMap<&str, &DnsLabel> = BTreeMap::new();
    for &i in &settled.order {
        let (desired, needs) = (items[i].desired, &settled.needs[i]);
        let starts = needs.make.is_some() || needs.start.is_some();
        if starts || needs.update.is_some() {
            for name in &desired.config.networks {
                networks.entry(name).or_insert(&desired.name);
            }
        }
        if starts {
            for name in removal::volumes_of(&desired.spec) {
                volumes.entry(name).or_insert(&desired.name);
            }
        }
    }
    let mut present: BTreeSet<&str> = observed.networks.iter().map(String::as_str).collect();
    let mut owned: BTreeSet<&str> = observed.volumes.iter().map(|v| v.name.as_str()).collect();
    let mut workloads: Vec<&DesiredWorkload> =
        index.workloads.values().copied().filter(|w| !w.suspend).collect();
    workloads.sort_by_key(|w| Reverse(w.priority));
    let mut steps = Vec::new();
    for workload in workloads {
        let mut make = |action: Action, user: Option<&&DnsLabel>| {
            let reason = match user {
                Some(&container) => Reason::NeededBy {
                    container: container.clone(),
                },
                None => Reason::Declared,
            };
            let precondition = Precondition::None;
            steps.push(Step {
                workload: workload.name.clone(),
                action,
                precondition,
                reason,
            });
        };
        for network in &workload.networks {
            let name = network.name.as_str();
            let used = workload
                .containers
                .iter()
                .any(|c| c.config.networks.contains(&network.name));
            if (networks.contains_key(name) || !used) && present.insert(name) {
                make(
                    Action::CreateNetwork {
                        name: network.name.clone(),
                    },
                    networks.get(name),
                );
            }
        }
        for volume in &workload.volumes {
            let name = volume.name.as_str();
            let used = workload
                .containers
                .iter()
                .any(|c| removal::volumes_of(&c.spec).any(|v| v == name));
            if (volumes.contains_key(name) || !used) && owned.insert(name) {
                make(
                    Action::CreateVolume {
                        name: volume.name.clone(),
                    },
                    volumes.get(name),
                );
            }
        }
    }
    steps
}

/// The steps of one container, in the order of [`decide::Needs`].
fn container_steps(items: &[Item<'_>], settled: &Settled, i: usize, steps: &mut Vec<Step>) {
    let item = &items[i];
    let container = || item.key.container.clone();
    let step = |action: Action, id: Option<&EngineId>, reason: &Reason| Step {
        workload: item.key.workload.clone(),
        action,
        precondition: id.map_or(Precondition::Absent, |id| Precondition::Is { id: id.clone() }),
        reason: reason.clone(),
    };
    let make_way = |steps: &mut Vec<Step>| {
        for &loser in &settled.stops[i] {
            let Some(object) = items[loser].keeper else {
                continue;
            };
            let ContainerKey {
                workload,
                container: stopped,
            } = object.key.clone();
            steps.push(Step {
                workload,
                action: Action::StopContainer { container: stopped },
                precondition: Precondition::Is {
                    id: object.id.clone(),
                },
                reason: Reason::NeededBy {
                    container: container(),
                },
            });
        }
    };
    let needs = &settled.needs[i];
    let id = item.keeper.map(|k| &k.id);
    if let Some(reason) = &needs.rename {
        steps.push(step(
            Action::RenameContainer {
                container: container(),
            },
            id,
            reason,
        ));
    }
    if let Some(reason) = &needs.update {
        steps.push(step(
            Action::UpdateContainer {
                container: container(),
            },
            id,
            reason,
        ));
    }
    if let Some(reason) = &needs.unpause {
        steps.push(step(
            Action::UnpauseContainer {
                container: container(),
            },
            id,
            reason,
        ));
    }
    if let Some(reason) = &needs.start {
        make_way(steps);
        steps.push(step(
            Action::StartContainer {
                container: container(),
            },
            id,
            reason,
        ));
    }
    if let Some((how, reason)) = &needs.make {
        if *how == Make::Recreate {
            steps.push(step(
                Action::RemoveContainer {
                    container: container(),
                },
                id,
                reason,
            ));
        }
        make_way(steps);
        if *how == Make::Replace {
            steps.push(step(
                Action::ReplaceContainer {
                    container: container(),
                },
                id,
                reason,
            ));
        } else {
            steps.push(step(
                Action::CreateContainer {
                    container: container(),
                },
                None,
                reason,
            ));
        }
    }
}
