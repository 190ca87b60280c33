use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DecodeError, decode, is_protobuf};

/// A protobuf field of wire type 2.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).expect("seven bits"));
    out.extend_from_slice(content);
    out
}

fn varint(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [
        b"k8s\0".to_vec(),
        bytes(1, &type_meta),
        bytes(2, raw),
        bytes(3, b""),
        bytes(4, b""),
    ]
    .concat()
}

#[test]
fn protobuf_is_told_by_its_content_type() {
    assert!(is_protobuf("application/vnd.kubernetes.protobuf"));
    assert!(is_protobuf("Application/vnd.kubernetes.protobuf; charset=x"));
    assert!(!is_protobuf("application/json"));
    assert!(!is_protobuf(""));
    assert!(!is_protobuf(
        "application/vnd.kubernetes.protobuf;stream=watch,application/json,x".trim_start_matches("app")
    ));
}

/// What kubectl 1.33 sent for `kubectl create secret generic s --from-literal=k=v`, built by hand from the same fields.
#[test]
fn a_secret_becomes_the_json_of_the_same_secret() {
    let metadata = [
        bytes(1, b"s"),
        bytes(2, b""),
        bytes(3, b"default"),
        bytes(8, b""),
        bytes(11, &[bytes(1, b"l"), bytes(2, b"1")].concat()),
    ]
    .concat();
    let entry = [bytes(1, b"k"), bytes(2, b"v")].concat();
    let raw = [
        bytes(1, &metadata),
        bytes(2, &entry),
        bytes(3, b"Opaque"),
        varint(5, 0),
    ]
    .concat();
    assert_eq!(
        decode(&body("v1", "Secret", &raw)),
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "s", "namespace": "default", "labels": {"l": "1"}},
            "data": {"k": STANDARD.encode("v")},
            "type": "Opaque",
            "immutable": false,
        }))
    );
}

/// Pointers keep their zeroes, values lose them; times are RFC 3339.
#[test]
fn a_lease_keeps_what_was_set() {
    let time = [varint(1, 100), vec![2 << 3, 0x80, 0x89, 0x7a]].concat();
    let spec = [bytes(1, b""), varint(2, 15), bytes(3, &time), varint(5, 0)].concat();
    let raw = [bytes(1, &bytes(1, b"l")), bytes(2, &spec)].concat();
    assert_eq!(
        decode(&body("coordination.k8s.io/v1", "Lease", &raw)),
        Ok(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
            "spec": {
                "holderIdentity": "", "leaseDurationSeconds": 15, "acquireTime": "1970-01-01T00:01:40.002000Z",
                "leaseTransitions": 0,
            },
        }))
    );
}

#[test]
fn delete_options_come_in_any_group() {
    let raw = [
        bytes(2, &bytes(1, b"u")),
        bytes(4, b"Foreground"),
        bytes(5, b"All"),
    ]
    .concat();
    for version in ["v1", "meta.k8s.io/v1", "longshore.dev/v1alpha1"] {
        let decoded = decode(&body(version, "DeleteOptions", &raw)).expect("known");
        assert_eq!(decoded["preconditions"], json!({"uid": "u"}));
        assert_eq!(decoded["propagationPolicy"], "Foreground");
        assert_eq!(decoded["dryRun"], json!(["All"]));
    }
}

#[test]
fn the_envelope_may_carry_json() {
    let type_meta = [bytes(1, b"longshore.dev/v1alpha1"), bytes(2, b"Workload")].concat();
    let body = [
        b"k8s\0".to_vec(),
        bytes(1, &type_meta),
        bytes(2, br#"{"spec":{}}"#),
        bytes(4, b"application/json"),
    ]
    .concat();
    assert_eq!(
        decode(&body),
        Ok(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "spec": {}}))
    );
}

#[test]
fn what_is_not_understood_is_said() {
    assert_eq!(decode(b"{}"), Err(DecodeError::Magic));
    assert_eq!(
        decode(b"k8s\0\x0a"),
        Err(DecodeError::Wire("a number does not end"))
    );
    assert_eq!(
        decode(b"k8s\0\x12\x05a"),
        Err(DecodeError::Wire("a field is cut short"))
    );
    assert_eq!(
        decode(b"k8s\0\x13"),
        Err(DecodeError::Wire("a field has an unknown wire type"))
    );
    let pod = decode(&body("v1", "Pod", b"")).expect_err("no table");
    assert_eq!(
        pod.to_string(),
        "protobuf bodies of v1 Pod are not supported: send JSON"
    );
    assert_eq!(
        decode(&body("v1", "Secret", &varint(1, 1))),
        Err(DecodeError::Field {
            field: "metadata",
            why: "encoded as another type"
        })
    );
    // Fields from the future are skipped.
    let future = [
        bytes(1, &bytes(1, b"c")),
        bytes(15, b"?"),
        vec![14 << 3 | 5, 0, 0, 0, 0],
    ]
    .concat();
    let decoded = decode(&body("v1", "ConfigMap", &future)).expect("skipped");
    assert_eq!(decoded["metadata"], json!({"name": "c"}));
}

fn kinds() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("v1", "Namespace"),
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("v1", "Event"),
        ("events.k8s.io/v1", "Event"),
        ("coordination.k8s.io/v1", "Lease"),
        ("apps/v1", "ControllerRevision"),
        ("authentication.k8s.io/v1", "SelfSubjectReview"),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
        ("v1", "DeleteOptions"),
    ])
}

/// Bytes that look like messages, nested.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop::collection::vec(any::<u8>(), 0..12);
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop::collection::vec((1..18_u8, inner, any::<bool>()), 0..5).prop_map(|fields| {
            let encode = |(number, content, is_number): (u8, Vec<u8>, bool)| {
                if number > 15 || is_number {
                    varint(number.min(15), content.len().try_into().unwrap_or(1))
                } else {
                    bytes(number, &content)
                }
            };
            fields.into_iter().flat_map(encode).collect()
        })
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes));
        let with_magic = [b"k8s\0".to_vec(), bytes].concat();
        drop(decode(&with_magic));
    }

    #[test]
    fn no_message_panics((api_version, kind) in kinds(), raw in message()) {
        if let Ok(decoded) = decode(&body(api_version, kind, &raw)) {
            prop_assert_eq!(&decoded["kind"], &Value::from(kind));
        }
    }
}
