//! How containers start, end and come back, by the rules of Docker 20.10's restart manager
//! (moby, restartmanager and daemon/monitor.go): back-off from 100 ms doubling to one minute, reset by ten
//! seconds of running; `always` ignores at an engine start that somebody stopped the container,
//! `unless-stopped` does not; a restart that fails to start is not tried again.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, HostPort};
use longshore_plan::spec::RestartPolicy;
use tokio::time::Instant;

use super::behaviour::Exit;
use super::fault::Op;
use super::journal::{Actor, Interval};
use super::state::{Container, Refusal, State};
use crate::runtime::{EngineHealth, Listener, RuntimeErrorKind};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
const BACKOFF_RESET: Duration = Duration::from_secs(10);
/// Docker's exit code of a container that could not be started.
const CANNOT_START: i64 = 128;
const KILLED: i64 = 137;
/// What Docker notes for a process that was gone when the engine came back.
const LOST: i64 = 255;

/// What an engine that dies takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The containers die too (the power went).
    ContainersDie,
    /// They run on without an engine (`kill -9` of dockerd and containerd; their shims live).
    ContainersLiveOn,
}

impl State {
    /// Something of this container is due at `at`.
    pub(super) fn container_due(&mut self, id: &EngineId, at: Instant) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if container.health_due.is_some_and(|due| due <= at) {
            container.health_due = None;
            let healthy = container
                .image
                .behaviour
                .healthcheck
                .is_some_and(|check| check.healthy);
            container.health = Some(if healthy {
                EngineHealth::Healthy
            } else {
                EngineHealth::Unhealthy
            });
            let name = container.name.clone();
            self.emit("container", "health_status", &name);
        } else if let Some((_, code)) = container.stop_due.filter(|(due, _)| *due <= at) {
            self.exited(id, at, code, false);
        } else if let Some((_, exit)) = container.exit_due.filter(|(due, _)| *due <= at) {
            self.exited(id, at, exit.code, exit.oom_killed);
        } else if container.restart_due.is_some_and(|due| due <= at) {
            container.restart_due = None;
            if self.launch(id, at, Actor::Engine).is_err() {
                return; // never tried again: Docker's way
            }
            if let Some(container) = self.containers.get_mut(id) {
                container.restarts += 1;
            }
        }
    }

    /// A start by somebody: counters begin anew.
    pub(super) fn start(&mut self, id: &EngineId, at: Instant, actor: Actor) -> Result<(), Refusal> {
        let container = self.container(id)?;
        match container.phase {
            ContainerState::Running => return Ok(()),
            ContainerState::Paused => {
                let words = "cannot start a paused container, try unpause instead";
                return Err(Refusal::new(RuntimeErrorKind::Conflict, words));
            }
            ContainerState::Dead => {
                let words = "container is marked for removal and cannot be started";
                return Err(Refusal::new(RuntimeErrorKind::Conflict, words));
            }
            ContainerState::Created | ContainerState::Restarting { .. } | ContainerState::Exited { .. } => {}
        }
        container.restart_due = None;
        container.restarts = 0;
        container.retries = 0;
        container.backoff = Duration::ZERO;
        container.manually_stopped = false;
        container.restart_cancelled = false;
        self.launch(id, at, actor)
    }

    /// The process comes to life, or the container shows why not.
    fn launch(&mut self, id: &EngineId, at: Instant, actor: Actor) -> Result<(), Refusal> {
        if let Some(refusal) = self.why_not(id) {
            let container = self.container(id)?;
            container.error.clone_from(&refusal.message);
            if container.started.is_some() {
                container.phase = ContainerState::Exited {
                    exit_code: CANNOT_START,
                    oom_killed: false,
                };
            } else {
                container.phase = ContainerState::Created;
            }
            return Err(refusal);
        }
        let number = self.container(id)?.number;
        let networks: Vec<String> = self.container(id)?.networks.keys().cloned().collect();
        let addresses: Vec<_> = networks
            .into_iter()
            .map(|name| (name.clone(), self.address(Some(&name), number)))
            .collect();
        let loses_port = self.loses_port_on_host_network(id);
        let container = self.container(id)?;
        container.networks = addresses.into_iter().collect();
        container.phase = ContainerState::Running;
        container.started = Some(at);
        container.pid = 1000 + number * 100 + u32::try_from(container.runs % 100).unwrap_or(0);
        container.error.clear();
        container.log.push_str(&container.image.behaviour.log);
        let bound = Exit {
            code: 98,
            after: Duration::from_millis(10),
            oom_killed: false,
        };
        let exit = if loses_port {
            Some(bound)
        } else {
            container
                .image
                .behaviour
                .exit_of(container.runs, &container.request.env)
        };
        container.exit_due = exit.map(|exit| (at + exit.after, exit));
        let check = container.image.behaviour.healthcheck;
        container.health = check.map(|_| EngineHealth::Starting);
        container.health_due = check.map(|check| at + check.after);
        container.runs += 1;
        let name = container.name.clone();
        let interval = Interval {
            id: id.clone(),
            name: name.clone(),
            labels: container.labels.clone(),
            made_by: container.made_by,
            from: Duration::ZERO,
            to: None,
        };
        let from = self.since_birth(at);
        self.journal.process_started(Interval { from, ..interval });
        self.record(at, actor, Op::Start, &name, Some(id), "");
        self.emit("container", "start", &name);
        Ok(())
    }

    /// What keeps it from starting.
    fn why_not(&self, id: &EngineId) -> Option<Refusal> {
        let container = self.containers.get(id)?;
        if let Some(kind) = container.image.behaviour.start_error {
            return Some(Refusal::new(
                kind,
                "OCI runtime create failed: exec: no such file or directory",
            ));
        }
        if let Some(name) = container
            .networks
            .keys()
            .find(|name| !self.networks.contains_key(*name))
        {
            return Some(Refusal::new(
                RuntimeErrorKind::NotFound,
                format!("network {name} not found"),
            ));
        }
        if container.request.spec.host_network {
            return None;
        }
        let (port, ip) = container.published().find(|(port, ip)| {
            self.foreign_ports.contains(port)
                || self.others(container).any(|held| clashes((*port, *ip), held))
        })?;
        let ip = ip.map_or_else(|| "0.0.0.0".to_owned(), |ip| ip.to_string());
        let words = format!(
            "driver failed programming external connectivity on endpoint {}: Bind for {ip}:{} failed: port is already allocated",
            container.name, port.port
        );
        Some(Refusal::new(RuntimeErrorKind::PortConflict, words))
    }

    /// What is bound on the device: other programs' ports, and what running containers publish.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        let everywhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let programs = self.foreign_ports.iter().map(|port| (*port, everywhere));
        let lives = self.containers.values().filter(|container| container.lives());
        let published = lives.flat_map(Container::published);
        let published = published.map(|(port, ip)| (port, ip.unwrap_or(everywhere)));
        programs
            .chain(published)
            .map(|(port, address)| Listener { port, address })
            .collect()
    }

    /// On the host network the engine sees no conflict: the process itself does, and exits.
    fn loses_port_on_host_network(&self, id: &EngineId) -> bool {
        self.containers.get(id).is_some_and(|container| {
            container.request.spec.host_network
                && container.published().any(|(port, ip)| {
                    self.foreign_ports.contains(&port)
                        || self.others(container).any(|held| clashes((port, ip), held))
                })
        })
    }

    fn others<'a>(&'a self, except: &'a Container) -> impl Iterator<Item = Held> + 'a {
        let living = self
            .containers
            .values()
            .filter(move |other| other.id != except.id && other.lives());
        living.flat_map(|other| other.published().collect::<Vec<_>>())
    }

    /// The process ended; the engine decides what becomes of the container.
    pub(super) fn exited(&mut self, id: &EngineId, at: Instant, code: i64, oom_killed: bool) {
        let engine_up = self.up;
        let since = self.since_birth(at);
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let ran = container
            .started
            .map_or(Duration::ZERO, |start| at.saturating_duration_since(start));
        container.phase = ContainerState::Exited {
            exit_code: code,
            oom_killed,
        };
        container.pid = 0;
        container.exit_due = None;
        container.stop_due = None;
        container.health_due = None;
        container.health = container.health.map(|_| EngineHealth::Unhealthy);
        let again = std::mem::take(&mut container.start_after_stop);
        if engine_up && !again && !container.restart_cancelled && container.comes_back(code, ran) {
            container.phase = ContainerState::Restarting { exit_code: code };
            container.restart_due = Some(at + container.backoff);
        }
        let name = container.name.clone();
        self.journal.process_ended(id, since);
        self.record(at, Actor::Engine, Op::Kill, &name, Some(id), &code.to_string());
        self.emit("container", "die", &name);
        if engine_up && again {
            // Its failure is told by the container's state; nobody waits here.
            self.start(id, at, Actor::Engine).ok();
        }
    }

    /// Somebody asks it to stop. Returns whether there is something to wait for.
    pub(super) fn ask_to_stop(
        &mut self,
        id: &EngineId,
        at: Instant,
        grace: Duration,
    ) -> Result<bool, Refusal> {
        let container = self.container(id)?;
        container.manually_stopped = true;
        container.restart_cancelled = true;
        if let ContainerState::Restarting { exit_code } = container.phase {
            container.restart_due = None;
            container.phase = ContainerState::Exited {
                exit_code,
                oom_killed: false,
            };
            return Ok(false);
        }
        if !container.lives() {
            return Ok(false);
        }
        container.phase = ContainerState::Running; // a paused one is woken by its stop signal
        let behaviour = &container.image.behaviour;
        let due = if behaviour.ignores_stop_signal || behaviour.stop_takes > grace {
            (at + grace, KILLED)
        } else {
            (at + behaviour.stop_takes, behaviour.stop_exit_code)
        };
        if container.stop_due.is_none_or(|(earlier, _)| due.0 < earlier) {
            container.stop_due = Some(due);
        }
        Ok(true)
    }

    /// A signal to the first process. Docker takes every signal as a sign that somebody stops the
    /// container by hand unless the image or the request names a stop signal.
    pub(super) fn signal(&mut self, id: &EngineId, at: Instant, signal: &str) -> Result<(), Refusal> {
        let container = self.container(id)?;
        if !container.lives() {
            return Err(Refusal::new(
                RuntimeErrorKind::Conflict,
                format!("Container {id} is not running"),
            ));
        }
        let signal = signal.trim_start_matches("SIG");
        let kills = signal == "KILL" || signal == "9";
        let ends = matches!(signal, "TERM" | "15" | "INT" | "2" | "QUIT" | "3");
        if kills || ends {
            container.manually_stopped = true;
            container.restart_cancelled = true;
        }
        if kills {
            self.exited(id, at, KILLED, false);
        } else if ends && !container.image.behaviour.ignores_stop_signal {
            let behaviour = &container.image.behaviour;
            container.stop_due = Some((at + behaviour.stop_takes, behaviour.stop_exit_code));
        }
        Ok(())
    }

    /// The engine goes away: killed, or stopped (then it stops its containers first).
    pub(super) fn engine_down(&mut self, at: Instant, containers_die: bool, code: i64) {
        if !self.up {
            return;
        }
        self.emit("daemon", "shutdown", "");
        self.up = false;
        for id in self.in_order() {
            let Some(container) = self.containers.get_mut(&id) else {
                continue;
            };
            container.restart_due = None;
            container.start_after_stop = false;
            if let ContainerState::Restarting { exit_code } = container.phase {
                container.phase = ContainerState::Exited {
                    exit_code,
                    oom_killed: false,
                };
            } else if container.lives() && containers_die {
                self.exited(&id, at, code, false);
            }
        }
    }

    /// The engine is back: without live-restore it ends what lived on, then starts again what its
    /// restart policy says.
    pub(super) fn engine_up(&mut self, at: Instant) {
        if self.up {
            return;
        }
        if !self.live_restore {
            for id in self.in_order() {
                if self.containers.get(&id).is_some_and(Container::lives) {
                    self.exited(&id, at, KILLED, false);
                }
            }
        }
        self.up = true;
        self.incarnation += 1;
        for id in self.in_order() {
            let Some(container) = self.containers.get_mut(&id) else {
                continue;
            };
            container.backoff = Duration::ZERO;
            container.restart_cancelled = container.manually_stopped;
            let ContainerState::Exited { exit_code, .. } = container.phase else {
                continue;
            };
            if container.comes_back(exit_code, Duration::ZERO) {
                container.restart_cancelled = false;
                // A failure is told by the container's state.
                self.launch(&id, at, Actor::Engine).ok();
            }
        }
    }

    fn in_order(&self) -> Vec<EngineId> {
        let mut ids: Vec<_> = self
            .containers
            .values()
            .map(|c| (c.number, c.id.clone()))
            .collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id).collect()
    }
}

impl Container {
    /// Docker's restart manager; counts a restart when it says yes.
    fn comes_back(&mut self, code: i64, ran: Duration) -> bool {
        if ran >= BACKOFF_RESET {
            self.backoff = Duration::ZERO;
        }
        self.backoff = if self.backoff.is_zero() {
            FIRST_BACKOFF
        } else {
            (self.backoff * 2).min(LONGEST_BACKOFF)
        };
        match self.restart_policy {
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => !self.manually_stopped,
            RestartPolicy::OnFailure { max_retries } => {
                let comes_back = code != 0 && (max_retries == 0 || self.retries < max_retries);
                self.retries += u32::from(comes_back);
                comes_back
            }
            RestartPolicy::Never => false,
        }
    }
}

/// The exit code of containers that vanish with the power.
pub(super) const POWER_LOSS: i64 = LOST;
/// The exit code of containers that a stopping engine ends.
pub(super) const ENGINE_STOPPED: i64 = 143;

type Held = (HostPort, Option<IpAddr>);

fn clashes(one: Held, other: Held) -> bool {
    let any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    one.0 == other.0 && (one.1 == other.1 || any(one.1) || any(other.1))
}
