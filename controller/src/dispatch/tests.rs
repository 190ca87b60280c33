//! One plan in flight a device: sent, repeated, followed, superseded, ended.

use std::time::SystemTime;

use longshore_bus::clock::Clock;
use longshore_bus::codec;
use longshore_bus::envelope::{CommandEnvelope, ResponseEnvelope, Status, VERSION, error_code};
use longshore_plan::hash::digest_hex;
use longshore_plan::step::PlanCommand;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{running, set, workload};

mod backoff;
mod ends;
mod fences;
mod properties;
mod repeats;

const EPOCH: u64 = 1000;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
    }
}

fn s(seconds: u64) -> Uptime {
    Uptime::from_secs(seconds)
}

fn device(name: &str) -> DeviceId {
    format!("default.{name}").parse().unwrap()
}

/// A plan as it was sent.
#[derive(Debug, Clone)]
struct Sent {
    id: CorrelationId,
    message: Message,
    command: PlanCommand,
}

impl Sent {
    fn fence(&self) -> (u64, u64) {
        (self.command.fence.epoch, self.command.fence.n)
    }

    fn steps(&self) -> Vec<CorrelationId> {
        let ids = self
            .command
            .steps
            .iter()
            .map(|s| s.correlation_id.parse().unwrap());
        ids.map(CorrelationId).collect()
    }
}

/// A dispatcher, one device's desired and reported state, and a clock.
struct Bench {
    dispatcher: Dispatcher,
    id: DeviceId,
    desired: Arc<DesiredSet>,
    plan: Plan,
    basis: String,
    accepted: (String, Option<Fence>),
    busy: bool,
    now: Uptime,
}

impl Bench {
    /// A device that has nothing and should run `hello:1`.
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(FixedClock);
        let sender = Sender {
            site: "site".into(),
            requester: "controller".parse().unwrap(),
            ids: IdSource::from_seed(clock, 7),
        };
        let mut bench = Self {
            dispatcher: Dispatcher::new(sender, EPOCH),
            id: device("dev1"),
            desired: Arc::default(),
            plan: Plan::default(),
            basis: "report 1".into(),
            accepted: (String::new(), None),
            busy: false,
            now: Uptime::ZERO,
        };
        bench.declare("hello:1");
        bench
    }

    /// The declaration is another one.
    fn declare(&mut self, image: &str) {
        let desired = set(&[workload("hello", &[("web", image)])]);
        self.plan = longshore_plan::plan(&desired, &running(&[]));
        self.desired = Arc::new(desired);
    }

    /// The device reports something else than before.
    fn reports_anew(&mut self) {
        self.basis.push('+');
    }

    /// The device reports that it has what it should have.
    fn converged(&mut self) {
        self.reports_anew();
        self.plan = Plan::default();
        self.accepted.0 = digest_hex(self.desired.as_ref());
    }

    fn consider(&mut self) -> Vec<Output> {
        let wanted = Wanted {
            desired: &self.desired,
            digest: &digest_hex(self.desired.as_ref()),
            plan: &self.plan,
            basis: &self.basis,
            accepted_digest: &self.accepted.0,
            accepted_fence: self.accepted.1.as_ref(),
            busy: self.busy,
        };
        self.dispatcher
            .consider(&self.id, &wanted, "2027-01-15T08:00:00Z", self.now)
    }

    /// What is sent when it is looked at.
    fn sends(&mut self) -> Option<Sent> {
        let outputs = self.consider();
        sent(&outputs).pop()
    }

    fn tick(&mut self, now: Uptime) -> Vec<Output> {
        self.now = now;
        self.dispatcher.tick(now)
    }

    fn publish(&mut self, of: CorrelationId, result: &Result<PublishOutcome, PublishError>) -> Vec<Output> {
        self.dispatcher.published(&self.id, of, result, self.now)
    }

    fn answer(&mut self, of: CorrelationId, status: Status, error: Option<ErrorBody>) -> Vec<Output> {
        let is_final = !matches!(status, Status::Accepted | Status::Progress);
        let response = ResponseEnvelope {
            version: VERSION,
            correlation_id: of,
            device: self.id.clone(),
            seq: 0,
            is_final,
            status,
            code: 200,
            result: None,
            error,
            started_at: None,
            finished_at: None,
        };
        self.dispatcher.on_response(&self.id, &response, self.now)
    }

    fn succeed(&mut self, of: CorrelationId) -> Vec<Output> {
        self.answer(of, Status::Succeeded, None)
    }

    fn fail(&mut self, of: CorrelationId, code: &str, details: Value) -> Vec<Output> {
        let error = ErrorBody {
            code: code.into(),
            message: "words".into(),
            details,
        };
        self.answer(of, Status::Failed, Some(error))
    }

    fn standing(&self) -> Standing {
        self.dispatcher.standing(&self.id)
    }

    /// Lets time pass from wake to wake until `end`; returns what came out and when.
    fn run_until(&mut self, end: Uptime) -> Vec<(Uptime, Output)> {
        let mut all = Vec::new();
        while let Some(at) = self.dispatcher.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            all.extend(self.tick(now).into_iter().map(|output| (now, output)));
            let next = self.dispatcher.next_wake();
            assert!(next.is_none_or(|next| next > now), "time stands still at {now:?}");
        }
        self.now = end;
        all
    }
}

fn sent(outputs: &[Output]) -> Vec<Sent> {
    let plans = outputs.iter().filter_map(|output| match output {
        Output::Send(_, id, message) => {
            let envelope: CommandEnvelope = codec::decode(&message.payload).unwrap();
            assert_eq!(envelope.correlation_id, *id);
            Some(Sent {
                id: *id,
                message: message.clone(),
                command: serde_json::from_value(envelope.args).unwrap(),
            })
        }
        _ => None,
    });
    plans.collect()
}

fn ends(outputs: &[Output]) -> Vec<(CorrelationId, End)> {
    let ends = outputs.iter().filter_map(|output| match output {
        Output::Ended(_, id, end) => Some((*id, end.clone())),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_plan_is_the_whole_desired_set_with_numbered_steps_under_a_fence() {
    let mut bench = Bench::new();
    let outputs = bench.consider();
    assert_eq!(outputs.len(), 1);
    let plan = sent(&outputs).remove(0);
    assert_eq!(plan.command.desired, *bench.desired);
    let steps: Vec<_> = plan.command.steps.iter().map(|s| s.step.clone()).collect();
    assert_eq!(steps, bench.plan.steps);
    assert_eq!(plan.command.fence.site, "site");
    assert_eq!(plan.fence(), (EPOCH, 1));
    let mut ids = plan.steps();
    ids.push(plan.id);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), steps.len() + 1, "every step has an id of its own");

    let envelope: CommandEnvelope = codec::decode(&plan.message.payload).unwrap();
    assert_eq!(
        (envelope.tenant.as_str(), envelope.device.as_str()),
        ("default", "dev1")
    );
    assert_eq!(
        (envelope.plugin.as_str(), envelope.action.as_str()),
        ("container", "plan.apply")
    );
    assert_eq!(envelope.fence, Some(plan.command.fence));
    assert_eq!(envelope.ttl_ms, 60_000);
    let properties = &plan.message.properties;
    assert_eq!(
        plan.message.topic,
        "longshore/v1/default.dev1/cmd/plugin/container/request"
    );
    assert_eq!(
        properties.response_topic.as_deref(),
        Some("longshore/v1/default.dev1/evt/plugin/container/response/controller")
    );
    assert_eq!(
        properties.correlation_data.as_deref(),
        Some(plan.id.0.as_bytes().as_slice())
    );
    assert_eq!(properties.message_expiry, Some(s(60)));
    assert!(!properties.retain);
}

#[test]
fn a_device_that_has_what_it_should_have_is_left_in_peace() {
    let mut bench = Bench::new();
    bench.converged();
    assert_eq!(bench.consider(), []);
    assert_eq!(bench.standing(), Standing::Idle);
    assert_eq!(bench.dispatcher.next_wake(), None);
    assert_eq!(bench.dispatcher.in_flight(), 0);
}

#[test]
fn a_device_that_has_it_and_does_not_know_that_it_should_is_told() {
    let mut bench = Bench::new();
    bench.converged();
    bench.accepted.0 = "another".into();
    let plan = bench.sends().unwrap();
    assert!(plan.command.steps.is_empty());
}

#[test]
fn a_device_that_is_just_doing_it_is_not_told_again() {
    // After a restart of ours, or while it heals itself.
    let mut bench = Bench::new();
    bench.busy = true;
    bench.accepted.0 = digest_hex(bench.desired.as_ref());
    assert_eq!(bench.consider(), []);
    bench.busy = false;
    assert!(bench.sends().is_some(), "it is done, and not there");
    // Busy with something else: that is superseded.
    let mut bench = Bench::new();
    bench.busy = true;
    bench.accepted.0 = "another".into();
    assert!(bench.sends().is_some());
}

#[test]
fn looking_again_while_it_is_on_its_way_sends_nothing() {
    let mut bench = Bench::new();
    assert!(bench.sends().is_some());
    assert_eq!(bench.standing(), Standing::InFlight);
    bench.reports_anew();
    assert_eq!(bench.consider(), []);
    assert_eq!(bench.dispatcher.in_flight(), 1);
}

#[test]
fn another_declaration_supersedes_at_once() {
    let mut bench = Bench::new();
    let first = bench.sends().unwrap();
    bench.declare("hello:2");
    let outputs = bench.consider();
    assert_eq!(ends(&outputs), [(first.id, End::Superseded)]);
    let second = sent(&outputs).remove(0);
    assert_eq!(second.fence(), (EPOCH, 2));
    assert_ne!(second.id, first.id);
    assert_eq!(second.command.desired, *bench.desired);
    // What still comes to the first one is nobody's business.
    assert_eq!(bench.succeed(first.id), []);
    assert_eq!(
        bench.publish(first.id, &Ok(PublishOutcome::NoMatchingSubscribers)),
        []
    );
    assert_eq!(bench.dispatcher.in_flight(), 1);
    // And so does one that became needless.
    bench.declare("hello:3");
    bench.converged();
    assert_eq!(ends(&bench.consider()), [(second.id, End::Superseded)]);
    assert_eq!(bench.dispatcher.in_flight(), 0);
}

#[test]
fn devices_have_nothing_to_do_with_each_other() {
    let mut bench = Bench::new();
    let first = bench.sends().unwrap();
    bench.id = device("dev2");
    let second = bench.sends().unwrap();
    assert_eq!((first.fence(), second.fence()), ((EPOCH, 1), (EPOCH, 1)));
    assert_eq!(bench.succeed(first.id), [], "of another device");
    assert_eq!(bench.dispatcher.in_flight(), 2);
    bench.dispatcher.device_gone(&device("dev1"), bench.now);
    assert_eq!(bench.dispatcher.in_flight(), 1);
    assert_eq!(bench.standing(), Standing::InFlight);
}
