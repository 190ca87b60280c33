//! No field is lost: another value of any field of `examples/full.yaml`, which has them all (a test of
//! crds sees to that), is another desired set.

use super::*;

/// Fields that are not the renderer's: who gets it, and what becomes of it.
const NOT_RENDERED: &[&str] = &[".targets[0].device", ".deletionPolicy", ".rollout.maxUnavailable"];

/// Fields of which another value changes nothing while what they speak of exists.
const OF_MISSING_CONTENT: &str = ".optional";

#[test]
fn another_value_of_any_field_is_another_desired_set() {
    let original = manifest(FULL);
    let before = rendered(&original);
    let content = renamed_too();
    let mut leaves = Vec::new();
    leaves_of(&original["spec"], "/spec", &mut leaves);
    assert!(leaves.len() > 100);
    for pointer in leaves {
        let path = dotted(&pointer);
        if NOT_RENDERED.contains(&path.as_str()) || path.ends_with(OF_MISSING_CONTENT) {
            continue;
        }
        let value = original.pointer(&pointer).unwrap();
        let matters = others(value).into_iter().any(|other| {
            let mut edited = original.clone();
            *edited.pointer_mut(&pointer).unwrap() = other;
            let Ok(workload) = serde_json::from_value::<Workload>(edited) else {
                return false;
            };
            match render(&workload, &content) {
                Ok(after) => after.workload != before,
                // A name matters when others refer to it, and a reference when there is no such name.
                Err(problems) => {
                    let unknown = |problem: &RenderProblem| matches!(problem, RenderProblem::Unknown { .. });
                    let refers = path.ends_with("name") || path.ends_with("container");
                    // The full example has what the host's network excludes.
                    let excludes = path.ends_with("hostNetwork");
                    excludes || (refers && problems.iter().any(unknown))
                }
            }
        });
        assert!(matters, "{path} is lost: {value} could be anything");
    }
}

/// The examples' content, under the names and keys that `others` makes of theirs as well.
fn renamed_too() -> Objects {
    let mut all = objects();
    for (object, digests) in objects().0 {
        let also: BTreeMap<_, _> = digests
            .iter()
            .flat_map(|(key, digest)| {
                [
                    (key.clone(), digest.clone()),
                    (format!("{key}x"), ContentDigest(format!("{}x", digest.0))),
                ]
            })
            .collect();
        let other = also
            .iter()
            .map(|(key, digest)| (key.clone(), ContentDigest(format!("other {}", digest.0))))
            .collect();
        let renamed = ContentObject {
            name: format!("{}x", object.name),
            ..object.clone()
        };
        // The whole of an object is taken in places, so the original keeps its keys.
        let whole = object.name.ends_with("-env");
        all.0.insert(object, if whole { digests } else { also });
        all.0.insert(renamed, other);
    }
    all
}

/// Values of the same kind; for words of an enum, the other words are among them.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Number(number) => vec![json!(number.as_i64().unwrap() + 1)],
        Value::String(text) => {
            let words = "Enforce Observe Rollback Pause Continue Always IfNotPresent Never UnlessStopped OnFailure TCP UDP \
                Retain Delete None Bidirectional DirectoryOrCreate Unconfined Replace Update started completed \
                10.0.0.9 10.98.0.0/24 1 3 1Mi 1Gi";
            let words = words
                .split(' ')
                .filter(|word| word != text)
                .map(|word| json!(word));
            let mut others = vec![json!(format!("{text}x")), json!(""), json!(9)];
            others.extend(words);
            others
        }
        _ => vec![Value::Null],
    }
}

fn leaves_of(value: &Value, pointer: &str, leaves: &mut Vec<String>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                leaves_of(value, &format!("{pointer}/{escaped}"), leaves);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves_of(item, &format!("{pointer}/{index}"), leaves);
            }
        }
        _ => leaves.push(pointer.to_owned()),
    }
}

/// `/spec/a/0/b` as `.a[0].b`.
fn dotted(pointer: &str) -> String {
    let parts = pointer.trim_start_matches("/spec/").split('/');
    parts.fold(String::new(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) => format!("{path}.{part}"),
    })
}

#[test]
fn only_what_is_fixed_at_creation_is_in_the_hash() {
    let original = manifest(FULL);
    let before = rendered(&original);
    let hashes = |workload: &DesiredWorkload| {
        workload
            .containers
            .iter()
            .map(|c| c.hash.clone())
            .collect::<Vec<_>>()
    };
    let app = "/spec/template/containers/0";
    let outside = [
        (
            "/metadata/annotations/longshore.dev~1retry".to_owned(),
            json!("2"),
        ),
        ("/spec/priority".to_owned(), json!(11)),
        ("/spec/drift".to_owned(), json!("Enforce")),
        ("/spec/suspend".to_owned(), json!(false)),
        ("/spec/deletionPolicy".to_owned(), json!("Delete")),
        ("/spec/targets".to_owned(), json!([{"device": "dev2"}])),
        ("/spec/rollout".to_owned(), json!({})),
        ("/spec/template/imagePullSecrets".to_owned(), json!([])),
        (
            "/spec/template/volumes/1/namedVolume".to_owned(),
            json!({"driver": "other", "reclaimPolicy": "Retain"}),
        ),
        ("/spec/template/networks".to_owned(), json!([{"name": "other"}])),
        (format!("{app}/imagePullPolicy"), json!("Never")),
        (format!("{app}/resources"), json!({"limits": {"memory": "1Gi"}})),
        (format!("{app}/restartPolicy"), json!("OnFailure")),
        (format!("{app}/restartMaxRetries"), json!(1)),
        (
            format!("{app}/livenessProbe"),
            json!({"exec": {"command": ["other"]}}),
        ),
        (format!("{app}/readinessProbe/periodSeconds"), json!(99)),
        (format!("{app}/startupProbe/timeoutSeconds"), json!(99)),
        (format!("{app}/stopGracePeriodSeconds"), json!(99)),
        (format!("{app}/dependsOn"), json!([])),
        (format!("{app}/configChangeSignal"), json!("SIGHUP")),
        (format!("{app}/containerName"), json!("other")),
        (format!("{app}/ports/0/name"), json!("http")),
        (
            "/spec/template/containers/1/imageHealthcheck".to_owned(),
            json!(false),
        ),
    ];
    for (pointer, value) in outside {
        let mut edited = original.clone();
        set(&mut edited, &pointer, value);
        assert_eq!(hashes(&rendered(&edited)), hashes(&before), "{pointer}");
    }
    let inside = [
        ("/image", json!("other")),
        ("/args", json!(["other"])),
        ("/env/0/value", json!("8081")),
        ("/ports/0/hostPort", json!(18081)),
        ("/volumeMounts/0/readOnly", json!(false)),
        ("/labels", json!({})),
        ("/tty", json!(false)),
        ("/securityContext/privileged", json!(true)),
        ("/logging/driver", json!("journald")),
        ("/stopSignal", json!("SIGTERM")),
        ("/extraHosts/0/ip", json!("10.0.0.8")),
    ];
    for (field, value) in inside {
        let mut edited = original.clone();
        set(&mut edited, &format!("{app}{field}"), value);
        assert_ne!(hashes(&rendered(&edited)), hashes(&before), "{field}");
    }
}

/// Sets what may not be there yet.
fn set(manifest: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let last = last.replace("~1", "/");
    let parent = manifest.pointer_mut(parent).unwrap();
    match last.parse::<usize>() {
        Ok(index) if parent.is_array() => parent[index] = value,
        _ => parent[last] = value,
    }
}

#[test]
fn the_revision_is_that_of_the_template_alone() {
    let original = manifest(FULL);
    let before = rendered(&original).revision;
    assert_eq!(before.len(), 10);
    assert!(before.chars().all(|c| c.is_ascii_hexdigit()));
    for (pointer, value, same) in [
        ("/spec/priority", json!(11), true),
        ("/spec/drift", json!("Enforce"), true),
        ("/spec/suspend", json!(false), true),
        ("/spec/rollout", json!({}), true),
        ("/spec/template/imagePullSecrets", json!([]), true),
        ("/metadata/labels", json!({"a": "b"}), true),
        ("/spec/template/containers/0/tty", json!(false), false),
        ("/spec/template/containers/0/resources", json!({}), false),
        (
            "/spec/template/containers/0/imagePullPolicy",
            json!("Never"),
            false,
        ),
        ("/spec/template/networks", json!([{"name": "other"}]), false),
    ] {
        let mut edited = original.clone();
        set(&mut edited, pointer, value);
        assert_eq!(rendered(&edited).revision == before, same, "{pointer}");
    }
}
