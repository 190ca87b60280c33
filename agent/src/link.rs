//! The bus session: birth, commands, content, and whether a live controller is in charge.
//!
//! Owns the device's one subscription and the outbox of answers. What cannot be read is counted, logged
//! without its body, and dropped. Every command that can be answered is.

mod commands;
mod fields;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::envelope::{Birth, ContentResponse, ControllerSign, Gone, VERSION, action};
use longshore_bus::{Bus, DeviceId, LinkState, Message, Properties, Subscription, Topic, codec};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answers::Answers;
use crate::content::Content;
use crate::counters::Counters;
use crate::executor::Cancellations;
use crate::ledger::Ledger;
use crate::observer::View;
use crate::reporter::ReportRequests;

/// What this agent can do beyond the base of its protocol version.
const FEATURES: [&str; 1] = ["content"];
/// A roll call is answered after a random part of this, so that a fleet does not answer at once.
const ROLL_CALL_JITTER_MILLIS: u64 = 2_000;

/// The link's parts.
pub(crate) struct Link {
    pub(crate) device: DeviceId,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) view: Arc<View>,
    pub(crate) content: Arc<Content>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) cancellations: Arc<Cancellations>,
    pub(crate) reports: ReportRequests,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdSource,
    pub(crate) counters: Arc<Counters>,
    pub(crate) version: String,
    /// The session the bus client's will names, where its owner chose one.
    pub(crate) fixed_session: Option<Uuid>,
    /// The session now; `None` while there is none.
    pub(crate) session: watch::Sender<Option<Uuid>>,
    pub(crate) supervised: watch::Sender<bool>,
}

impl Link {
    /// Serves the session until `stop`.
    pub(crate) async fn run(self, mut subscription: Subscription, stop: CancellationToken) {
        let mut link = self.bus.link();
        // A controller that is there shows within the period: until then nobody is missed.
        let mut last_sign = Instant::now();
        loop {
            let connected = *link.borrow_and_update() == LinkState::Connected;
            if connected && self.session.borrow().is_none() {
                self.begin_session().await;
            } else if !connected {
                self.session.send_if_modified(|session| session.take().is_some());
            }
            let lapse = last_sign + ControllerSign::UNSUPERVISED_AFTER;
            let supervised = connected && Instant::now() < lapse;
            self.supervised.send_if_modified(|now| {
                let changed = *now != supervised;
                *now = supervised;
                changed
            });
            // Cancel-safe: a received message is handled before the next wait; the rest are wake-ups.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = link.changed() => if changed.is_err() { break },
                message = subscription.recv() => {
                    let Some(message) = message else {
                        tracing::warn!("the bus closed the subscription");
                        break;
                    };
                    if self.handle(message).await {
                        last_sign = Instant::now();
                    }
                }
                () = tokio::time::sleep_until(lapse), if supervised => {}
            }
        }
        self.end_session().await;
        if !stop.is_cancelled() {
            // Without a bus the device goes on alone.
            self.session.send_replace(None);
            self.supervised.send_replace(false);
            stop.cancelled().await;
        }
    }

    async fn begin_session(&self) {
        let session = self.fixed_session.unwrap_or_else(|| self.ids.uuid());
        let birth = Birth {
            version: VERSION,
            session,
            protocol: (VERSION, VERSION),
            agent_version: self.version.clone(),
            actions: [
                action::PLAN_APPLY,
                action::CANCEL,
                action::OUTCOME_GET,
                action::REPORT_GET,
            ]
            .map(str::to_owned)
            .to_vec(),
            features: FEATURES.map(str::to_owned).to_vec(),
            fence: self.ledger.state().accepted.as_ref().map(|a| a.fence.clone()),
            clock: self.clock.now_rfc3339(),
        };
        let retained = Properties {
            retain: true,
            ..Properties::default()
        };
        if publish(&*self.bus, &Topic::Birth(self.device.clone()), &birth, retained).await {
            tracing::info!(%session, "connected to the bus");
            self.session.send_replace(Some(session));
        }
    }

    /// Says goodbye: an orderly end sends no will.
    async fn end_session(&self) {
        let Some(session) = self.session.send_replace(None) else {
            return;
        };
        let gone = Gone {
            version: VERSION,
            session,
        };
        publish(
            &*self.bus,
            &Topic::Gone(self.device.clone()),
            &gone,
            Properties::default(),
        )
        .await;
    }

    /// Takes one message; whether it was a sign of a live controller.
    async fn handle(&self, message: Message) -> bool {
        let topic: Topic = match message.topic.parse() {
            Ok(topic) => topic,
            Err(error) => {
                self.drop_malformed(&error);
                return false;
            }
        };
        match topic {
            Topic::Request(id) if id == self.device => self.command(message).await,
            Topic::ContentResponse(id) if id == self.device => {
                match codec::decode::<ContentResponse>(&message.payload) {
                    Ok(response) => self.content.deliver(response),
                    Err(error) => self.drop_unreadable(&topic_name(&message), &error),
                }
                false
            }
            Topic::Controller => match codec::decode::<ControllerSign>(&message.payload) {
                Ok(sign) => self.is_our_leader(&sign),
                Err(error) => {
                    self.drop_unreadable(&topic_name(&message), &error);
                    false
                }
            },
            Topic::RollCall => {
                let delay = Duration::from_millis(self.ids.below(ROLL_CALL_JITTER_MILLIS));
                self.reports.ask(delay);
                false
            }
            Topic::Request(_)
            | Topic::ContentResponse(_)
            | Topic::Response(..)
            | Topic::Report(_)
            | Topic::Birth(_)
            | Topic::Gone(_)
            | Topic::Alive(_)
            | Topic::ContentRequest(_) => {
                self.counters.malformed.add();
                false
            }
        }
    }

    /// Another site's controller, or one that was overtaken, is nobody's supervisor.
    fn is_our_leader(&self, sign: &ControllerSign) -> bool {
        let state = self.ledger.state();
        state.site.as_ref().is_none_or(|site| *site == sign.site)
            && state
                .accepted
                .as_ref()
                .is_none_or(|a| sign.epoch >= a.fence.epoch)
    }

    fn drop_unreadable(&self, topic: &str, error: &codec::DecodeError) {
        match error {
            codec::DecodeError::TooLarge { .. } => self.counters.too_large.add(),
            codec::DecodeError::Malformed { .. } | codec::DecodeError::UnsupportedVersion { .. } => {
                self.counters.malformed.add();
            }
        }
        tracing::warn!(%topic, %error, "a message was dropped");
    }

    fn drop_malformed(&self, error: &dyn std::error::Error) {
        self.counters.malformed.add();
        tracing::warn!(%error, "a message was dropped");
    }
}

fn topic_name(message: &Message) -> String {
    message.topic.clone()
}

/// Publishes one envelope; whether the bus took it. Whoever needs it asks again.
pub(crate) async fn publish(
    bus: &dyn Bus,
    topic: &Topic,
    envelope: &impl Serialize,
    properties: Properties,
) -> bool {
    let topic = topic.to_string();
    let payload = match codec::encode(envelope) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::error!(%topic, %error, "a message could not be made");
            return false;
        }
    };
    let message = Message {
        topic,
        payload,
        properties,
    };
    match bus.publish(message).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "a message was not taken");
            false
        }
    }
}

/// Publishes the answers until `stop`, and what is left of them then. One that the bus does not take is
/// dropped: its requester asks again.
pub(crate) async fn post(
    bus: Arc<dyn Bus>,
    mut outbox: mpsc::Receiver<Message>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    loop {
        // Cancel-safe: a received message is published before the next wait.
        let message = tokio::select! {
            biased;
            message = outbox.recv() => message,
            () = stop.cancelled() => None,
        };
        let Some(message) = message else { return };
        if let Err(error) = bus.publish(message).await {
            counters.answers_dropped.add();
            tracing::debug!(%error, "an answer was dropped");
        }
    }
}
