//! What containers claim of the host: ports, and who holds them now.

use std::net::IpAddr;

use super::decide::Needs;
use super::index::Item;
use crate::observed::{HostPort, ObservedContainer};
use crate::spec::{ContainerSpec, Protocol};

/// A published port. Without an address it is bound on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    ip: Option<IpAddr>,
}

impl Claim {
    /// Whether one excludes the other: different addresses of the host live side by side.
    pub(crate) fn clashes(self, other: Self) -> bool {
        self.slot() == other.slot()
            && match (self.ip, other.ip) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
    }

    /// What can clash at all.
    pub(crate) fn slot(self) -> (u16, Protocol) {
        (self.port, self.protocol)
    }
}

impl From<&HostPort> for Claim {
    /// A report does not tell addresses, so it counts as bound on all: the careful reading.
    fn from(port: &HostPort) -> Self {
        Self {
            port: port.port,
            protocol: port.protocol,
            ip: None,
        }
    }
}

/// What a container made from `spec` publishes. The ports that a container on the host's network happens
/// to listen on are its own affair: only `hostPort` counts.
pub(crate) fn of_spec(spec: &ContainerSpec) -> Vec<Claim> {
    let claims = spec.ports.iter().filter_map(|p| {
        let ip = p.host_ip.filter(|ip| !ip.is_unspecified());
        p.host_port.map(|port| Claim {
            port,
            protocol: p.protocol,
            ip,
        })
    });
    let mut claims: Vec<_> = claims.collect();
    claims.sort_unstable();
    claims.dedup();
    claims
}

/// What an object of ours publishes: bound while it is up.
pub(crate) fn of_object(object: &ObservedContainer) -> Vec<Claim> {
    object.host_ports.iter().map(Claim::from).collect()
}

/// What the container that stays holds now.
pub(crate) fn held_now(item: &Item<'_>) -> Vec<Claim> {
    match item.keeper {
        Some(keeper) if keeper.state.is_up() => of_keeper(item, keeper),
        _ => Vec::new(),
    }
}

/// What it will hold when its needs have been met.
pub(crate) fn wanted(item: &Item<'_>, needs: &Needs, may_run: bool) -> Vec<Claim> {
    if needs.make.is_some() {
        return of_spec(&item.desired.spec);
    }
    match item.keeper {
        Some(keeper) if may_run && (keeper.state.is_up() || needs.start.is_some()) => of_keeper(item, keeper),
        _ => Vec::new(),
    }
}

/// Of a container made from the desired spec the spec tells more than a report does. Of one that is only
/// taken for it, the report counts if there is one.
fn of_keeper(item: &Item<'_>, keeper: &ObservedContainer) -> Vec<Claim> {
    let adopted = item.same_spec(keeper) && keeper.host_ports.is_empty();
    if keeper.hash == item.desired.hash || adopted {
        of_spec(&item.desired.spec)
    } else {
        of_object(keeper)
    }
}
