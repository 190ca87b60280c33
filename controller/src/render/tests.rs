use std::collections::{BTreeMap, BTreeSet};

use longshore_plan::desired::{DesiredContainer, DesiredWorkload};
use longshore_plan::spec::{ContentDigest, EnvSource, MountSource, RestartPolicy};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

mod content;
mod env;
mod fields;
mod order;

/// ConfigMaps and Secrets as a test writes them. A digest is `<kind>/<value>`, so that it tells values
/// apart and shows in goldens what it stands for.
#[derive(Debug, Default, Clone)]
struct Objects(BTreeMap<ContentObject, BTreeMap<String, ContentDigest>>);

impl ContentLookup for Objects {
    fn digests(&self, object: &ContentObject) -> Option<&BTreeMap<String, ContentDigest>> {
        self.0.get(object)
    }
}

impl Objects {
    fn with(mut self, kind: ContentKind, name: &str, data: &[(&str, &str)]) -> Self {
        let digest = |value: &str| ContentDigest(format!("{kind}/{value}"));
        let digests = data.iter().map(|(k, v)| ((*k).to_owned(), digest(v))).collect();
        self.0.insert(object(kind, name), digests);
        self
    }

    fn config_map(self, name: &str, data: &[(&str, &str)]) -> Self {
        self.with(ContentKind::ConfigMap, name, data)
    }

    fn secret(self, name: &str, data: &[(&str, &str)]) -> Self {
        self.with(ContentKind::Secret, name, data)
    }
}

fn object(kind: ContentKind, name: &str) -> ContentObject {
    ContentObject {
        kind,
        namespace: "default".into(),
        name: name.into(),
    }
}

const FULL: &str = include_str!("../../../examples/full.yaml");
const HELLO: &str = include_str!("../../../examples/hello/workload.yaml");

/// The first document of a file.
fn manifest(yaml: &str) -> Value {
    let first = serde_yaml::Deserializer::from_str(yaml).next().unwrap();
    Value::deserialize(first).unwrap()
}

/// What the examples refer to.
fn objects() -> Objects {
    Objects::default()
        .config_map("full", &[("level", "info"), ("app.conf", "conf")])
        .config_map("full-env", &[("COLOUR", "blue")])
        .secret("full", &[("password", "pw"), ("tls.key", "key")])
        .secret("full-env", &[("API_TOKEN", "token")])
        .secret("registry", &[(".dockerconfigjson", "auths")])
        .secret("hello", &[("token", "hello-token")])
}

fn try_render(manifest: &Value, objects: &Objects) -> Result<Rendered, Vec<RenderProblem>> {
    let workload: Workload = serde_json::from_value(manifest.clone()).unwrap();
    render(&workload, objects)
}

fn rendered(manifest: &Value) -> DesiredWorkload {
    try_render(manifest, &objects()).unwrap().workload
}

/// A workload of one template.
#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a test can write `json!` where it is called"
)]
fn of_template(template: Value) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {"targets": [{"device": "dev1"}], "template": template},
    })
}

/// A workload of one container, `c`, with these further fields.
#[expect(
    clippy::needless_pass_by_value,
    reason = "so that a test can write `json!` where it is called"
)]
fn of_container(fields: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    for (name, value) in fields.as_object().unwrap() {
        container[name] = value.clone();
    }
    of_template(json!({"containers": [container]}))
}

fn container(fields: Value) -> DesiredContainer {
    rendered(&of_container(fields)).containers.remove(0)
}

fn problems(manifest: &Value) -> Vec<String> {
    let problems = try_render(manifest, &objects()).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// Compares with a file, or with `BLESS=1` in the environment writes it.
fn golden(name: &str, workload: &DesiredWorkload) {
    let path = format!("{}/src/render/goldens/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let found = serde_json::to_string_pretty(workload).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} differs; BLESS=1 writes it. Now it is:\n{found}"
    );
}

#[test]
fn the_example_of_the_design_renders_to_its_golden() {
    golden("hello", &rendered(&manifest(HELLO)));
}

#[test]
fn every_field_together_renders_to_its_golden() {
    golden("full", &rendered(&manifest(FULL)));
}

#[test]
fn what_a_user_leaves_out_and_what_it_means_are_one_hash() {
    let bare = of_container(json!({}));
    let spelled_out = of_container(json!({
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "tty": false,
        "stdin": false,
        "init": false,
        "imageHealthcheck": false,
        "onConfigChange": "Update",
        "stopGracePeriodSeconds": 10,
        "securityContext": {
            "privileged": false,
            "readOnlyRootFilesystem": false,
            "allowPrivilegeEscalation": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"limits": {"memory": "0", "cpu": 0, "pids": 0}},
    }));
    let mut spelled_out = spelled_out;
    spelled_out["spec"]["rollout"] =
        json!({"minReadySeconds": 10, "progressDeadlineSeconds": 600, "onFailure": "Rollback"});
    spelled_out["spec"]["drift"] = json!("Enforce");
    spelled_out["spec"]["priority"] = json!(0);
    spelled_out["spec"]["suspend"] = json!(false);
    spelled_out["spec"]["template"]["hostNetwork"] = json!(false);
    spelled_out["spec"]["template"]["dnsConfig"] = json!({});
    assert_eq!(rendered(&bare), rendered(&spelled_out));
}

#[test]
fn a_network_is_made_when_two_containers_meet_or_one_is_asked_for() {
    let names = |template: Value| {
        let workload = rendered(&of_template(template));
        let of_containers: BTreeSet<_> = workload
            .containers
            .iter()
            .map(|c| c.config.networks.clone())
            .collect();
        let networks: Vec<_> = workload.networks.iter().map(|n| n.name.clone()).collect();
        assert_eq!(
            of_containers,
            BTreeSet::from([networks.clone()]),
            "every container is on all of them"
        );
        networks
    };
    let (one, two) = (
        json!([{"name": "a", "image": "i"}]),
        json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]),
    );
    assert_eq!(names(json!({"containers": one})), [""; 0]);
    assert_eq!(names(json!({"containers": two})), ["w.default"]);
    assert_eq!(names(json!({"containers": two, "hostNetwork": true})), [""; 0]);
    assert_eq!(
        names(json!({"containers": one, "networks": [{"name": "b"}, {"name": "a"}]})),
        ["w.a", "w.b"]
    );
    assert_eq!(
        names(json!({"containers": two, "networks": [{"name": "a"}]})),
        ["w.a"]
    );
    assert_eq!(
        names(json!({"containers": one, "initContainers": [{"name": "b", "image": "i"}]})),
        [""; 0]
    );
}

#[test]
fn cpu_and_memory_become_the_numbers_kubernetes_makes_of_them() {
    let table = [
        (json!({"limits": {"cpu": "500m"}}), Some(500), Some(512)),
        (
            json!({"limits": {"cpu": 2}, "requests": {"cpu": "250m"}}),
            Some(2000),
            Some(256),
        ),
        (json!({"requests": {"cpu": "1m"}}), None, Some(2)),
        (json!({"requests": {"cpu": 0}}), None, Some(2)),
        (json!({"requests": {"cpu": 1000}}), None, Some(262_144)),
        (json!({"limits": {"cpu": "0"}}), None, None),
        (json!({}), None, None),
    ];
    for (resources, limit, shares) in table {
        let found = container(json!({"resources": resources})).config.resources;
        assert_eq!(
            (found.cpu_limit_millis, found.cpu_shares),
            (limit, shares),
            "{resources}"
        );
    }
    let memory = container(json!({"resources": {"limits": {"memory": "64Mi"}}}))
        .config
        .resources;
    assert_eq!(
        (memory.memory_limit_bytes, memory.memory_reservation_bytes),
        (Some(64 << 20), None)
    );
}

#[test]
fn an_init_container_comes_first_and_is_not_started_for_ever() {
    let workload = rendered(&of_template(json!({
        "containers": [{"name": "a", "image": "i"}],
        "initContainers": [{"name": "z", "image": "i"}, {"name": "y", "image": "i", "restartPolicy": "Never"}],
    })));
    let order: Vec<_> = workload
        .containers
        .iter()
        .map(|c| (c.name.as_str(), c.init, c.config.restart_policy))
        .collect();
    let forever = RestartPolicy::OnFailure { max_retries: 0 };
    assert_eq!(
        order,
        [
            ("z", true, forever),
            ("y", true, RestartPolicy::Never),
            ("a", false, RestartPolicy::Always)
        ]
    );
}

#[test]
fn with_the_hosts_network_every_port_is_the_hosts() {
    let mut manifest = of_container(json!({"ports": [{"containerPort": 80}]}));
    manifest["spec"]["template"]["hostNetwork"] = json!(true);
    assert_eq!(
        rendered(&manifest).containers[0].spec.ports[0].host_port,
        Some(80)
    );
}

#[test]
fn every_problem_is_named_with_its_field() {
    let mut manifest = of_template(json!({
        "containers": [
            {"name": "A", "image": "i", "resources": {"limits": {"memory": "64Mx"}, "requests": {"cpu": "1"}}},
            {
                "name": "b", "image": "i", "shmSize": "1Q",
                "ports": [{"containerPort": 1, "hostPort": 1, "hostIP": "nowhere"}, {"containerPort": 2, "hostPort": 1}],
                "readinessProbe": {"httpGet": {"port": "http"}},
                "livenessProbe": {},
                "volumeMounts": [{"name": "gone", "mountPath": "/x"}, {"name": "t", "mountPath": "/y", "mountPropagation": "Bidirectional"}],
                "dependsOn": [{"container": "c"}, {"container": "nobody"}],
                "env": [{"name": "X"}, {"name": "Y", "value": "", "valueFrom": {}}, {"name": "Z", "valueFrom": {}}],
                "envFrom": [{}],
                "resources": {"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "2", "memory": "2Mi"}},
            },
            {"name": "c", "image": "i", "dependsOn": [{"container": "b"}], "containerName": "w.b"},
        ],
        "volumes": [{"name": "t", "tmpfs": {}}, {"name": "n"}, {"name": "v", "namedVolume": {"volumeName": "w.u"}}, {"name": "u", "namedVolume": {}}],
        "networks": [{"name": "n", "subnet": "10.0.0.1/24"}, {"name": "m", "subnet": "10.0.0.0/40"}],
        "dnsConfig": {"nameservers": ["here"]},
    }));
    manifest["metadata"]["name"] = json!("w");
    let name = "must consist of lower case letters, digits and '-'";
    let quantity = "must be a number with a suffix such as m, k, M, Ki, Mi or Gi";
    let wanted = [
        "spec.template.networks[0].subnet: \"10.0.0.1/24\" has bits set beyond its prefix".to_owned(),
        "spec.template.networks[1].subnet: \"10.0.0.0/40\" is no subnet".to_owned(),
        "spec.template.volumes[1]: needs exactly one source".to_owned(),
        "spec.template.dnsConfig.nameservers[0]: \"here\" is no IP address".to_owned(),
        format!("spec.template.containers[0].name: invalid name \"A\": {name}"),
        format!("spec.template.containers[0].resources.limits.memory: invalid quantity \"64Mx\": {quantity}"),
        "spec.template.containers[1].volumeMounts[0].name: there is no volume \"gone\"".to_owned(),
        "spec.template.containers[1].volumeMounts[1].mountPropagation: is for hostPath volumes only"
            .to_owned(),
        "spec.template.containers[1].envFrom[0]: needs exactly one of configMapRef and secretRef".to_owned(),
        "spec.template.containers[1].env[0]: needs exactly one of value and valueFrom".to_owned(),
        "spec.template.containers[1].env[1]: needs exactly one of value and valueFrom".to_owned(),
        "spec.template.containers[1].env[2].valueFrom: needs exactly one of configMapKeyRef and secretKeyRef"
            .to_owned(),
        "spec.template.containers[1].ports[0].hostIP: \"nowhere\" is no IP address".to_owned(),
        format!("spec.template.containers[1].shmSize: invalid quantity \"1Q\": {quantity}"),
        "spec.template.containers[1].resources.requests.cpu: must not be more than the limit".to_owned(),
        "spec.template.containers[1].resources.requests.memory: must not be more than the limit".to_owned(),
        "spec.template.containers[1].livenessProbe: needs exactly one of exec, httpGet and tcpSocket"
            .to_owned(),
        "spec.template.containers[1].readinessProbe.httpGet.port: there is no port named \"http\"".to_owned(),
        "spec.template.containers: engine name w.b is taken by another one of this workload".to_owned(),
        "spec.template.volumes: engine name w.u is taken by another one of this workload".to_owned(),
        "spec.template.containers: host port 1 is taken by another one of this workload".to_owned(),
        "spec.template.containers: there is no container \"nobody\"".to_owned(),
        "spec.template.containers: b, c wait for each other".to_owned(),
    ];
    assert_eq!(problems(&manifest), wanted);
}

#[test]
fn a_workload_without_containers_is_refused() {
    assert_eq!(
        problems(&of_template(json!({}))),
        ["spec.template.containers: needs at least one container"]
    );
}
