//! A world in one struct: objects with versions, devices that carry out plans, time that jumps.

mod agent;
mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::envelope::{Alive, Birth, CommandEnvelope, Gone, VERSION, action};
use longshore_bus::port::{Message, Properties};
use longshore_bus::{DeviceId, LinkState, PublishOutcome, Topic, codec};
use longshore_crds::names::ObjectKey;
use serde_json::{Value, json};

pub(super) use agent::Agent;
use objects::read;
pub(super) use objects::spec;

use crate::content::{ContentKeys, ContentState};
use crate::counters::Counters;
use crate::effects::{Done, Effect};
use crate::finalizer::CrdState;
use crate::mind::{Identity, Mind};
use crate::render::ContentKind;
use crate::timers::Uptime;
use crate::watch::WatchEvent;
use crate::writes::{Kind, Target};

pub(super) const NS: &str = "default";

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
    }
}

/// The whole world of one mind.
pub(super) struct Rig {
    pub(super) mind: Mind,
    pub(super) now: Uptime,
    pub(super) agents: BTreeMap<DeviceId, Agent>,
    pub(super) events: Vec<(String, String)>,
    /// Writes, as they were sent.
    pub(super) writes: Vec<(Target, Value)>,
    pub(super) crd: Option<CrdState>,
    pub(super) epochs: Vec<u64>,
    /// What was published, by topic.
    pub(super) published: Vec<String>,
    workloads: BTreeMap<ObjectKey, Value>,
    devices: BTreeMap<ObjectKey, Value>,
    version: u64,
}

impl Rig {
    /// A mind that has read an API without objects, on a bus that is up.
    pub(super) fn new() -> Self {
        let mut rig = Self::unlisted();
        rig.relist();
        rig.settle();
        rig
    }

    /// A mind that has read nothing yet.
    pub(super) fn unlisted() -> Self {
        Self {
            mind: mind(),
            now: Uptime::ZERO,
            agents: BTreeMap::new(),
            events: Vec::new(),
            writes: Vec::new(),
            crd: Some(CrdState::Stays),
            epochs: Vec::new(),
            published: Vec::new(),
            workloads: BTreeMap::new(),
            devices: BTreeMap::new(),
            version: 100,
        }
    }

    /// The controller is killed and started again; devices and objects stay.
    pub(super) fn restart(&mut self) {
        self.mind = mind();
        self.now = Uptime::ZERO;
        self.mind.on_link(LinkState::Connected, self.now);
        self.relist();
    }

    /// Everything is listed.
    pub(super) fn relist(&mut self) {
        if self.now == Uptime::ZERO {
            self.mind.on_link(LinkState::Connected, self.now);
        }
        self.list_workloads(true);
        self.watch(WatchEvent::Device(Event::Init));
        for device in self.devices.clone().into_values() {
            let device = DeserializeGuard(Ok(read(device)));
            self.watch(WatchEvent::Device(Event::InitApply(device)));
        }
        self.watch(WatchEvent::Device(Event::InitDone));
        for kind in [ContentKind::ConfigMap, ContentKind::Secret] {
            self.watch(WatchEvent::Content((kind, Event::Init)));
            self.watch(WatchEvent::Content((kind, Event::InitDone)));
        }
    }

    /// Workloads are listed; `honest` or as if there were none.
    pub(super) fn list_workloads(&mut self, honest: bool) {
        self.watch(WatchEvent::Workload(Event::Init));
        if honest {
            for workload in self.workloads.clone().into_values() {
                let workload = DeserializeGuard(Ok(read(workload)));
                self.watch(WatchEvent::Workload(Event::InitApply(workload)));
            }
        }
        self.watch(WatchEvent::Workload(Event::InitDone));
    }

    pub(super) fn watch(&mut self, event: WatchEvent) {
        self.mind.on_watch(event, self.now);
    }

    /// A Secret with one key is there now.
    pub(super) fn secret(&mut self, name: &str, key: &str, value: &str) {
        let secret: k8s_openapi::api::core::v1::Secret = read(json!({
            "metadata": {"name": name, "namespace": NS},
            "data": {key: k8s_openapi::ByteString(value.into())},
        }));
        let state = ContentState::of_secret(&secret, &ContentKeys::new([1; 32]));
        self.watch(WatchEvent::Content((ContentKind::Secret, Event::Apply(state))));
    }

    /// A Device object, and an agent that is not connected.
    pub(super) fn device(&mut self, name: &str) -> DeviceId {
        let id: DeviceId = format!("{NS}.{name}").parse().unwrap();
        self.agents.entry(id.clone()).or_insert_with(Agent::new);
        self.apply(Kind::Device, name, json!({}));
        id
    }

    /// A Device object whose agent is connected.
    pub(super) fn online(&mut self, name: &str) -> DeviceId {
        let id = self.device(name);
        self.connect(&id);
        self.settle();
        id
    }

    pub(super) fn connect(&mut self, id: &DeviceId) {
        let session = self.mind.ids.uuid();
        let agent = self.agents.get_mut(id).unwrap();
        agent.connected = true;
        agent.session = session;
        agent.seq = 0;
        let birth = Birth {
            version: VERSION,
            session,
            protocol: (1, 1),
            agent_version: "0.1.0".into(),
            actions: vec![action::PLAN_APPLY.into()],
            features: Vec::new(),
            fence: agent.fence.clone(),
            clock: String::new(),
        };
        self.says(&Topic::Birth(id.clone()), &birth);
        self.report(id);
    }

    /// Its will is published.
    pub(super) fn disconnect(&mut self, id: &DeviceId) {
        let agent = self.agents.get_mut(id).unwrap();
        agent.connected = false;
        let gone = Gone {
            version: VERSION,
            session: agent.session,
        };
        self.says(&Topic::Gone(id.clone()), &gone);
    }

    pub(super) fn report(&mut self, id: &DeviceId) {
        let report = self.agents.get_mut(id).unwrap().report();
        self.says(&Topic::Report(id.clone()), &report);
    }

    fn says(&mut self, topic: &Topic, what: &impl serde::Serialize) {
        let message = Message {
            topic: topic.to_string(),
            payload: codec::encode(what).unwrap(),
            properties: Properties::default(),
        };
        self.mind.on_message(&message, self.now);
    }

    /// Lets everything happen that needs no time.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            let effects = self.mind.act(self.now);
            if effects.is_empty() && self.mind.next_wake() > self.now {
                return;
            }
            for effect in effects {
                self.perform(effect);
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass; whatever is due happens when it is due.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        self.settle();
        while self.mind.next_wake() <= end {
            self.now = self.mind.next_wake().max(self.now);
            self.settle();
            assert!(self.mind.next_wake() > self.now, "time stands still");
        }
        self.now = end;
        self.settle();
    }

    /// As [`Self::advance`], with every connected agent saying that it lives.
    pub(super) fn live(&mut self, by: Duration) {
        let end = self.now + by;
        while self.now < end {
            self.advance(Duration::from_secs(30).min(end.saturating_sub(self.now)));
            let connected: Vec<DeviceId> = self
                .agents
                .iter()
                .filter(|(_, a)| a.connected)
                .map(|(id, _)| id.clone())
                .collect();
            for id in connected {
                let agent = &self.agents[&id];
                let report = Agent {
                    model: agent.model.clone(),
                    desired: agent.desired.clone(),
                    fence: agent.fence.clone(),
                    ..Agent::new()
                }
                .report();
                let alive = Alive {
                    version: VERSION,
                    session: agent.session,
                    seq: agent.seq,
                    state_hash: report.state_hash,
                    clock: String::new(),
                };
                self.says(&Topic::Alive(id), &alive);
            }
            self.settle();
        }
    }

    fn perform(&mut self, effect: Effect) {
        let done = match effect {
            Effect::Publish { message, of } => {
                self.published.push(message.topic.clone());
                Done::Published(of, Ok(self.deliver(&message)))
            }
            Effect::Write { target, patch } => self.write(target, &patch),
            Effect::LookUpCrd { uid, .. } => Done::Crd(uid, self.crd),
            Effect::Serve { .. } => Done::Served,
            Effect::Tell { about, note } => {
                self.events.push((about.name.unwrap_or_default(), note.reason));
                Done::Told
            }
            Effect::Acquire { above } => {
                self.epochs.push(above + 1);
                Done::Acquired(Ok(above + 1))
            }
            Effect::Renew { .. } => Done::Renewed(Ok(())),
        };
        self.mind.on_done(done, self.now).unwrap();
    }

    fn deliver(&mut self, message: &Message) -> PublishOutcome {
        match message.topic.parse().unwrap() {
            Topic::Request(id) => {
                if !self.agents.get(&id).is_some_and(|a| a.connected) {
                    return PublishOutcome::NoMatchingSubscribers;
                }
                let command: CommandEnvelope = codec::decode(&message.payload).unwrap();
                let reply = message.properties.response_topic.clone().unwrap();
                self.command(&id, &command, &reply);
            }
            Topic::RollCall => {
                let connected: Vec<DeviceId> = self
                    .agents
                    .iter()
                    .filter(|(_, a)| a.connected)
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in connected {
                    self.report(&id);
                }
            }
            _ => {}
        }
        PublishOutcome::Accepted
    }

    /// The container names on a device.
    pub(super) fn containers(&self, id: &DeviceId) -> Vec<String> {
        let observed = self.agents[id].model.observed();
        observed
            .containers
            .iter()
            .map(|c| c.engine_name.clone())
            .collect()
    }

    pub(super) fn reasons(&self, about: &str) -> Vec<&str> {
        self.events
            .iter()
            .filter(|(name, _)| name == about)
            .map(|(_, reason)| reason.as_str())
            .collect()
    }
}

fn mind() -> Mind {
    let clock: Arc<dyn Clock> = Arc::new(FixedClock);
    let ids = IdSource::from_seed(Arc::clone(&clock), 42);
    let identity = Identity {
        site: "site".into(),
        requester: "controller".parse().unwrap(),
        system_namespace: "longshore-system".into(),
    };
    Mind::new(identity, clock, ids, Arc::new(Counters::default()), 1000)
}

/// Objects know their names.
pub(super) fn name_of(object: &impl Resource) -> String {
    object.meta().name.clone().unwrap()
}
