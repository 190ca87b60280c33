//! Who gives up a port or a name that another takes in the same plan, and so goes first.

use std::collections::{BTreeMap, BTreeSet};

use super::Settling;
use crate::planner::claims::{self, Claim};
use crate::planner::order;
use crate::spec::Protocol;
use crate::step::HeldCause;

/// One container gives up what another takes.
pub(super) struct Handover {
    pub(super) giver: usize,
    pub(super) taker: usize,
    what: What,
}

enum What {
    Port(Claim),
    Name,
}

impl Settling<'_, '_> {
    /// Who gives up what to whom.
    pub(super) fn handovers(&self) -> Vec<Handover> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ports: BTreeMap<(u16, Protocol), Vec<(Claim, usize)>> = BTreeMap::new();
        for (i, item) in self.items.iter().enumerate() {
            if let Some(name) = self.gives_up_name(i) {
                names.insert(name, i);
            }
            if self.needs[i].make.is_some() {
                let wanted = self.wanted(i);
                for claim in claims::held_now(item) {
                    if !wanted.contains(&claim) {
                        ports.entry(claim.slot()).or_default().push((claim, i));
                    }
                }
            }
        }
        let mut found = Vec::new();
        for taker in 0..self.items.len() {
            if let Some(&giver) = self.takes_name(taker).and_then(|name| names.get(name))
                && giver != taker
            {
                found.push(Handover {
                    giver,
                    taker,
                    what: What::Name,
                });
            }
            let needs = &self.needs[taker];
            if needs.make.is_none() && needs.start.is_none() {
                continue;
            }
            for claim in self.wanted(taker) {
                for &(given, giver) in ports.get(&claim.slot()).into_iter().flatten() {
                    if giver != taker && given.clashes(claim) {
                        found.push(Handover {
                            giver,
                            taker,
                            what: What::Port(claim),
                        });
                    }
                }
            }
        }
        found
    }

    /// Holds the weakest taker of a cycle of handovers and dependencies. Whether there was one.
    pub(super) fn hold_one_of_a_cycle(&mut self) -> bool {
        let handovers = self.handovers();
        if handovers.is_empty() {
            return false;
        }
        let mut edges = self.dependencies.clone();
        edges.extend(handovers.iter().map(|h| (h.giver, h.taker)));
        let cyclic: BTreeSet<usize> = order::cyclic(self.items.len(), &edges);
        let on_cycle = |h: &&Handover| cyclic.contains(&h.giver) && cyclic.contains(&h.taker);
        let Some(weakest) = handovers
            .iter()
            .filter(on_cycle)
            .max_by_key(|h| (h.taker, h.giver))
        else {
            return false;
        };
        let (taker, with) = (weakest.taker, self.items[weakest.giver].key.to_string());
        match weakest.what {
            What::Name => {
                let name = self.items[taker].desired.engine_name.clone();
                self.forbid_name(taker, &HeldCause::NameConflict { name, with });
            }
            What::Port(claim) => {
                let cause = HeldCause::PortConflict {
                    port: claim.port,
                    with,
                };
                if self.needs[taker].make.is_some() {
                    self.lasting[taker].make = Some(cause);
                } else {
                    self.lasting[taker].run = Some(cause);
                }
            }
        }
        true
    }
}
