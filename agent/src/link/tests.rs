use longshore_bus::envelope::{CorrelationId, error_code};
use longshore_plan::desired::{Removal, RemovalReason};
use longshore_plan::step::{Action, Fence, NumberedStep, PlanCommand, Precondition, Reason, Step};
use serde_json::{Value, json};
use uuid::Uuid;

use super::commands::{Admission, Repeated, admit, check};
use super::fields;
use crate::answers;
use crate::fixtures::{container, hello, label, workload};
use crate::ledger::{LedgerState, Next, Record};

fn id(n: u128) -> CorrelationId {
    CorrelationId(Uuid::from_u128(n))
}

fn fence(site: &str, epoch: u64, n: u64) -> Fence {
    Fence {
        site: site.to_owned(),
        epoch,
        n,
    }
}

fn step(id: &str) -> NumberedStep {
    NumberedStep {
        correlation_id: id.to_owned(),
        step: Step {
            workload: label("hello"),
            action: Action::CreateContainer {
                container: label("web"),
            },
            precondition: Precondition::Absent,
            reason: Reason::Declared,
        },
    }
}

fn plan(image: &str, fence: Fence) -> PlanCommand {
    PlanCommand {
        desired: hello(image),
        steps: vec![step(&id(100).to_string())],
        fence,
    }
}

fn accept(state: &mut LedgerState, n: u128, command: PlanCommand) {
    state.apply(Record::Accepted {
        command: Box::new(command),
        correlation_id: id(n),
        response_topic: String::new(),
        at: 0,
    });
}

#[test]
fn a_fence_admits_what_is_newer_and_the_very_plan_that_was_accepted() {
    let mut state = LedgerState::default();
    let first = plan("hello:1", fence("a", 5, 5));
    assert_eq!(admit(&state, &first), Admission::Newer);
    accept(&mut state, 1, first.clone());
    let stale = || Admission::Stale {
        seen: fence("a", 5, 5),
    };
    let again = || Admission::Repeated(Repeated::Open { plan: id(1) });
    for (command, expected) in [
        (first.clone(), again()),
        // The same fence with another content, and another content under an older one.
        (plan("hello:2", fence("a", 5, 5)), stale()),
        (plan("hello:1", fence("a", 5, 4)), stale()),
        (plan("hello:1", fence("a", 4, 9)), stale()),
        (plan("hello:1", fence("a", 5, 6)), Admission::Newer),
        (plan("hello:1", fence("a", 6, 1)), Admission::Newer),
        (plan("hello:1", fence("b", 9, 9)), Admission::Foreign),
    ] {
        assert_eq!(admit(&state, &command), expected, "{:?}", command.fence);
    }
}

#[test]
fn a_plan_that_comes_again_is_told_how_it_stands() {
    let mut state = LedgerState::default();
    let command = plan("hello:1", fence("a", 1, 1));
    accept(&mut state, 1, command.clone());
    let admitted = |state: &LedgerState| admit(state, &command);
    for n in 0..Next::MAX_ALSO {
        assert_eq!(
            admitted(&state),
            Admission::Repeated(Repeated::Open { plan: id(1) })
        );
        state.apply(Record::AlsoAsked {
            plan: id(1),
            correlation_id: id(10 + n as u128),
            response_topic: String::new(),
        });
    }
    assert_eq!(
        admitted(&state),
        Admission::Repeated(Repeated::TooOften { plan: id(1) })
    );
    let outcome = answers::cancelled(7);
    state.apply(Record::PlanEnded {
        outcome: outcome.clone(),
    });
    assert_eq!(
        admitted(&state),
        Admission::Repeated(Repeated::Ended(outcome.clone()))
    );
    assert_eq!(state.outcomes.len(), 1 + Next::MAX_ALSO, "everybody who asked");
    state.outcomes.clear();
    assert_eq!(admitted(&state), Admission::Repeated(Repeated::Forgotten));
}

#[test]
fn a_plan_whose_steps_could_not_all_be_answered_is_refused() {
    type Change = fn(&mut PlanCommand);
    let cases: [(&str, Change); 8] = [
        ("", |_| {}),
        ("no UUID", |c| c.steps = vec![step("one")]),
        ("used twice or not in canonical form", |c| {
            c.steps = vec![step(&id(2).to_string()), step(&id(2).to_string())];
        }),
        ("used twice or not in canonical form", |c| {
            c.steps = vec![step(&id(1).to_string())];
        }),
        ("used twice or not in canonical form", |c| {
            c.steps = vec![step(&Uuid::from_u128(0xabc).to_string().to_uppercase())];
        }),
        ("workload hello is there twice", |c| {
            c.desired.workloads.push(workload("hello", Vec::new()));
        }),
        ("container web of workload hello is there twice", |c| {
            c.desired.workloads[0]
                .containers
                .push(container("hello", "web", "hello:2"));
        }),
        ("both desired and to be removed", |c| {
            c.desired.removals.push(Removal {
                workload: label("hello"),
                reason: RemovalReason::Deleted,
            });
        }),
    ];
    for (expected, change) in cases {
        let mut command = plan("hello:1", fence("a", 1, 1));
        change(&mut command);
        let checked = check(&command, id(1), Some(&fence("a", 1, 1)));
        match checked {
            Ok(()) => assert_eq!(expected, ""),
            Err(words) => assert!(!expected.is_empty() && words.contains(expected), "{words}"),
        }
    }
    let command = plan("hello:1", fence("a", 1, 1));
    assert!(check(&command, id(1), None).is_ok());
    let other = check(&command, id(1), Some(&fence("a", 1, 2)));
    assert_eq!(other.unwrap_err(), "the envelope's fence is not the plan's");
}

/// A plan as it travels, changed at a path of keys and indices.
fn args(change: impl FnOnce(&mut Value)) -> Value {
    let mut args = serde_json::to_value(plan("hello:1", fence("a", 1, 1))).unwrap();
    change(&mut args);
    args
}

#[test]
fn what_is_not_known_is_refused_by_its_path() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 7] = [
        ("weaken", |a| a["weaken"] = json!(true)),
        ("fence.weaken", |a| a["fence"]["weaken"] = json!(1)),
        ("desired.workloads[0].containers[0].spec.weaken", |a| {
            a["desired"]["workloads"][0]["containers"][0]["spec"]["weaken"] = json!("hunter22");
        }),
        ("steps[0].step.action.explode", |a| {
            a["steps"][0]["step"]["action"] = json!({ "explode": {} });
        }),
        // And in one where it is needed.
        ("steps[0].action", |a| a["steps"][0]["action"] = json!({})),
        // The word stands in a place where it is allowed, too.
        ("desired.workloads[0].weaken", |a| {
            a["desired"]["workloads"][0]["containers"][0]["spec"]["labels"] = json!({ "weaken": "weaken" });
            a["desired"]["workloads"][0]["weaken"] = json!(true);
        }),
        ("desired.workloads[0].drift", |a| {
            a["desired"]["workloads"][0]["drift"] = json!("drift");
        }),
    ];
    for (path, change) in cases {
        let refused = fields::parse::<PlanCommand>(args(change)).unwrap_err();
        let error = refused.error.unwrap();
        assert_eq!(
            (refused.code, error.code.as_str(), error.details),
            (422, error_code::UNSUPPORTED_FIELD, json!({ "path": path })),
        );
        assert_eq!(error.message, format!("this agent does not know {path}"));
    }
    assert!(fields::parse::<PlanCommand>(args(|_| {})).is_ok());
}

#[test]
fn what_has_another_shape_is_refused_without_being_quoted() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 4] = [
        ("lack the field fence", |a| {
            drop(a.as_object_mut().unwrap().remove("fence"));
        }),
        ("another shape", |a| a["fence"]["n"] = json!("hunter22")),
        ("another shape", |a| {
            a["desired"]["workloads"][0]["name"] = json!("Hunter22 is no label");
        }),
        ("another shape", |a| *a = json!("hunter22")),
    ];
    for (words, change) in cases {
        let error = fields::parse::<PlanCommand>(args(change))
            .unwrap_err()
            .error
            .unwrap();
        assert_eq!(error.code, error_code::MALFORMED);
        assert!(error.message.contains(words), "{}", error.message);
        assert!(
            !error.message.to_lowercase().contains("hunter"),
            "{}",
            error.message
        );
        assert_eq!(error.details, Value::Null);
    }
}
