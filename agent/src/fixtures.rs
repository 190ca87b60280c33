//! Declarations, and devices on which they are so, for tests.

use longshore_bus::DeviceId;
use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload, DriftMode, OnFailure};
use longshore_plan::hash::{config_digest, spec_hash};
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{Applied, ContainerState, Health, Observed, ObservedContainer, RuntimeState};
use longshore_plan::spec::{
    ContainerBehaviour, ContainerConfig, ContainerSpec, Port, Probe, ProbeAction, Protocol,
};

pub(crate) const SITE: &str = "site-a";

pub(crate) fn label(text: &str) -> DnsLabel {
    text.parse().unwrap()
}

pub(crate) fn key(workload: &str, container: &str) -> ContainerKey {
    ContainerKey::new(label(workload), label(container))
}

pub(crate) fn device() -> DeviceId {
    "default.dev1".parse().unwrap()
}

/// A container that is healthy when its HTTP probe says so.
pub(crate) fn container(workload: &str, name: &str, image: &str) -> DesiredContainer {
    let spec = ContainerSpec {
        image: image.to_owned(),
        ..ContainerSpec::default()
    };
    DesiredContainer {
        name: label(name),
        engine_name: format!("{workload}.{name}"),
        init: false,
        hash: spec_hash(&spec),
        spec,
        config: ContainerConfig::default(),
        behaviour: ContainerBehaviour {
            readiness: Some(probe(3)),
            ..ContainerBehaviour::default()
        },
    }
}

pub(crate) fn probe(failure_threshold: u32) -> Probe {
    Probe {
        action: ProbeAction::HttpGet {
            port: 8080,
            path: "/healthz".to_owned(),
            host: None,
            headers: Vec::new(),
        },
        initial_delay_seconds: 0,
        period_seconds: 1,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold,
    }
}

pub(crate) fn workload(name: &str, containers: Vec<DesiredContainer>) -> DesiredWorkload {
    DesiredWorkload {
        name: label(name),
        revision: "1".to_owned(),
        priority: 0,
        drift: DriftMode::Enforce,
        suspend: false,
        containers,
        networks: Vec::new(),
        volumes: Vec::new(),
        min_ready_seconds: 10,
        progress_deadline_seconds: 30,
        on_failure: OnFailure::Rollback,
        retry: None,
        image_pull_secrets: Vec::new(),
    }
}

/// One workload `hello` with one container `web`.
pub(crate) fn hello(image: &str) -> DesiredSet {
    DesiredSet {
        workloads: vec![workload("hello", vec![container("hello", "web", image)])],
        ..DesiredSet::default()
    }
}

/// Has the container take a port of the device.
pub(crate) fn publish(container: &mut DesiredContainer, port: u16) {
    container.spec.ports.push(Port {
        container_port: port,
        host_port: Some(port),
        host_ip: None,
        protocol: Protocol::Tcp,
    });
    rehash(container);
}

pub(crate) fn rehash(container: &mut DesiredContainer) {
    container.hash = spec_hash(&container.spec);
}

/// A device on which everything desired runs, with ids `id-<engine name>`.
pub(crate) fn observed_from(desired: &DesiredSet) -> Observed {
    let mut observed = Observed {
        runtime: RuntimeState::Ready {
            kind: "sim".to_owned(),
            version: "1".to_owned(),
            api_version: "1".to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            capabilities: Vec::new(),
        },
        ..Observed::default()
    };
    for workload in &desired.workloads {
        for wanted in &workload.containers {
            observed.applied.push(Applied {
                key: workload.key(wanted),
                hash: wanted.hash.clone(),
                config_digest: config_digest(&wanted.config),
                completed: false,
            });
            observed.containers.push(ObservedContainer {
                key: workload.key(wanted),
                id: EngineId(format!("id-{}", wanted.engine_name)),
                engine_name: wanted.engine_name.clone(),
                hash: wanted.hash.clone(),
                revision: workload.revision.clone(),
                state: ContainerState::Running,
                health: Health::Healthy,
                config: wanted.config.clone(),
                host_ports: Vec::new(),
                restarts: 0,
                image_id: "sha256:1".to_owned(),
                started_at: "2026-01-01T00:00:00Z".to_owned(),
                interrupted: false,
            });
        }
    }
    observed
}
