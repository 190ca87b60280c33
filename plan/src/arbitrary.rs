//! Desired and observed things for tests: as simple as can be, by hand, or generated.

mod strategies;

pub(crate) use strategies::{Json, Shape, Situation, change, situation};

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::desired::{
    DesiredContainer, DesiredNetwork, DesiredSet, DesiredVolume, DesiredWorkload, DriftMode, OnFailure,
    ReclaimPolicy, Removal, RemovalReason,
};
use crate::hash::{SpecHash, config_digest, spec_hash};
use crate::names::{ContainerKey, DnsLabel, EngineId};
use crate::observed::{
    Applied, ContainerState, Failure, FailureReason, Health, HostPort, Observed, ObservedContainer,
    OwnedVolume, Retry, RuntimeState, Unmanaged,
};
use crate::spec::{
    ContainerBehaviour, ContainerConfig, ContainerSpec, ContentDigest, ContentFile, ContentRef, Dependency,
    DependencyCondition, Mount, MountSource, Port, Protocol, Resources, RestartPolicy,
};

pub(crate) const WORKLOADS: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const CONTAINERS: [&str; 4] = ["w", "x", "y", "z"];

pub(crate) fn label(name: &str) -> DnsLabel {
    DnsLabel::new(name).unwrap()
}

pub(crate) fn key(workload: &str, container: &str) -> ContainerKey {
    ContainerKey::new(label(workload), label(container))
}

pub(crate) fn ready() -> RuntimeState {
    RuntimeState::Ready {
        kind: "model".into(),
        version: "1".into(),
        api_version: "1".into(),
        os: "linux".into(),
        arch: "amd64".into(),
        capabilities: Vec::new(),
    }
}

/// A container as simple as can be.
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

pub(crate) fn workload(name: &str, containers: Vec<DesiredContainer>) -> DesiredWorkload {
    DesiredWorkload {
        name: label(name),
        revision: "1".into(),
        priority: 0,
        drift: DriftMode::Enforce,
        suspend: false,
        containers,
        networks: Vec::new(),
        volumes: Vec::new(),
        min_ready_seconds: 10,
        progress_deadline_seconds: 60,
        on_failure: OnFailure::Rollback,
        retry: None,
        image_pull_secrets: Vec::new(),
    }
}

pub(crate) fn publish(container: &mut DesiredContainer, port: u16) {
    container.spec.ports.push(Port {
        container_port: port,
        host_port: Some(port),
        host_ip: None,
        protocol: Protocol::Tcp,
    });
    container.hash = spec_hash(&container.spec);
}

/// The object the agent makes of `desired`.
pub(crate) fn object(workload: &str, desired: &DesiredContainer, id: &str) -> ObservedContainer {
    ObservedContainer {
        key: key(workload, desired.name.as_str()),
        id: EngineId(id.into()),
        engine_name: desired.engine_name.clone(),
        hash: desired.hash.clone(),
        revision: "1".into(),
        state: ContainerState::Running,
        health: Health::Healthy,
        config: desired.config.clone(),
        host_ports: desired
            .spec
            .ports
            .iter()
            .filter_map(|p| {
                p.host_port.map(|port| HostPort {
                    port,
                    protocol: p.protocol,
                })
            })
            .collect(),
        restarts: 0,
        image_id: String::new(),
        started_at: String::new(),
        interrupted: false,
    }
}

pub(crate) fn applied(workload: &str, desired: &DesiredContainer) -> Applied {
    Applied {
        key: key(workload, desired.name.as_str()),
        hash: desired.hash.clone(),
        config_digest: config_digest(&desired.config),
        completed: false,
    }
}

pub(crate) fn other_hash(image: &str) -> SpecHash {
    spec_hash(&ContainerSpec {
        image: image.into(),
        ..ContainerSpec::default()
    })
}
