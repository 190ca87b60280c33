//! A whole site within one task's reach: the embedded API server in memory, the real controller, the real
//! agent on a simulated machine and a disk in memory, and a broker with faults between them.
//!
//! All of it runs on one paused clock and draws from one seed, so that a schedule can be run again. What was
//! broken for a while (an agent that was killed, a cable that was cut) is mended by the site itself when its
//! time has come, as a supervisor or a technician would: see [`Site::later`].

use std::future::pending;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use longshore_agent::runtime::sim::{SimMachine, SimRuntime};
use longshore_agent::{Agent, AgentConfig, AgentHandle, MemoryStorage, Storage};
use longshore_bus::clock::{Clock, IdSource, TokioClock};
use longshore_bus::envelope::{Gone, VERSION};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, Faults, MemoryBroker};
use longshore_bus::{DeviceId, Message, Properties, Topic, codec};
use longshore_controller::{Controller, ControllerConfig, ControllerHandle};
use longshore_crds::{Device, DeviceSpec, Workload};
use longshore_standalone::apiserver::{ApiServer, Backing, Config, Kinds, Uids, suffix_from};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::faults::Traps;
use super::planted::{Plant, Planted};

const TENANT: &str = "default";
pub(super) const DEVICE: &str = "dev1";
/// The controller's client id on the bus.
pub(super) const CONTROLLER: &str = "controller";
const SYSTEM: &str = "longshore-system";
/// When the simulated world begins, Unix seconds.
const BEGINS: u64 = 1_767_225_600;
/// After how long a supervisor starts again what ended by itself.
const RESTART_AFTER: Duration = Duration::from_secs(3);

/// Compiling them takes longer than a whole schedule. The kinds are served without their rules: everything
/// applied here keeps them, and running them would take a tenth of the whole time.
static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let mut kinds = serde_json::to_value(longshore_crds::all()).unwrap();
    leave_out_rules(&mut kinds);
    Kinds::from(serde_json::from_value::<Vec<CustomResourceDefinition>>(kinds).unwrap())
});

fn leave_out_rules(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(leave_out_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_rules),
        _ => {}
    }
}

pub(super) fn device() -> DeviceId {
    format!("{TENANT}.{DEVICE}").parse().unwrap()
}

/// The site's uid, as it stands in every label.
pub(super) fn site_uid() -> String {
    uuid::Builder::from_random_bytes([7; 16]).into_uuid().to_string()
}

/// What mends itself after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mend {
    Agent,
    Controller,
    Engine,
    Thaw,
    AgentLink,
    ControllerLink,
    Bus,
    Disk,
    Events,
    Registry,
}

/// Uids and name suffixes of the API server, from the seed.
struct SeededUids(Mutex<SmallRng>);

impl Uids for SeededUids {
    fn uid(&self) -> String {
        let bytes: [u8; 16] = self.0.lock().unwrap().random();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    fn suffix(&self) -> String {
        let mut random = self.0.lock().unwrap();
        suffix_from(|n| random.random_range(0..n))
    }
}

/// A living agent, and its connection to the machine.
struct Life {
    agent: AgentHandle,
    runtime: SimRuntime,
}

/// The site.
pub(super) struct Site {
    pub(super) machine: SimMachine,
    pub(super) broker: MemoryBroker,
    pub(super) disk: MemoryStorage,
    client: kube::Client,
    pub(super) traps: Traps,
    planted: Planted,
    clock: Arc<dyn Clock>,
    born: Instant,
    seed: u64,
    lives: u64,
    controller: Option<ControllerHandle>,
    life: Option<Life>,
    /// What is to be mended, the soonest first.
    mends: Vec<(Instant, Mend)>,
    /// What ended although nobody ended it.
    pub(super) ended: Vec<String>,
    _server: ApiServer,
}

impl Site {
    /// A site with one device whose agent and controller have just started.
    pub(super) async fn new(seed: u64, plant: Plant) -> Self {
        let clock = TokioClock::starting_at(BEGINS);
        let server = ApiServer::open(Config {
            clock: Arc::new(move || Timestamp::try_from(clock.now()).unwrap()),
            uids: Arc::new(SeededUids(Mutex::new(SmallRng::seed_from_u64(seed)))),
            ..Config::new(KINDS.clone(), Backing::Memory)
        })
        .await
        .unwrap();
        let machine = SimMachine::new(seed);
        let mut site = Self {
            broker: MemoryBroker::new(BrokerConfig {
                seed,
                ..BrokerConfig::default()
            }),
            disk: MemoryStorage::new(),
            client: server.client(TENANT),
            traps: Traps::set(&machine),
            planted: Planted::new(plant),
            clock: Arc::new(clock),
            born: Instant::now(),
            seed,
            lives: 0,
            controller: None,
            life: None,
            mends: Vec::new(),
            ended: Vec::new(),
            _server: server,
            machine,
        };
        site.declare_identity().await;
        let device = Device::new(DEVICE, DeviceSpec::default());
        site.devices()
            .create(&PostParams::default(), &device)
            .await
            .unwrap();
        site.start_controller().await;
        site.start_agent().await;
        site
    }

    /// The site's identity, made here because the controller draws its own from the operating system.
    async fn declare_identity(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), SYSTEM);
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("longshore-site".to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(
                [
                    ("uid".to_owned(), ByteString(site_uid().into_bytes())),
                    ("contentKey".to_owned(), ByteString(vec![7; 32])),
                ]
                .into(),
            ),
            ..Secret::default()
        };
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }

    pub(super) fn workloads(&self) -> Api<Workload> {
        Api::namespaced(self.client.clone(), TENANT)
    }

    pub(super) fn devices(&self) -> Api<Device> {
        Api::namespaced(self.client.clone(), TENANT)
    }

    fn ids(&mut self) -> IdSource {
        self.lives += 1;
        IdSource::from_seed(Arc::clone(&self.clock), self.seed.wrapping_add(self.lives << 32))
    }

    /// Since the world began.
    pub(super) fn now(&self) -> Duration {
        self.born.elapsed()
    }

    /// Starts a controller unless one runs.
    async fn start_controller(&mut self) {
        if self.controller.is_some() {
            return;
        }
        let config = ControllerConfig {
            identity: "sim".to_owned(),
            system_namespace: SYSTEM.to_owned(),
            former_site: None,
            clock: Arc::clone(&self.clock),
            ids: self.ids(),
            version: "sim".to_owned(),
        };
        let bus = self.broker.connect(ClientOptions {
            client_id: CONTROLLER.to_owned(),
            will: None,
            access: Access::Controller,
        });
        let bus = self.planted.controllers_bus(bus, &self.machine);
        match Controller::start(config, self.client.clone(), bus).await {
            Ok(controller) => self.controller = Some(controller),
            Err(error) => self.ended.push(format!("the controller does not start: {error}")),
        }
    }

    /// `kill -9` of the controller, or its orderly stop.
    pub(super) async fn end_controller(&mut self, in_order: bool, back_after: Duration) {
        if let Some(controller) = self.controller.take() {
            if in_order {
                drop(controller.stop().await);
            } else {
                controller.abort();
                drop(controller.ended().await);
            }
            self.later(back_after, Mend::Controller);
        }
    }

    /// Starts an agent on what the last one left, unless one runs. One that cannot start (its disk is full)
    /// is started again by its supervisor.
    async fn start_agent(&mut self) {
        if self.life.is_some() {
            return;
        }
        let ids = self.ids();
        let session = ids.uuid();
        let gone = codec::encode(&Gone {
            version: VERSION,
            session,
        })
        .unwrap();
        let bus = self.broker.connect(ClientOptions {
            client_id: device().to_string(),
            will: Some(Message {
                topic: Topic::Gone(device()).to_string(),
                payload: gone,
                properties: Properties::default(),
            }),
            access: Access::Device(device()),
        });
        let runtime = self.machine.runtime();
        let config = AgentConfig {
            session: Some(session),
            ..AgentConfig::new(
                device(),
                Storage::Memory(self.disk.clone()),
                Arc::clone(&self.clock),
                ids,
            )
        };
        let engine = self.planted.engine(&runtime);
        match Agent::start(config, engine, Arc::new(runtime.clone()), bus).await {
            Ok(agent) => self.life = Some(Life { agent, runtime }),
            Err(_) => self.later(RESTART_AFTER, Mend::Agent),
        }
    }

    /// `kill -9` of the agent, or its orderly stop.
    pub(super) async fn end_agent(&mut self, in_order: bool, back_after: Duration) {
        if let Some(Life { agent, runtime }) = self.life.take() {
            if in_order {
                drop(agent.stop().await);
            } else {
                agent.abort();
                drop(agent.ended().await);
            }
            self.machine.kill_client(runtime.client());
            self.later(back_after, Mend::Agent);
        }
    }

    /// Mends something when the time has come.
    pub(super) fn later(&mut self, after: Duration, mend: Mend) {
        self.mends.push((Instant::now() + after, mend));
        self.mends.sort();
    }

    /// Mends everything now. Traps that did not snap are taken away.
    pub(super) async fn mend_all(&mut self) {
        self.traps.disarm();
        for mend in [
            Mend::Thaw,
            Mend::Engine,
            Mend::Disk,
            Mend::Registry,
            Mend::Events,
            Mend::Bus,
            Mend::AgentLink,
            Mend::ControllerLink,
            Mend::Controller,
            Mend::Agent,
        ] {
            self.mend(mend).await;
        }
        self.mends.clear();
    }

    async fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Agent => self.start_agent().await,
            Mend::Controller => self.start_controller().await,
            Mend::Engine => self.machine.start_engine(),
            Mend::Thaw => self.machine.freeze_engine(false),
            Mend::AgentLink => self.broker.heal(&device().to_string()),
            Mend::ControllerLink => self.broker.heal(CONTROLLER),
            Mend::Bus => self.broker.set_faults(Faults::NONE),
            Mend::Disk => self.disk.set_full(false),
            Mend::Events => self.machine.lose_events(false),
            Mend::Registry => self.machine.set_registry_reachable("docker.io", true),
        }
    }

    /// Lets the time pass: mends what is due, and buries and revives whoever a trap killed.
    pub(super) async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            while let Some((at, mend)) = self.mends.first().copied()
                && at <= Instant::now()
            {
                self.mends.remove(0);
                self.mend(mend).await;
            }
            self.notice_ends();
            if Instant::now() >= until {
                return;
            }
            let next = self.mends.first().map_or(until, |(at, _)| until.min(*at));
            let died = async {
                match &self.life {
                    Some(life) => life.runtime.died().await,
                    None => pending().await,
                }
            };
            // Cancel-safe: every arm only waits.
            tokio::select! {
                biased;
                () = died => {
                    let after = self.traps.back_after();
                    self.end_agent(false, after).await;
                }
                after = self.traps.engine_fell() => self.later(after, Mend::Engine),
                () = sleep_until(next) => {}
            }
        }
    }

    /// Neither may end by itself.
    fn notice_ends(&mut self) {
        if let Some(life) = &self.life
            && let Some(end) = life.agent.ended().now_or_never()
        {
            self.ended.push(format!("the agent ended by itself: {end:?}"));
        }
        if self.controller.as_ref().is_some_and(|c| !c.is_running()) {
            self.ended.push("the controller ended by itself".to_owned());
        }
    }
}
