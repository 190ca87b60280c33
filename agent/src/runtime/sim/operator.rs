//! What a person at the device, the power and the engine's supervisor do.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_plan::desired::DesiredNetwork;
use longshore_plan::names::EngineId;
use longshore_plan::observed::HostPort;
use longshore_plan::spec::{ContainerSpec, Resources, RestartPolicy};

use super::SimMachine;
use super::behaviour::SimImage;
use super::fault::Op;
use super::journal::Actor;
use super::lifecycle::{Crash, ENGINE_STOPPED, POWER_LOSS};
use super::state::{Refusal, State};
use crate::runtime::{CreateRequest, RuntimeError, RuntimeErrorKind};

const GRACE: Duration = Duration::from_secs(10);

/// What `docker run --name NAME IMAGE` asks for; change what the test needs.
pub fn by_hand(name: &str, image: &str) -> CreateRequest {
    CreateRequest {
        name: name.to_owned(),
        spec: ContainerSpec {
            image: image.to_owned(),
            ..ContainerSpec::default()
        },
        env: Vec::new(),
        content_dirs: BTreeMap::new(),
        restart_policy: RestartPolicy::Never,
        resources: Resources::default(),
        networks: Vec::new(),
        alias: String::new(),
        labels: BTreeMap::new(),
        stop_grace_period: GRACE,
    }
}

/// By hand, with a shell on the device: no latency, no faults, journaled as [`Actor::Operator`]. Names
/// that do not exist are an error, so that a test notices its own mistakes.
impl SimMachine {
    /// `docker run -d`
    pub fn run(&self, request: &CreateRequest) -> Result<EngineId, RuntimeError> {
        self.operate("run", &request.name, |state, now| {
            let id = state.create(request, now, Actor::Operator)?;
            state.start(&id, now, Actor::Operator)?;
            Ok(id)
        })
    }

    /// `docker rm -f`
    pub fn remove_by_hand(&self, name: &str) -> Result<(), RuntimeError> {
        self.with_container(Op::Remove, name, |state, id, now| {
            state.remove(id, now, Actor::Operator);
            Ok(())
        })
    }

    /// `docker stop`; returns at once, the container stops when it does.
    pub fn stop_by_hand(&self, name: &str) -> Result<(), RuntimeError> {
        self.with_container(Op::Stop, name, |state, id, now| {
            if state.ask_to_stop(id, now, GRACE)? {
                state.record(now, Actor::Operator, Op::Stop, name, Some(id), "");
            }
            Ok(())
        })
    }

    /// `docker start`
    pub fn start_by_hand(&self, name: &str) -> Result<(), RuntimeError> {
        self.with_container(Op::Start, name, |state, id, now| {
            state.start(id, now, Actor::Operator)
        })
    }

    /// `docker pause`
    pub fn pause_by_hand(&self, name: &str) -> Result<(), RuntimeError> {
        self.with_container(Op::Kill, name, State::pause)
    }

    /// `docker rename`
    pub fn rename_by_hand(&self, name: &str, new: &str) -> Result<(), RuntimeError> {
        self.with_container(Op::Rename, name, |state, id, now| {
            state.rename(id, new, now, Actor::Operator)
        })
    }

    /// `docker update`
    pub fn update_by_hand(
        &self,
        name: &str,
        policy: RestartPolicy,
        resources: &Resources,
    ) -> Result<(), RuntimeError> {
        self.with_container(Op::Update, name, |state, id, now| {
            state.update(id, policy, resources, now, Actor::Operator)
        })
    }

    /// `docker network disconnect`
    pub fn disconnect_by_hand(&self, network: &str, name: &str) -> Result<(), RuntimeError> {
        self.with_container(Op::Disconnect, name, |state, id, now| {
            state.disconnect(network, id)?;
            state.record(now, Actor::Operator, Op::Disconnect, name, Some(id), network);
            Ok(())
        })
    }

    /// `docker network create`
    pub fn create_network_by_hand(&self, name: &str, subnet: Option<&str>) -> Result<(), RuntimeError> {
        let network = DesiredNetwork {
            name: name.to_owned(),
            driver: None,
            subnet: None,
            internal: false,
            options: BTreeMap::new(),
        };
        self.operate("create network", name, |state, _| {
            state.create_network(&network, subnet, &BTreeMap::new(), Actor::Operator)
        })
    }

    /// `docker commit`: an image that carries the container's labels, ours among them.
    pub fn commit(&self, name: &str, reference: &str) -> Result<String, RuntimeError> {
        self.with_container(Op::Image, name, |state, id, _| {
            let container = state.container(id)?;
            let content = format!("commit of {}", container.id.0);
            let image = SimImage {
                content,
                labels: container.labels.clone(),
                ..container.image.clone()
            };
            Ok(state.load_image(reference, image).id)
        })
    }

    /// The container's process ends by itself, now.
    pub fn exit(&self, name: &str, code: i64, oom_killed: bool) -> Result<(), RuntimeError> {
        self.with_container(Op::Kill, name, |state, id, now| {
            if !state.container(id)?.lives() {
                return Err(Refusal::new(RuntimeErrorKind::Conflict, "is not running"));
            }
            state.exited(id, now, code, oom_killed);
            Ok(())
        })
    }

    /// Makes the container's probes fail, as `/webapp touch /tmp/sick` inside does, or succeed again.
    pub fn set_sick(&self, name: &str, sick: bool) -> Result<(), RuntimeError> {
        self.with_container(Op::Exec, name, |state, id, _| {
            let files = &mut state.container(id)?.files;
            if sick {
                files.insert("/tmp/sick".to_owned());
            } else {
                files.remove("/tmp/sick");
            }
            Ok(())
        })
    }

    /// Another process of the device takes a host port, or frees it.
    pub fn occupy_port(&self, port: HostPort, occupied: bool) {
        self.act(|state, _| {
            if occupied {
                state.foreign_ports.insert(port);
            } else {
                state.foreign_ports.remove(&port);
            }
        });
    }

    /// The engine's process dies (`kill -9`), or the power goes.
    pub fn crash_engine(&self, crash: Crash) {
        self.act(|state, now| state.engine_down(now, crash == Crash::ContainersDie, POWER_LOSS));
    }

    /// `systemctl stop docker`: the containers are stopped, unless live-restore is set.
    pub fn stop_engine(&self) {
        self.act(|state, now| {
            let die = !state.live_restore;
            state.engine_down(now, die, ENGINE_STOPPED);
        });
    }

    /// The engine starts, and starts what its restart policies say.
    pub fn start_engine(&self) {
        self.act(State::engine_up);
    }

    /// Whether containers survive their engine.
    pub fn set_live_restore(&self, live_restore: bool) {
        self.act(|state, _| state.live_restore = live_restore);
    }

    /// The engine answers nothing, until it is thawed.
    pub fn freeze_engine(&self, frozen: bool) {
        self.act(|state, _| state.frozen = frozen);
    }

    /// Events get lost while set; streams stay open.
    pub fn lose_events(&self, lose: bool) {
        self.act(|state, _| state.lose_events = lose);
    }

    /// Every event stream that is open ends with an error.
    pub fn break_event_streams(&self) {
        self.act(|state, _| state.stream_breaks += 1);
    }

    fn with_container<T>(
        &self,
        op: Op,
        name: &str,
        act: impl FnOnce(&mut State, &EngineId, tokio::time::Instant) -> Result<T, Refusal>,
    ) -> Result<T, RuntimeError> {
        self.operate(op.as_str(), name, |state, now| {
            let id = state.by_name(name).map(|container| container.id.clone());
            let missing = || Refusal::new(RuntimeErrorKind::NotFound, format!("No such container: {name}"));
            act(state, &id.ok_or_else(missing)?, now)
        })
    }

    fn operate<T>(
        &self,
        verb: &str,
        object: &str,
        act: impl FnOnce(&mut State, tokio::time::Instant) -> Result<T, Refusal>,
    ) -> Result<T, RuntimeError> {
        let outcome = self.act(|state, now| {
            if !state.up {
                return Err(Refusal::engine_down());
            }
            act(state, now)
        });
        outcome.map_err(|Refusal { kind, message }| RuntimeError {
            operation: format!("{verb} {object} by hand"),
            kind,
            message,
        })
    }
}
