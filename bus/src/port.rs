//! What Longshore needs of a message bus: MQTT 5's publish and subscribe, and nothing an engine could
//! not give. In this release the in-memory bus is the only one that implements it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

/// One message, as bytes: also within one process nothing else crosses the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// MQTT 5 properties.
    pub properties: Properties,
}

/// The MQTT 5 properties we use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// Joins an answer and its request.
    pub correlation_data: Option<Bytes>,
    /// Where the answer is wanted.
    pub response_topic: Option<String>,
    /// After how long the bus may drop it undelivered.
    pub message_expiry: Option<Duration>,
    /// Kept by the broker for later subscribers, until an empty one replaces it.
    pub retain: bool,
    /// User properties, in order.
    pub user: Vec<(String, String)>,
}

/// What is known of a message the bus has taken. Never that anybody acted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// The broker took it.
    Accepted,
    /// The broker took it and nobody is subscribed (MQTT's reason code 0x10): the peer is offline.
    NoMatchingSubscribers,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No session with the broker now; the caller repeats within its own deadline.
    #[error("publish to {topic}: the bus is not connected")]
    NotConnected {
        /// The topic.
        topic: String,
    },
    /// The broker's rules forbid it.
    #[error("publish to {topic}: not authorised")]
    NotAuthorised {
        /// The topic.
        topic: String,
    },
    /// Larger than the bus takes.
    #[error("publish to {topic}: {size} bytes are more than the limit of {limit}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The payload's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Why a subscription was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The broker's rules forbid it.
    #[error("subscribe to {filter}: not authorised")]
    NotAuthorised {
        /// The filter.
        filter: String,
    },
    /// The bus was closed.
    #[error("subscribe to {filter}: the bus is closed")]
    Closed {
        /// The filter.
        filter: String,
    },
}

/// Whether there is a session with the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// There is; subscriptions are in place.
    Connected,
    /// There is none; the client keeps trying.
    Disconnected,
}

/// A client's side of a bus. Cheap to share behind an `Arc`.
///
/// Guarantees: at least once while connected (QoS 1), in any order, clean start: nothing is kept for a
/// client that is away. Subscriptions are renewed by the client after a reconnect.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Hands one message to the broker.
    async fn publish(&self, message: Message) -> Result<PublishOutcome, PublishError>;

    /// Subscribes to MQTT topic filters (`+`, `#`) with one bounded queue for all of them.
    ///
    /// Overflow: the newest message is dropped and counted, as brokers do; senders repeat.
    async fn subscribe(&self, filters: &[&str]) -> Result<Subscription, SubscribeError>;

    /// Follows the session's state.
    fn link(&self) -> watch::Receiver<LinkState>;
}

/// The receiving end of a subscription; dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    receiver: mpsc::Receiver<Message>,
}

impl Subscription {
    /// How many messages wait before new ones are dropped.
    pub const CAPACITY: usize = 1024;

    /// For implementations: the two ends of a subscription.
    pub fn channel() -> (mpsc::Sender<Message>, Self) {
        let (sender, receiver) = mpsc::channel(Self::CAPACITY);
        (sender, Self { receiver })
    }

    /// The next message; `None` once the bus is closed. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }
}
