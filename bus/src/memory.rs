//! A broker in memory that carries bytes and can lose, repeat, reorder, delay and partition by seed.
//!
//! It owes its clients what MQTT 5 with QoS 1 and clean start owes them, and no more: nothing is kept for
//! a client that is away, a full queue drops the newest message, a lost link is noticed only after the
//! keep-alive. Without faults a message is delivered before `publish` returns.
//!
//! Owned task: the courier, which delivers delayed messages and ends with the last handle of the broker.

mod filter;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use self::filter::matches;
use self::state::State;
use crate::port::{Bus, LinkState, Message, PublishError, PublishOutcome, SubscribeError, Subscription};
use crate::topic::DeviceId;

/// What may go wrong with each delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faults {
    /// The chance that a message never arrives, 0–1.
    pub lose: f64,
    /// The chance that it arrives twice, 0–1.
    pub duplicate: f64,
    /// The longest delay; each delivery draws one of its own, which also reorders.
    pub delay: Duration,
}

impl Faults {
    /// A bus without faults.
    pub const NONE: Self = Self {
        lose: 0.0,
        duplicate: 0.0,
        delay: Duration::ZERO,
    };
}

/// How the broker is made.
#[derive(Debug, Clone, Copy)]
pub struct BrokerConfig {
    /// Decides every fault; the same seed and the same messages give the same faults.
    pub seed: u64,
    /// The faults to begin with.
    pub faults: Faults,
    /// The largest payload in bytes.
    pub max_payload: usize,
    /// After how long a silent partition is noticed on both sides.
    pub keep_alive: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            faults: Faults::NONE,
            max_payload: crate::envelope::MAX_ENVELOPE,
            keep_alive: Duration::from_secs(20),
        }
    }
}

/// What a client may read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everything: a controller.
    Controller,
    /// A device's three lines: write its `evt/#`, read its `cmd/#` and `all/#`.
    Device(DeviceId),
}

/// Who connects.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The MQTT client id. A second client of the same id takes the first one's place.
    pub client_id: String,
    /// Published when the session ends without [`MemoryBroker::disconnect`]'s grace.
    pub will: Option<Message>,
    /// What it may do.
    pub access: Access,
}

/// What the broker counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken from publishers.
    pub published: u64,
    /// Deliveries into a subscriber's queue.
    pub delivered: u64,
    /// Deliveries lost by [`Faults::lose`] or a partition.
    pub lost: u64,
    /// Deliveries dropped because the subscriber's queue was full.
    pub overflowed: u64,
    /// Publishes refused for their size.
    pub too_large: u64,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the courier when an earlier delivery than the one it waits for was queued.
    queued: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left a whole state: every change is a few assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The broker. Clones share it.
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

impl MemoryBroker {
    /// Starts a broker. Must be called within a tokio runtime, whose clock it follows.
    pub fn new(config: BrokerConfig) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(config)),
            queued: Notify::new(),
        });
        tokio::spawn(courier(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Connects a client. A client of the same id loses its session, and its will is published.
    pub fn connect(&self, options: ClientOptions) -> Arc<MemoryBus> {
        let (session, link) = self.shared.lock().connect(options);
        self.shared.queued.notify_one();
        Arc::new(MemoryBus {
            shared: Arc::clone(&self.shared),
            session,
            link,
        })
    }

    /// Replaces the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().set_faults(faults);
    }

    /// Cuts a client's cable silently: everything to and from it is lost; after the keep-alive both sides
    /// notice and its will is published.
    pub fn partition(&self, client_id: &str) {
        self.shared.lock().partition(client_id, Instant::now());
        self.shared.queued.notify_one();
    }

    /// Ends a client's session at once, as a closed socket does; its will is published.
    pub fn cut(&self, client_id: &str) {
        self.shared.lock().end_session(client_id, true);
        self.shared.queued.notify_one();
    }

    /// Mends a client's link: its session begins anew and its subscriptions are in place.
    pub fn heal(&self, client_id: &str) {
        self.shared.lock().heal(client_id);
        self.shared.queued.notify_one();
    }

    /// Ends a client's session without its will, as MQTT's DISCONNECT does.
    pub fn disconnect(&self, client_id: &str) {
        self.shared.lock().end_session(client_id, false);
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.shared.lock().counters
    }
}

/// One client's connection to a [`MemoryBroker`].
pub struct MemoryBus {
    shared: Arc<Shared>,
    session: u64,
    link: watch::Receiver<LinkState>,
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, message: Message) -> Result<PublishOutcome, PublishError> {
        let outcome = self.shared.lock().publish(self.session, &message, Instant::now());
        self.shared.queued.notify_one();
        // The network is a place where others get their turn, also without any delay.
        tokio::task::yield_now().await;
        outcome
    }

    async fn subscribe(&self, filters: &[&str]) -> Result<Subscription, SubscribeError> {
        let (sender, subscription) = Subscription::channel();
        self.shared.lock().subscribe(self.session, filters, &sender)?;
        Ok(subscription)
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }
}

impl Drop for MemoryBus {
    /// A process that ends takes its session along; its will is published.
    fn drop(&mut self) {
        self.shared.lock().drop_client(self.session);
        self.shared.queued.notify_one();
    }
}

/// Delivers what is due and waits for what is next. Ends when the broker and all clients are gone.
async fn courier(shared: Weak<Shared>) {
    /// With nothing to deliver the courier looks this often whether the last handle is gone; until then
    /// it keeps the broker alive.
    const LINGER: Duration = Duration::from_mins(1);
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let next = strong.lock().deliver_due(Instant::now());
        let wake_at = next.unwrap_or_else(|| Instant::now() + LINGER);
        // Cancel-safe: both arms only wake; what is due is read from the state.
        tokio::select! {
            biased;
            () = strong.queued.notified() => {}
            () = tokio::time::sleep_until(wake_at) => {}
        }
    }
}
