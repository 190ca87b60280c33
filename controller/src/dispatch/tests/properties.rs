//! Whatever happens, in whatever order: a command has one end, and fences only grow.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Declare(u8),
    Report { anew: bool, busy: bool, took: bool },
    Converge,
    Wait(u64),
    Publish(Result<PublishOutcome, PublishError>),
    Accept,
    Succeed,
    Step,
    Cancel,
    Fail(&'static str),
    Stale { epoch: u64, n: u64 },
    Gone,
    Forget,
    Epoch(u64),
}

fn events() -> impl Strategy<Value = Event> {
    let codes = vec![
        error_code::UNSUPPORTED_FIELD,
        error_code::EXPIRED,
        error_code::STEP_FAILED,
        error_code::PRECONDITION_FAILED,
    ];
    let published = vec![
        Ok(PublishOutcome::Accepted),
        Ok(PublishOutcome::NoMatchingSubscribers),
        Err(PublishError::NotConnected { topic: String::new() }),
        Err(PublishError::NotAuthorised { topic: String::new() }),
    ];
    let numbers = || select(vec![0, 1, 3, EPOCH, EPOCH + 1, u64::MAX - 1, u64::MAX]);
    prop_oneof![
        2 => (0_u8..3).prop_map(Event::Declare),
        4 => any::<(bool, bool, bool)>().prop_map(|(anew, busy, took)| Event::Report { anew, busy, took }),
        1 => Just(Event::Converge),
        4 => (0_u64..100).prop_map(Event::Wait),
        2 => select(published).prop_map(Event::Publish),
        1 => Just(Event::Accept),
        1 => Just(Event::Succeed),
        1 => Just(Event::Step),
        1 => Just(Event::Cancel),
        1 => select(codes).prop_map(Event::Fail),
        1 => (numbers(), numbers()).prop_map(|(epoch, n)| Event::Stale { epoch, n }),
        1 => Just(Event::Gone),
        1 => Just(Event::Forget),
        1 => numbers().prop_map(Event::Epoch),
    ]
}

/// What was seen of every command.
#[derive(Default)]
struct Record {
    sent: Vec<Sent>,
    ends: BTreeMap<CorrelationId, usize>,
}

impl Record {
    fn take(&mut self, outputs: &[Output]) -> Result<(), TestCaseError> {
        for plan in sent(outputs) {
            if let Some(first) = self.sent.iter().find(|s| s.id == plan.id) {
                prop_assert_eq!(&first.message.payload, &plan.message.payload);
                prop_assert!(!self.ends.contains_key(&plan.id), "repeated after its end");
                continue;
            }
            if let Some(last) = self.sent.last() {
                let grows = plan.command.fence.is_after(&last.command.fence);
                let spent = last.command.fence.n == u64::MAX;
                prop_assert!(grows || spent, "{:?} after {:?}", plan.fence(), last.fence());
            }
            self.sent.push(plan);
        }
        for (id, _) in ends(outputs) {
            *self.ends.entry(id).or_default() += 1;
        }
        Ok(())
    }

    fn open(&self) -> usize {
        self.sent
            .iter()
            .filter(|s| !self.ends.contains_key(&s.id))
            .count()
    }
}

fn happen(bench: &mut Bench, record: &mut Record, event: &Event) -> Result<(), TestCaseError> {
    let last = record.sent.last().cloned();
    let id = last.as_ref().map_or(CorrelationId(uuid::Uuid::nil()), |s| s.id);
    let outputs = match event {
        Event::Declare(n) => {
            bench.declare(&format!("hello:{n}"));
            bench.consider()
        }
        Event::Report { anew, busy, took } => {
            if *anew {
                bench.reports_anew();
            }
            bench.busy = *busy;
            if let Some(last) = last.filter(|_| *took) {
                bench.accepted = (
                    digest_hex(&last.command.desired),
                    Some(last.command.fence.clone()),
                );
            }
            bench.consider()
        }
        Event::Converge => {
            bench.converged();
            bench.consider()
        }
        Event::Wait(seconds) => {
            let end = bench.now + s(*seconds);
            bench
                .run_until(end)
                .into_iter()
                .map(|(_, output)| output)
                .collect()
        }
        Event::Publish(result) => bench.publish(id, result),
        Event::Accept => bench.answer(id, Status::Accepted, None),
        Event::Succeed => bench.succeed(id),
        Event::Step => {
            let step = last.and_then(|s| s.steps().first().copied()).unwrap_or(id);
            bench.succeed(step)
        }
        Event::Cancel => bench.answer(id, Status::Cancelled, None),
        Event::Fail(code) => bench.fail(id, code, Value::Null),
        Event::Stale { epoch, n } => {
            let seen = json!({"seen": {"site": "site", "epoch": epoch, "n": n}});
            bench.fail(id, error_code::STALE_FENCE, seen)
        }
        Event::Gone => bench.dispatcher.device_gone(&bench.id, bench.now),
        Event::Forget => bench.dispatcher.forget(&bench.id, bench.now),
        Event::Epoch(epoch) => {
            bench.dispatcher.set_epoch(*epoch, bench.now);
            Vec::new()
        }
    };
    record.take(&outputs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_command_has_one_end_and_fences_only_grow(events in vec(events(), 0..40)) {
        let mut bench = Bench::new();
        let mut record = Record::default();
        for event in &events {
            happen(&mut bench, &mut record, event)?;
            prop_assert!(record.ends.values().all(|n| *n == 1), "{:?}", record.ends);
            prop_assert_eq!(record.open(), bench.dispatcher.in_flight());
            prop_assert!(bench.dispatcher.in_flight() <= 1);
            let in_flight = bench.dispatcher.in_flight() == 1;
            prop_assert_eq!(bench.standing() == Standing::InFlight, in_flight);
            // What is on its way is never forgotten.
            prop_assert!(!in_flight || bench.dispatcher.next_wake().is_some());
        }
        // It says no more and goes: then the last one ends as well.
        happen(&mut bench, &mut record, &Event::Gone)?;
        prop_assert_eq!(record.open(), 0);
    }

    #[test]
    fn what_nobody_takes_ends_within_its_time(events in vec(events(), 0..20)) {
        let mut bench = Bench::new();
        let mut record = Record::default();
        for event in &events {
            happen(&mut bench, &mut record, event)?;
        }
        happen(&mut bench, &mut record, &Event::Gone)?;
        bench.accepted = (String::new(), None);
        bench.busy = false;
        bench.declare("the last one");
        let outputs = bench.consider();
        record.take(&outputs)?;
        prop_assert_eq!(bench.dispatcher.in_flight(), 1);
        happen(&mut bench, &mut record, &Event::Wait(60))?;
        prop_assert_eq!(record.open(), 0);
    }
}
