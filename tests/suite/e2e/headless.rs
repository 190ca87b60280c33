//! The controller goes away in the middle of a change and stays away: what the agent does alone. Here the
//! parts run in this process, so that one of them can be taken out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use longshore_agent::runtime::docker::DockerRuntime;
use longshore_agent::runtime::probe_network::HostNetwork;
use longshore_agent::{Agent, AgentConfig, AgentHandle, Storage};
use longshore_bus::clock::{Clock, IdSource, SystemClock};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, MemoryBroker};
use longshore_bus::{Bus, DeviceId};
use longshore_controller::{Controller, ControllerConfig, ControllerHandle};
use longshore_standalone::apiserver::{ApiServer, Backing, Config};
use longshore_tests::harness::site::DEVICE;
use longshore_tests::harness::watch::{Events, NeverTwo, changes};
use longshore_tests::harness::{Dockerd, Objects, containers, ports};
use serde_json::json;

use super::crash::steady_and;
use super::stage::{self, answers, eventually, load_images};

const SOON: Duration = Duration::from_mins(1);
/// An agent heals alone once it has heard nothing of a controller for 30 s.
const ALONE: Duration = Duration::from_secs(75);

/// A site whose controller can be taken away from its agent.
struct Halves {
    api: ApiServer,
    objects: Objects,
    broker: MemoryBroker,
    clock: Arc<dyn Clock>,
    controller: Option<ControllerHandle>,
    agent: AgentHandle,
    _directory: tempfile::TempDir,
}

impl Halves {
    async fn start(engine: &Dockerd) -> Result<Self> {
        let api = ApiServer::open(Config::new(longshore_crds::all(), Backing::Memory)).await?;
        let objects = Objects::new(api.client("default"));
        objects
            .apply(&json!({
                "apiVersion": "longshore.dev/v1alpha1", "kind": "Device",
                "metadata": {"name": DEVICE, "namespace": "default"}, "spec": {},
            }))
            .await?;
        let broker = MemoryBroker::new(BrokerConfig::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let device: DeviceId = format!("default.{DEVICE}").parse()?;
        let bus: Arc<dyn Bus> = broker.connect(ClientOptions {
            client_id: device.to_string(),
            will: None,
            access: Access::Device(device.clone()),
        });
        let directory = tempfile::tempdir()?;
        let ids = IdSource::from_entropy(Arc::clone(&clock));
        let storage = Storage::Dir(directory.path().to_owned());
        let config = AgentConfig::new(device, storage, Arc::clone(&clock), ids);
        let runtime = Arc::new(DockerRuntime::new(&engine.host())?);
        let agent = Agent::start(config, runtime, Arc::new(HostNetwork), bus).await?;
        let mut halves = Self {
            api,
            objects,
            broker,
            clock,
            controller: None,
            agent,
            _directory: directory,
        };
        halves.bring_back_the_controller().await?;
        Ok(halves)
    }

    async fn bring_back_the_controller(&mut self) -> Result<()> {
        let bus: Arc<dyn Bus> = self.broker.connect(ClientOptions {
            client_id: "controller".to_owned(),
            will: None,
            access: Access::Controller,
        });
        let config = ControllerConfig {
            identity: "halves".to_owned(),
            system_namespace: "longshore-system".to_owned(),
            former_site: None,
            clock: Arc::clone(&self.clock),
            ids: IdSource::from_entropy(Arc::clone(&self.clock)),
            version: "test".to_owned(),
        };
        self.controller = Some(Controller::start(config, self.api.client("default"), bus).await?);
        Ok(())
    }

    /// As by `kill -9`: it does nothing more, and says nothing.
    async fn take_the_controller_away(&mut self) -> Result<()> {
        let controller = self.controller.take().context("it is away already")?;
        controller.abort();
        let ended = controller.ended().await;
        ensure!(ended.is_err(), "it ended well: {ended:?}");
        Ok(())
    }

    async fn end(self) -> Result<()> {
        if let Some(controller) = self.controller {
            controller.stop().await?;
        }
        self.agent.stop().await?;
        self.api.close().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_controller_the_agent_finishes_a_change_and_heals_what_is_removed() -> Result<()> {
    let Some((engine, _turn)) = stage::engine(&json!({})).await? else {
        return Ok(());
    };
    let docker = engine.bollard()?;
    load_images(&docker).await?;
    let mut halves = Halves::start(&engine).await?;
    let port = ports::free_port()?;
    halves.objects.apply(&steady_and("hello:1", port)).await?;
    halves.objects.ready("two").await?;
    let sampler = NeverTwo::watch(&docker, "two");
    let events = Events::listen(&docker)?;

    for (moment, image, version) in [
        ("create", "hello:2", "v2"),
        ("stop", "hello:1", "v1"),
        ("start", "hello:2", "v2"),
    ] {
        let steady = containers::get(&docker, "two.steady").await?;
        let mark = events.mark();
        halves.objects.apply(&steady_and(image, port)).await?;
        let what = format!("the first {moment} of the change to {image}");
        let at_moment = events.first(mark, &what, SOON, |event| event.action == moment);
        at_moment.await?;
        halves.take_the_controller_away().await?;

        answers(port, "/", &format!("hello from {version}")).await?;
        only(&docker, &["two.steady", "two.web"])
            .await
            .with_context(|| what.clone())?;
        let creates = events.after(mark).iter().filter(|e| e.action == "create").count();
        ensure!(
            creates == 1,
            "{what}: {creates} creates: {:?}",
            events.after(mark)
        );
        ensure!(
            containers::get(&docker, "two.steady").await? == steady,
            "{what}: the unchanged one was touched"
        );

        // Nobody is there to see it go, but the agent.
        engine.docker(&["rm", "-f", "two.steady"]).await?;
        eventually("what was removed is healed", ALONE, async || {
            let healed = containers::get(&docker, "two.steady").await?;
            ensure!(healed.state == "running", "{healed:?}");
            Ok(())
        })
        .await?;

        // The controller finds what it wants, and does nothing about it.
        only(&docker, &["two.steady", "two.web"]).await?;
        let (mark, before) = (events.mark(), containers::all(&docker).await?);
        halves.bring_back_the_controller().await?;
        halves.objects.ready("two").await?;
        events.quiet(Duration::from_secs(2), changes).await?;
        let since: Vec<_> = events.after(mark).into_iter().filter(changes).collect();
        ensure!(since.is_empty(), "{what}: the controller came back: {since:?}");
        ensure!(containers::all(&docker).await? == before, "{what}");
    }
    sampler.finish().await?;
    halves.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_controller_the_agent_falls_back_from_a_sick_image() -> Result<()> {
    let Some((engine, _turn)) = stage::engine(&json!({})).await? else {
        return Ok(());
    };
    let docker = engine.bollard()?;
    load_images(&docker).await?;
    let mut halves = Halves::start(&engine).await?;
    let port = ports::free_port()?;
    halves.objects.apply(&steady_and("hello:1", port)).await?;
    halves.objects.ready("two").await?;
    let before = containers::get(&docker, "two.web").await?;
    let events = Events::listen(&docker)?;

    let mut sick = steady_and("hello:sick", port);
    sick["spec"]["rollout"]["progressDeadlineSeconds"] = json!(10);
    halves.objects.apply(&sick).await?;
    let started = events.first(0, "the start of the sick one", SOON, |event| {
        event.action == "start"
    });
    started.await?;
    halves.take_the_controller_away().await?;
    answers(port, "/", "hello from v1").await?;
    only(&docker, &["two.steady", "two.web"]).await?;
    let after = containers::get(&docker, "two.web").await?;
    ensure!(after.id == before.id, "another container: {after:?}");

    // Alone for long enough to plan by itself, it does not try the sick one again.
    let mark = events.mark();
    events.quiet(Duration::from_secs(45), changes).await?;
    ensure!(
        !events.after(mark).iter().any(changes),
        "{:?}",
        events.after(mark)
    );

    halves.bring_back_the_controller().await?;
    let told = halves.objects.unready("two", &["RolledBack"]).await?;
    ensure!(told.message.contains("web"), "{told:?}");
    ensure!(
        containers::get(&docker, "two.web").await?.id == before.id,
        "touched"
    );
    halves.end().await
}

/// Waits until these containers run and no other exists.
async fn only(docker: &Docker, names: &[&str]) -> Result<()> {
    eventually("these containers alone", SOON, async || {
        let all = containers::all(docker).await?;
        ensure!(
            all.keys().eq(names) && all.values().all(|c| c.state == "running"),
            "{all:#?}"
        );
        Ok(())
    })
    .await
}
