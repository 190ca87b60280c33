//! A site in this process, wired as `longshore up` wires it but for TLS: the embedded API server, the bus
//! in memory, the controller, and agents on whatever runtime. In one process the bus can be listened to,
//! and a clock is read on both sides.

use std::sync::Arc;

use anyhow::{Context, Result};
use kube::Client;
use longshore_agent::runtime::Runtime;
use longshore_agent::runtime::probe_network::ProbeNetwork;
use longshore_agent::{Agent, AgentConfig, AgentHandle, Storage};
use longshore_bus::clock::{Clock, IdSource, SystemClock};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, MemoryBroker};
use longshore_bus::{Bus, DeviceId};
use longshore_controller::{Controller, ControllerConfig, ControllerHandle};
use longshore_standalone::apiserver::{ApiServer, Backing, Config};
use longshore_tests::harness::{Kind, Objects};
use serde_json::{Value, json};
use tempfile::TempDir;

const TENANT: &str = "default";

/// Where the API server keeps its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// As `longshore up` does: every write is on the disk before it is answered.
    OnDisk,
    /// Nowhere, and without a thread of its own.
    InMemory,
}

/// The site. Stop it with [`Rig::stop`]; dropped, it ends as by `kill -9`.
pub(crate) struct Rig {
    /// A client in the process, as the controller has one.
    pub(crate) client: Client,
    /// The same, for objects as users write them.
    pub(crate) objects: Objects,
    /// The controller.
    pub(crate) controller: ControllerHandle,
    agents: Vec<AgentHandle>,
    broker: MemoryBroker,
    api: ApiServer,
    directory: TempDir,
}

impl Rig {
    /// Starts one without devices.
    pub(crate) async fn start(keeping: Keeping) -> Result<Self> {
        let directory = tempfile::tempdir().context("making the site's directory")?;
        let backing = match keeping {
            Keeping::OnDisk => Backing::File(directory.path().join("store.redb")),
            Keeping::InMemory => Backing::Memory,
        };
        let api = ApiServer::open(Config::new(longshore_crds::all(), backing)).await;
        let api = api.context("opening the API server")?;
        let client = api.client(TENANT);
        let broker = MemoryBroker::new(BrokerConfig::default());
        let (clock, ids) = time();
        let config = ControllerConfig {
            identity: "bench".to_owned(),
            system_namespace: "longshore-system".to_owned(),
            former_site: None,
            clock,
            ids,
            version: "bench".to_owned(),
        };
        let bus = broker.connect(ClientOptions {
            client_id: "controller".to_owned(),
            will: None,
            access: Access::Controller,
        });
        let controller = Controller::start(config, client.clone(), bus).await;
        Ok(Self {
            objects: Objects::new(client.clone()),
            client,
            controller: controller.context("starting the controller")?,
            agents: Vec::new(),
            broker,
            api,
            directory,
        })
    }

    /// Declares a device.
    pub(crate) async fn declare_device(&self, name: &str) -> Result<DeviceId> {
        let device = json!({
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": "Device",
            "metadata": {"name": name, "namespace": TENANT},
            "spec": {},
        });
        self.objects.apply(&device).await?;
        format!("{TENANT}.{name}").parse().context("a device's id")
    }

    /// A device's place on the bus.
    pub(crate) fn connect(&self, id: &DeviceId) -> Arc<dyn Bus> {
        self.broker.connect(ClientOptions {
            client_id: id.to_string(),
            will: None,
            access: Access::Device(id.clone()),
        })
    }

    /// Declares a device with a real agent, and waits until it is connected.
    pub(crate) async fn add_agent(
        &mut self,
        name: &str,
        runtime: Arc<dyn Runtime>,
        probes: Arc<dyn ProbeNetwork>,
    ) -> Result<()> {
        let id = self.declare_device(name).await?;
        let bus = self.connect(&id);
        let storage = Storage::Dir(self.directory.path().join(name));
        let (clock, ids) = time();
        let config = AgentConfig::new(id, storage, clock, ids);
        let agent = Agent::start(config, runtime, probes, bus).await;
        self.agents.push(agent.context("starting an agent")?);
        self.wait_until_connected(name).await
    }

    /// Waits until the controller has heard of a device.
    pub(crate) async fn wait_until_connected(&self, name: &str) -> Result<()> {
        let connected = |device: &Value| {
            let connected = longshore_tests::harness::objects::condition(device, "Connected")?;
            (connected.status == "True")
                .then_some(())
                .ok_or(connected.message)
        };
        self.objects
            .wait_for(Kind::Device, name, "connected", connected)
            .await
    }

    /// How many messages the bus has taken.
    pub(crate) fn published(&self) -> u64 {
        self.broker.counters().published
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> Result<()> {
        for agent in self.agents {
            agent.stop().await.context("stopping an agent")?;
        }
        self.controller.stop().await.context("stopping the controller")?;
        self.api.close().await;
        Ok(())
    }
}

fn time() -> (Arc<dyn Clock>, IdSource) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    (Arc::clone(&clock), IdSource::from_entropy(clock))
}
