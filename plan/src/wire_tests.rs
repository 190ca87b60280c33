//! The model on the wire: everything comes back as it went, and a command with a field this code does not
//! know is refused rather than half obeyed.

use std::fmt::Debug;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::arbitrary::{Shape, situation};
use crate::desired::DesiredSet;
use crate::names::{ContainerKey, DnsLabel};
use crate::observed::{Drift, Observed, ObservedContainer};
use crate::plan;
use crate::spec::{
    ContainerBehaviour, ContainerConfig, ContainerSpec, ContentFile, EnvSource, EnvVar, MountSource, Probe,
    ProbeAction, RestartPolicy,
};
use crate::step::{
    Action, Fence, Held, NumberedStep, Plan, PlanCommand, Precondition, Reason, Step, StepOutcome,
};

fn round<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Value {
    let json = serde_json::to_value(value).unwrap();
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), value);
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    json
}

/// Whether `T` refuses the JSON.
fn refuses<T: DeserializeOwned>(json: Value) -> bool {
    serde_json::from_value::<T>(json).is_err()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_comes_back_as_it_went(it in situation(Shape::Any)) {
        round(&it.desired);
        round(&it.observed);
        let plan = plan(&it.desired, &it.observed);
        round(&plan);
        for drift in crate::drift::drift(&it.desired, &it.observed) {
            round(&drift);
        }
        let steps = plan.steps.into_iter().map(|step| NumberedStep { correlation_id: "id".into(), step });
        let fence = Fence { site: "s".into(), epoch: 1, n: 2 };
        round(&PlanCommand { fence, desired: it.desired, steps: steps.collect() });
    }

    /// An extra field anywhere in a command is found.
    #[test]
    fn a_command_with_an_unknown_field_anywhere_is_refused(
        it in situation(Shape::Any),
        place in any::<prop::sample::Index>(),
    ) {
        let plan = plan(&it.desired, &it.observed);
        let steps = plan.steps.into_iter().map(|step| NumberedStep { correlation_id: "id".into(), step });
        let fence = Fence { site: "s".into(), epoch: 1, n: 2 };
        let command = PlanCommand { fence, desired: it.desired, steps: steps.collect() };
        let mut json = serde_json::to_value(&command).unwrap();
        let mut paths = Vec::new();
        collect("", &json, &mut paths);
        let path = place.get(&paths);
        json.pointer_mut(path).unwrap().as_object_mut().unwrap().insert("bogus".into(), json!(1));
        prop_assert!(refuses::<PlanCommand>(json), "accepted at {path}");
    }
}

/// The paths of every JSON object that stands for a struct or a variant. Maps with free keys are left out.
fn collect(path: &str, json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(map) => {
            let free = ["options", "content", "labels", "extraHosts", "sysctls"];
            if !free.iter().any(|f| path.ends_with(&format!("/{f}"))) {
                found.push(path.to_owned());
            }
            for (key, value) in map {
                collect(&format!("{path}/{key}"), value, found);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                collect(&format!("{path}/{i}"), item, found);
            }
        }
        _ => {}
    }
}

/// Everything a container can be told, so that the paths above lead everywhere.
#[test]
fn every_struct_of_a_container_refuses_what_it_does_not_know() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/v0.1.0/everything.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    each_place_refuses::<ContainerSpec>(&golden["spec"]);
    let config = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/goldens/v0.1.0/config/everything.json"
    );
    let config: Value = serde_json::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    each_place_refuses::<ContainerConfig>(&config["config"]);
    let probe = |action: Value| {
        json!({
            "action": action, "initialDelaySeconds": 0, "periodSeconds": 1, "timeoutSeconds": 1,
            "successThreshold": 1, "failureThreshold": 3
        })
    };
    each_place_refuses::<ContainerBehaviour>(&json!({
        "pullPolicy": "always",
        "dependsOn": [{"container": "db", "condition": "healthy"}],
        "liveness": probe(json!({"exec": {"command": ["true"]}})),
        "readiness": probe(json!({"httpGet": {"port": 80, "path": "/", "headers": [["a", "b"]]}})),
        "startup": probe(json!({"tcpSocket": {"port": 80}})),
        "imageHealthcheck": true,
        "stopGracePeriodSeconds": 3,
        "onConfigChange": {"signal": "SIGHUP"}
    }));
}

fn each_place_refuses<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &Value) {
    let known: T = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(&round(&known), json);
    let mut paths = Vec::new();
    collect("", json, &mut paths);
    for path in paths {
        let mut json = json.clone();
        json.pointer_mut(&path)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert("bogus".into(), json!(1));
        assert!(refuses::<T>(json), "accepted at {path}");
    }
}

#[test]
fn flattened_types_take_exactly_one_source() {
    let digest = "a".repeat(64);
    let literal: EnvVar = serde_json::from_value(json!({"name": "A", "value": "x"})).unwrap();
    assert_eq!(
        literal,
        EnvVar {
            name: "A".into(),
            source: EnvSource::Value("x".into())
        }
    );
    assert_eq!(round(&literal), json!({"name": "A", "value": "x"}));
    for wrong in [
        json!({"name": "A"}),
        json!({"name": "A", "value": "x", "content": {"digest": digest}}),
        json!({"name": "A", "value": "x", "more": 1}),
        json!({"name": "A", "value": 1}),
        json!({"name": "A", "content": {"digest": digest, "more": 1}}),
        json!({"name": "A", "valueFrom": {}}),
    ] {
        assert!(refuses::<EnvVar>(wrong.clone()), "{wrong}");
    }
    let file: ContentFile = serde_json::from_value(json!({"path": "a", "digest": digest})).unwrap();
    assert_eq!(round(&file), json!({"path": "a", "digest": digest}));
    for wrong in [
        json!({"path": "a"}),
        json!({"digest": digest}),
        json!({"path": "a", "digest": digest, "more": 1}),
        json!({"path": "a", "digest": digest, "mode": "0644"}),
    ] {
        assert!(refuses::<ContentFile>(wrong.clone()), "{wrong}");
    }
}

#[test]
fn variants_are_written_in_camel_case_and_refuse_more() {
    let policy = RestartPolicy::OnFailure { max_retries: 3 };
    assert_eq!(round(&policy), json!({"onFailure": {"maxRetries": 3}}));
    assert_eq!(round(&RestartPolicy::UnlessStopped), json!("unlessStopped"));
    assert!(refuses::<RestartPolicy>(
        json!({"onFailure": {"maxRetries": 3, "more": 1}})
    ));
    let tmpfs = MountSource::Tmpfs { size_bytes: Some(1) };
    assert_eq!(round(&tmpfs), json!({"tmpfs": {"sizeBytes": 1}}));
    assert!(refuses::<MountSource>(
        json!({"hostPath": {"path": "/", "more": 1}})
    ));
    assert!(refuses::<ProbeAction>(
        json!({"exec": {"command": [], "more": 1}})
    ));
    assert!(refuses::<Precondition>(json!({"is": {"id": "x", "more": 1}})));
    assert!(refuses::<Reason>(
        json!({"removed": {"cause": "Deleted", "more": 1}})
    ));
    assert!(refuses::<Action>(
        json!({"createContainer": {"container": "a", "more": 1}})
    ));
    assert!(refuses::<DesiredSet>(json!({"workloads": [], "more": 1})));
}

#[test]
fn a_report_may_say_more_than_is_known() {
    // Observations come from newer agents as well; only orders must be understood in full.
    assert!(!refuses::<Observed>(json!({"more": 1})));
    assert!(!refuses::<Plan>(json!({"steps": [], "held": [], "more": 1})));
    assert!(!refuses::<StepOutcome>(json!({"done": {"changed": true}})));
    let key = json!({"workload": "a", "container": "b"});
    assert_eq!(
        round(&ContainerKey::new(
            DnsLabel::new("a").unwrap(),
            DnsLabel::new("b").unwrap()
        )),
        key
    );
    assert!(!refuses::<Held>(
        json!({"workload": "a", "container": "b", "cause": "orphaned", "more": 1})
    ));
    let drift = json!({"workload": "a", "container": "b", "field": "state", "want": "x", "have": "y"});
    assert!(!refuses::<Drift>(drift));
    assert!(
        refuses::<ObservedContainer>(json!({"workload": "A"})),
        "a name that is none"
    );
    assert!(refuses::<Step>(json!({"more": 1})));
    assert!(refuses::<Probe>(json!({})));
}

#[test]
fn names_keep_their_rules_on_the_wire() {
    for good in ["a", "a-b", "0", &"x".repeat(63)] {
        assert!(DnsLabel::new(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"x".repeat(64)] {
        assert!(
            DnsLabel::new(bad).is_err() && refuses::<DnsLabel>(json!(bad)),
            "{bad}"
        );
    }
}
