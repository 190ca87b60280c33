//! The agent alone: on the bus in memory, over Docker Engine, with no controller, API server or gateway in
//! the binary. A stub takes the controller's place: it sends one plan and its sign of life.
//!
//! ```text
//! bench-agent SECONDS ENDPOINT STORAGE DEVICE [COMMAND]
//! ```
//! SECONDS is how often it tells its processor time. COMMAND is a file with the bytes of a plan.apply.

mod cpu;

use std::env;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use longshore_agent::runtime::docker::DockerRuntime;
use longshore_agent::runtime::probe_network::HostNetwork;
use longshore_agent::{Agent, AgentConfig, Storage};
use longshore_bus::clock::{Clock, IdSource, SystemClock};
use longshore_bus::envelope::{ControllerSign, ResponseEnvelope, Status, VERSION};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, MemoryBroker};
use longshore_bus::port::{Properties, Subscription};
use longshore_bus::topic::CONTROLLER_FILTER;
use longshore_bus::{Bus, DeviceId, Message, Topic, codec};

/// What the stub calls the site; the parent uses the same in its plan.
const SITE: &str = "bench";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // As `longshore up` has it.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(run(&arguments))
}

async fn run(arguments: &[String]) -> Result<()> {
    let (seconds, endpoint, storage, device, command) = match arguments {
        [seconds, endpoint, storage, device] => (seconds, endpoint, storage, device, None),
        [seconds, endpoint, storage, device, command] => (seconds, endpoint, storage, device, Some(command)),
        _ => bail!("usage: bench-agent SECONDS ENDPOINT STORAGE DEVICE [COMMAND]"),
    };
    let every = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let id: DeviceId = device.parse().context("DEVICE")?;
    let broker = MemoryBroker::new(BrokerConfig::default());
    let connect = |client_id: &str, access| {
        broker.connect(ClientOptions {
            client_id: client_id.to_owned(),
            will: None,
            access,
        })
    };
    let stub = connect("controller", Access::Controller);
    let events = stub
        .subscribe(&[CONTROLLER_FILTER])
        .await
        .context("subscribing")?;
    let bus = connect(device, Access::Device(id.clone()));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = IdSource::from_entropy(Arc::clone(&clock));
    let config = AgentConfig::new(id.clone(), Storage::Dir(storage.into()), clock, ids);
    let runtime = DockerRuntime::new(endpoint).context("ENDPOINT")?;
    let agent = Agent::start(config, Arc::new(runtime), Arc::new(HostNetwork), bus).await;
    let agent = agent.context("starting the agent")?;
    if let Some(command) = command {
        let command = fs::read(command).context("reading COMMAND")?;
        let answer_to = Topic::Response(id.clone(), SITE.parse().context("the requester")?);
        say(&*stub, &Topic::Request(id), command.into(), Some(answer_to)).await?;
    }
    tokio::select! {
        ended = agent.ended() => ended.context("the agent ended"),
        ended = signs(&*stub) => ended,
        ended = answers(events) => ended,
        ended = cpu::tell(every) => ended,
    }
}

/// The sign of a live controller: without it the agent would be unsupervised, and plan by itself.
async fn signs(bus: &dyn Bus) -> Result<()> {
    let sign = ControllerSign {
        version: VERSION,
        site: SITE.to_owned(),
        epoch: 1,
    };
    let sign = codec::encode(&sign).context("encoding a sign")?;
    loop {
        say(bus, &Topic::Controller, sign.clone(), None).await?;
        tokio::time::sleep(ControllerSign::PERIOD).await;
    }
}

/// Takes what the agent says, as a controller would. Where something failed there is nothing to measure.
async fn answers(mut events: Subscription) -> Result<()> {
    loop {
        let message = events.recv().await.context("the bus is closed")?;
        let Ok(Topic::Response(..)) = message.topic.parse() else {
            continue;
        };
        let answer: ResponseEnvelope = codec::decode(&message.payload).context("reading an answer")?;
        ensure!(answer.status != Status::Failed, "it failed: {:?}", answer.error);
    }
}

async fn say(bus: &dyn Bus, topic: &Topic, payload: Bytes, answer_to: Option<Topic>) -> Result<()> {
    let message = Message {
        topic: topic.to_string(),
        payload,
        properties: Properties {
            response_topic: answer_to.map(|topic| topic.to_string()),
            ..Properties::default()
        },
    };
    bus.publish(message).await.map(drop).context("publishing")
}
