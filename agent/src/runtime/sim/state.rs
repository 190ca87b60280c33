//! The machine's state, and how time passes on it.
//!
//! There is no task behind it: everything that will happen by itself (exits, restarts, health) has a due
//! moment, and whoever looks first lets all that is due happen, in the order and with the time stamps at
//! which it was due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, HostPort};
use longshore_plan::spec::{Resources, RestartPolicy};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::SimMachine;
use super::behaviour::{Exit, SimImage, variable};
use super::fault::{ClientId, FailNext, Hook, Op};
use super::journal::{Actor, Entry, Journal};
use super::registry::Registries;
use crate::runtime::{CreateRequest, EngineHealth, NetworkInfo, RuntimeErrorKind, RuntimeEvent, VolumeInfo};

/// How many events a slow subscriber may lag behind before its stream breaks.
const EVENT_BACKLOG: usize = 256;

/// A refusal before it knows which operation it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: RuntimeErrorKind,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(kind: RuntimeErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn no_container(id: &EngineId) -> Self {
        Self::new(RuntimeErrorKind::NotFound, format!("No such container: {id}"))
    }

    pub(super) fn engine_down() -> Self {
        Self::new(
            RuntimeErrorKind::Unavailable,
            "cannot connect to the simulated engine",
        )
    }
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: EngineId,
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) made_by: Actor,
    pub(super) request: CreateRequest,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) image: SimImage,
    pub(super) image_id: String,
    pub(super) restart_policy: RestartPolicy,
    pub(super) resources: Resources,
    /// Address by network name.
    pub(super) networks: BTreeMap<String, IpAddr>,
    pub(super) phase: ContainerState,
    /// When its process started; the process lives if `phase` is running or paused.
    pub(super) started: Option<Instant>,
    pub(super) runs: usize,
    pub(super) restarts: u32,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
    pub(super) manually_stopped: bool,
    /// The engine will not restart it at its next exit.
    pub(super) restart_cancelled: bool,
    /// An operator-like `restart`: the engine starts it as soon as it has stopped.
    pub(super) start_after_stop: bool,
    pub(super) pid: u32,
    pub(super) error: String,
    pub(super) log: String,
    pub(super) files: BTreeSet<String>,
    pub(super) exit_due: Option<(Instant, Exit)>,
    pub(super) stop_due: Option<(Instant, i64)>,
    pub(super) restart_due: Option<Instant>,
    pub(super) health_due: Option<Instant>,
    pub(super) health: Option<EngineHealth>,
}

impl Container {
    /// Whether its process exists.
    pub(super) fn lives(&self) -> bool {
        matches!(self.phase, ContainerState::Running | ContainerState::Paused)
    }

    pub(super) fn published(&self) -> impl Iterator<Item = (HostPort, Option<IpAddr>)> {
        let host_network = self.request.spec.host_network;
        self.request.spec.ports.iter().filter_map(move |port| {
            let number = if host_network {
                Some(port.container_port)
            } else {
                port.host_port
            };
            number.map(|number| {
                (
                    HostPort {
                        port: number,
                        protocol: port.protocol,
                    },
                    port.host_ip,
                )
            })
        })
    }

    /// Whether a probe succeeds now.
    pub(super) fn well(&self, now: Instant) -> bool {
        let Some(started) = self.started else { return false };
        let up = now.saturating_duration_since(started);
        let behaviour = &self.image.behaviour;
        self.phase == ContainerState::Running
            && up >= behaviour.ready_after
            && behaviour.sick_after.is_none_or(|sick| up < sick)
            && variable(&self.request.env, "HEALTH") != Some("fail")
            && !self.files.contains("/tmp/sick")
    }

    fn next_due(&self) -> Option<Instant> {
        let frozen = self.phase == ContainerState::Paused;
        let exit = self.exit_due.filter(|_| !frozen).map(|(at, _)| at);
        [
            exit,
            self.stop_due.map(|(at, _)| at),
            self.restart_due,
            self.health_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) info: NetworkInfo,
    pub(super) made_by: Actor,
}

/// How long calls take.
#[derive(Debug, Clone)]
pub struct Latency {
    /// Calls that only look.
    pub read: (Duration, Duration),
    /// Calls that change something; half before the effect, half after it.
    pub effect: (Duration, Duration),
}

/// The latency floor of Docker 20.10 as measured (NOTES.md).
impl Default for Latency {
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            read: (millis(1), millis(4)),
            effect: (millis(20), millis(150)),
        }
    }
}

pub(super) struct State {
    pub(super) rng: SmallRng,
    pub(super) born: Instant,
    pub(super) up: bool,
    pub(super) frozen: bool,
    pub(super) live_restore: bool,
    /// Counts the engine's starts: a call or stream of an earlier one is broken.
    pub(super) incarnation: u64,
    pub(super) version: String,
    pub(super) latency: Latency,
    pub(super) containers: BTreeMap<EngineId, Container>,
    pub(super) made: u32,
    pub(super) images: BTreeMap<String, SimImage>,
    pub(super) registries: Registries,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) networks_made: u32,
    pub(super) volumes: BTreeMap<String, VolumeInfo>,
    pub(super) foreign_ports: BTreeSet<HostPort>,
    pub(super) journal: Journal,
    pub(super) events: VecDeque<RuntimeEvent>,
    /// The number of the first event in `events`.
    pub(super) first_event: u64,
    pub(super) lose_events: bool,
    /// Counts forced breaks of all event streams.
    pub(super) stream_breaks: u64,
    pub(super) clients: u64,
    pub(super) dead_clients: BTreeSet<ClientId>,
    pub(super) effects: u64,
    pub(super) hook: Option<Hook>,
    pub(super) fail_next: FailNext,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            born: Instant::now(),
            up: true,
            frozen: false,
            live_restore: false,
            incarnation: 1,
            version: "20.10-sim".to_owned(),
            latency: Latency::default(),
            containers: BTreeMap::new(),
            made: 0,
            images: BTreeMap::new(),
            registries: Registries::default(),
            networks: BTreeMap::new(),
            networks_made: 0,
            volumes: BTreeMap::new(),
            foreign_ports: BTreeSet::new(),
            journal: Journal::default(),
            events: VecDeque::new(),
            first_event: 0,
            lose_events: false,
            stream_breaks: 0,
            clients: 0,
            dead_clients: BTreeSet::new(),
            effects: 0,
            hook: None,
            fail_next: FailNext::default(),
        }
    }

    /// Differs when somebody who waits for this machine should look again.
    pub(super) fn mark(&self) -> impl PartialEq + use<> {
        let events = self.first_event + self.events.len() as u64;
        let engine = (self.up, self.frozen, self.incarnation, self.stream_breaks);
        (events, engine, self.dead_clients.len(), self.next_due())
    }

    /// When something happens by itself next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.containers.values().filter_map(Container::next_due).min()
    }

    /// Lets everything happen that is due.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some((at, id)) = self
            .containers
            .values()
            .filter_map(|c| Some((c.next_due()?, c.number, c.id.clone())))
            .min()
            .and_then(|(at, _, id)| (at <= now).then_some((at, id)))
        {
            self.container_due(&id, at);
        }
    }

    pub(super) fn since_birth(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.born)
    }

    /// The machine's wall clock, RFC 3339.
    pub(super) fn clock(&self, at: Instant) -> String {
        let since = self.since_birth(at);
        let seconds = i64::try_from(SimMachine::CLOCK_START + since.as_secs()).unwrap_or(i64::MAX);
        let nanos = i32::try_from(since.subsec_nanos()).unwrap_or(0);
        jiff::Timestamp::new(seconds, nanos)
            .map(|time| time.to_string())
            .unwrap_or_default()
    }

    pub(super) fn record(
        &mut self,
        at: Instant,
        actor: Actor,
        op: Op,
        object: &str,
        id: Option<&EngineId>,
        detail: &str,
    ) {
        let entry = Entry {
            at: self.since_birth(at),
            actor,
            op,
            object: object.to_owned(),
            id: id.cloned(),
            detail: detail.to_owned(),
        };
        self.journal.entries.push(entry);
    }

    pub(super) fn emit(&mut self, kind: &str, action: &str, object: &str) {
        if self.lose_events || !self.up {
            return;
        }
        if self.events.len() == EVENT_BACKLOG {
            self.events.pop_front();
            self.first_event += 1;
        }
        let event = RuntimeEvent {
            kind: kind.to_owned(),
            action: action.to_owned(),
            object: object.to_owned(),
        };
        self.events.push_back(event);
    }

    pub(super) fn container(&mut self, id: &EngineId) -> Result<&mut Container, Refusal> {
        self.containers
            .get_mut(id)
            .ok_or_else(|| Refusal::no_container(id))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Container> {
        self.containers.values().find(|container| container.name == name)
    }

    /// The name a call is about, for faults and the journal.
    pub(super) fn name_of(&self, id: &EngineId) -> String {
        self.containers
            .get(id)
            .map_or_else(|| id.0.clone(), |container| container.name.clone())
    }

    pub(super) fn new_id(&mut self) -> EngineId {
        let words: [u64; 4] = std::array::from_fn(|_| self.rng.random());
        let [a, b, c, d] = words;
        EngineId(format!("{a:016x}{b:016x}{c:016x}{d:016x}"))
    }

    pub(super) fn sample(&mut self, (least, most): (Duration, Duration)) -> Duration {
        self.rng.random_range(least..=most.max(least))
    }

    /// An address for container number `number` in the network, or on the default bridge.
    pub(super) fn address(&self, network: Option<&str>, number: u32) -> IpAddr {
        let [_, _, high, low] = (number % 60_000 + 2).to_be_bytes();
        let subnet = network
            .and_then(|name| {
                self.networks
                    .get(name)?
                    .info
                    .subnets
                    .first()?
                    .split_once('/')?
                    .0
                    .parse()
                    .ok()
            })
            .unwrap_or(Ipv4Addr::new(172, 17, 0, 0));
        let [a, b, c, d] = subnet.octets();
        Ipv4Addr::new(a, b, c.wrapping_add(high), d.wrapping_add(low)).into()
    }
}
