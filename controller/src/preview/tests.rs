//! The words of a diff: what would be done, on which device, and nothing that is secret.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::{Objects as View, *};
use crate::fixtures::{self, NS, device_object};

mod content;
mod properties;

/// All objects of a namespace, owned.
#[derive(Debug, Default, Clone)]
struct Objects {
    workloads: Vec<Workload>,
    devices: Vec<Device>,
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
    observed: BTreeMap<String, Observed>,
}

impl Objects {
    /// `hello` on `dev1`, which has it, and `dev2` beside it.
    fn new() -> Self {
        Self {
            workloads: vec![workload("hello", &["dev1"], &web("hello:1"))],
            devices: vec![device_object("dev2"), device_object("dev1")],
            ..Self::default()
        }
    }

    fn view(&self) -> View<'_> {
        View {
            workloads: &self.workloads,
            devices: &self.devices,
            config_maps: &self.config_maps,
            secrets: &self.secrets,
        }
    }

    fn preview(&self, changed: Option<&Workload>, deleted: Option<&str>) -> Vec<DevicePreview> {
        let mut then = self.clone();
        if let Some(changed) = changed {
            then.workloads
                .retain(|w| w.metadata.name != changed.metadata.name);
            then.workloads.push(changed.clone());
        }
        self.preview_of(&then, deleted)
    }

    fn preview_of(&self, then: &Self, deleted: Option<&str>) -> Vec<DevicePreview> {
        preview(&PreviewInput {
            now: self.view(),
            then: then.view(),
            deleted,
            site: None,
            observed: &self.observed,
        })
    }

    /// What a change would do, as `device: line`.
    fn change(&self, changed: &Workload) -> Vec<String> {
        lines(&self.preview(Some(changed), None))
    }
}

fn lines(previews: &[DevicePreview]) -> Vec<String> {
    let lines = previews.iter().flat_map(|p| {
        let lines = p.steps.iter().chain(&p.problems);
        lines.map(move |line| format!("{}: {line}", p.device))
    });
    lines.collect()
}

/// A workload as the API has it.
fn workload(name: &str, devices: &[&str], template: &Value) -> Workload {
    let targets: Vec<Value> = devices.iter().map(|d| json!({"device": d})).collect();
    serde_json::from_value(json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": NS, "uid": format!("uid-{name}")},
        "spec": {"targets": targets, "template": template},
    }))
    .unwrap()
}

fn web(image: &str) -> Value {
    json!({"containers": [{"name": "web", "image": image}]})
}

#[test]
fn the_same_again_would_do_nothing() {
    let objects = Objects::new();
    assert_eq!(objects.preview(None, None), []);
    let same = objects.workloads[0].clone();
    assert_eq!(objects.preview(Some(&same), None), []);
}

#[test]
fn a_new_workload_is_pulled_and_created() {
    let objects = Objects::new();
    let other = workload("other", &["dev2"], &web("nginx:1"));
    let previews = objects.preview(Some(&other), None);
    assert_eq!(
        lines(&previews),
        [
            "dev2: pull nginx:1 for other.web, because web needs it",
            "dev2: create other.web: image nginx:1, because it is declared and not there",
        ]
    );
    assert!(previews[0].assumed, "nothing was reported");
}

#[test]
fn a_new_image_replaces() {
    let objects = Objects::new();
    let lines = objects.change(&workload("hello", &["dev1"], &web("hello:2")));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "dev1: pull hello:2 for hello.web, because web needs it");
    assert!(
        lines[1].starts_with("dev1: replace hello.web: image hello:2 (spec v1:"),
        "{}",
        lines[1]
    );
    assert!(
        lines[1].ends_with("because its declaration changed"),
        "{}",
        lines[1]
    );
}

#[test]
fn what_can_change_in_place_does() {
    let mut template = web("hello:1");
    template["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
    template["containers"][0]["restartPolicy"] = json!("OnFailure");
    let lines = Objects::new().change(&workload("hello", &["dev1"], &template));
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("dev1: update hello.web in place: "),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].contains("67108864") && lines[0].contains("restartPolicy"),
        "{}",
        lines[0]
    );
}

#[test]
fn a_change_that_only_the_agent_minds_names_the_device_and_no_step() {
    let mut template = web("hello:1");
    template["containers"][0]["stopGracePeriodSeconds"] = json!(30);
    let previews = Objects::new().preview(Some(&workload("hello", &["dev1"], &template)), None);
    assert_eq!(previews.len(), 1);
    assert_eq!(
        (previews[0].device.as_str(), &previews[0].steps[..]),
        ("dev1", &[][..])
    );
    assert_eq!(previews[0].problems, [""; 0]);
}

#[test]
fn a_workload_that_moves_goes_here_and_comes_there() {
    let lines = Objects::new().change(&workload("hello", &["dev2"], &web("hello:1")));
    assert_eq!(
        lines,
        [
            "dev1: remove hello.web (assumed-hell) with its anonymous volumes, because its workload no longer targets this device",
            "dev2: pull hello:1 for hello.web, because web needs it",
            "dev2: create hello.web: image hello:1, because it is declared and not there",
        ]
    );
}

#[test]
fn a_deleted_workload_goes_with_what_is_doomed_and_under_orphan_it_stays() {
    let template = json!({
        "containers": [
            {"name": "web", "image": "hello:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            {"name": "db", "image": "db:1"},
        ],
        "volumes": [
            {"name": "data", "namedVolume": {"reclaimPolicy": "Delete"}},
            {"name": "kept", "namedVolume": {}},
        ],
    });
    let mut objects = Objects::new();
    objects.workloads = vec![workload("hello", &["dev1"], &template)];
    let removed = lines(&objects.preview(None, Some("hello")));
    let wanted =
        |line: &str| removed.contains(&format!("dev1: {line}, because its workload is being deleted"));
    assert!(wanted("remove network hello.default"), "{removed:?}");
    assert!(wanted("remove volume hello.data and its data"), "{removed:?}");
    assert!(
        removed.iter().any(|l| l.starts_with("dev1: remove hello.db")),
        "{removed:?}"
    );
    assert!(!removed.iter().any(|l| l.contains("kept")), "{removed:?}");
    objects.workloads[0].spec.deletion_policy = Some(longshore_crds::workload::DeletionPolicy::Orphan);
    let kept = lines(&objects.preview(None, Some("hello")));
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(
        kept.iter().all(|l| l.starts_with("dev1: hold hello.")),
        "{kept:?}"
    );
    assert_eq!(objects.preview(None, Some("never-there")), []);
}

#[test]
fn what_keeps_it_from_being_brought_about_is_told_and_what_runs_stays() {
    let objects = Objects::new();
    let with_port = |name: &str| {
        let mut template = web("nginx:1");
        template["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
        workload(name, &["dev1"], &template)
    };
    let mut taken = objects.clone();
    taken.workloads.push(with_port("a-first"));
    let lines = taken.change(&with_port("z-second"));
    assert!(
        lines
            .contains(&"dev1: z-second: PortConflict: web: host port 8080 is held by a-first.web".to_owned()),
        "{lines:?}"
    );
    // A declaration that cannot be read as one: nothing is done to what runs.
    let mut template = web("hello:2");
    template["containers"][0]["dependsOn"] = json!([{"container": "nobody"}]);
    assert_eq!(
        objects.change(&workload("hello", &["dev1"], &template)),
        ["dev1: hello: InvalidSpec: spec.template.containers: there is no container \"nobody\""]
    );
}

#[test]
fn a_manifest_without_a_uid_is_that_of_the_object_it_changes() {
    let mut manifest = workload("hello", &["dev1"], &json!({"containers": []}));
    manifest.metadata.uid = None;
    let lines = Objects::new().change(&manifest);
    assert_eq!(
        lines,
        ["dev1: hello: InvalidSpec: spec.template.containers: needs at least one container"]
    );
}

#[test]
fn a_paused_device_and_a_suspended_workload_would_change_nothing() {
    let mut objects = Objects::new();
    for device in &mut objects.devices {
        device.spec.paused = Some(true);
    }
    let changed = workload("hello", &["dev1"], &web("hello:2"));
    assert_eq!(
        objects.change(&changed),
        ["dev1: hold hello.web: the device is paused"]
    );
    let mut suspended = changed;
    suspended.spec.suspend = Some(true);
    assert_eq!(
        Objects::new().change(&suspended),
        ["dev1: hold hello.web: the workload is suspended"]
    );
}

#[test]
fn what_was_reported_counts_more_than_what_is_declared() {
    let mut objects = Objects::new();
    let now = fixtures::running(&[]);
    objects.observed.insert("dev1".into(), now);
    let previews = objects.preview(None, None);
    assert_eq!(
        lines(&previews),
        [
            "dev1: pull hello:1 for hello.web, because web needs it",
            "dev1: create hello.web: image hello:1, because it is declared and not there",
        ]
    );
    assert!(!previews[0].assumed);
    let mut taken = fixtures::running(&[]);
    taken.unmanaged.push(fixtures::stranger("hello.web", 1));
    objects.observed.insert("dev1".into(), taken);
    assert_eq!(
        lines(&objects.preview(None, None)),
        [
            "dev1: hold hello.web: the name hello.web is taken by hello.web",
            "dev1: hello: NameConflict: web: the name hello.web is held by hello.web",
        ]
    );
}

#[test]
fn an_init_container_that_ran_is_not_run_again() {
    let template = json!({
        "initContainers": [{"name": "init", "image": "init:1", "restartPolicy": "Never"}],
        "containers": [{"name": "web", "image": "hello:1"}],
    });
    let mut objects = Objects::new();
    objects.workloads = vec![workload("hello", &["dev1"], &template)];
    assert_eq!(objects.preview(None, None), []);
}

#[test]
fn devices_come_by_name() {
    let mut objects = Objects::new();
    objects.devices = ["c", "a", "b"].map(device_object).into();
    let previews = objects.preview(Some(&workload("all", &["b", "c", "a"], &web("i"))), None);
    let names: Vec<&str> = previews.iter().map(|p| p.device.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}
