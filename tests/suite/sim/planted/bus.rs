//! A bus on which the controller seems to have a bug.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::runtime::Runtime as _;
use longshore_agent::runtime::sim::SimMachine;
use longshore_bus::envelope::{CommandEnvelope, Report, action};
use longshore_bus::memory::MemoryBus;
use longshore_bus::{
    Bus, LinkState, Message, PublishError, PublishOutcome, SubscribeError, Subscription, Topic, codec,
};
use longshore_plan::observed::{ContainerState, Health};
use longshore_plan::step::PlanCommand;
use tokio::sync::watch;

use super::super::perform::ours;
use super::super::site::device;
use super::Plant;
use longshore_agent::labels;

/// What outlives a controller.
#[derive(Debug, Default)]
pub(super) struct Memory {
    named: Mutex<BTreeSet<String>>,
}

/// Passes everything on, changed as the bug would.
pub(super) struct Wrong {
    inner: Arc<MemoryBus>,
    plant: Plant,
    memory: Arc<Memory>,
    machine: SimMachine,
}

impl Wrong {
    pub(super) fn new(inner: Arc<MemoryBus>, plant: Plant, memory: Arc<Memory>, machine: SimMachine) -> Self {
        Self {
            inner,
            plant,
            memory,
            machine,
        }
    }

    /// A plan on its way to the device.
    async fn plan(&self, envelope: CommandEnvelope) {
        let command: PlanCommand = serde_json::from_value(envelope.args).unwrap();
        let workloads = command.desired.workloads.iter();
        let now: BTreeSet<String> = workloads.map(|w| w.name.to_string()).collect();
        let missing: Vec<String> = {
            let mut named = self.memory.named.lock().unwrap();
            let missing = named.difference(&now).cloned().collect();
            named.extend(now);
            missing
        };
        self.remove(&missing).await;
    }

    async fn remove(&self, workloads: &[String]) {
        let runtime = self.machine.runtime();
        for one in ours(&self.machine) {
            let of = one.labels.get(labels::WORKLOAD);
            if of.is_some_and(|of| workloads.contains(of)) {
                drop(runtime.stop(&one.id, Duration::ZERO).await);
                drop(runtime.remove(&one.id).await);
            }
        }
    }
}

/// As a controller would read it that does not look.
fn all_is_well(message: &mut Message) {
    if message.topic != Topic::Report(device()).to_string() {
        return;
    }
    let mut report: Report = codec::decode(&message.payload).unwrap();
    for container in &mut report.observed.containers {
        container.state = ContainerState::Running;
        container.health = Health::Healthy;
    }
    report.observed.failures.clear();
    message.payload = codec::encode(&report).unwrap();
}

#[async_trait]
impl Bus for Wrong {
    async fn publish(&self, message: Message) -> Result<PublishOutcome, PublishError> {
        if self.plant == Plant::RemovesWhatIsMissing && message.topic == Topic::Request(device()).to_string()
        {
            let envelope: CommandEnvelope = codec::decode(&message.payload).unwrap();
            if envelope.action == action::PLAN_APPLY {
                self.plan(envelope).await;
            }
        }
        self.inner.publish(message).await
    }

    async fn subscribe(&self, filters: &[&str]) -> Result<Subscription, SubscribeError> {
        let mut real = self.inner.subscribe(filters).await?;
        if self.plant != Plant::BelievesAllIsWell {
            return Ok(real);
        }
        let (sender, changed) = Subscription::channel();
        tokio::spawn(async move {
            while let Some(mut message) = real.recv().await {
                all_is_well(&mut message);
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(changed)
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.inner.link()
    }
}
