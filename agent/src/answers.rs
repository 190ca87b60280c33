//! Answers to commands: made, numbered, remembered for repeats, and put into a bounded outbox.
//!
//! Overflow of the outbox: the newest answer is dropped and counted; the requester repeats its command and
//! is answered from memory, or asks for the outcome.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longshore_bus::clock::Clock;
use longshore_bus::envelope::{CorrelationId, ErrorBody, ResponseEnvelope, Status, VERSION, error_code};
use longshore_bus::{DeviceId, Message, Properties, codec};
use longshore_plan::step::StepOutcome;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::ledger::CommandOutcome;

/// How many commands and steps are remembered with their answers.
const REMEMBERED: usize = 1024;
/// How many answers wait for the bus.
pub(crate) const OUTBOX: usize = 1024;
/// Longer words are cut before they are kept.
const MAX_WORDS: usize = 512;

/// Why a step was not tried after a newer plan arrived.
pub(crate) const SUPERSEDED: &str = "a newer plan took over";
/// Why a step was not tried after `cancel`.
pub(crate) const CANCELLED: &str = "it was cancelled";

/// One answer's content; ids and numbers are added when it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) is_final: bool,
    pub(crate) status: Status,
    pub(crate) code: u16,
    pub(crate) result: Option<Value>,
    pub(crate) error: Option<ErrorBody>,
}

impl Answer {
    pub(crate) fn accepted() -> Self {
        Self {
            is_final: false,
            status: Status::Accepted,
            code: 202,
            result: None,
            error: None,
        }
    }

    pub(crate) fn progress(result: Value) -> Self {
        Self {
            is_final: false,
            status: Status::Progress,
            code: 202,
            result: Some(result),
            error: None,
        }
    }

    pub(crate) fn succeeded(result: Value) -> Self {
        Self {
            is_final: true,
            status: Status::Succeeded,
            code: 200,
            result: Some(result),
            error: None,
        }
    }

    pub(crate) fn refused(code: u16, error: &str, message: impl Into<String>, details: Value) -> Self {
        Self {
            is_final: true,
            status: Status::Failed,
            code,
            result: None,
            error: Some(ErrorBody {
                code: error.to_owned(),
                message: message.into(),
                details,
            }),
        }
    }

    /// A step's one answer.
    pub(crate) fn of_step(outcome: &StepOutcome) -> Self {
        let ended = outcome_of_step(outcome, 0);
        let details = match outcome {
            StepOutcome::Failed { reason, .. } => json!({ "reason": reason.as_str() }),
            StepOutcome::Done { .. }
            | StepOutcome::PreconditionFailed { .. }
            | StepOutcome::Skipped { .. } => Value::Null,
        };
        Self {
            result: Some(json!({ "outcome": outcome })),
            ..Self::of_outcome(&ended, details)
        }
    }

    /// What is left of an answer when only its outcome is remembered.
    pub(crate) fn of_outcome(outcome: &CommandOutcome, details: Value) -> Self {
        Self {
            is_final: true,
            status: outcome.status,
            code: outcome.code,
            result: None,
            error: outcome.error.clone().map(|(code, message)| ErrorBody {
                code,
                message,
                details,
            }),
        }
    }
}

/// How a step's command ended.
pub(crate) fn outcome_of_step(outcome: &StepOutcome, at: u64) -> CommandOutcome {
    let (status, code, error) = match outcome {
        StepOutcome::Done { .. } => (Status::Succeeded, 200, None),
        StepOutcome::PreconditionFailed { found } => (
            Status::Failed,
            409,
            Some((error_code::PRECONDITION_FAILED, found)),
        ),
        StepOutcome::Failed { message, .. } => {
            (Status::Failed, 500, Some((error_code::STEP_FAILED, message)))
        }
        StepOutcome::Skipped { because } => {
            let code = match because.as_str() {
                SUPERSEDED => error_code::SUPERSEDED,
                CANCELLED => error_code::CANCELLED,
                _ => error_code::STEP_FAILED,
            };
            (Status::Cancelled, 410, Some((code, because)))
        }
    };
    CommandOutcome {
        status,
        code,
        error: error.map(|(code, words)| (code.to_owned(), short(words))),
        at,
    }
}

/// How a plan ended that a newer one overtook.
pub(crate) fn superseded(at: u64) -> CommandOutcome {
    withdrawn(error_code::SUPERSEDED, SUPERSEDED, at)
}

/// How a plan ended that somebody cancelled.
pub(crate) fn cancelled(at: u64) -> CommandOutcome {
    withdrawn(error_code::CANCELLED, CANCELLED, at)
}

fn withdrawn(code: &str, words: &str, at: u64) -> CommandOutcome {
    CommandOutcome {
        status: Status::Cancelled,
        code: 410,
        error: Some((code.to_owned(), words.to_owned())),
        at,
    }
}

/// `words`, cut where they are too long to keep.
pub(crate) fn short(words: &str) -> String {
    cut(words, MAX_WORDS)
}

/// At most `longest` bytes of `words`, up to a character's edge.
pub(crate) fn cut(words: &str, longest: usize) -> String {
    words[..words.floor_char_boundary(longest)].to_owned()
}

/// The agent's memory of what it answered.
pub(crate) struct Answers {
    device: DeviceId,
    clock: Arc<dyn Clock>,
    outbox: mpsc::Sender<Message>,
    counters: Arc<Counters>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    by_id: BTreeMap<CorrelationId, Remembered>,
    order: VecDeque<CorrelationId>,
}

#[derive(Debug)]
struct Remembered {
    topic: String,
    sent: u32,
    answers: Vec<ResponseEnvelope>,
}

impl Answers {
    /// The other end is what a task of the link publishes.
    pub(crate) fn new(
        device: DeviceId,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let answers = Self {
            device,
            clock,
            outbox,
            counters,
            memory: Mutex::default(),
        };
        (answers, messages)
    }

    /// Sends one answer and remembers it for repeats.
    pub(crate) fn send(&self, id: CorrelationId, topic: &str, answer: Answer) {
        let Answer {
            is_final,
            status,
            code,
            result,
            error,
        } = answer;
        let now = self.clock.now_rfc3339();
        let envelope = {
            let mut memory = self.memory();
            let remembered = memory.entry(id, topic);
            let envelope = ResponseEnvelope {
                version: VERSION,
                correlation_id: id,
                device: self.device.clone(),
                seq: remembered.sent,
                is_final,
                status,
                code,
                result,
                error,
                started_at: None,
                finished_at: is_final.then_some(now),
            };
            remembered.sent += 1;
            // Of progress only the newest is worth repeating.
            remembered.answers.retain(|a| a.status != Status::Progress);
            remembered.answers.push(envelope.clone());
            envelope
        };
        self.post(topic, &envelope);
    }

    /// Sends a last answer, unless one was sent already: a step may end before its end can be recorded.
    pub(crate) fn end(&self, id: CorrelationId, topic: &str, answer: Answer) {
        let ended = |remembered: &Remembered| remembered.answers.iter().any(|a| a.is_final);
        let already = self.memory().by_id.get(&id).is_some_and(ended);
        if !already {
            self.send(id, topic, answer);
        }
    }

    /// Sends one answer and forgets it: the same command may be answered otherwise when it is repeated.
    pub(crate) fn send_once(&self, id: CorrelationId, topic: &str, answer: Answer) {
        self.send(id, topic, answer);
        self.memory().forget(id);
    }

    /// Sends everything answered to `id` once more; `false` when nothing is remembered.
    pub(crate) fn repeat(&self, id: CorrelationId, topic: &str) -> bool {
        let answers = match self.memory().by_id.get_mut(&id) {
            Some(remembered) => {
                topic.clone_into(&mut remembered.topic);
                remembered.answers.clone()
            }
            None => return false,
        };
        for envelope in &answers {
            self.post(topic, envelope);
        }
        true
    }

    fn post(&self, topic: &str, envelope: &ResponseEnvelope) {
        let Ok(payload) = codec::encode(envelope) else {
            self.counters.too_large.add();
            return;
        };
        let message = Message {
            topic: topic.to_owned(),
            payload,
            properties: Properties {
                correlation_data: Some(Bytes::copy_from_slice(envelope.correlation_id.0.as_bytes())),
                ..Properties::default()
            },
        };
        if self.outbox.try_send(message).is_err() {
            self.counters.answers_dropped.add();
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&mut self, id: CorrelationId) {
        self.by_id.remove(&id);
        self.order.retain(|remembered| *remembered != id);
    }

    fn entry(&mut self, id: CorrelationId, topic: &str) -> &mut Remembered {
        if !self.by_id.contains_key(&id) {
            self.order.push_back(id);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_id.remove(&oldest);
            }
        }
        self.by_id.entry(id).or_insert_with(|| Remembered {
            topic: topic.to_owned(),
            sent: 0,
            answers: Vec::new(),
        })
    }
}
