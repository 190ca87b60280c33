//! What holds across containers and cannot be seen in one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use longshore_crds::workload::Template;
use longshore_plan::desired::{DesiredContainer, DesiredVolume};

use super::context::Context;
use super::problem::RenderProblem;

/// Names, host ports and dependencies.
pub(super) fn across(
    context: &mut Context<'_>,
    template: &Template,
    containers: &[DesiredContainer],
    volumes: &[DesiredVolume],
) {
    if template.containers.is_empty() {
        context.invalid("spec.template.containers", "needs at least one container");
    }
    let names = containers.iter().map(|container| container.name.to_string());
    unique(context, "spec.template.containers", "name", names);
    let engine_names = containers.iter().map(|container| container.engine_name.clone());
    unique(context, "spec.template.containers", "engine name", engine_names);
    let volumes = volumes.iter().map(|volume| volume.name.clone());
    unique(context, "spec.template.volumes", "engine name", volumes);
    host_ports(context, containers);
    dependencies(context, containers);
}

fn unique(context: &mut Context<'_>, field: &str, what: &'static str, names: impl Iterator<Item = String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.clone()) {
            context.problem(RenderProblem::Taken {
                field: field.to_owned(),
                what,
                name,
            });
        }
    }
}

/// Two ports clash when number and protocol are the same, and so are the addresses, or one is every
/// address.
fn host_ports(context: &mut Context<'_>, containers: &[DesiredContainer]) {
    let every = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    let mut taken: BTreeMap<_, Vec<Option<IpAddr>>> = BTreeMap::new();
    for container in containers {
        for port in &container.spec.ports {
            let Some(number) = port.host_port else { continue };
            let holders = taken.entry((number, port.protocol)).or_default();
            let clash = holders
                .iter()
                .any(|ip| every(*ip) || every(port.host_ip) || *ip == port.host_ip);
            if clash {
                context.problem(RenderProblem::Taken {
                    field: "spec.template.containers".to_owned(),
                    what: "host port",
                    name: number.to_string(),
                });
            }
            holders.push(port.host_ip);
        }
    }
}

/// Every dependency exists, and no container waits for itself through others.
fn dependencies(context: &mut Context<'_>, containers: &[DesiredContainer]) {
    let field = "spec.template.containers";
    let mut waiting: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers.iter().filter(|container| !container.init) {
        let on = container
            .behaviour
            .depends_on
            .iter()
            .map(|d| d.container.as_str());
        waiting.insert(container.name.as_str(), on.collect());
    }
    let known: BTreeSet<&str> = waiting.keys().copied().collect();
    for on in waiting.values_mut() {
        for name in on.iter().filter(|name| !known.contains(**name)) {
            context.problem(RenderProblem::Unknown {
                field: field.to_owned(),
                what: "container",
                name: (*name).to_owned(),
            });
        }
        on.retain(|name| known.contains(name));
    }
    // Take away whoever waits for nobody, until nobody can be taken.
    while let Some(free) = waiting
        .iter()
        .find(|(_, on)| on.is_empty())
        .map(|(name, _)| *name)
    {
        waiting.remove(free);
        for on in waiting.values_mut() {
            on.remove(free);
        }
    }
    if !waiting.is_empty() {
        context.problem(RenderProblem::DependencyCycle {
            field: field.to_owned(),
            containers: waiting.into_keys().map(str::to_owned).collect(),
        });
    }
}

/// A subnet is an address and the length of its prefix, with nothing set behind it.
pub(super) fn subnet(context: &mut Context<'_>, field: &str, text: &str) {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let prefix: u32 = prefix.parse().ok()?;
        let (bits, width) = match address.parse().ok()? {
            IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
            IpAddr::V6(ip) => (u128::from(ip), 128),
        };
        (prefix <= width).then_some((bits, prefix))
    });
    match parsed {
        None => context.invalid(field, format!("{text:?} is no subnet")),
        Some((bits, prefix)) if bits.checked_shl(prefix).unwrap_or(0) != 0 => {
            context.invalid(field, format!("{text:?} has bits set beyond its prefix"));
        }
        Some(_) => {}
    }
}
