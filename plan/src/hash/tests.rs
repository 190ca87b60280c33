//! Goldens of each release: made by hand and hashed by another program, never rewritten by this one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{SpecHash, canonical_json, config_digest, spec_hash};
use crate::spec::{ContainerConfig, ContainerSpec};

fn goldens(folder: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens").join(folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, serde_json::from_str(&text).unwrap()));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn everything() -> Value {
    let all = goldens("v0.1.0");
    let (_, golden) = all
        .iter()
        .find(|(path, _)| path.ends_with("everything.json"))
        .unwrap();
    golden["spec"].clone()
}

#[test]
fn every_released_spec_hashes_as_it_did() {
    let goldens = goldens("v0.1.0");
    assert!(goldens.len() >= 12);
    let mut hashes = BTreeSet::new();
    for (path, golden) in goldens {
        let spec: ContainerSpec = serde_json::from_value(golden["spec"].clone()).unwrap();
        assert_eq!(json!(spec_hash(&spec)), golden["hash"], "{}", path.display());
        // And is written back as it was read: nothing lost, no default added.
        assert_eq!(
            serde_json::to_value(&spec).unwrap(),
            golden["spec"],
            "{}",
            path.display()
        );
        assert!(
            hashes.insert(spec_hash(&spec)),
            "{} has another one's hash",
            path.display()
        );
    }
}

#[test]
fn every_released_configuration_digests_as_it_did() {
    let goldens = goldens("v0.1.0/config");
    assert_eq!(goldens.len(), 4);
    for (path, golden) in goldens {
        let config: ContainerConfig = serde_json::from_value(golden["config"].clone()).unwrap();
        assert_eq!(
            json!(config_digest(&config)),
            golden["digest"],
            "{}",
            path.display()
        );
        assert_eq!(
            serde_json::to_value(&config).unwrap(),
            golden["config"],
            "{}",
            path.display()
        );
    }
}

/// A field added to the spec belongs into `everything.json` of the next release.
#[test]
fn the_goldens_cover_every_field() {
    let spec: ContainerSpec = serde_json::from_value(everything()).unwrap();
    let ContainerSpec {
        image,
        command,
        args,
        working_dir,
        env,
        ports,
        mounts,
        devices,
        security,
        stop_signal,
        tty,
        stdin,
        ulimits,
        shm_size_bytes,
        init,
        logging,
        labels,
        extra_hosts,
        hostname,
        dns,
        sysctls,
        host_network,
        host_pid,
        host_ipc,
        runtime_handler,
    } = spec;
    let full = [
        !image.is_empty(),
        !command.is_empty(),
        !args.is_empty(),
        working_dir.is_some(),
        !env.is_empty(),
        !ports.is_empty(),
        !mounts.is_empty(),
        !devices.is_empty(),
        security != crate::spec::SecurityContext::default(),
        stop_signal.is_some(),
        tty,
        stdin,
        !ulimits.is_empty(),
        shm_size_bytes.is_some(),
        init,
        logging.is_some(),
        !labels.is_empty(),
        !extra_hosts.is_empty(),
        hostname.is_some(),
        dns.is_some(),
        !sysctls.is_empty(),
        host_network,
        host_pid,
        host_ipc,
        runtime_handler.is_some(),
    ];
    assert_eq!(full.iter().position(|full| !full), None);
}

/// The value that means "not said", by what stands in the golden that says everything.
fn default_of(field: &str, full: &Value) -> Value {
    match full {
        Value::Bool(_) => json!(false),
        Value::Array(_) => json!([]),
        Value::Object(_) if !matches!(field, "logging" | "dns") => json!({}),
        _ => Value::Null,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is not said and what is said to be the default are one spec. So a field added tomorrow
    /// changes no hash of today.
    #[test]
    fn saying_the_defaults_changes_nothing(said in any::<u64>()) {
        let everything = everything();
        let mut some = serde_json::Map::new();
        let mut padded = serde_json::Map::new();
        for (i, (field, value)) in everything.as_object().unwrap().iter().enumerate() {
            if field == "image" || said & (1 << (i % 64)) != 0 {
                some.insert(field.clone(), value.clone());
                padded.insert(field.clone(), value.clone());
            } else {
                padded.insert(field.clone(), default_of(field, value));
            }
        }
        let some: ContainerSpec = serde_json::from_value(Value::Object(some)).unwrap();
        let padded: ContainerSpec = serde_json::from_value(Value::Object(padded)).unwrap();
        prop_assert_eq!(spec_hash(&some), spec_hash(&padded));
    }
}

#[test]
fn a_hash_tells_its_version() {
    let hash = spec_hash(&ContainerSpec::default());
    assert!(hash.is_known_version());
    assert_eq!(hash.0.len(), "v1:".len() + 32);
    for unknown in ["v2:00", "v1", "", "V1:00", "v11:00", ":"] {
        assert!(!SpecHash(unknown.into()).is_known_version(), "{unknown}");
    }
}

/// The example of RFC 8785, section 3.2.3: names sort by UTF-16 code units, not by code points.
#[test]
fn names_sort_as_the_rfc_says() {
    let value = json!({
        "\u{20ac}": "Euro Sign",
        "\r": "Carriage Return",
        "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\u{1f600}": "Emoji: Grinning Face",
        "\u{80}": "Control",
        "\u{f6}": "Latin Small Letter O With Diaeresis"
    });
    assert_eq!(
        canonical_json(&value),
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
         \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
         \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
    );
}

/// The example of RFC 8785, section 3.2.2, without its floats: our model has none.
#[test]
fn strings_and_literals_are_written_as_the_rfc_says() {
    let value: Value = serde_json::from_str(
        r#"{ "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#,
    )
    .unwrap();
    assert_eq!(
        canonical_json(&value),
        "{\"literals\":[null,true,false],\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
}

#[test]
fn numbers_controls_and_nesting() {
    for (value, text) in [
        (json!([]), "[]"),
        (json!({}), "{}"),
        (
            json!([0, -1, 9_007_199_254_740_991_i64]),
            "[0,-1,9007199254740991]",
        ),
        (
            json!({"b": {"d": 1, "c": [true]}, "a": null}),
            r#"{"a":null,"b":{"c":[true],"d":1}}"#,
        ),
        (
            json!("\u{0}\u{8}\u{9}\u{a}\u{c}\u{d}\u{1f}\u{7f}\u{2028}"),
            "\"\\u0000\\b\\t\\n\\f\\r\\u001f\u{7f}\u{2028}\"",
        ),
    ] {
        assert_eq!(canonical_json(&value), text);
    }
}
