//! A world in one struct: objects with versions, devices that carry out plans, time that jumps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::envelope::{
    Alive, Birth, CommandEnvelope, ErrorBody, Gone, Report, ResponseEnvelope, Status, VERSION, action,
};
use longshore_bus::port::{Message, Properties};
use longshore_bus::{DeviceId, LinkState, PublishOutcome, Topic, codec};
use longshore_crds::names::ObjectKey;
use longshore_crds::{Device, Workload};
use longshore_plan::desired::DesiredSet;
use longshore_plan::drift::drift;
use longshore_plan::hash::digest_hex;
use longshore_plan::model::ModelDevice;
use longshore_plan::observed::{ContainerState, Health, Observed, RuntimeState};
use longshore_plan::step::{Fence, Plan, PlanCommand};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::content::{ContentKeys, ContentState};
use crate::counters::Counters;
use crate::effects::{Done, Effect, Written};
use crate::finalizer::CrdState;
use crate::mind::{Identity, Mind};
use crate::render::ContentKind;
use crate::timers::Uptime;
use crate::watch::WatchEvent;
use crate::writes::{Kind, Outcome, Part, Target};

pub(super) const NS: &str = "default";

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
    }
}

/// One device with an agent in miniature: it carries out what it is told at once.
pub(super) struct Agent {
    pub(super) model: ModelDevice,
    pub(super) connected: bool,
    pub(super) fence: Option<Fence>,
    pub(super) desired: DesiredSet,
    /// Answers every plan with this error instead of doing it.
    pub(super) refuses: Option<ErrorBody>,
    /// Takes plans, and says nothing.
    pub(super) mute: bool,
    pub(super) plans: Vec<PlanCommand>,
    session: Uuid,
    seq: u64,
}

impl Agent {
    fn new() -> Self {
        let observed = Observed {
            runtime: RuntimeState::Ready {
                kind: "sim".into(),
                version: "1".into(),
                api_version: "1".into(),
                os: "linux".into(),
                arch: "amd64".into(),
                capabilities: vec!["update".into()],
            },
            ..Observed::default()
        };
        Self {
            model: ModelDevice::new(observed, &DesiredSet::default()),
            connected: false,
            fence: None,
            desired: DesiredSet::default(),
            refuses: None,
            mute: false,
            plans: Vec::new(),
            session: Uuid::nil(),
            seq: 0,
        }
    }

    fn report(&mut self) -> Report {
        self.seq += 1;
        let mut observed = self.model.observed();
        for container in observed
            .containers
            .iter_mut()
            .filter(|c| c.state == ContainerState::Running)
        {
            container.health = Health::Healthy;
        }
        let drift = drift(&self.desired, &observed);
        let desired_digest = match &self.fence {
            Some(_) => digest_hex(&self.desired),
            None => String::new(),
        };
        let hash = digest_hex(&(&observed, &drift, &desired_digest, &self.fence));
        Report {
            version: VERSION,
            session: self.session,
            seq: self.seq,
            state_hash: hash,
            fence: self.fence.clone(),
            desired_digest,
            busy: false,
            observed,
            drift,
        }
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

    /// `kubectl apply`: the spec, on a new object or an old one.
    pub(super) fn apply(&mut self, kind: Kind, name: &str, spec: Value) {
        let key = ObjectKey::new(NS, name);
        self.version += 1;
        let version = self.version;
        let objects = self.objects(kind);
        let object = objects.entry(key.clone()).or_insert_with(|| {
            json!({
                "apiVersion": "longshore.dev/v1alpha1",
                "kind": format!("{kind:?}"),
                "metadata": {"name": name, "namespace": NS, "uid": format!("uid-{version}"), "generation": 0},
            })
        });
        if object["spec"] != spec {
            object["spec"] = spec;
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        self.touched(kind, &key);
    }

    pub(super) fn workload(&mut self, name: &str, image: &str, devices: &[&str]) {
        self.apply(Kind::Workload, name, spec(image, devices));
    }

    /// `kubectl delete`: gone at once without finalizers.
    pub(super) fn delete(&mut self, kind: Kind, name: &str) {
        let key = ObjectKey::new(NS, name);
        let object = self.objects(kind).get_mut(&key).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = json!(generation + 1);
        self.touched(kind, &key);
    }

    /// Another controller adds a finalizer of its own.
    pub(super) fn add_finalizer(&mut self, kind: Kind, name: &str, finalizer: &str) {
        let key = ObjectKey::new(NS, name);
        let object = self.objects(kind).get_mut(&key).unwrap();
        object["metadata"]["finalizers"]
            .as_array_mut()
            .unwrap()
            .push(json!(finalizer));
        self.touched(kind, &key);
    }

    /// Somebody removes all finalizers: the object vanishes without us having a say.
    pub(super) fn vanish(&mut self, kind: Kind, name: &str) {
        let key = ObjectKey::new(NS, name);
        let object = self.objects(kind).remove(&key).unwrap();
        self.tell_gone(kind, object);
    }

    fn objects(&mut self, kind: Kind) -> &mut BTreeMap<ObjectKey, Value> {
        match kind {
            Kind::Workload => &mut self.workloads,
            Kind::Device => &mut self.devices,
        }
    }

    /// An object changed: a new version, its end if it may end, and the watch event.
    fn touched(&mut self, kind: Kind, key: &ObjectKey) {
        self.version += 1;
        let version = self.version.to_string();
        let objects = self.objects(kind);
        let object = objects.get_mut(key).unwrap();
        object["metadata"]["resourceVersion"] = json!(version);
        let free = object["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
        let ends = object["metadata"]["deletionTimestamp"].is_string() && free;
        let object = object.clone();
        if ends {
            objects.remove(key);
            self.tell_gone(kind, object);
            return;
        }
        self.watch(match kind {
            Kind::Workload => WatchEvent::Workload(Event::Apply(DeserializeGuard(Ok(read(object))))),
            Kind::Device => WatchEvent::Device(Event::Apply(DeserializeGuard(Ok(read(object))))),
        });
    }

    fn tell_gone(&mut self, kind: Kind, object: Value) {
        self.watch(match kind {
            Kind::Workload => WatchEvent::Workload(Event::Delete(DeserializeGuard(Ok(read(object))))),
            Kind::Device => WatchEvent::Device(Event::Delete(DeserializeGuard(Ok(read(object))))),
        });
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

    fn command(&mut self, id: &DeviceId, command: &CommandEnvelope, reply: &str) {
        if command.action == action::REPORT_GET {
            self.report(id);
            return;
        }
        assert_eq!(command.action, action::PLAN_APPLY);
        let plan: PlanCommand = serde_json::from_value(command.args.clone()).unwrap();
        let agent = self.agents.get_mut(id).unwrap();
        if agent.mute {
            return;
        }
        let stale = agent
            .fence
            .as_ref()
            .filter(|seen| !plan.fence.is_after(seen))
            .cloned();
        let error = agent.refuses.clone().or_else(|| {
            stale.map(|seen| ErrorBody {
                code: "StaleFence".into(),
                message: "a newer plan was seen".into(),
                details: json!({"seen": seen}),
            })
        });
        if error.is_none() {
            agent.fence = Some(plan.fence.clone());
            agent.desired = plan.desired.clone();
            let steps = plan.steps.iter().map(|s| s.step.clone()).collect();
            agent.model.apply(
                &plan.desired,
                &Plan {
                    steps,
                    held: Vec::new(),
                },
            );
            agent.plans.push(plan);
        }
        let response = ResponseEnvelope {
            version: VERSION,
            correlation_id: command.correlation_id,
            device: id.clone(),
            seq: 0,
            is_final: true,
            status: if error.is_some() {
                Status::Failed
            } else {
                Status::Succeeded
            },
            code: 200,
            result: None,
            error,
            started_at: None,
            finished_at: None,
        };
        let message = Message {
            topic: reply.to_owned(),
            payload: codec::encode(&response).unwrap(),
            properties: Properties::default(),
        };
        self.mind.on_message(&message, self.now);
        self.report(id);
    }

    fn write(&mut self, target: Target, patch: &Value) -> Done {
        self.writes.push((target.clone(), patch.clone()));
        let Some(object) = self.objects(target.kind).get_mut(&target.key) else {
            return Done::Written(target, Outcome::Gone, None);
        };
        for precondition in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][precondition];
            if !wanted.is_null() && *wanted != object["metadata"][precondition] {
                return Done::Written(target, Outcome::Conflict, None);
            }
        }
        match target.part {
            Part::Status => merge(&mut object["status"], &patch["status"]),
            Part::Metadata => {
                for field in ["finalizers", "annotations"] {
                    if let Some(value) = patch["metadata"].get(field) {
                        merge(&mut object["metadata"][field], value);
                    }
                }
            }
        }
        let key = target.key.clone();
        self.touched(target.kind, &key);
        let written = self
            .objects(target.kind)
            .get(&key)
            .cloned()
            .map(|object| match target.kind {
                Kind::Device => Written::Device(Box::new(read(object))),
                Kind::Workload => Written::Workload(Box::new(read(object))),
            });
        Done::Written(target, Outcome::Done, written)
    }

    pub(super) fn get_workload(&self, name: &str) -> Option<Workload> {
        self.workloads.get(&ObjectKey::new(NS, name)).cloned().map(read)
    }

    pub(super) fn get_device(&self, name: &str) -> Device {
        read(self.devices[&ObjectKey::new(NS, name)].clone())
    }

    pub(super) fn exists(&self, kind: Kind, name: &str) -> bool {
        let key = ObjectKey::new(NS, name);
        match kind {
            Kind::Workload => self.workloads.contains_key(&key),
            Kind::Device => self.devices.contains_key(&key),
        }
    }

    /// `status reason` of a condition.
    pub(super) fn condition(&self, kind: Kind, name: &str, condition: &str) -> String {
        let key = ObjectKey::new(NS, name);
        let object = match kind {
            Kind::Workload => &self.workloads[&key],
            Kind::Device => &self.devices[&key],
        };
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions.iter().find(|c| c["type"] == condition);
        found.map_or_else(
            || "absent".to_owned(),
            |c| {
                format!(
                    "{} {}",
                    c["status"].as_str().unwrap(),
                    c["reason"].as_str().unwrap()
                )
            },
        )
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

pub(super) fn spec(image: &str, devices: &[&str]) -> Value {
    json!({
        "targets": devices.iter().map(|d| json!({"device": d})).collect::<Vec<_>>(),
        "template": {"containers": [{"name": "web", "image": image}]},
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

/// Objects know their names.
pub(super) fn name_of(object: &impl Resource) -> String {
    object.meta().name.clone().unwrap()
}
