//! What calls change about containers, apart from their life: creation, removal, limits, names. Every
//! function is one effect; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::{MountSource, Resources, RestartPolicy};
use tokio::time::Instant;

use super::fault::Op;
use super::journal::Actor;
use super::registry::image_id;
use super::state::{Container, Refusal, State};
use crate::runtime::{
    Attachment, ContainerDetail, ContainerSummary, CreateRequest, RuntimeErrorKind, VolumeInfo,
};

/// Docker's smallest memory limit.
const LEAST_MEMORY: u64 = 6 << 20;

impl State {
    pub(super) fn create(
        &mut self,
        request: &CreateRequest,
        at: Instant,
        made_by: Actor,
    ) -> Result<EngineId, Refusal> {
        let name = &request.name;
        let Some(image) = self.local_image(&request.spec.image).cloned() else {
            let words = format!("No such image: {}", request.spec.image);
            return Err(Refusal::new(RuntimeErrorKind::NotFound, words));
        };
        if let Some(kind) = image.behaviour.create_error {
            return Err(Refusal::new(kind, "refused by script"));
        }
        if let Some(holder) = self.by_name(name) {
            let words = format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\"",
                holder.id.0
            );
            return Err(Refusal::new(RuntimeErrorKind::NameConflict, words));
        }
        check_resources(&request.resources)?;
        for mount in &request.spec.mounts {
            match &mount.source {
                // Docker makes a named volume that is not there, for binds and mounts alike.
                MountSource::Volume { name } if !self.volumes.contains_key(name) => {
                    let volume = VolumeInfo {
                        name: name.clone(),
                        driver: "local".to_owned(),
                        labels: BTreeMap::new(),
                    };
                    self.volumes.insert(name.clone(), volume);
                    self.emit("volume", "create", name);
                }
                MountSource::Content { name, .. } if !request.content_dirs.contains_key(name) => {
                    let words = format!("no directory for content {name}");
                    return Err(Refusal::new(RuntimeErrorKind::Invalid, words));
                }
                MountSource::HostPath { .. }
                | MountSource::Volume { .. }
                | MountSource::Content { .. }
                | MountSource::Tmpfs { .. } => {}
            }
        }
        let id = self.new_id();
        self.made += 1;
        let unset = IpAddr::from([0, 0, 0, 0]);
        let mut labels = image.labels.clone();
        labels.extend(request.spec.labels.clone());
        labels.extend(request.labels.clone());
        let container = Container {
            id: id.clone(),
            number: self.made,
            name: name.clone(),
            made_by,
            request: request.clone(),
            labels,
            image_id: image_id(&image),
            image,
            restart_policy: request.restart_policy,
            resources: request.resources.clone(),
            networks: request
                .networks
                .iter()
                .map(|network| (network.clone(), unset))
                .collect(),
            phase: ContainerState::Created,
            started: None,
            runs: 0,
            restarts: 0,
            retries: 0,
            backoff: Duration::ZERO,
            manually_stopped: false,
            restart_cancelled: false,
            start_after_stop: false,
            pid: 0,
            error: String::new(),
            log: String::new(),
            files: BTreeSet::new(),
            exit_due: None,
            stop_due: None,
            restart_due: None,
            health_due: None,
            health: None,
        };
        self.containers.insert(id.clone(), container);
        self.record(at, made_by, Op::Create, name, Some(&id), "");
        self.emit("container", "create", name);
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: &EngineId, at: Instant, actor: Actor) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.restart_cancelled = true;
        container.start_after_stop = false;
        let name = container.name.clone();
        if container.lives() {
            self.exited(id, at, 137, false);
        }
        self.containers.remove(id);
        self.record(at, actor, Op::Remove, &name, Some(id), "");
        self.emit("container", "destroy", &name);
    }

    pub(super) fn pause(&mut self, id: &EngineId, at: Instant) -> Result<(), Refusal> {
        let container = self.container(id)?;
        if container.phase != ContainerState::Running {
            return Err(Refusal::new(
                RuntimeErrorKind::Conflict,
                format!("Container {id} is not running"),
            ));
        }
        container.phase = ContainerState::Paused;
        // A frozen process comes to its end later by as long as it is frozen; kept until it is woken.
        if let Some((due, exit)) = &mut container.exit_due {
            exit.after = due.saturating_duration_since(at);
        }
        let name = container.name.clone();
        self.emit("container", "pause", &name);
        Ok(())
    }

    pub(super) fn unpause(&mut self, id: &EngineId, at: Instant, actor: Actor) -> Result<(), Refusal> {
        let container = self.container(id)?;
        if container.phase != ContainerState::Paused {
            return Ok(());
        }
        container.phase = ContainerState::Running;
        if let Some((due, exit)) = &mut container.exit_due {
            *due = at + exit.after;
        }
        let name = container.name.clone();
        self.record(at, actor, Op::Unpause, &name, Some(id), "");
        self.emit("container", "unpause", &name);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        id: &EngineId,
        name: &str,
        at: Instant,
        actor: Actor,
    ) -> Result<(), Refusal> {
        if let Some(holder) = self.by_name(name) {
            if holder.id == *id {
                return Ok(());
            }
            let words = format!("Conflict. The container name \"/{name}\" is already in use");
            return Err(Refusal::new(RuntimeErrorKind::NameConflict, words));
        }
        let container = self.container(id)?;
        let old = std::mem::replace(&mut container.name, name.to_owned());
        self.record(at, actor, Op::Rename, &old, Some(id), name);
        self.emit("container", "rename", name);
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        id: &EngineId,
        policy: RestartPolicy,
        resources: &Resources,
        at: Instant,
        actor: Actor,
    ) -> Result<(), Refusal> {
        check_resources(resources)?;
        let container = self.container(id)?;
        if let Some(limit) = lifted(&container.resources, resources) {
            let words = format!("the engine cannot lift the {limit} of an existing container");
            return Err(Refusal::new(RuntimeErrorKind::Unsupported, words));
        }
        container.restart_policy = policy;
        container.resources = resources.clone();
        let name = container.name.clone();
        self.record(at, actor, Op::Update, &name, Some(id), "");
        self.emit("container", "update", &name);
        Ok(())
    }

    pub(super) fn summary(&self) -> Vec<ContainerSummary> {
        let summary = |container: &Container| ContainerSummary {
            id: container.id.clone(),
            name: container.name.clone(),
            labels: container.labels.clone(),
            host_ports: if container.lives() && !container.request.spec.host_network {
                container.published().map(|(port, _)| port).collect()
            } else {
                Vec::new()
            },
        };
        self.containers.values().map(summary).collect()
    }

    pub(super) fn detail(&self, container: &Container) -> ContainerDetail {
        let lives = container.lives();
        let attachment = |(network, address): (&String, &IpAddr)| Attachment {
            network: network.clone(),
            address: lives.then_some(*address),
        };
        let host = container.request.spec.host_network;
        let networks: Vec<Attachment> = container.networks.iter().map(attachment).collect();
        let address = match networks.first() {
            _ if !lives => None,
            _ if host => Some(IpAddr::from([127, 0, 0, 1])),
            Some(first) => first.address,
            None if container.request.networks.is_empty() => Some(self.address(None, container.number)),
            None => None,
        };
        ContainerDetail {
            id: container.id.clone(),
            name: container.name.clone(),
            labels: container.labels.clone(),
            image: container.request.spec.image.clone(),
            image_id: container.image_id.clone(),
            state: container.phase.clone(),
            engine_health: container.health,
            pid: container.pid,
            restart_policy: container.restart_policy,
            resources: container.resources.clone(),
            networks,
            address,
            restarts: container.restarts,
            started_at: container.started.map(|at| self.clock(at)).unwrap_or_default(),
            error: container.error.clone(),
        }
    }
}

fn check_resources(resources: &Resources) -> Result<(), Refusal> {
    if resources
        .memory_limit_bytes
        .is_some_and(|bytes| bytes < LEAST_MEMORY)
    {
        return Err(Refusal::new(
            RuntimeErrorKind::Invalid,
            "Minimum memory limit allowed is 6MB",
        ));
    }
    Ok(())
}

/// The first limit that is there and shall not be; Docker reads a zero in an update as "no change". Only
/// the limit of processes can be lifted.
fn lifted(have: &Resources, want: &Resources) -> Option<&'static str> {
    let Resources {
        cpu_limit_millis,
        cpu_shares,
        cpuset_cpus,
        memory_limit_bytes,
        memory_reservation_bytes,
        pids_limit: _,
    } = have;
    let gone = |have: bool, want: bool| have && !want;
    [
        (
            "CPU limit",
            gone(cpu_limit_millis.is_some(), want.cpu_limit_millis.is_some()),
        ),
        (
            "CPU weight",
            gone(cpu_shares.is_some(), want.cpu_shares.is_some()),
        ),
        ("CPU set", gone(cpuset_cpus.is_some(), want.cpuset_cpus.is_some())),
        (
            "memory limit",
            gone(memory_limit_bytes.is_some(), want.memory_limit_bytes.is_some()),
        ),
        (
            "memory reservation",
            gone(
                memory_reservation_bytes.is_some(),
                want.memory_reservation_bytes.is_some(),
            ),
        ),
    ]
    .into_iter()
    .find_map(|(name, lifted)| lifted.then_some(name))
}
