//! One plan on its way: its bytes, its repeats, its end.

use std::time::Duration;

use bytes::Bytes;
use longshore_bus::codec::{self, EncodeError};
use longshore_bus::envelope::{CommandEnvelope, CorrelationId, VERSION, action};
use longshore_bus::port::{Message, Properties};
use longshore_bus::{DeviceId, Topic};
use longshore_plan::step::{Fence, NumberedStep, PlanCommand};

use super::{Sender, Wanted};
use crate::timers::Uptime;

/// How long a plan may wait to be taken. Once it is, the agent brings it to its end whatever it takes.
pub(super) const TTL: Duration = Duration::from_mins(1);
/// The longest pause between two repeats while nobody took it.
const REPEAT_MOST: Duration = Duration::from_secs(15);
/// Silence after which one that was taken is repeated: the agent answers from memory.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest such silence.
const SILENCE_MOST: Duration = Duration::from_mins(2);
/// How long after the last answer a report that shows the plan as ended is believed: one made between
/// acceptance and begin shows the same.
const SETTLE: Duration = Duration::from_secs(5);

/// What the time asks of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Repeat,
    Expired,
    /// The final answer got lost, and a report shows that there was one.
    SeenDone,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) correlation_id: CorrelationId,
    pub(super) digest: String,
    pub(super) basis: String,
    /// What the device reported since: the last fence it accepted, and whether it is busy.
    pub(super) reported: Option<(Option<Fence>, bool)>,
    fence: Fence,
    steps: Vec<CorrelationId>,
    topic: String,
    payload: Bytes,
    properties: Properties,
    expires: Uptime,
    taken: bool,
    last_heard: Uptime,
    next_send: Uptime,
    pause: Duration,
}

fn envelope(
    id: &DeviceId,
    correlation_id: CorrelationId,
    fence: &Fence,
    steps: &[CorrelationId],
    wanted: &Wanted<'_>,
    issued_at: &str,
) -> CommandEnvelope {
    let command = PlanCommand {
        fence: fence.clone(),
        desired: wanted.desired.as_ref().clone(),
        steps: std::iter::zip(steps, &wanted.plan.steps)
            .map(|(id, step)| NumberedStep {
                correlation_id: id.to_string(),
                step: step.clone(),
            })
            .collect(),
    };
    CommandEnvelope {
        version: VERSION,
        correlation_id,
        tenant: id.tenant().to_string(),
        device: id.device().to_string(),
        plugin: "container".to_owned(),
        action: action::PLAN_APPLY.to_owned(),
        args: serde_json::to_value(&command).expect("the model serialises to JSON"),
        actor: "controller".to_owned(),
        issued_at: issued_at.to_owned(),
        ttl_ms: u64::try_from(TTL.as_millis()).unwrap_or(u64::MAX),
        fence: Some(fence.clone()),
        traceparent: None,
    }
}

impl Flight {
    /// Makes the command and its bytes.
    ///
    /// Steps that do not fit beside the desired set are left for the next plan: every prefix of a plan is safe, and
    /// once it is done the device's report shows what is missing still.
    pub(super) fn prepare(
        id: &DeviceId,
        sender: &Sender,
        fence: Fence,
        wanted: &Wanted<'_>,
        issued_at: &str,
        now: Uptime,
    ) -> Result<Self, EncodeError> {
        let correlation_id = sender.ids.correlation_id();
        let mut steps: Vec<CorrelationId> = wanted
            .plan
            .steps
            .iter()
            .map(|_| sender.ids.correlation_id())
            .collect();
        let payload = loop {
            match codec::encode(&envelope(id, correlation_id, &fence, &steps, wanted, issued_at)) {
                Ok(payload) => break payload,
                // At least one, or it would be a plan that never does anything.
                Err(_) if steps.len() > 1 => steps.truncate(steps.len() / 2),
                Err(error) => return Err(error),
            }
        };
        Ok(Self {
            correlation_id,
            digest: wanted.digest.to_owned(),
            basis: wanted.basis.to_owned(),
            reported: None,
            fence,
            steps,
            topic: Topic::Request(id.clone()).to_string(),
            payload,
            properties: Properties {
                correlation_data: Some(Bytes::copy_from_slice(correlation_id.0.as_bytes())),
                response_topic: Some(Topic::Response(id.clone(), sender.requester.clone()).to_string()),
                ..Properties::default()
            },
            expires: now + TTL,
            taken: false,
            last_heard: now,
            next_send: now + Duration::from_secs(1),
            pause: Duration::from_secs(2),
        })
    }

    /// The command's message; every repeat is the same but for the time it may still wait.
    pub(super) fn message(&self, now: Uptime) -> Message {
        let left = if self.taken {
            TTL
        } else {
            self.expires.saturating_sub(now)
        };
        Message {
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            properties: Properties {
                // MQTT counts in seconds; 0 would be dropped at once.
                message_expiry: Some(left.max(Duration::from_secs(1))),
                ..self.properties.clone()
            },
        }
    }

    /// Whether an answer with this id speaks of this plan or one of its steps.
    pub(super) fn owns(&self, id: CorrelationId) -> bool {
        id == self.correlation_id || self.steps.contains(&id)
    }

    /// Any answer: it was taken.
    pub(super) fn heard(&mut self, now: Uptime) {
        self.taken = true;
        self.last_heard = now;
        self.next_send = now + SILENCE;
        self.pause = SILENCE * 2;
    }

    /// When [`Self::on_time`] has something to say.
    pub(super) fn next_wake(&self) -> Uptime {
        let wake = if self.taken {
            self.next_send
        } else {
            self.next_send.min(self.expires)
        };
        if self.seen_done() {
            wake.min(self.last_heard + SETTLE)
        } else {
            wake
        }
    }

    /// What is due now; a repeat moves the next one away.
    pub(super) fn on_time(&mut self, now: Uptime) -> Due {
        if self.seen_done() && now >= self.last_heard + SETTLE {
            return Due::SeenDone;
        }
        if !self.taken && now >= self.expires {
            return Due::Expired;
        }
        if now < self.next_send {
            return Due::Nothing;
        }
        self.next_send = now + self.pause;
        let most = if self.taken { SILENCE_MOST } else { REPEAT_MOST };
        self.pause = (self.pause * 2).min(most);
        Due::Repeat
    }

    fn seen_done(&self) -> bool {
        self.reported
            .as_ref()
            .is_some_and(|(fence, busy)| !busy && fence.as_ref() == Some(&self.fence))
    }
}
