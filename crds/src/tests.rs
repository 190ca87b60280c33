use std::collections::BTreeSet;
use std::path::PathBuf;

use kube::core::cel::{compile_schema, validate_compiled};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Workload, all, to_yaml};

mod columns;
mod device;
mod rules;
mod structural;

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository(path)).unwrap();
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn workload(path: &str) -> Value {
    let mut documents = documents(path).into_iter();
    documents.find(|d| d["kind"] == "Workload").unwrap()
}

fn schema(name: &str) -> Value {
    let crd = all()
        .into_iter()
        .find(|crd| crd.spec.names.singular.as_deref() == Some(name))
        .unwrap();
    let version = crd.spec.versions.into_iter().next().unwrap();
    serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()
}

/// A definition's schema, its rules compiled.
struct Checked {
    schema: Value,
    compiled: kube::core::cel::CompiledSchema,
}

impl Checked {
    fn new(name: &str) -> Self {
        let schema = schema(name);
        let compiled = compile_schema(&schema);
        Self { schema, compiled }
    }

    /// Every problem an API server would name, as `path: reason`.
    fn refusals(&self, object: &Value) -> Vec<String> {
        let mut object = object.clone();
        structural::apply_defaults(&self.schema, &mut object);
        let mut problems = structural::problems(&self.schema, &object);
        if let Err(errors) = validate_compiled(&self.compiled, &object, None) {
            let words = errors
                .into_vec()
                .into_iter()
                .map(|e| format!("{}: {}", e.field_path, e.message));
            problems.extend(words);
        }
        problems
    }
}

/// Visits every schema with its path, lists as `[]`.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
}

#[test]
fn the_yaml_in_the_tree_is_what_the_types_say() {
    let mut wanted = BTreeSet::new();
    for crd in all() {
        let name = format!("crds/yaml/{}.yaml", crd.metadata.name.as_deref().unwrap());
        let found = std::fs::read_to_string(repository(&name)).unwrap_or_default();
        assert!(found == to_yaml(&crd), "{name} is stale: run longshore-crdgen");
        wanted.insert(name);
    }
    for entry in std::fs::read_dir(repository("crds/yaml")).unwrap() {
        let name = format!("crds/yaml/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(wanted.contains(&name), "{name} belongs to no kind");
    }
}

#[test]
fn every_field_is_documented_in_one_line_a_paragraph() {
    for name in ["workload", "device"] {
        walk(&schema(name), "", &mut |path, schema| {
            // A list's items and the properties every object has are explained where they are used.
            if path.is_empty() || path.ends_with("[]") {
                return;
            }
            let text = schema["description"].as_str().unwrap_or_default();
            assert!(
                !text.is_empty() || [".apiVersion", ".kind", ".metadata"].contains(&path),
                "{name}{path} has no description"
            );
            assert!(
                !text.replace("\n\n", "").contains('\n'),
                "{name}{path} is wrapped: {text}"
            );
        });
    }
}

#[test]
fn the_schema_has_no_defaults() {
    for name in ["workload", "device"] {
        walk(&schema(name), "", &mut |path, schema| {
            assert!(schema["default"].is_null(), "{name}{path} has a default");
            assert!(schema["nullable"].is_null(), "{name}{path} is nullable");
            let values = schema["enum"].as_array().map_or(&[][..], Vec::as_slice);
            assert!(!values.contains(&Value::Null), "{name}{path} may be null");
        });
    }
}

#[test]
fn every_list_and_map_of_a_spec_is_bounded_and_says_how_it_merges() {
    for name in ["workload", "device"] {
        walk(
            &schema(name)["properties"]["spec"],
            "",
            &mut |path, schema| match schema["type"].as_str() {
                Some("array") => {
                    assert!(schema["maxItems"].is_u64(), "{path} is not bounded");
                    let of_objects = schema["items"]["type"] == "object";
                    let says = schema["x-kubernetes-list-type"].is_string();
                    assert!(says || !of_objects, "{path} does not say how it merges");
                }
                Some("object") if schema["additionalProperties"].is_object() => {
                    assert!(schema["maxProperties"].is_u64(), "{path} is not bounded");
                }
                _ => {}
            },
        );
    }
}

#[test]
fn conditions_are_merged_by_type() {
    for name in ["workload", "device"] {
        let conditions = &schema(name)["properties"]["status"]["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
    }
}

#[test]
fn the_examples_are_accepted_and_read_back_as_they_were_written() {
    for path in ["examples/hello/workload.yaml", "examples/full.yaml"] {
        let written = workload(path);
        assert_eq!(
            Checked::new("workload").refusals(&written),
            Vec::<String>::new(),
            "{path}"
        );
        let read: Workload = serde_json::from_value(written.clone()).unwrap();
        let mut spec = serde_json::to_value(&read.spec).unwrap();
        let mut defaulted = written["spec"].clone();
        structural::apply_defaults(&schema("workload")["properties"]["spec"], &mut defaulted);
        texts(&mut spec);
        texts(&mut defaulted);
        assert_eq!(spec, defaulted, "{path}");
    }
}

/// Quantities and users are kept as text, so numbers are compared as text.
fn texts(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::Array(items) => items.iter_mut().for_each(texts),
        Value::Object(object) => object.values_mut().for_each(texts),
        _ => {}
    }
}

#[test]
fn the_full_example_uses_every_field() {
    let written = workload("examples/full.yaml");
    let mut used = BTreeSet::new();
    uses(&written["spec"], "", &mut used);
    // These are used in one of the two lists of containers, or in one of the three probes.
    let generic = |path: &str| {
        path.replace("initContainers[]", "containers[]")
            .replace("livenessProbe", "probe")
            .replace("readinessProbe", "probe")
            .replace("startupProbe", "probe")
    };
    let used: BTreeSet<String> = used.iter().map(|path| generic(path)).collect();
    walk(&schema("workload")["properties"]["spec"], "", &mut |path, _| {
        assert!(
            path.is_empty() || used.contains(&generic(path)),
            "examples/full.yaml lacks {path}"
        );
    });
}

fn uses(value: &Value, path: &str, used: &mut BTreeSet<String>) {
    used.insert(path.to_owned());
    match value {
        Value::Object(object) => object
            .iter()
            .for_each(|(name, v)| uses(v, &format!("{path}.{name}"), used)),
        Value::Array(items) => items.iter().for_each(|v| uses(v, &format!("{path}[]"), used)),
        _ => {}
    }
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    patch: json_patch::Patch,
    field: String,
    reason: String,
}

#[test]
fn every_wrong_manifest_is_refused_with_its_field_and_reason() {
    let schema = Checked::new("workload");
    let text = std::fs::read_to_string(repository("crds/testdata/refused.yaml")).unwrap();
    let cases: Vec<Refused> = serde_yaml::from_str(&text).unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let mut object = workload("examples/hello/workload.yaml");
        json_patch::patch(&mut object, &case.patch).unwrap();
        let found = schema.refusals(&object);
        let wanted = |problem: &String| {
            problem
                .strip_prefix(&case.field)
                .is_some_and(|rest| rest.starts_with(": "))
                && problem.contains(&case.reason)
        };
        assert!(
            found.iter().any(wanted),
            "{}: {} {} not in {found:#?}",
            case.name,
            case.field,
            case.reason
        );
    }
}

#[test]
fn a_device_name_is_checked_like_a_topic_level() {
    let schema = Checked::new("device");
    let device = |name: &str| json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Device", "metadata": {"name": name}, "spec": {}});
    assert_eq!(schema.refusals(&device("dev1")), Vec::<String>::new());
    assert_eq!(schema.refusals(&device(&"a".repeat(40))), Vec::<String>::new());
    assert!(!schema.refusals(&device(&"a".repeat(41))).is_empty());
    assert!(!schema.refusals(&device("a.b")).is_empty());
    for name in [
        "dev1",
        "a.b",
        "",
        "-a",
        "a-",
        "A",
        &"a".repeat(40),
        &"a".repeat(41),
    ] {
        // An API server itself refuses what is no DNS subdomain, the schema the rest.
        let ours = schema.refusals(&device(name)).is_empty();
        let subdomain = !name.is_empty() && !name.starts_with('-') && !name.ends_with('-') && name != "A";
        assert_eq!(
            crate::names::DeviceName::new(name).is_ok(),
            ours && subdomain,
            "{name}"
        );
    }
}

#[test]
fn a_stored_object_that_breaks_todays_rules_can_still_be_read() {
    let spec = json!({"template": {}, "targets": [{"device": "NOT A NAME"}]});
    let object = json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "metadata": {"name": "x"}, "spec": spec});
    let read: Workload = serde_json::from_value(object).unwrap();
    assert!(read.spec.template.containers.is_empty());
}
