//! The test vectors a foreign agent can be checked against: every file in `bus/vectors` must mean to this
//! code what it says it means. docs/bus.md tells how to use them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may; clippy knows only functions marked as one"
)]

use std::path::Path;

use longshore_bus::Topic;
use longshore_bus::codec::{self, DecodeError};
use longshore_bus::envelope::{
    Alive, Birth, CommandEnvelope, ContentRequest, ContentResponse, ControllerSign, Gone, Report,
    ResponseEnvelope, action,
};
use longshore_plan::step::PlanCommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One file: a message on the bus and what a receiver makes of it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    /// What it shows, for people.
    #[serde(rename = "description")]
    _description: String,
    topic: String,
    payload: Option<Value>,
    /// Instead of `payload`, for bytes that are no JSON.
    payload_text: Option<String>,
    expect: Expect,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Expect {
    /// Decodes, and encodes to the same JSON.
    Accepted,
    /// Decodes; fields this version doesn't know are dropped.
    AcceptedIgnoringUnknown,
    /// Refused, with [`DecodeError::reason`].
    Refused(String),
    /// The envelope decodes, the arguments of its mutating action are refused.
    ArgsRefused,
    /// No topic of the contract.
    UnknownTopic,
}

enum Outcome {
    Envelope(Value),
    ArgsRefused,
    Refused(DecodeError),
}

fn through<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Outcome {
    match codec::decode::<T>(bytes) {
        Ok(envelope) => Outcome::Envelope(serde_json::to_value(envelope).unwrap()),
        Err(error) => Outcome::Refused(error),
    }
}

fn receive(topic: &Topic, bytes: &[u8]) -> Outcome {
    match topic {
        Topic::Request(_) => match codec::decode::<CommandEnvelope>(bytes) {
            Ok(command) if command.action == action::PLAN_APPLY => {
                match serde_json::from_value::<PlanCommand>(command.args.clone()) {
                    Ok(plan) => {
                        assert_eq!(
                            serde_json::to_value(plan).unwrap(),
                            command.args,
                            "args are canonical"
                        );
                        Outcome::Envelope(serde_json::to_value(command).unwrap())
                    }
                    Err(_) => Outcome::ArgsRefused,
                }
            }
            Ok(command) => Outcome::Envelope(serde_json::to_value(command).unwrap()),
            Err(error) => Outcome::Refused(error),
        },
        Topic::Response(..) => through::<ResponseEnvelope>(bytes),
        Topic::Report(_) => through::<Report>(bytes),
        Topic::Birth(_) => through::<Birth>(bytes),
        Topic::Gone(_) => through::<Gone>(bytes),
        Topic::Alive(_) => through::<Alive>(bytes),
        Topic::ContentRequest(_) => through::<ContentRequest>(bytes),
        Topic::ContentResponse(_) => through::<ContentResponse>(bytes),
        Topic::Controller | Topic::RollCall => through::<ControllerSign>(bytes),
    }
}

#[test]
fn every_vector_means_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let vector: Vector = serde_json::from_slice(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|e| panic!("{name} is no vector: {e}"));
        check(&name, &vector);
        seen += 1;
    }
    assert!(seen >= 15, "only {seen} vectors in {}", folder.display());
}

fn check(name: &str, vector: &Vector) {
    let topic = match (vector.topic.parse::<Topic>(), &vector.expect) {
        (Err(_), Expect::UnknownTopic) => return,
        (Err(error), _) => panic!("{name}: {error}"),
        (Ok(topic), Expect::UnknownTopic) => panic!("{name}: {topic:?} should be unknown"),
        (Ok(topic), _) => topic,
    };
    assert_eq!(
        topic.to_string(),
        vector.topic,
        "{name}: topics print as they parse"
    );
    let bytes = match (&vector.payload, &vector.payload_text) {
        (Some(json), None) => json.to_string().into_bytes(),
        (None, Some(text)) => text.clone().into_bytes(),
        _ => panic!("{name}: exactly one of payload and payloadText"),
    };
    match (receive(&topic, &bytes), &vector.expect) {
        (Outcome::Envelope(json), Expect::Accepted) => assert_eq!(Some(json), vector.payload, "{name}"),
        (Outcome::Envelope(json), Expect::AcceptedIgnoringUnknown) => {
            assert_ne!(Some(json), vector.payload, "{name} has no unknown field");
        }
        (Outcome::ArgsRefused, Expect::ArgsRefused) => {}
        (Outcome::Refused(error), Expect::Refused(reason)) => assert_eq!(error.reason(), reason, "{name}"),
        (Outcome::Envelope(_), _) => panic!("{name} was accepted"),
        (Outcome::ArgsRefused, _) => panic!("{name}: its arguments were refused"),
        (Outcome::Refused(error), _) => panic!("{name} was refused: {error}"),
    }
}

#[test]
fn an_oversized_envelope_is_refused_before_it_is_read_and_never_quoted() {
    let secret = "s3cr3t".repeat(40_000);
    let error = codec::decode::<ControllerSign>(secret.as_bytes()).unwrap_err();
    assert_eq!(error.reason(), "TooLarge");
    let wrong = br#"{"version":1,"site":"s","epoch":"s3cr3t"}"#;
    let error = codec::decode::<ControllerSign>(wrong).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("s3cr3t"), "{error}");
}
