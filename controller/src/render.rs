//! Render: from a Workload and the digests of what it refers to, to what one device should run. Pure.
//!
//! ```text
//! Workload × digests ──render()──► DesiredWorkload + where each digest's value lies, or every problem
//! ```
//!
//! - **Defaults become absent.** What the user wrote and what it means by default are the same desired
//!   set and the same hash.
//! - **Order does not matter** where the API's own lists have none (ports, limits, capabilities, volumes,
//!   networks), and does where it has (variables, mounts, arguments).
//! - **All problems at once.** One `kubectl apply` shows every field that needs another value.
//! - **No values.** ConfigMaps and Secrets are digests here; `$(VAR)` of one is refused.
//!
//! It does not know devices: placement says where, and the result is the same everywhere.

use std::collections::BTreeMap;

use longshore_crds::Workload;
use longshore_crds::workload::{Drift, Network, OnFailure, RETRY_ANNOTATION, ReclaimPolicy, Template};
use longshore_plan::desired::{
    self, DesiredContainer, DesiredNetwork, DesiredVolume, DesiredWorkload, DriftMode,
};
use longshore_plan::hash::digest_hex;
use longshore_plan::names::DnsLabel;
use longshore_plan::spec::{ContentDigest, ContentRef};
use serde::Serialize;

mod check;
mod container;
mod content;
mod context;
mod env;
mod mounts;
mod probe;
mod problem;
mod resources;
#[cfg(test)]
mod tests;

pub use content::{ContentKind, ContentLookup, ContentObject, ContentSource, references};
pub use problem::RenderProblem;

use context::Context;

/// Seconds a container without probes must run to count as healthy, unless the rollout says otherwise.
pub const MIN_READY_SECONDS: u32 = 10;

/// Seconds a changed container has to become healthy, unless the rollout says otherwise.
pub const PROGRESS_DEADLINE_SECONDS: u32 = 600;

/// A workload as it should be on each of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What should run.
    pub workload: DesiredWorkload,
    /// Where the value of each digest in it lies, for the device that asks. A device gets no other.
    pub content: BTreeMap<ContentDigest, ContentSource>,
}

/// Renders `workload`.
///
/// Guarantees: equal inputs give equal results; the revision changes exactly when the containers,
/// networks or volumes do; a container's hash is not touched by probes, timeouts, resources, the rollout,
/// `priority`, `drift` or `suspend`. On problems it returns all of them, in the order of the spec.
pub fn render(workload: &Workload, content: &dyn ContentLookup) -> Result<Rendered, Vec<RenderProblem>> {
    let namespace = workload.metadata.namespace.as_deref().unwrap_or_default();
    let mut context = Context::new(namespace, content);
    let name = context.label(
        "metadata.name",
        workload.metadata.name.as_deref().unwrap_or_default(),
    );
    let spec = &workload.spec;
    let body = Body::render(&mut context, &name, &spec.template);
    check::across(&mut context, &spec.template, &body.containers, &body.volumes);

    let rollout = spec.rollout.clone().unwrap_or_default();
    let desired = DesiredWorkload {
        name,
        revision: digest_hex(&body)[..10].to_owned(),
        priority: spec.priority.unwrap_or_default(),
        drift: match spec.drift {
            None | Some(Drift::Enforce) => DriftMode::Enforce,
            Some(Drift::Observe) => DriftMode::Observe,
        },
        suspend: spec.suspend.unwrap_or_default(),
        containers: body.containers,
        networks: body.networks,
        volumes: body.volumes,
        min_ready_seconds: rollout.min_ready_seconds.unwrap_or(MIN_READY_SECONDS),
        progress_deadline_seconds: rollout
            .progress_deadline_seconds
            .unwrap_or(PROGRESS_DEADLINE_SECONDS),
        on_failure: match rollout.on_failure {
            None | Some(OnFailure::Rollback) => desired::OnFailure::Rollback,
            Some(OnFailure::Pause) => desired::OnFailure::Pause,
            Some(OnFailure::Continue) => desired::OnFailure::Continue,
        },
        retry: workload
            .metadata
            .annotations
            .as_ref()
            .and_then(|a| a.get(RETRY_ANNOTATION))
            .cloned(),
        image_pull_secrets: pull_secrets(&mut context, &spec.template),
    };
    context.finish().map(|content| Rendered {
        workload: desired,
        content,
    })
}

/// What the revision is a digest of.
#[derive(Debug, Serialize)]
struct Body {
    containers: Vec<DesiredContainer>,
    networks: Vec<DesiredNetwork>,
    volumes: Vec<DesiredVolume>,
}

impl Body {
    fn render(context: &mut Context<'_>, workload: &DnsLabel, template: &Template) -> Self {
        let networks = networks(context, workload, template);
        let volumes = volumes(context, workload, template);
        let shared = container::Shared::new(context, workload, template, &networks);
        let mut containers = Vec::new();
        for (list, init, declared) in [
            ("initContainers", true, &template.init_containers),
            ("containers", false, &template.containers),
        ] {
            for (index, container) in declared.iter().enumerate() {
                let field = format!("spec.template.{list}[{index}]");
                containers.push(container::render(context, &shared, &field, container, init));
            }
        }
        Self {
            containers,
            networks,
            volumes,
        }
    }
}

/// The networks, sorted by name. One is made when the user asks for it, or when two containers have to
/// reach each other; init containers are gone by then and need none.
fn networks(context: &mut Context<'_>, workload: &DnsLabel, template: &Template) -> Vec<DesiredNetwork> {
    let host = template.host_network == Some(true);
    let mut networks = Vec::new();
    for (index, network) in template.networks.iter().enumerate() {
        let field = format!("spec.template.networks[{index}]");
        let Network {
            name,
            driver,
            subnet,
            internal,
            options,
        } = network;
        let name = context.label(&format!("{field}.name"), name);
        if let Some(subnet) = subnet {
            check::subnet(context, &format!("{field}.subnet"), subnet);
        }
        networks.push(DesiredNetwork {
            name: format!("{workload}.{name}"),
            driver: driver.clone().filter(|driver| driver != "bridge"),
            subnet: subnet.clone(),
            internal: *internal == Some(true),
            options: options.clone(),
        });
    }
    if host && !networks.is_empty() {
        context.invalid("spec.template.networks", "must not be set with hostNetwork");
    }
    if !host && networks.is_empty() && template.containers.len() > 1 {
        networks.push(DesiredNetwork {
            name: format!("{workload}.default"),
            driver: None,
            subnet: None,
            internal: false,
            options: BTreeMap::new(),
        });
    }
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    networks
}

/// The named volumes, sorted by name; also those that no container mounts, because they were asked for.
fn volumes(context: &mut Context<'_>, workload: &DnsLabel, template: &Template) -> Vec<DesiredVolume> {
    let mut volumes = Vec::new();
    for (index, volume) in template.volumes.iter().enumerate() {
        let field = format!("spec.template.volumes[{index}]");
        context.label(&format!("{field}.name"), &volume.name);
        if mounts::sources(volume) != 1 {
            context.invalid(&field, "needs exactly one source");
        }
        let Some(named) = &volume.named_volume else {
            continue;
        };
        volumes.push(DesiredVolume {
            name: mounts::engine_name(workload, volume, named),
            driver: named.driver.clone().filter(|driver| driver != "local"),
            options: named.options.clone(),
            reclaim: match named.reclaim_policy {
                None | Some(ReclaimPolicy::Retain) => desired::ReclaimPolicy::Retain,
                Some(ReclaimPolicy::Delete) => desired::ReclaimPolicy::Delete,
            },
        });
    }
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    volumes
}

fn pull_secrets(context: &mut Context<'_>, template: &Template) -> Vec<ContentRef> {
    let mut secrets = Vec::new();
    for (index, secret) in template.image_pull_secrets.iter().enumerate() {
        let field = format!("spec.template.imagePullSecrets[{index}]");
        secrets.extend(context.key(
            &field,
            ContentKind::Secret,
            &secret.name,
            ".dockerconfigjson",
            false,
        ));
    }
    secrets
}
