//! Values over the bus: ask for an offset until there are `total` bytes; what gets lost is asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_bus::envelope::{ContentRequest, ContentResponse, VERSION};
use longshore_bus::{Bus, DeviceId, LinkState, Message, Properties, Topic, codec};
use longshore_plan::spec::ContentDigest;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Value;

/// How long one value may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// The first wait for an answer; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Kubernetes' limit of a ConfigMap or Secret.
const MAX_VALUE: u64 = 1024 * 1024;
/// Answers that wait for the fetch; more are dropped, since it asks again.
const WAITING: usize = 4;

pub(super) struct Fetcher {
    device: DeviceId,
    bus: Arc<dyn Bus>,
    waiting: Mutex<BTreeMap<ContentDigest, mpsc::Sender<ContentResponse>>>,
}

impl Fetcher {
    pub(super) fn new(device: DeviceId, bus: Arc<dyn Bus>) -> Self {
        Self {
            device,
            bus,
            waiting: Mutex::default(),
        }
    }

    pub(super) fn deliver(&self, response: ContentResponse) {
        if let Some(waiting) = self.waiting().get(&response.digest) {
            // Overflow: dropped, the fetch asks again.
            drop(waiting.try_send(response));
        }
    }

    /// The value, or why not.
    pub(super) async fn fetch(&self, digest: &ContentDigest) -> Result<Value, &'static str> {
        if *self.bus.link().borrow() == LinkState::Disconnected {
            return Err("the bus is not connected");
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        self.waiting().insert(digest.clone(), sender);
        let fetched = self.pieces(digest, receiver).await;
        self.waiting().remove(digest);
        fetched
    }

    async fn pieces(
        &self,
        digest: &ContentDigest,
        mut answers: mpsc::Receiver<ContentResponse>,
    ) -> Result<Value, &'static str> {
        let deadline = Instant::now() + DEADLINE;
        let mut value = Vec::new();
        loop {
            let offset = value.len() as u64;
            let response = self.piece(digest, offset, deadline, &mut answers).await?;
            let Some(total) = response.total else {
                return Err("the controller does not have it");
            };
            if total > MAX_VALUE {
                return Err("it is larger than 1 MiB");
            }
            let data = STANDARD
                .decode(&response.data)
                .map_err(|_| "its transport is damaged")?;
            let length = offset + data.len() as u64;
            if data.len() > ContentResponse::CHUNK || length > total || (data.is_empty() && length < total) {
                return Err("its transport is damaged");
            }
            value.extend_from_slice(&data);
            if length == total {
                return Ok(Value(value));
            }
        }
    }

    async fn piece(
        &self,
        digest: &ContentDigest,
        offset: u64,
        deadline: Instant,
        answers: &mut mpsc::Receiver<ContentResponse>,
    ) -> Result<ContentResponse, &'static str> {
        let mut wait = FIRST_WAIT;
        loop {
            self.ask(digest, offset).await;
            let until = deadline.min(Instant::now() + wait);
            // An answer to an earlier question may come late: only the right offset counts.
            while let Ok(Some(answer)) = timeout_at(until, answers.recv()).await {
                if answer.offset == offset {
                    return Ok(answer);
                }
            }
            if Instant::now() >= deadline {
                return Err("the controller did not answer in time");
            }
            wait *= 2;
        }
    }

    async fn ask(&self, digest: &ContentDigest, offset: u64) {
        let request = ContentRequest {
            version: VERSION,
            digest: digest.clone(),
            offset,
        };
        let Ok(payload) = codec::encode(&request) else {
            return;
        };
        let message = Message {
            topic: Topic::ContentRequest(self.device.clone()).to_string(),
            payload,
            properties: Properties {
                message_expiry: Some(DEADLINE),
                ..Properties::default()
            },
        };
        // Not connected, nobody there: asked again after the wait.
        drop(self.bus.publish(message).await);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<ContentDigest, mpsc::Sender<ContentResponse>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
