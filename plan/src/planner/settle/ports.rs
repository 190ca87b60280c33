//! Who gets a host port.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Settling;
use crate::planner::claims::{self, Claim};
use crate::planner::decide::Make;
use crate::spec::Protocol;
use crate::step::HeldCause;

/// A port that is spoken for: by an item, or by what cannot be moved (with its words).
type Taken<'a> = (Claim, Option<usize>, &'a str);

impl Settling<'_, '_> {
    /// Holds one container that loses a port. Whether one was.
    ///
    /// Accepts the containers one by one, the stronger first, so that whoever loses does so to one that
    /// has what it needs.
    pub(super) fn hold_one_port(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        let presence = |i: usize| match self.items[i].keeper {
            Some(keeper) if keeper.state.is_up() => 0,
            Some(_) => 1,
            None => 2,
        };
        order.retain(|&i| !self.stuck[i]);
        order.sort_by_key(|&i| (Reverse(self.items[i].workload.priority), presence(i), i));
        let mut taken: BTreeMap<(u16, Protocol), Vec<Taken<'_>>> = BTreeMap::new();
        for (claim, with) in &self.fixed.ports {
            taken.entry(claim.slot()).or_default().push((*claim, None, with));
        }
        for i in order {
            let claims = self.wanted(i);
            let held = claims::held_now(&self.items[i]);
            let holds = |claim: Claim| held.iter().any(|h| h.clashes(claim));
            let mut beaten = None;
            for &claim in &claims {
                for &(other, by, with) in taken.get(&claim.slot()).into_iter().flatten() {
                    if !claim.clashes(other) {
                        continue;
                    }
                    let Some(by) = by else {
                        // Both are up with it, so it is not the same port after all (another address).
                        if holds(claim) {
                            continue;
                        }
                        let cause = HeldCause::PortConflict {
                            port: claim.port,
                            with: with.to_owned(),
                        };
                        self.forbid_port(i, cause);
                        return true;
                    };
                    let other_holds = claims::held_now(&self.items[by]).iter().any(|h| h.clashes(other));
                    let equal = self.items[by].workload.priority == self.items[i].workload.priority;
                    match (holds(claim), other_holds) {
                        (true, true) => {}
                        (true, false) if equal => beaten = beaten.or(Some((by, claim))),
                        _ => {
                            let cause = self.port_conflict(claim, by);
                            self.forbid_port(i, cause);
                            return true;
                        }
                    }
                }
            }
            if let Some((loser, claim)) = beaten {
                let cause = self.port_conflict(claim, i);
                self.forbid_port(loser, cause);
                return true;
            }
            for claim in claims {
                taken.entry(claim.slot()).or_default().push((claim, Some(i), ""));
            }
        }
        false
    }

    fn port_conflict(&self, claim: Claim, with: usize) -> HeldCause {
        HeldCause::PortConflict {
            port: claim.port,
            with: self.items[with].key.to_string(),
        }
    }

    /// First the change goes, and what is there stays as it is; then its running.
    fn forbid_port(&mut self, i: usize, cause: HeldCause) {
        let replacing = matches!(self.needs[i].make, Some((Make::Replace, _)));
        let forbidden = &mut self.by_ports[i];
        if self.needs[i].make.is_some() && (replacing || self.items[i].keeper.is_none()) {
            forbidden.make = Some(cause);
        } else {
            forbidden.run = Some(cause);
        }
    }
}
