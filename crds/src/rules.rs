//! Validation in CEL, run by the API server at apply. No webhooks: a rule here is all there is, and the
//! renderer trusts none of it.
//!
//! Kubernetes estimates every rule's cost from `maxItems` and `maxLength` and refuses a definition whose
//! rules could be slow. Rules therefore stand as deep as they can, and lists have limits. They keep to
//! what CEL had in Kubernetes 1.25 and avoid backslashes, so that every evaluator reads them alike.

use schemars::Schema;
use serde_json::{Value, json};

use crate::names::DEVICE_NAME_MAX;
use crate::schema::{add_item_rules, add_rules, require};

mod template;
mod text;

pub(crate) use template::template;
pub(crate) use text::*;

/// One entry of `x-kubernetes-validations`.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    expression: String,
    message: String,
    field_path: Option<&'static str>,
}

impl Rule {
    pub(crate) fn new(expression: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            expression: expression.into(),
            message: message.into(),
            field_path: None,
        }
    }

    fn at(mut self, path: &'static str) -> Self {
        self.field_path = Some(path);
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({"rule": self.expression, "message": self.message});
        if let Some(path) = self.field_path {
            value["fieldPath"] = json!(path);
        }
        value
    }
}

/// The root rules of Device.
pub(crate) fn device_name() -> Vec<Rule> {
    vec![
        Rule::new(
            format!("self.metadata.name.size() <= {DEVICE_NAME_MAX}"),
            "a device's name must be no more than 40 characters",
        ),
        Rule::new(
            "!self.metadata.name.contains('.')",
            "a device's name must not contain '.'",
        ),
    ]
}

/// The root rules of Workload.
pub(crate) fn workload_name() -> Vec<Rule> {
    vec![
        Rule::new(
            "self.metadata.name.size() <= 63",
            "a workload's name must be no more than 63 characters",
        ),
        Rule::new(
            "!self.metadata.name.contains('.')",
            "a workload's name must not contain '.'",
        ),
    ]
}

/// Labels of the user's own.
pub(crate) fn own_labels(schema: &mut Schema) {
    add_rules(
        schema,
        [Rule::new(
            "self.all(k, !k.startsWith('longshore.dev/'))",
            "labels under longshore.dev/ are set by longshore",
        )],
    );
}

/// An address is one a port is published on.
pub(crate) fn port(schema: &mut Schema) {
    add_rules(
        schema,
        [Rule::new(
            "!has(self.hostIP) || has(self.hostPort)",
            "needs hostPort beside it",
        )
        .at(".hostIP")],
    );
}

/// Exactly one of the fields.
fn one_of(schema: &mut Schema, fields: &[&str], message: &str) {
    let count: Vec<String> = fields
        .iter()
        .map(|f| format!("(has(self.{f}) ? 1 : 0)"))
        .collect();
    add_rules(
        schema,
        [Rule::new(format!("{} == 1", count.join(" + ")), message)],
    );
}

/// An environment variable has one source.
pub(crate) fn env_var(schema: &mut Schema) {
    one_of(
        schema,
        &["value", "valueFrom"],
        "needs exactly one of value and valueFrom",
    );
}

/// A reference to one key.
pub(crate) fn env_value_from(schema: &mut Schema) {
    one_of(
        schema,
        &["configMapKeyRef", "secretKeyRef"],
        "needs exactly one of configMapKeyRef and secretKeyRef",
    );
}

/// A reference to all keys.
pub(crate) fn env_from(schema: &mut Schema) {
    one_of(
        schema,
        &["configMapRef", "secretRef"],
        "needs exactly one of configMapRef and secretRef",
    );
}

/// A volume has one source.
pub(crate) fn volume(schema: &mut Schema) {
    one_of(
        schema,
        &["hostPath", "namedVolume", "configMap", "secret", "tmpfs"],
        "needs exactly one of hostPath, namedVolume, configMap, secret and tmpfs",
    );
}

/// A probe does one thing.
pub(crate) fn probe(schema: &mut Schema) {
    one_of(
        schema,
        &["exec", "httpGet", "tcpSocket"],
        "needs exactly one of exec, httpGet and tcpSocket",
    );
}

/// A probe that decides to kill cannot want more than one success.
pub(crate) fn one_success(schema: &mut Schema) {
    add_rules(
        schema,
        [Rule::new(
            "!has(self.successThreshold) || self.successThreshold == 1",
            "must be 1 for liveness and startup probes",
        )
        .at(".successThreshold")],
    );
}

/// A soft limit below the hard one.
pub(crate) fn ulimit(schema: &mut Schema) {
    add_rules(
        schema,
        [Rule::new(
            "!has(self.hard) || self.hard == -1 || (self.soft != -1 && self.soft <= self.hard)",
            "must not be more than hard",
        )
        .at(".soft")],
    );
}

/// A seccomp profile of the device is named by its path.
pub(crate) fn seccomp(schema: &mut Schema) {
    add_rules(
        schema,
        [Rule::new(
            "(self.type == 'Localhost') == has(self.localhostProfile)",
            "must be set with type Localhost, and only then",
        )
        .at(".localhostProfile")],
    );
}

/// A group needs a user beside it, on every runtime.
pub(crate) fn security_context(schema: &mut Schema) {
    add_rules(
        schema,
        [
            Rule::new("!has(self.runAsGroup) || has(self.runAsUser)", "needs runAsUser beside it").at(".runAsGroup"),
            Rule::new(
                "!(has(self.privileged) && self.privileged && has(self.allowPrivilegeEscalation) && !self.allowPrivilegeEscalation)",
                "must not be false for a privileged container",
            )
            .at(".allowPrivilegeEscalation"),
        ],
    );
}

/// What holds within one container.
pub(crate) fn container(schema: &mut Schema) {
    add_rules(
        schema,
        [
            Rule::new(
                "!has(self.ports) || self.ports.all(p, !has(p.hostPort) || self.ports.exists_one(q, has(q.hostPort) && q.hostPort == p.hostPort && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP') && (!has(q.hostIP) || !has(p.hostIP) || q.hostIP == p.hostIP)))",
                "two ports of the container want the same hostPort",
            )
            .at(".ports"),
            Rule::new(
                "!has(self.ports) || self.ports.all(p, self.ports.exists_one(q, q.containerPort == p.containerPort && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP')))",
                "two ports of the container have the same containerPort and protocol",
            )
            .at(".ports"),
            Rule::new(
                "!has(self.restartMaxRetries) || (has(self.restartPolicy) && self.restartPolicy == 'OnFailure')",
                "is for restartPolicy OnFailure only",
            )
            .at(".restartMaxRetries"),
            Rule::new(
                "!has(self.configChangeSignal) || (has(self.onConfigChange) && self.onConfigChange == 'Signal')",
                "is for onConfigChange Signal only",
            )
            .at(".configChangeSignal"),
            Rule::new(
                "!has(self.dependsOn) || self.dependsOn.all(d, d.container != self.name)",
                "a container cannot depend on itself",
            )
            .at(".dependsOn"),
        ],
    );
}

/// What does not make sense of a container that runs once, before the others.
pub(crate) fn init_containers(schema: &mut Schema) {
    let refused = [
        ("ports", ".ports"),
        ("livenessProbe", ".livenessProbe"),
        ("readinessProbe", ".readinessProbe"),
        ("startupProbe", ".startupProbe"),
        ("imageHealthcheck", ".imageHealthcheck"),
        ("dependsOn", ".dependsOn"),
    ]
    .map(|(field, path)| Rule::new(format!("!has(self.{field})"), "is not for init containers").at(path));
    add_item_rules(schema, refused);
    add_item_rules(
        schema,
        [Rule::new(
            "!has(self.restartPolicy) || self.restartPolicy in ['OnFailure', 'Never']",
            "must be OnFailure or Never for an init container",
        )
        .at(".restartPolicy")],
    );
}

/// A workload says where it runs.
pub(crate) fn workload_spec(schema: &mut Schema) {
    require(schema, &["targets"]);
}

/// What holds between the times of a rollout, defaults included.
pub(crate) fn rollout(schema: &mut Schema) {
    add_rules(
        schema,
        [Rule::new(
            "(has(self.minReadySeconds) ? self.minReadySeconds : 10) < (has(self.progressDeadlineSeconds) ? self.progressDeadlineSeconds : 600)",
            "must be more than minReadySeconds (10 when absent)",
        )
        .at(".progressDeadlineSeconds")],
    );
}
