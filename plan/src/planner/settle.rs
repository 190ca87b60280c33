//! Who may do what, when containers stand in each other's way: host ports, engine names, dependencies.
//!
//! - Between desired containers a higher priority wins a port, then who holds it now, then who exists,
//!   then the name. What is not ours, orphaned, suspended or cannot be removed always wins.
//! - A running container is never stopped because of a clash, unless the newcomer's workload has a
//!   strictly higher priority: then it is stopped right before the newcomer takes its place, and held.
//! - A name is never taken from a container that exists, whatever the priorities: a clash of names is a
//!   mistake to be corrected, and freeing one would mean removing a container nobody ordered away.
//! - What another container gives up in the same plan counts as free, and that container goes first. Two
//!   that would have to go before each other keep what they have.
//! - A container on a cycle of dependencies is not made: it would wait for itself for ever. What runs of
//!   it keeps running. The same goes for one whose dependency will not come up.
//!
//! Containers only ever lose here, each at most three times (its change, its name, its running), so this
//! ends.

mod handover;
mod ports;

use std::collections::{BTreeMap, BTreeSet};

use super::claims::{self, Claim};
use super::decide::{Forbidden, Needs, decide, stuck_extra};
use super::index::Item;
use super::order;
use crate::names::DnsLabel;
use crate::observed::{ContainerState, FailureReason, ObservedContainer};
use crate::spec::DependencyCondition;
use crate::step::HeldCause;

/// What cannot be moved: names and ports with whoever has them.
#[derive(Default)]
pub(crate) struct Fixed {
    /// Engine names and their holders' words.
    pub(crate) names: BTreeMap<String, String>,
    /// Bound ports and their holders' words.
    pub(crate) ports: Vec<(Claim, String)>,
}

/// The outcome, by index of the items given.
pub(crate) struct Settled {
    /// What each container needs and may do.
    pub(crate) needs: Vec<Needs>,
    /// The running containers that must be stopped before each may start.
    pub(crate) stops: Vec<Vec<usize>>,
    /// All items in the order in which they are worked on.
    pub(crate) order: Vec<usize>,
}

struct Settling<'a, 'b> {
    items: &'b [Item<'a>],
    fixed: &'b Fixed,
    by_key: BTreeMap<(&'b DnsLabel, &'b DnsLabel), usize>,
    /// Those with a surplus object that cannot be removed: nothing about them changes.
    stuck: Vec<bool>,
    /// (dependency, dependent), without those on cycles.
    dependencies: Vec<(usize, usize)>,
    /// By names, dependencies and order; kept.
    lasting: Vec<Forbidden>,
    /// By ports; found anew whenever `lasting` grows, so that nobody is stopped for one that is held.
    by_ports: Vec<Forbidden>,
    needs: Vec<Needs>,
    /// Held because of a dependency, and those of them that were let go again once.
    waiting: BTreeSet<usize>,
    freed: BTreeSet<usize>,
}

/// Settles all clashes among `items`, which are sorted by priority (highest first), workload and declared
/// order, and of which none is suspended.
pub(crate) fn settle(items: &[Item<'_>], fixed: &Fixed) -> Settled {
    let mut settling = Settling::new(items, fixed);
    loop {
        settling.decide_all();
        if settling.hold_names() || settling.hold_dependents() {
            settling.by_ports = vec![Forbidden::default(); items.len()];
            continue;
        }
        if settling.hold_one_port() {
            continue;
        }
        if settling.hold_one_of_a_cycle() || settling.free_dependents() {
            settling.by_ports = vec![Forbidden::default(); items.len()];
            continue;
        }
        break;
    }
    let mut edges = settling.dependencies.clone();
    edges.extend(settling.handovers().into_iter().map(|h| (h.giver, h.taker)));
    let order = order::sorted(items.len(), &edges);
    let stops = settling.stops(&order);
    Settled {
        needs: settling.needs,
        stops,
        order,
    }
}

impl<'a, 'b> Settling<'a, 'b> {
    fn new(items: &'b [Item<'a>], fixed: &'b Fixed) -> Self {
        let by_key: BTreeMap<_, _> = items
            .iter()
            .enumerate()
            .map(|(i, item)| ((&item.key.workload, &item.key.container), i))
            .collect();
        let mut dependencies = Vec::new();
        for (i, item) in items.iter().enumerate() {
            for (name, _) in order::dependencies(item.workload, &item.desired.name) {
                if let Some(&on) = by_key.get(&(&item.key.workload, name)) {
                    dependencies.push((on, i));
                }
            }
        }
        let cyclic = order::cyclic(items.len(), &dependencies);
        dependencies.retain(|(a, b)| !(cyclic.contains(a) && cyclic.contains(b)));
        let mut lasting = vec![Forbidden::default(); items.len()];
        for &i in &cyclic {
            lasting[i].make = Some(not_ready(
                "its dependencies lead back to itself, so it would wait for ever",
                true,
            ));
        }
        Self {
            items,
            fixed,
            by_key,
            dependencies,
            lasting,
            by_ports: vec![Forbidden::default(); items.len()],
            needs: Vec::new(),
            stuck: items.iter().map(|item| stuck_extra(item).is_some()).collect(),
            waiting: BTreeSet::new(),
            freed: BTreeSet::new(),
        }
    }

    fn forbidden(&self, i: usize) -> Forbidden {
        let (lasting, ports) = (&self.lasting[i], &self.by_ports[i]);
        Forbidden {
            make: lasting.make.clone().or_else(|| ports.make.clone()),
            rename: lasting.rename.clone().or_else(|| ports.rename.clone()),
            run: lasting.run.clone().or_else(|| ports.run.clone()),
        }
    }

    fn may_run(&self, i: usize) -> bool {
        self.lasting[i].run.is_none() && self.by_ports[i].run.is_none()
    }

    fn decide_all(&mut self) {
        self.needs = (0..self.items.len())
            .map(|i| decide(&self.items[i], &self.forbidden(i)))
            .collect();
    }

    fn wanted(&self, i: usize) -> Vec<Claim> {
        claims::wanted(&self.items[i], &self.needs[i], self.may_run(i))
    }

    /// The name a container has now, if it will have another one when its needs have been met.
    fn gives_up_name(&self, i: usize) -> Option<&'b str> {
        let (item, needs) = (&self.items[i], &self.needs[i]);
        let keeper = item.keeper?;
        let changes = keeper.engine_name != item.desired.engine_name;
        (changes && (needs.rename.is_some() || needs.make.is_some())).then_some(keeper.engine_name.as_str())
    }

    /// The name a container will take that it does not have.
    fn takes_name(&self, i: usize) -> Option<&'b str> {
        let (item, needs) = (&self.items[i], &self.needs[i]);
        let has = item
            .keeper
            .is_some_and(|k| k.engine_name == item.desired.engine_name);
        (!has && (needs.rename.is_some() || needs.make.is_some()))
            .then_some(item.desired.engine_name.as_str())
    }

    /// Holds whoever would take a name that is taken. Whether anybody was.
    fn hold_names(&mut self) -> bool {
        let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, item) in self.items.iter().enumerate() {
            if let Some(keeper) = item.keeper
                && self.gives_up_name(i).is_none()
            {
                holders.entry(&keeper.engine_name).or_insert(i);
            }
        }
        let mut takers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lost = Vec::new();
        for i in 0..self.items.len() {
            let Some(name) = self.takes_name(i) else { continue };
            let with = match (self.fixed.names.get(name), holders.get(name), takers.get(name)) {
                (Some(with), ..) => with.clone(),
                (None, Some(&other), _) | (None, None, Some(&other)) => self.items[other].key.to_string(),
                (None, None, None) => {
                    takers.insert(name, i);
                    continue;
                }
            };
            lost.push((
                i,
                HeldCause::NameConflict {
                    name: name.to_owned(),
                    with,
                },
            ));
        }
        for (i, cause) in &lost {
            self.forbid_name(*i, cause);
        }
        !lost.is_empty()
    }

    fn forbid_name(&mut self, i: usize, cause: &HeldCause) {
        let making = self.needs[i].make.is_some();
        let forbidden = &mut self.lasting[i];
        if making {
            forbidden.make = Some(cause.clone());
        }
        // Whatever else becomes of it: the name is not to be had.
        forbidden.rename = Some(cause.clone());
    }

    /// Holds whoever waits for what will not come. Whether anybody was.
    fn hold_dependents(&mut self) -> bool {
        let mut any = false;
        for i in 0..self.items.len() {
            if self.needs[i].make.is_some()
                && let Some(cause) = self.unmet(i)
            {
                self.lasting[i].make = Some(cause);
                self.waiting.insert(i);
                any = true;
            }
        }
        any
    }

    /// Lets go, once, of those whose dependency turned out to come up after all. Whether there were any.
    fn free_dependents(&mut self) -> bool {
        let met: Vec<usize> = self
            .waiting
            .iter()
            .copied()
            .filter(|i| !self.freed.contains(i) && self.unmet(*i).is_none())
            .collect();
        for &i in &met {
            self.lasting[i].make = None;
            self.waiting.remove(&i);
            self.freed.insert(i);
        }
        !met.is_empty()
    }

    /// Why a dependency of the container will not be met.
    fn unmet(&self, i: usize) -> Option<HeldCause> {
        let item = &self.items[i];
        order::dependencies(item.workload, &item.desired.name)
            .into_iter()
            .find_map(
                |(name, condition)| match self.by_key.get(&(&item.key.workload, name)) {
                    None => Some(not_ready(
                        &format!("it waits for {name}, which its workload lacks"),
                        true,
                    )),
                    Some(&on) if self.may_be_met(on, condition) => None,
                    Some(_) => Some(not_ready(&format!("it waits for {name}"), false)),
                },
            )
    }

    /// Whether a dependency is met, or may come to be: how far it is, is for the agent to see. An old
    /// container will do as a running dependency, but its end is not the one that is waited for.
    fn may_be_met(&self, on: usize, condition: DependencyCondition) -> bool {
        let (item, needs) = (&self.items[on], &self.needs[on]);
        let counts = |k: &ObservedContainer| match condition {
            DependencyCondition::Started | DependencyCondition::Healthy => true,
            DependencyCondition::Completed => item.same_spec(k),
        };
        let ended = |k: &ObservedContainer| {
            let well = matches!(k.state, ContainerState::Exited { exit_code: 0, .. }) && !k.interrupted;
            item.same_spec(k) && well
        };
        let runs = |k: &ObservedContainer| {
            counts(k) && (needs.start.is_some() || (k.state.is_up() && self.may_run(on)))
        };
        item.completed() || needs.make.is_some() || item.keeper.is_some_and(|k| ended(k) || runs(k))
    }

    /// The running containers that lost, each with the first one in order that needs it gone.
    fn stops(&self, order: &[usize]) -> Vec<Vec<usize>> {
        let mut stops = vec![Vec::new(); self.items.len()];
        for (loser, item) in self.items.iter().enumerate() {
            if self.may_run(loser) || !item.keeper.is_some_and(|k| k.state.is_up()) {
                continue;
            }
            let held = claims::held_now(item);
            let takes = |&&i: &&usize| {
                let starts = self.needs[i].make.is_some() || self.needs[i].start.is_some();
                starts && self.wanted(i).iter().any(|c| held.iter().any(|h| h.clashes(*c)))
            };
            if let Some(&first) = order.iter().find(takes) {
                stops[first].push(loser);
            }
        }
        stops
    }
}

fn not_ready(message: &str, blocked: bool) -> HeldCause {
    HeldCause::Failed {
        reason: FailureReason::DependencyNotReady,
        message: message.to_owned(),
        blocked,
    }
}
