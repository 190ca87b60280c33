//! A device that has at once whatever it is told to have: the far end of the bus, without an engine whose
//! time would be measured as well.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use longshore_bus::envelope::{Birth, CommandEnvelope, Report, ResponseEnvelope, Status, VERSION, action};
use longshore_bus::port::{Properties, Subscription};
use longshore_bus::topic::device_filters;
use longshore_bus::{Bus, DeviceId, Message, Topic, codec};
use longshore_plan::desired::DesiredSet;
use longshore_plan::hash::digest_hex;
use longshore_plan::step::{Fence, PlanCommand};
use serde::Serialize;
use uuid::Uuid;

use crate::fixtures;

/// The device.
pub(crate) struct Twin {
    id: DeviceId,
    bus: Arc<dyn Bus>,
    commands: Subscription,
    session: Uuid,
    seq: u64,
    desired: Option<DesiredSet>,
    fence: Option<Fence>,
}

/// A plan as it came to the device.
pub(crate) struct Arrival {
    /// When its bytes were there.
    pub(crate) at: Instant,
    /// What it says.
    pub(crate) plan: PlanCommand,
}

impl Twin {
    /// Connects and says what it has: nothing.
    pub(crate) async fn connect(id: DeviceId, bus: Arc<dyn Bus>) -> Result<Self> {
        let [own, all] = device_filters(&id);
        let commands = bus.subscribe(&[&own, &all]).await.context("subscribing")?;
        let mut twin = Self {
            id,
            bus,
            commands,
            session: Uuid::now_v7(),
            seq: 0,
            desired: None,
            fence: None,
        };
        let birth = Birth {
            version: VERSION,
            session: twin.session,
            protocol: (1, 1),
            agent_version: "bench".to_owned(),
            actions: vec![action::PLAN_APPLY.to_owned()],
            features: Vec::new(),
            fence: None,
            clock: "2026-01-01T00:00:00Z".to_owned(),
        };
        twin.say(&Topic::Birth(twin.id.clone()), &birth, true).await?;
        twin.report().await?;
        Ok(twin)
    }

    /// The next plan, after it was carried out and answered. Cancel-safe between messages only.
    pub(crate) async fn next_plan(&mut self) -> Result<Arrival> {
        loop {
            let message = self.commands.recv().await.context("the bus is closed")?;
            let at = Instant::now();
            match message.topic.parse() {
                Ok(Topic::Request(_)) => {}
                Ok(Topic::RollCall) => {
                    self.report().await?;
                    continue;
                }
                _ => continue,
            }
            let command: CommandEnvelope = codec::decode(&message.payload).context("reading a command")?;
            if command.action != action::PLAN_APPLY {
                self.report().await?;
                continue;
            }
            let plan: PlanCommand = serde_json::from_value(command.args).context("reading a plan")?;
            self.desired = Some(plan.desired.clone());
            self.fence = Some(plan.fence.clone());
            self.report().await?;
            let topic = message.properties.response_topic.context("no response topic")?;
            let done = ResponseEnvelope {
                version: VERSION,
                correlation_id: command.correlation_id,
                device: self.id.clone(),
                seq: 0,
                is_final: true,
                status: Status::Succeeded,
                code: 200,
                result: None,
                error: None,
                started_at: None,
                finished_at: None,
            };
            self.say(&topic.parse()?, &done, false).await?;
            return Ok(Arrival { at, plan });
        }
    }

    /// Its next report's bytes, with this digest in the place of the true one: to a controller another
    /// digest is another state, which it has to look at.
    pub(crate) fn next_report(&mut self, state_hash: Option<&str>) -> Result<Bytes> {
        self.seq += 1;
        let desired = self.desired.as_ref();
        let observed = desired.map_or_else(fixtures::bare, fixtures::settled);
        let desired_digest = desired.map(digest_hex).unwrap_or_default();
        // As the agent makes it: over all that a report says, the plan it accepted included.
        let true_hash = || digest_hex(&(&self.fence, &desired_digest, &observed));
        let report = Report {
            version: VERSION,
            session: self.session,
            seq: self.seq,
            state_hash: state_hash.map_or_else(true_hash, str::to_owned),
            fence: self.fence.clone(),
            desired_digest,
            busy: false,
            observed,
            drift: Vec::new(),
        };
        codec::encode(&report).context("encoding a report")
    }

    /// Sends a report's bytes.
    pub(crate) async fn send_report(&self, report: Bytes) -> Result<()> {
        self.publish(&Topic::Report(self.id.clone()), report, false).await
    }

    async fn report(&mut self) -> Result<()> {
        let report = self.next_report(None)?;
        self.send_report(report).await
    }

    async fn say(&self, topic: &Topic, envelope: &impl Serialize, retain: bool) -> Result<()> {
        let payload = codec::encode(envelope).context("encoding")?;
        self.publish(topic, payload, retain).await
    }

    async fn publish(&self, topic: &Topic, payload: Bytes, retain: bool) -> Result<()> {
        ensure!(!payload.is_empty(), "an empty message");
        let message = Message {
            topic: topic.to_string(),
            payload,
            properties: Properties {
                retain,
                ..Properties::default()
            },
        };
        self.bus.publish(message).await.map(drop).context("publishing")
    }
}
