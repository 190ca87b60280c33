//! The broker's state: synchronous, with the time and every random draw from its own seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Access, BrokerConfig, ClientOptions, Counters, Faults, matches};
use crate::port::{LinkState, Message, PublishError, PublishOutcome, SubscribeError};
use crate::topic::{ROOT, device_filters};

pub(super) struct State {
    config: BrokerConfig,
    random: SmallRng,
    clients: BTreeMap<u64, Client>,
    next_session: u64,
    retained: BTreeMap<String, Held>,
    pending: BinaryHeap<Reverse<Pending>>,
    next_pending: u64,
    pub(super) counters: Counters,
}

struct Client {
    options: ClientOptions,
    link: watch::Sender<LinkState>,
    reach: Reach,
    subscriptions: Vec<(Vec<String>, mpsc::Sender<Message>)>,
}

/// Whether messages reach a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Connected,
    /// The cable is cut and nobody has noticed yet.
    Partitioned {
        noticed_at: Instant,
    },
    /// No session.
    Gone,
}

/// A message that waits in the broker.
struct Held {
    message: Message,
    since: Instant,
}

impl Held {
    /// The message as it leaves the broker at `at`: its time to live less what it waited, as MQTT 5 has it;
    /// `None` when nothing is left.
    fn leaving(&self, at: Instant) -> Option<Message> {
        let mut message = self.message.clone();
        if let Some(expiry) = &mut message.properties.message_expiry {
            *expiry = expiry.checked_sub(at.saturating_duration_since(self.since))?;
            if expiry.is_zero() {
                return None;
            }
        }
        Some(message)
    }
}

/// A delivery under way. Ordered by time, then by when it was queued.
struct Pending {
    due: Instant,
    order: u64,
    session: u64,
    held: Held,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Pending {}
impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl State {
    pub(super) fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            random: SmallRng::seed_from_u64(config.seed),
            clients: BTreeMap::new(),
            next_session: 0,
            retained: BTreeMap::new(),
            pending: BinaryHeap::new(),
            next_pending: 0,
            counters: Counters::default(),
        }
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.config.faults = faults;
    }

    pub(super) fn connect(&mut self, options: ClientOptions) -> (u64, watch::Receiver<LinkState>) {
        self.end_session(&options.client_id, true);
        let (link, receiver) = watch::channel(LinkState::Connected);
        let session = self.next_session;
        self.next_session += 1;
        let client = Client {
            options,
            link,
            reach: Reach::Connected,
            subscriptions: Vec::new(),
        };
        self.clients.insert(session, client);
        (session, receiver)
    }

    /// Forgets a client whose process is gone.
    pub(super) fn drop_client(&mut self, session: u64) {
        if let Some(client) = self.clients.remove(&session)
            && client.reach != Reach::Gone
            && let Some(will) = client.options.will
        {
            self.fan_out(&will, Instant::now());
        }
    }

    pub(super) fn end_session(&mut self, client_id: &str, publish_will: bool) {
        let mut wills = Vec::new();
        for client in self
            .clients
            .values_mut()
            .filter(|c| c.options.client_id == client_id)
        {
            if client.reach != Reach::Gone {
                client.reach = Reach::Gone;
                client.link.send_replace(LinkState::Disconnected);
                wills.extend(client.options.will.clone());
            }
        }
        if publish_will {
            for will in wills {
                self.fan_out(&will, Instant::now());
            }
        }
    }

    pub(super) fn partition(&mut self, client_id: &str, now: Instant) {
        let noticed_at = now + self.config.keep_alive;
        for client in self
            .clients
            .values_mut()
            .filter(|c| c.options.client_id == client_id)
        {
            if client.reach == Reach::Connected {
                client.reach = Reach::Partitioned { noticed_at };
            }
        }
    }

    pub(super) fn heal(&mut self, client_id: &str) {
        // Of several clients of one id the newest has the session.
        let newest = self
            .clients
            .iter_mut()
            .rev()
            .find(|(_, c)| c.options.client_id == client_id);
        if let Some((_, client)) = newest
            && client.reach != Reach::Connected
        {
            client.reach = Reach::Connected;
            client.link.send_replace(LinkState::Connected);
            let now = Instant::now();
            for message in self.retained.values().filter_map(|held| held.leaving(now)) {
                client.offer(&message, &mut self.counters);
            }
        }
    }

    pub(super) fn publish(
        &mut self,
        session: u64,
        message: &Message,
        now: Instant,
    ) -> Result<PublishOutcome, PublishError> {
        let topic = || message.topic.clone();
        let Some(client) = self.clients.get(&session) else {
            return Err(PublishError::NotConnected { topic: topic() });
        };
        if !client.options.access.may_write(&message.topic) {
            return Err(PublishError::NotAuthorised { topic: topic() });
        }
        let (size, limit) = (message.payload.len(), self.config.max_payload);
        if size > limit {
            self.counters.too_large += 1;
            return Err(PublishError::TooLarge {
                topic: topic(),
                size,
                limit,
            });
        }
        match client.reach {
            Reach::Gone => Err(PublishError::NotConnected { topic: topic() }),
            Reach::Partitioned { .. } => {
                self.counters.lost += 1;
                Ok(PublishOutcome::Accepted)
            }
            Reach::Connected => {
                self.counters.published += 1;
                Ok(self.fan_out(message, now))
            }
        }
    }

    pub(super) fn subscribe(
        &mut self,
        session: u64,
        filters: &[&str],
        sender: &mpsc::Sender<Message>,
    ) -> Result<(), SubscribeError> {
        let closed = || SubscribeError::Closed {
            filter: filters.first().copied().unwrap_or_default().to_owned(),
        };
        let client = self.clients.get_mut(&session).ok_or_else(closed)?;
        if let Some(filter) = filters.iter().find(|f| !client.options.access.may_read(f)) {
            return Err(SubscribeError::NotAuthorised {
                filter: (*filter).to_owned(),
            });
        }
        let owned: Vec<String> = filters.iter().map(|f| (*f).to_owned()).collect();
        client.subscriptions.retain(|(_, queue)| !queue.is_closed());
        let now = Instant::now();
        for message in self.retained.values().filter_map(|held| held.leaving(now)) {
            if owned.iter().any(|f| matches(f, &message.topic)) {
                count_delivery(sender.try_send(message).is_ok(), &mut self.counters);
            }
        }
        client.subscriptions.push((owned, sender.clone()));
        Ok(())
    }

    /// Sends one message to everyone subscribed, through the faults.
    fn fan_out(&mut self, message: &Message, now: Instant) -> PublishOutcome {
        if message.properties.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else {
                let held = Held {
                    message: message.clone(),
                    since: now,
                };
                self.retained.insert(message.topic.clone(), held);
            }
        }
        let subscribers: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, c)| c.reach != Reach::Gone && c.wants(&message.topic))
            .map(|(session, _)| *session)
            .collect();
        for session in &subscribers {
            self.send_through_faults(*session, message, now);
        }
        if subscribers.is_empty() {
            PublishOutcome::NoMatchingSubscribers
        } else {
            PublishOutcome::Accepted
        }
    }

    fn send_through_faults(&mut self, session: u64, message: &Message, now: Instant) {
        let Faults {
            lose,
            duplicate,
            delay,
        } = self.config.faults;
        let copies = if self.random.random_bool(lose) {
            self.counters.lost += 1;
            0
        } else if self.random.random_bool(duplicate) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let wait = Duration::from_millis(self.random.random_range(0..=millis));
            if wait.is_zero() {
                self.deliver(session, message);
                continue;
            }
            let order = self.next_pending;
            self.next_pending += 1;
            self.pending.push(Reverse(Pending {
                due: now + wait,
                order,
                session,
                held: Held {
                    message: message.clone(),
                    since: now,
                },
            }));
        }
    }

    fn deliver(&mut self, session: u64, message: &Message) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        if client.reach == Reach::Connected {
            client.offer(message, &mut self.counters);
        } else {
            self.counters.lost += 1;
        }
    }

    /// Delivers what is due by `now` and notices silent partitions; answers when to look again.
    pub(super) fn deliver_due(&mut self, now: Instant) -> Option<Instant> {
        let noticed: Vec<String> = self
            .clients
            .values()
            .filter(|c| matches!(c.reach, Reach::Partitioned { noticed_at } if noticed_at <= now))
            .map(|c| c.options.client_id.clone())
            .collect();
        for client_id in noticed {
            self.end_session(&client_id, true);
        }
        while let Some(Reverse(next)) = self.pending.peek() {
            if next.due > now {
                break;
            }
            let Some(Reverse(pending)) = self.pending.pop() else {
                break;
            };
            match pending.held.leaving(pending.due) {
                None => self.counters.lost += 1,
                Some(message) => self.deliver(pending.session, &message),
            }
        }
        let next_delivery = self.pending.peek().map(|Reverse(p)| p.due);
        let next_notice = self.clients.values().filter_map(|c| match c.reach {
            Reach::Partitioned { noticed_at } => Some(noticed_at),
            Reach::Connected | Reach::Gone => None,
        });
        next_delivery.into_iter().chain(next_notice).min()
    }
}

impl Client {
    fn wants(&self, topic: &str) -> bool {
        self.subscriptions
            .iter()
            .any(|(filters, queue)| !queue.is_closed() && filters.iter().any(|f| matches(f, topic)))
    }

    fn offer(&mut self, message: &Message, counters: &mut Counters) {
        self.subscriptions.retain(|(_, queue)| !queue.is_closed());
        for (filters, queue) in &self.subscriptions {
            if filters.iter().any(|f| matches(f, &message.topic)) {
                count_delivery(queue.try_send(message.clone()).is_ok(), counters);
            }
        }
    }
}

fn count_delivery(delivered: bool, counters: &mut Counters) {
    if delivered {
        counters.delivered += 1;
    } else {
        counters.overflowed += 1;
    }
}

impl Access {
    fn may_write(&self, topic: &str) -> bool {
        match self {
            Self::Controller => true,
            Self::Device(id) => topic.strip_prefix(&format!("{ROOT}/{id}/evt/")).is_some(),
        }
    }

    fn may_read(&self, filter: &str) -> bool {
        match self {
            Self::Controller => true,
            Self::Device(id) => device_filters(id).iter().any(|allowed| allowed == filter),
        }
    }
}
