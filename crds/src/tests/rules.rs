//! The rules themselves: each refuses something, and none refuses what is right.

use super::*;

fn hello() -> Value {
    workload("examples/hello/workload.yaml")
}

#[test]
fn every_rule_refuses_one_of_the_wrong_manifests() {
    let schema = Checked::new("workload");
    let text = std::fs::read_to_string(repository("crds/testdata/refused.yaml")).unwrap();
    let cases: Vec<Refused> = serde_yaml::from_str(&text).unwrap();
    let mut refusals = BTreeSet::new();
    for case in cases {
        let mut object = hello();
        json_patch::patch(&mut object, &case.patch).unwrap();
        refusals.extend(schema.refusals(&object));
    }
    walk(&schema.schema, "", &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let message = rule["message"].as_str().unwrap();
            assert!(
                refusals.iter().any(|r| r.ends_with(message)),
                "no wrong manifest breaks {path}: {message}"
            );
        }
    });
}

#[test]
fn the_names_of_wrong_manifests_are_their_own() {
    let text = std::fs::read_to_string(repository("crds/testdata/refused.yaml")).unwrap();
    let cases: Vec<Refused> = serde_yaml::from_str(&text).unwrap();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
}

/// The example with another value at that place.
fn with(path: &str, value: Value) -> Value {
    let mut object = hello();
    *object.pointer_mut(path).unwrap() = value;
    object
}

#[test]
fn image_references_in_all_their_forms_are_taken() {
    let schema = Checked::new("workload");
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for image in [
        "hello",
        "hello:1",
        "library/hello:1.2.3-rc_1",
        "registry.example/team/hello:latest",
        "registry.example:5000/hello",
        "localhost:5000/hello:1",
        "127.0.0.1:5000/a/b/c:1",
        "REGISTRY.example/hello:V1",
        "a__b/c-d.e:1",
        &format!("hello@{digest}"),
        &format!("registry.example:5000/team/hello:1@{digest}"),
    ] {
        let object = with("/spec/template/containers/0/image", json!(image));
        assert_eq!(schema.refusals(&object), Vec::<String>::new(), "{image}");
    }
}

#[test]
fn quantities_in_all_their_forms_are_taken() {
    let schema = Checked::new("workload");
    for memory in [
        json!("64Mi"),
        json!("1.5Gi"),
        json!("1G"),
        json!(67_108_864),
        json!("0"),
    ] {
        let object = with(
            "/spec/template/containers/0/resources/limits/memory",
            memory.clone(),
        );
        assert_eq!(schema.refusals(&object), Vec::<String>::new(), "{memory}");
    }
    for cpu in [json!("500m"), json!(2), json!("0.5"), json!("1")] {
        let object = with("/spec/template/containers/0/resources/limits/cpu", cpu.clone());
        assert_eq!(schema.refusals(&object), Vec::<String>::new(), "{cpu}");
    }
}

#[test]
fn ports_of_different_protocols_and_addresses_do_not_clash() {
    let ports = json!([
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP"},
        {"containerPort": 53, "hostPort": 53, "protocol": "TCP"},
        {"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"},
        {"containerPort": 81, "hostPort": 80, "hostIP": "10.0.0.1"},
        {"containerPort": 82},
        {"containerPort": 83},
    ]);
    let refusals = Checked::new("workload").refusals(&with("/spec/template/containers/0/ports", ports));
    let about_probe = |r: &String| r.contains("readinessProbe");
    assert!(refusals.iter().all(about_probe), "{refusals:?}");
}
