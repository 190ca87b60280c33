//! Objects, desired sets and reports for tests: as simple as can be, by hand, or generated.

pub(crate) mod arbitrary;

use std::sync::Arc;

use longshore_bus::envelope::{Report, VERSION};
use longshore_crds::{Device, DeviceSpec, Workload, WorkloadSpec};
use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload, DriftMode, OnFailure};
use longshore_plan::hash::{config_digest, digest_hex, spec_hash};
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{
    Applied, ContainerState, Drift, Failure, FailureReason, Health, HostPort, Observed, ObservedContainer,
    Retry, RuntimeState, Unmanaged,
};
use longshore_plan::spec::{ContainerBehaviour, ContainerConfig, ContainerSpec, Port, Protocol};
use uuid::Uuid;

use crate::finalizer;
use crate::render::Rendered;

/// The namespace of everything here.
pub(crate) const NS: &str = "default";

pub(crate) fn label(name: &str) -> DnsLabel {
    DnsLabel::new(name).unwrap()
}

pub(crate) fn key(workload: &str, container: &str) -> ContainerKey {
    ContainerKey::new(label(workload), label(container))
}

/// A Workload as the API has it, with our finalizer and generation 1.
pub(crate) fn workload_object(name: &str) -> Workload {
    let mut workload = Workload::new(name, WorkloadSpec::default());
    workload.metadata.namespace = Some(NS.into());
    workload.metadata.uid = Some(format!("uid-{name}"));
    workload.metadata.generation = Some(1);
    workload.metadata.finalizers = Some(vec![finalizer::WORKLOAD.into()]);
    workload
}

/// A Device as the API has it.
pub(crate) fn device_object(name: &str) -> Device {
    let mut device = Device::new(name, DeviceSpec::default());
    device.metadata.namespace = Some(NS.into());
    device.metadata.uid = Some(format!("uid-{name}"));
    device.metadata.generation = Some(1);
    device.metadata.finalizers = Some(vec![finalizer::DEVICE.into()]);
    device
}

/// A container of one image.
pub(crate) fn container(workload: &str, name: &str, image: &str) -> DesiredContainer {
    let spec = ContainerSpec {
        image: image.into(),
        ..ContainerSpec::default()
    };
    DesiredContainer {
        name: label(name),
        engine_name: format!("{workload}.{name}"),
        init: false,
        hash: spec_hash(&spec),
        spec,
        config: ContainerConfig::default(),
        behaviour: ContainerBehaviour::default(),
    }
}

/// Its host port.
pub(crate) fn publish(container: &mut DesiredContainer, port: u16) {
    container.spec.ports.push(Port {
        container_port: port,
        host_port: Some(port),
        host_ip: None,
        protocol: Protocol::Tcp,
    });
    container.hash = spec_hash(&container.spec);
}

/// A workload with these containers, as `(name, image)`. Its revision is that of its images.
pub(crate) fn workload(name: &str, containers: &[(&str, &str)]) -> DesiredWorkload {
    DesiredWorkload {
        name: label(name),
        revision: format!("r-{}", digest_hex(&containers)),
        priority: 0,
        drift: DriftMode::Enforce,
        suspend: false,
        containers: containers
            .iter()
            .map(|(c, image)| container(name, c, image))
            .collect(),
        networks: Vec::new(),
        volumes: Vec::new(),
        min_ready_seconds: 10,
        progress_deadline_seconds: 60,
        on_failure: OnFailure::Rollback,
        retry: None,
        image_pull_secrets: Vec::new(),
    }
}

pub(crate) fn set(workloads: &[DesiredWorkload]) -> DesiredSet {
    DesiredSet {
        workloads: workloads.to_vec(),
        ..DesiredSet::default()
    }
}

pub(crate) fn rendered(workload: &DesiredWorkload) -> Arc<Rendered> {
    Arc::new(Rendered {
        workload: workload.clone(),
        content: std::collections::BTreeMap::new(),
    })
}

pub(crate) fn ready() -> RuntimeState {
    RuntimeState::Ready {
        kind: "docker".into(),
        version: "27.1".into(),
        api_version: "1.46".into(),
        os: "linux".into(),
        arch: "amd64".into(),
        capabilities: vec!["update".into()],
    }
}

/// What the agent makes of a container.
pub(crate) fn object(workload: &DesiredWorkload, container: &DesiredContainer) -> ObservedContainer {
    let port = |p: &Port| {
        p.host_port.map(|port| HostPort {
            port,
            protocol: p.protocol,
        })
    };
    ObservedContainer {
        key: workload.key(container),
        id: EngineId(format!("id-{}", workload.key(container))),
        engine_name: container.engine_name.clone(),
        hash: container.hash.clone(),
        revision: workload.revision.clone(),
        state: ContainerState::Running,
        health: Health::Healthy,
        config: container.config.clone(),
        host_ports: container.spec.ports.iter().filter_map(port).collect(),
        restarts: 0,
        image_id: String::new(),
        started_at: String::new(),
        interrupted: false,
    }
}

pub(crate) fn applied(workload: &DesiredWorkload, container: &DesiredContainer) -> Applied {
    Applied {
        key: workload.key(container),
        hash: container.hash.clone(),
        config_digest: config_digest(&container.config),
        completed: false,
    }
}

/// A device on which these workloads run as declared, and nothing else.
pub(crate) fn running(workloads: &[DesiredWorkload]) -> Observed {
    let mut observed = Observed {
        runtime: ready(),
        ..Observed::default()
    };
    for workload in workloads {
        for container in &workload.containers {
            observed.containers.push(object(workload, container));
            observed.applied.push(applied(workload, container));
        }
        observed
            .networks
            .extend(workload.networks.iter().map(|n| n.name.clone()));
    }
    observed
}

/// A failure of just what is declared.
pub(crate) fn failure(
    workload: &DesiredWorkload,
    container: &DesiredContainer,
    reason: FailureReason,
    retry: Retry,
) -> Failure {
    Failure {
        key: workload.key(container),
        hash: container.hash.clone(),
        config_digest: config_digest(&container.config),
        reason,
        message: format!("words of {}", reason.as_str()),
        retry,
        attempts: 1,
    }
}

pub(crate) fn drift(key: ContainerKey, field: &str, want: &str, have: &str) -> Drift {
    Drift {
        key,
        field: field.into(),
        want: want.into(),
        have: have.into(),
    }
}

/// Somebody else's container that has a port.
pub(crate) fn stranger(name: &str, port: u16) -> Unmanaged {
    Unmanaged {
        name: name.into(),
        host_ports: vec![HostPort {
            port,
            protocol: Protocol::Tcp,
        }],
    }
}

/// A report of that, by a device that has accepted `digest`.
pub(crate) fn report(observed: Observed, digest: &str) -> Report {
    Report {
        version: VERSION,
        session: Uuid::from_u128(1),
        seq: 1,
        state_hash: digest_hex(&(&observed, digest)),
        fence: None,
        desired_digest: digest.to_owned(),
        busy: false,
        observed,
        drift: Vec::new(),
    }
}
