//! What is declared in the benchmarks, and the device that has just that.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use longshore_controller::render::{ContentLookup, ContentObject, render};
use longshore_crds::Workload;
use longshore_plan::desired::{DesiredSet, DesiredWorkload};
use longshore_plan::hash::config_digest;
use longshore_plan::names::EngineId;
use longshore_plan::observed::{
    Applied, ContainerState, Health, HostPort, Observed, ObservedContainer, OwnedVolume, RuntimeState,
};
use longshore_plan::spec::ContentDigest;
use serde_json::{Value, json};

/// How many containers a workload of the larger fixtures has.
const CONTAINERS_OF_A_WORKLOAD: usize = 5;

/// A Workload as a user writes it: `containers` servers with variables, a port, limits, a volume and a
/// probe. It waits for no container's first seconds.
pub(crate) fn workload(name: &str, devices: &[&str], image: &str, containers: usize) -> Value {
    let containers: Vec<Value> = (0..containers).map(|number| server(number, image)).collect();
    let targets: Vec<Value> = devices.iter().map(|device| json!({"device": device})).collect();
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "targets": targets,
            "template": {
                "containers": containers,
                "volumes": [{"name": "data", "namedVolume": {}}],
            },
            "rollout": {"minReadySeconds": 1, "progressDeadlineSeconds": 120},
        },
    })
}

fn server(number: usize, image: &str) -> Value {
    json!({
        "name": format!("server-{number}"),
        "image": image,
        "args": ["--verbose", format!("--shard={number}")],
        "env": [
            {"name": "GREETING", "value": "hi"},
            {"name": "SHARD", "value": number.to_string()},
            {"name": "UPSTREAM", "value": "http://server-0:8080/"},
        ],
        "ports": [{"containerPort": 8080}],
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 2},
        "restartPolicy": "Always",
    })
}

/// The names and numbers of containers of the workloads that make a device of `containers` containers.
pub(crate) fn shares(containers: usize) -> Vec<(String, usize)> {
    let starts = (0..containers).step_by(CONTAINERS_OF_A_WORKLOAD);
    starts
        .enumerate()
        .map(|(number, start)| {
            let share = CONTAINERS_OF_A_WORKLOAD.min(containers - start);
            (format!("workload-{number:02}"), share)
        })
        .collect()
}

/// What a device of that many containers should have, as the controller renders it.
pub(crate) fn desired(containers: usize, image: &str) -> Result<DesiredSet> {
    let shares = shares(containers).into_iter();
    let workloads = shares.map(|(name, share)| rendered(&workload(&name, &["dev1"], image, share)));
    Ok(DesiredSet {
        workloads: workloads.collect::<Result<_>>()?,
        ..DesiredSet::default()
    })
}

/// What a Workload that refers to no ConfigMap and no Secret is on each of its devices.
pub(crate) fn rendered(workload: &Value) -> Result<DesiredWorkload> {
    let workload: Workload = serde_json::from_value(workload.clone()).context("reading a Workload")?;
    let rendered = render(&workload, &NoContent).map_err(|problems| anyhow!("rendering: {problems:?}"))?;
    Ok(rendered.workload)
}

struct NoContent;

impl ContentLookup for NoContent {
    fn digests(&self, _: &ContentObject) -> Option<&BTreeMap<String, ContentDigest>> {
        None
    }
}

/// A device on which nothing was done yet.
pub(crate) fn bare() -> Observed {
    Observed {
        runtime: RuntimeState::Ready {
            kind: "bench".to_owned(),
            version: "1".to_owned(),
            api_version: "1".to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            capabilities: Vec::new(),
        },
        ..Observed::default()
    }
}

/// A device that has just what it should have, and all of it is well.
pub(crate) fn settled(desired: &DesiredSet) -> Observed {
    let mut observed = bare();
    for workload in &desired.workloads {
        for container in &workload.containers {
            let key = workload.key(container);
            observed.applied.push(Applied {
                key: key.clone(),
                hash: container.hash.clone(),
                config_digest: config_digest(&container.config),
                completed: false,
            });
            let host_ports = container.spec.ports.iter().filter_map(|port| {
                Some(HostPort {
                    port: port.host_port?,
                    protocol: port.protocol,
                })
            });
            observed.containers.push(ObservedContainer {
                // As long as an engine's.
                id: EngineId(format!("{:0>64}", container.hash.0.trim_start_matches("v1:"))),
                key,
                engine_name: container.engine_name.clone(),
                hash: container.hash.clone(),
                revision: workload.revision.clone(),
                state: ContainerState::Running,
                health: Health::Healthy,
                config: container.config.clone(),
                host_ports: host_ports.collect(),
                restarts: 0,
                image_id: format!("sha256:{:0>64}", 1),
                started_at: "2026-01-01T00:00:00.000000000Z".to_owned(),
                interrupted: false,
            });
        }
        let networks = workload.networks.iter().map(|network| network.name.clone());
        observed.networks.extend(networks);
        let volumes = workload.volumes.iter().map(|volume| OwnedVolume {
            name: volume.name.clone(),
            workload: workload.name.to_string(),
            reclaim: volume.reclaim,
        });
        observed.volumes.extend(volumes);
    }
    observed
        .containers
        .sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    observed.applied.sort_by(|a, b| a.key.cmp(&b.key));
    observed
}
