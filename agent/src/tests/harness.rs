//! A device, a bus, a controller of few lines, and words to ask what happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_bus::clock::{Clock, IdSource, TokioClock};
use longshore_bus::envelope::{
    CommandEnvelope, ContentRequest, ContentResponse, ControllerSign, CorrelationId, Report,
    ResponseEnvelope, VERSION, action,
};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, MemoryBroker, MemoryBus};
use longshore_bus::topic::CONTROLLER_FILTER;
use longshore_bus::{Bus, Message, Properties, Topic, codec};
use longshore_plan::desired::DesiredSet;
use longshore_plan::hash::digest_hex;
use longshore_plan::observed::{Failure, Health, ObservedContainer};
use longshore_plan::spec::ContentDigest;
use longshore_plan::step::{Fence, NumberedStep, PlanCommand};
use serde_json::Value;

pub(super) use crate::fixtures::*;
use crate::runtime::sim::{Behaviour, SimImage, SimMachine, SimRuntime};
use crate::{Agent, AgentConfig, AgentHandle, AgentSnapshot, MemoryStorage, Storage, labels};

pub(super) const CONTROLLER: &str = "controller";

#[derive(Default)]
struct Heard {
    report: Option<Report>,
    answers: Vec<ResponseEnvelope>,
    content: BTreeMap<ContentDigest, Vec<u8>>,
    content_requests: usize,
    signing: bool,
}

/// The other side of the bus.
pub(super) struct Controller {
    pub(super) bus: Arc<MemoryBus>,
    heard: Arc<Mutex<Heard>>,
    ids: IdSource,
    clock: Arc<dyn Clock>,
    epoch: u64,
    n: u64,
}

impl Controller {
    async fn new(broker: &MemoryBroker, clock: Arc<dyn Clock>) -> Self {
        let bus = broker.connect(ClientOptions {
            client_id: CONTROLLER.to_owned(),
            will: None,
            access: Access::Controller,
        });
        let heard = Arc::new(Mutex::new(Heard {
            signing: true,
            ..Heard::default()
        }));
        let mut subscription = bus.subscribe(&[CONTROLLER_FILTER]).await.unwrap();
        let (listening, answering) = (Arc::clone(&heard), Arc::clone(&bus));
        tokio::spawn(async move {
            while let Some(message) = subscription.recv().await {
                let answer = listen(&listening, &message);
                if let Some((topic, response)) = answer {
                    send(&answering, &topic, codec::encode(&response).unwrap(), None).await;
                }
            }
        });
        let (signing, signer) = (Arc::clone(&heard), Arc::clone(&bus));
        tokio::spawn(async move {
            loop {
                if signing.lock().unwrap().signing {
                    let sign = ControllerSign {
                        version: VERSION,
                        site: SITE.to_owned(),
                        epoch: 1,
                    };
                    send(&signer, &Topic::Controller, codec::encode(&sign).unwrap(), None).await;
                }
                tokio::time::sleep(ControllerSign::PERIOD).await;
            }
        });
        Self {
            bus,
            heard,
            ids: IdSource::from_seed(Arc::clone(&clock), 99),
            clock,
            epoch: 1,
            n: 0,
        }
    }

    /// Gone, as far as the device can tell.
    pub(super) fn set_signing(&self, signing: bool) {
        self.heard.lock().unwrap().signing = signing;
    }

    pub(super) fn offer(&self, digest: &str, value: &[u8]) {
        let mut heard = self.heard.lock().unwrap();
        heard
            .content
            .insert(ContentDigest(digest.to_owned()), value.to_vec());
    }

    pub(super) fn content_requests(&self) -> usize {
        self.heard.lock().unwrap().content_requests
    }

    pub(super) fn report(&self) -> Option<Report> {
        self.heard.lock().unwrap().report.clone()
    }

    pub(super) fn answers(&self, id: CorrelationId) -> Vec<ResponseEnvelope> {
        let heard = self.heard.lock().unwrap();
        heard
            .answers
            .iter()
            .filter(|a| a.correlation_id == id)
            .cloned()
            .collect()
    }

    pub(super) fn next_fence(&mut self) -> Fence {
        self.n += 1;
        Fence {
            site: SITE.to_owned(),
            epoch: self.epoch,
            n: self.n,
        }
    }

    /// The plan the real controller would send now, if there is anything to say.
    pub(super) fn plan(&mut self, desired: &DesiredSet) -> Option<PlanCommand> {
        let report = self.report()?;
        let plan = longshore_plan::plan(desired, &report.observed);
        if report.busy || (plan.steps.is_empty() && report.desired_digest == digest_hex(desired)) {
            return None;
        }
        Some(self.command(desired, plan.steps))
    }

    pub(super) fn command(
        &mut self,
        desired: &DesiredSet,
        steps: Vec<longshore_plan::step::Step>,
    ) -> PlanCommand {
        let steps = steps.into_iter().map(|step| NumberedStep {
            correlation_id: self.ids.correlation_id().to_string(),
            step,
        });
        PlanCommand {
            desired: desired.clone(),
            steps: steps.collect(),
            fence: self.next_fence(),
        }
    }

    pub(super) fn envelope(&self, action: &str, args: Value) -> CommandEnvelope {
        CommandEnvelope {
            version: VERSION,
            correlation_id: self.ids.correlation_id(),
            tenant: "default".to_owned(),
            device: "dev1".to_owned(),
            plugin: "container".to_owned(),
            action: action.to_owned(),
            args,
            actor: "controller".to_owned(),
            issued_at: self.clock.now_rfc3339(),
            ttl_ms: 60_000,
            fence: None,
            traceparent: None,
        }
    }

    pub(super) async fn send(&self, envelope: &CommandEnvelope) -> CorrelationId {
        let payload = codec::encode(envelope).unwrap();
        let response = Topic::Response(device(), label(CONTROLLER)).to_string();
        send(&self.bus, &Topic::Request(device()), payload, Some(response)).await;
        envelope.correlation_id
    }

    pub(super) async fn apply(&self, command: &PlanCommand) -> CorrelationId {
        let envelope = self.envelope(action::PLAN_APPLY, serde_json::to_value(command).unwrap());
        self.send(&envelope).await
    }
}

fn listen(heard: &Mutex<Heard>, message: &Message) -> Option<(Topic, ContentResponse)> {
    let mut heard = heard.lock().unwrap();
    match message.topic.parse::<Topic>().unwrap() {
        Topic::Report(_) => heard.report = Some(codec::decode(&message.payload).unwrap()),
        Topic::Response(..) => heard.answers.push(codec::decode(&message.payload).unwrap()),
        Topic::ContentRequest(id) => {
            let request: ContentRequest = codec::decode(&message.payload).unwrap();
            heard.content_requests += 1;
            let value = heard.content.get(&request.digest);
            let from = usize::try_from(request.offset).unwrap();
            let piece = value.map(|v| &v[from.min(v.len())..(from + ContentResponse::CHUNK).min(v.len())]);
            return Some((
                Topic::ContentResponse(id),
                ContentResponse {
                    version: VERSION,
                    digest: request.digest.clone(),
                    offset: request.offset,
                    total: value.map(|v| v.len() as u64),
                    data: STANDARD.encode(piece.unwrap_or_default()),
                },
            ));
        }
        _ => {}
    }
    None
}

pub(super) async fn send(
    bus: &MemoryBus,
    topic: &Topic,
    payload: bytes::Bytes,
    response_topic: Option<String>,
) {
    let message = Message {
        topic: topic.to_string(),
        payload,
        properties: Properties {
            response_topic,
            ..Properties::default()
        },
    };
    // A test that needs it taken sees what comes of it.
    drop(bus.publish(message).await);
}

/// Everything there is.
pub(super) struct World {
    pub(super) machine: SimMachine,
    pub(super) broker: MemoryBroker,
    pub(super) disk: MemoryStorage,
    pub(super) controller: Controller,
    pub(super) agent: Option<AgentHandle>,
    pub(super) runtime: Option<Arc<SimRuntime>>,
    clock: Arc<dyn Clock>,
    lives: u64,
}

impl World {
    pub(super) async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(SimMachine::CLOCK_START));
        let broker = MemoryBroker::new(BrokerConfig::default());
        let machine = SimMachine::new(7);
        for image in ["hello:1", "hello:2"] {
            machine.publish(image, SimImage::new(image, Behaviour::default()));
        }
        machine.publish("hello:sick", SimImage::new("sick", Behaviour::sick()));
        let controller = Controller::new(&broker, Arc::clone(&clock)).await;
        let mut world = Self {
            machine,
            broker,
            disk: MemoryStorage::new(),
            controller,
            agent: None,
            runtime: None,
            clock,
            lives: 0,
        };
        world.start().await;
        world
    }

    /// Starts an agent on what is there.
    pub(super) async fn start(&mut self) {
        self.lives += 1;
        let bus = self.broker.connect(ClientOptions {
            client_id: device().to_string(),
            will: None,
            access: Access::Device(device()),
        });
        let runtime = Arc::new(self.machine.runtime());
        let ids = IdSource::from_seed(Arc::clone(&self.clock), self.lives);
        let config = AgentConfig::new(
            device(),
            Storage::Memory(self.disk.clone()),
            Arc::clone(&self.clock),
            ids,
        );
        let agent = Agent::start(config, Arc::clone(&runtime) as _, Arc::clone(&runtime) as _, bus)
            .await
            .unwrap();
        self.runtime = Some(runtime);
        self.agent = Some(agent);
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            drop(agent.ended().await);
        }
        if let Some(runtime) = self.runtime.take() {
            self.machine.kill_client(runtime.client());
        }
    }

    pub(super) fn cut(&self) {
        self.broker.cut(&device().to_string());
    }

    pub(super) fn mend(&self) {
        self.broker.heal(&device().to_string());
    }

    pub(super) fn snapshot(&self) -> AgentSnapshot {
        self.agent.as_ref().unwrap().snapshot()
    }

    /// Waits, at most `seconds` of the device's time.
    pub(super) async fn until(
        &mut self,
        seconds: u64,
        what: &str,
        mut reached: impl FnMut(&mut Self) -> bool,
    ) {
        for _ in 0..seconds * 10 {
            if reached(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let report = self.controller.report();
        panic!(
            "not within {seconds} s: {what}\n{}\n{report:#?}",
            self.machine.journal().transcript()
        );
    }

    /// Sends plans as the controller does, until there is nothing left to do or to say.
    pub(super) async fn converge(&mut self, desired: &DesiredSet) {
        self.drive(desired, 120).await;
        let digest = digest_hex(desired);
        self.until(5, "the desired set is accepted and nothing is under way", |w| {
            w.controller
                .report()
                .is_some_and(|r| !r.busy && r.desired_digest == digest)
        })
        .await;
    }

    /// Sends plans as the controller does, until none was needed for five seconds.
    pub(super) async fn drive(&mut self, desired: &DesiredSet, seconds: u64) {
        let mut quiet = 0;
        for _ in 0..seconds * 2 {
            if let Some(command) = self.controller.plan(desired) {
                quiet = 0;
                self.controller.apply(&command).await;
            } else if self.controller.report().is_some_and(|r| !r.busy) {
                quiet += 1;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            if quiet >= 10 {
                return;
            }
        }
    }

    pub(super) async fn seconds(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// The one managed container of a key, as reported.
    pub(super) fn observed(&self, workload: &str, name: &str) -> Option<ObservedContainer> {
        let key = key(workload, name);
        let snapshot = self.snapshot();
        let mut of_key = snapshot.observed.containers.into_iter().filter(|c| c.key == key);
        let first = of_key.next();
        assert!(of_key.next().is_none(), "two of {key}");
        first
    }

    pub(super) fn is_healthy(&self, workload: &str, name: &str) -> bool {
        self.observed(workload, name)
            .is_some_and(|c| c.health == Health::Healthy)
    }

    pub(super) fn failure(&self, workload: &str, name: &str) -> Option<Failure> {
        let key = key(workload, name);
        self.snapshot()
            .observed
            .failures
            .into_iter()
            .find(|f| f.key == key)
    }

    /// The engine's id of a container, by name.
    pub(super) fn id(&self, name: &str) -> String {
        self.machine
            .container(name)
            .unwrap_or_else(|| panic!("no container {name}\n{}", self.machine.journal().transcript()))
            .id
            .0
    }

    /// Invariant 4.
    pub(super) fn assert_never_two(&self) {
        let journal = self.machine.journal();
        let both = journal.overlapping(&[labels::SITE, labels::WORKLOAD, labels::CONTAINER]);
        assert!(
            both.is_empty(),
            "two ran together: {both:#?}\n{}",
            journal.transcript()
        );
    }
}
