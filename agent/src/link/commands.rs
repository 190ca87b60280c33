//! Commands: checked, deduplicated, journaled where they change anything, answered.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_bus::envelope::{CommandEnvelope, CorrelationId, action, error_code};
use longshore_bus::{Message, Topic, codec};
use longshore_plan::hash::digest_hex;
use longshore_plan::step::{Fence, PlanCommand, StepOutcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Link, fields};
use crate::answers::{Answer, SUPERSEDED, superseded};
use crate::executor::{chain, stamp, unrecorded_failures};
use crate::ledger::{CommandOutcome, LedgerState, Next, Record};

/// The only plugin there is.
const PLUGIN: &str = "container";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfCommand {
    correlation_id: CorrelationId,
}

/// What a plan's fence says about it.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    Newer,
    /// The very plan that was accepted last, under another id.
    Repeated(Repeated),
    Stale {
        seen: Fence,
    },
    Foreign,
}

/// How it stands with a plan that comes once more.
#[derive(Debug, PartialEq)]
pub(super) enum Repeated {
    /// It is carried out, or will be, under this id.
    Open {
        plan: CorrelationId,
    },
    /// So many asked for it that nobody more is told of its end.
    TooOften {
        plan: CorrelationId,
    },
    Ended(CommandOutcome),
    /// It ended, and nobody knows how.
    Forgotten,
}

impl Link {
    /// Takes one command; whether it was a sign of a live controller.
    pub(super) async fn command(&self, message: Message) -> bool {
        let envelope: CommandEnvelope = match codec::decode(&message.payload) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.drop_unreadable(&message.topic, &error);
                return false;
            }
        };
        let ours = envelope.tenant == self.device.tenant().as_str()
            && envelope.device == self.device.device().as_str();
        // An answer goes nowhere but below our own topics, whatever the request says.
        let response = message.properties.response_topic.as_deref().unwrap_or_default();
        let topic = match response.parse::<Topic>() {
            Ok(Topic::Response(id, _)) if id == self.device && ours => response.to_owned(),
            _ => {
                self.counters.malformed.add();
                tracing::warn!(action = %envelope.action, "a command for another device, or without a response topic of ours, was dropped");
                return false;
            }
        };
        let id = envelope.correlation_id;
        if self.answers.repeat(id, &topic) {
            self.counters.repeats.add();
            return false;
        }
        if let Some(answer) = remembered(&self.ledger.state(), id) {
            self.counters.repeats.add();
            self.answers.send(id, &topic, answer);
            return false;
        }
        // The broker counted down what the message waited there.
        let left = Duration::from_millis(envelope.ttl_ms);
        let left = message
            .properties
            .message_expiry
            .map_or(left, |expiry| left.min(expiry));
        if left.is_zero() {
            let answer = Answer::refused(504, error_code::EXPIRED, "its time to live is over", Value::Null);
            self.answers.send(id, &topic, answer);
            return false;
        }
        match (envelope.plugin.as_str(), envelope.action.as_str()) {
            (PLUGIN, action::PLAN_APPLY) => self.apply_plan(envelope, &topic).await,
            (PLUGIN, action::CANCEL) => {
                let answer = self.cancel(envelope.args);
                self.answers.send(id, &topic, answer);
                false
            }
            (PLUGIN, action::OUTCOME_GET) => {
                let answer = self.outcome(envelope.args);
                self.answers.send(id, &topic, answer);
                false
            }
            (PLUGIN, action::REPORT_GET) => {
                self.reports.ask(Duration::ZERO);
                self.answers.send(id, &topic, Answer::succeeded(json!({})));
                false
            }
            (plugin, action) => {
                let message = format!("this agent knows no action {action:?} of plugin {plugin:?}");
                let answer = Answer::refused(422, error_code::UNSUPPORTED_ACTION, message, Value::Null);
                self.answers.send(id, &topic, answer);
                false
            }
        }
    }

    async fn apply_plan(&self, envelope: CommandEnvelope, topic: &str) -> bool {
        let id = envelope.correlation_id;
        let command = match fields::parse::<PlanCommand>(envelope.args) {
            Ok(command) => command,
            Err(answer) => {
                self.counters.refused_plans.add();
                self.answers.send(id, topic, answer);
                return false;
            }
        };
        if let Err(message) = check(&command, id, envelope.fence.as_ref()) {
            self.counters.refused_plans.add();
            let answer = Answer::refused(422, error_code::MALFORMED, message, Value::Null);
            self.answers.send(id, topic, answer);
            return false;
        }
        let at = stamp(&*self.clock);
        let mut admission = Admission::Newer;
        let mut overtaken = None;
        let recorded = self.ledger.append_if(|state| {
            admission = admit(state, &command);
            let record = match &admission {
                Admission::Newer => {
                    overtaken.clone_from(&state.pending);
                    Record::Accepted {
                        command: Box::new(command.clone()),
                        correlation_id: id,
                        response_topic: topic.to_owned(),
                        at,
                    }
                }
                Admission::Repeated(Repeated::Open { plan }) => Record::AlsoAsked {
                    plan: *plan,
                    correlation_id: id,
                    response_topic: topic.to_owned(),
                },
                Admission::Repeated(_) | Admission::Stale { .. } | Admission::Foreign => return None,
            };
            Some(vec![record])
        });
        let recorded = recorded.await;
        if let Err(error) = recorded {
            self.counters.ledger_errors.add();
            tracing::error!(error = %chain(&error), "a plan was refused because it could not be journaled");
            self.view
                .set_volatile(unrecorded_failures(&command, &std::collections::BTreeMap::new()));
            let message = "the ledger cannot be written, so nothing was done";
            let answer = Answer::refused(500, error_code::LEDGER_UNAVAILABLE, message, Value::Null);
            // Not remembered: the same command may be accepted when it is repeated.
            self.answers.send_once(id, topic, answer);
            return true;
        }
        let answer = match admission {
            Admission::Newer => {
                self.counters.plans.add();
                Answer::accepted()
            }
            Admission::Repeated(repeated) => {
                self.counters.repeats.add();
                match repeated {
                    Repeated::Open { .. } => Answer::accepted(),
                    Repeated::Ended(outcome) => Answer::of_outcome(&outcome, Value::Null),
                    Repeated::Forgotten => unknown(),
                    Repeated::TooOften { plan } => {
                        let message = format!("it was asked for too often; it runs under {plan}");
                        Answer::refused(409, error_code::PRECONDITION_FAILED, message, Value::Null)
                    }
                }
            }
            Admission::Stale { seen } => {
                self.counters.refused_plans.add();
                let message = "a newer plan was accepted";
                Answer::refused(409, error_code::STALE_FENCE, message, json!({ "seen": seen }))
            }
            Admission::Foreign => {
                self.counters.refused_plans.add();
                let message = "this device belongs to another site until it is enrolled again";
                let answer = Answer::refused(409, error_code::FOREIGN_SITE, message, Value::Null);
                self.answers.send(id, topic, answer);
                return false;
            }
        };
        self.answers.send(id, topic, answer);
        if let Some(overtaken) = overtaken {
            let skipped = StepOutcome::Skipped {
                because: SUPERSEDED.to_owned(),
            };
            for step in &overtaken.command.steps {
                if let Ok(step) = step.correlation_id.parse().map(CorrelationId) {
                    self.answers
                        .send(step, &overtaken.response_topic, Answer::of_step(&skipped));
                }
            }
            let ended = Answer::of_outcome(&superseded(at), Value::Null);
            for (id, topic) in overtaken.requesters() {
                self.answers.send(id, topic, ended.clone());
            }
        }
        true
    }

    /// Ends what has not begun, and pulls. A replace that has stopped the old container is not for ending.
    fn cancel(&self, args: Value) -> Answer {
        let target = match fields::parse::<OfCommand>(args) {
            Ok(OfCommand { correlation_id }) => correlation_id,
            Err(answer) => return answer,
        };
        let state = self.ledger.state();
        if state.outcomes.contains_key(&target) {
            return Answer::refused(409, error_code::PRECONDITION_FAILED, "it has ended", Value::Null);
        }
        let Some(open) = open(&state, target) else {
            return unknown();
        };
        self.cancellations.ask(open);
        Answer::succeeded(json!({ "correlationId": target }))
    }

    fn outcome(&self, args: Value) -> Answer {
        let target = match fields::parse::<OfCommand>(args) {
            Ok(OfCommand { correlation_id }) => correlation_id,
            Err(answer) => return answer,
        };
        let state = self.ledger.state();
        if let Some(outcome) = state.outcomes.get(&target) {
            let error = outcome.error.as_ref();
            return Answer::succeeded(json!({
                "correlationId": target,
                "status": outcome.status,
                "code": outcome.code,
                "error": error.map(|(code, message)| json!({ "code": code, "message": message })),
            }));
        }
        if open(&state, target).is_some() {
            let status = longshore_bus::envelope::Status::Accepted;
            return Answer::succeeded(json!({ "correlationId": target, "status": status, "code": 202 }));
        }
        unknown()
    }
}

fn unknown() -> Answer {
    let message = "no such command is remembered";
    Answer::refused(410, error_code::UNKNOWN_COMMAND, message, Value::Null)
}

/// A plan, or a step of one, that has not ended: the id it is carried out under.
fn open(state: &LedgerState, id: CorrelationId) -> Option<CorrelationId> {
    let text = id.to_string();
    state.open().find_map(|plan| {
        let asked = plan.is_asked_by(id).then_some(plan.correlation_id);
        asked.or_else(|| plan.has_step(&text).then_some(id))
    })
}

/// What the ledger can answer to a command that this life of the agent has not seen.
fn remembered(state: &LedgerState, id: CorrelationId) -> Option<Answer> {
    if let Some(outcome) = state.outcomes.get(&id) {
        return Some(Answer::of_outcome(outcome, Value::Null));
    }
    open(state, id).map(|_| Answer::accepted())
}

fn repeated(state: &LedgerState, plan: CorrelationId) -> Repeated {
    match state.open().find(|next| next.correlation_id == plan) {
        Some(next) if next.also.len() < Next::MAX_ALSO => Repeated::Open { plan },
        Some(_) => Repeated::TooOften { plan },
        None => match state.outcomes.get(&plan) {
            Some(outcome) => Repeated::Ended(outcome.clone()),
            None => Repeated::Forgotten,
        },
    }
}

pub(super) fn admit(state: &LedgerState, command: &PlanCommand) -> Admission {
    if state
        .site
        .as_ref()
        .is_some_and(|site| *site != command.fence.site)
    {
        return Admission::Foreign;
    }
    match &state.accepted {
        Some(last) if last.fence == command.fence && last.digest == digest_hex(command) => {
            Admission::Repeated(repeated(state, last.correlation_id))
        }
        Some(last) if !command.fence.is_after(&last.fence) => Admission::Stale {
            seen: last.fence.clone(),
        },
        _ => Admission::Newer,
    }
}

/// What a plan must be beyond its shape, so that every step can be answered and found.
pub(super) fn check(command: &PlanCommand, id: CorrelationId, fence: Option<&Fence>) -> Result<(), String> {
    if fence.is_some_and(|fence| *fence != command.fence) {
        return Err("the envelope's fence is not the plan's".to_owned());
    }
    let mut ids = BTreeSet::from([id.0]);
    for step in &command.steps {
        let Ok(step_id) = step.correlation_id.parse::<uuid::Uuid>() else {
            return Err("a step's correlation id is no UUID".to_owned());
        };
        if step_id.to_string() != step.correlation_id || !ids.insert(step_id) {
            return Err(format!(
                "the correlation id {step_id} is used twice or not in canonical form"
            ));
        }
    }
    let mut workloads = BTreeSet::new();
    for workload in &command.desired.workloads {
        if !workloads.insert(&workload.name) {
            return Err(format!("workload {} is there twice", workload.name));
        }
        let mut containers = BTreeSet::new();
        if let Some(twice) = workload.containers.iter().find(|c| !containers.insert(&c.name)) {
            return Err(format!(
                "container {} of workload {} is there twice",
                twice.name, workload.name
            ));
        }
    }
    match command
        .desired
        .removals
        .iter()
        .find(|r| workloads.contains(&r.workload))
    {
        Some(both) => Err(format!(
            "workload {} is both desired and to be removed",
            both.workload
        )),
        None => Ok(()),
    }
}
