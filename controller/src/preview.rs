//! What a change would do, before it is made: the words of `longshore diff -f`. Pure.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::Event;
use longshore_bus::envelope::{Report, VERSION};
use longshore_crds::names::ObjectKey;
use longshore_crds::{Device, Workload};
use longshore_plan::desired::DesiredSet;
use longshore_plan::explain::explain;
use longshore_plan::hash::{config_digest, digest_hex};
use longshore_plan::names::EngineId;
use longshore_plan::observed::{Applied, ContainerState, Health, Observed, ObservedContainer, RuntimeState};
use uuid::Uuid;

use crate::assess::{Trouble, Verdict};
use crate::content::{ContentIndex, ContentKeys, ContentState};
use crate::decide::{Candidate, Decision, Input, Kept, decide};
use crate::finalizer::{self, Ending};
use crate::placement;
use crate::render::{self, ContentKind};
use crate::site;

/// The objects of one namespace at one time.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a> {
    /// The Workloads.
    pub workloads: &'a [Workload],
    /// The Devices.
    pub devices: &'a [Device],
    /// The ConfigMaps.
    pub config_maps: &'a [ConfigMap],
    /// The Secrets.
    pub secrets: &'a [Secret],
}

/// What a preview is made from.
#[derive(Debug, Clone, Copy)]
pub struct PreviewInput<'a> {
    /// All objects as they are.
    pub now: Objects<'a>,
    /// All objects as they would be.
    pub then: Objects<'a>,
    /// The name of a Workload that would be deleted. It is still in `then`.
    pub deleted: Option<&'a str>,
    /// The site's own Secret. Without it content cannot be compared with what is on a device.
    pub site: Option<&'a Secret>,
    /// What devices reported, by name. Of a device that is missing here it is assumed that it has what
    /// is declared now.
    pub observed: &'a BTreeMap<String, Observed>,
}

/// What would happen on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePreview {
    /// The device.
    pub device: String,
    /// What would be done, a line each, in order. Empty means nothing.
    pub steps: Vec<String>,
    /// What keeps a workload from being brought about.
    pub problems: Vec<String>,
    /// Nothing was reported: it was assumed that the device has what is declared now.
    pub assumed: bool,
}

/// Says what would happen on each device that the change concerns, sorted by name.
///
/// Guarantees: the same planner and renderer as the controller's; no values of Secrets or ConfigMaps.
/// Assumes nothing changes in between: the controller plans anew from what it sees then.
pub fn preview(input: &PreviewInput<'_>) -> Vec<DevicePreview> {
    let keys = input.site.and_then(|secret| site::parse("", secret).ok());
    let keys = keys.map_or_else(|| ContentKeys::new([0; 32]), |site| site.keys);
    let [content_now, content_then] = [input.now, input.then].map(|objects| index(&objects, &keys));
    let before: Vec<Workload> = input.now.workloads.iter().map(known).collect();
    let after: Vec<Workload> = input.then.workloads.iter().map(|w| same(w, &before)).collect();
    let mut devices: Vec<&Device> = input.then.devices.iter().collect();
    devices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut previews = Vec::new();
    for device in devices {
        let name = device.metadata.name.clone().unwrap_or_default();
        let was = input
            .now
            .devices
            .iter()
            .find(|d| d.metadata.name == device.metadata.name);
        // Nothing is declared for a device that is not there yet.
        let (was, had) = was.map_or((device, &[][..]), |was| (was, before.as_slice()));
        let now = decision(was, had, &[], &Kept::new(), &content_now, None);
        let (observed, assumed) = match input.observed.get(&name) {
            Some(observed) => (observed.clone(), false),
            None => (as_declared(&now.desired), true),
        };
        let report = report(observed, now.digest.clone());
        let gone: Vec<&str> = input.deleted.into_iter().collect();
        // What cannot be rendered then stays as it is rendered now.
        let then = decision(device, &after, &gone, &now.kept, &content_then, Some(&report));
        let problems = problems(&then);
        let steps = match &then.plan {
            Some(plan) => explain(plan, &then.desired, &report.observed),
            None => Vec::new(),
        };
        if !steps.is_empty() || !problems.is_empty() || then.digest != now.digest {
            previews.push(DevicePreview {
                device: name,
                steps,
                problems,
                assumed,
            });
        }
    }
    previews
}

fn index(objects: &Objects<'_>, keys: &ContentKeys) -> ContentIndex {
    let mut index = ContentIndex::default();
    for object in objects.config_maps {
        let state = ContentState::of_config_map(object, keys);
        index.apply((ContentKind::ConfigMap, Event::Apply(state)));
    }
    for object in objects.secrets {
        let state = ContentState::of_secret(object, keys);
        index.apply((ContentKind::Secret, Event::Apply(state)));
    }
    index
}

/// As if the controller had taken it up.
fn known(workload: &Workload) -> Workload {
    let mut workload = workload.clone();
    let finalizers = workload.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|f| f == finalizer::WORKLOAD) {
        finalizers.push(finalizer::WORKLOAD.to_owned());
    }
    workload
}

/// A Workload as it would be. A manifest that names no uid means the object that is there.
fn same(workload: &Workload, before: &[Workload]) -> Workload {
    let mut workload = known(workload);
    if workload.metadata.uid.is_none() {
        let was = before.iter().find(|w| w.metadata.name == workload.metadata.name);
        workload.metadata.uid = was.and_then(|w| w.metadata.uid.clone());
    }
    workload
}

fn decision(
    device: &Device,
    workloads: &[Workload],
    deleted: &[&str],
    kept: &Kept,
    content: &ContentIndex,
    report: Option<&Report>,
) -> Decision {
    let placement = placement::place(workloads, [device]);
    let rendered: Vec<Result<_, Trouble>> = workloads
        .iter()
        .map(|w| {
            render::render(w, content)
                .map(Arc::new)
                .map_err(|problems| Trouble::of_problems(&problems))
        })
        .collect();
    let candidates: Vec<Candidate<'_>> = std::iter::zip(workloads, &rendered)
        .map(|(workload, rendered)| Candidate {
            workload,
            ending: if workload
                .metadata
                .name
                .as_deref()
                .is_some_and(|name| deleted.contains(&name))
            {
                Ending::Explicit(
                    workload
                        .spec
                        .deletion_policy
                        .unwrap_or(longshore_crds::workload::DeletionPolicy::Delete),
                )
            } else {
                Ending::Alive
            },
            targeted: match (ObjectKey::of(workload), ObjectKey::of(device)) {
                (Some(workload), Some(device)) => placement.contains(&workload, &device),
                _ => false,
            },
            rendered,
        })
        .collect();
    decide(&Input {
        device,
        device_ending: Ending::Alive,
        workloads: &candidates,
        report,
        kept,
        accepted: None,
        refused: None,
    })
}

fn problems(decision: &Decision) -> Vec<String> {
    let troubles: BTreeSet<String> = decision
        .workloads
        .iter()
        .filter_map(|(name, concern)| match &concern.state.verdict {
            Verdict::Stalled(trouble) => Some(format!("{name}: {}: {}", trouble.reason, trouble.message)),
            _ => None,
        })
        .collect();
    troubles.into_iter().collect()
}

fn report(observed: Observed, desired_digest: String) -> Report {
    Report {
        version: VERSION,
        session: Uuid::nil(),
        seq: 1,
        state_hash: digest_hex(&observed),
        fence: None,
        desired_digest,
        busy: false,
        observed,
        drift: Vec::new(),
    }
}

/// A device that has what it should have.
fn as_declared(desired: &DesiredSet) -> Observed {
    let mut observed = Observed {
        runtime: RuntimeState::Ready {
            kind: "assumed".to_owned(),
            version: String::new(),
            api_version: String::new(),
            os: String::new(),
            arch: String::new(),
            capabilities: Vec::new(),
        },
        ..Observed::default()
    };
    for workload in &desired.workloads {
        for container in &workload.containers {
            let key = workload.key(container);
            observed.applied.push(Applied {
                key: key.clone(),
                hash: container.hash.clone(),
                config_digest: config_digest(&container.config),
                completed: container.init,
            });
            if container.init {
                continue;
            }
            observed.containers.push(ObservedContainer {
                id: EngineId(format!("assumed-{key}")),
                key,
                engine_name: container.engine_name.clone(),
                hash: container.hash.clone(),
                revision: workload.revision.clone(),
                state: ContainerState::Running,
                health: Health::Healthy,
                config: container.config.clone(),
                host_ports: Vec::new(),
                restarts: 0,
                image_id: String::new(),
                started_at: String::new(),
                interrupted: false,
            });
        }
        observed
            .networks
            .extend(workload.networks.iter().map(|n| n.name.clone()));
        observed.volumes.extend(
            workload
                .volumes
                .iter()
                .map(|v| longshore_plan::observed::OwnedVolume {
                    name: v.name.clone(),
                    workload: workload.name.to_string(),
                    reclaim: v.reclaim,
                }),
        );
    }
    observed
        .containers
        .sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    observed.applied.sort_by(|a, b| a.key.cmp(&b.key));
    observed
}
