//! Validation in CEL, run by the API server at apply. No webhooks: a rule here is all there is, and the
//! renderer trusts none of it.
//!
//! Kubernetes estimates every rule's cost from `maxItems` and `maxLength` and refuses a definition whose
//! rules could be slow. Rules therefore stand as deep as they can, and lists have limits. They keep to
//! what CEL had in Kubernetes 1.25 and avoid backslashes, so that every evaluator reads them alike.

use schemars::Schema;
use serde_json::{Value, json};

use crate::names::{DEVICE_NAME_MAX, LABEL};
use crate::schema::{add_item_rules, add_rules, require};

mod template;

pub(crate) use template::template;

/// One entry of `x-kubernetes-validations`.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    rule: String,
    message: String,
    field_path: Option<&'static str>,
}

impl Rule {
    pub(crate) fn new(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            message: message.into(),
            field_path: None,
        }
    }

    fn at(mut self, path: &'static str) -> Self {
        self.field_path = Some(path);
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({"rule": self.rule, "message": self.message});
        if let Some(path) = self.field_path {
            value["fieldPath"] = json!(path);
        }
        value
    }
}

fn matches(regex: &str, message: &str) -> Rule {
    debug_assert!(
        !regex.contains(['\'', '\\']),
        "{regex} must not need escapes in CEL"
    );
    Rule::new(format!("self.matches('{regex}')"), message)
}

fn add_match(schema: &mut Schema, regex: &str, message: &str) {
    add_rules(schema, [matches(regex, message)]);
}

const LABEL_WORDS: &str =
    "must consist of lower case letters, digits and '-', and start and end with a letter or digit";

/// A DNS label. Its length stands in `maxLength`.
pub(crate) fn label(schema: &mut Schema) {
    add_match(schema, LABEL, LABEL_WORDS);
}

/// The name of a ConfigMap or Secret. A plain pattern: there are so many of these that CEL would use up
/// the definition's budget.
pub(crate) fn object_name(schema: &mut Schema) {
    pattern(
        schema,
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    );
}

/// A key of a ConfigMap or Secret. A plain pattern, as the object's name.
pub(crate) fn content_key(schema: &mut Schema) {
    pattern(schema, "^[-._a-zA-Z0-9]+$");
}

fn pattern(schema: &mut Schema, regex: &str) {
    schema.ensure_object().insert("pattern".into(), json!(regex));
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

/// The grammar of distribution's references: `[registry[:port]/]path[:tag][@digest]`.
pub(crate) fn image(schema: &mut Schema) {
    const DOMAIN: &str =
        "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*(:[0-9]+)?";
    const PATH: &str = "[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*";
    const TAG: &str = "[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127}";
    const DIGEST: &str = "[a-zA-Z][a-zA-Z0-9]*([-_+.][a-zA-Z][a-zA-Z0-9]*)*:[0-9a-fA-F]{32,}";
    add_match(
        schema,
        &format!("^({DOMAIN}/)?{PATH}(/{PATH})*(:{TAG})?(@{DIGEST})?$"),
        "must be an image reference: [registry[:port]/]name[:tag][@digest], the name in lower case",
    );
}

/// A container's name as Docker wants it, and not one that `replace` uses for the old container.
pub(crate) fn container_name(schema: &mut Schema) {
    add_match(
        schema,
        "^[a-zA-Z0-9][a-zA-Z0-9_.-]+$",
        "must be a container name: two or more letters, digits, '_', '.' and '-', not starting with one of the last three",
    );
    add_rules(
        schema,
        [Rule::new(
            "!self.endsWith('.prev')",
            "must not end in '.prev', the name of a container that is being replaced",
        )],
    );
}

/// The name of a port, as IANA writes service names.
pub(crate) fn port_name(schema: &mut Schema) {
    add_rules(
        schema,
        [
            matches(LABEL, LABEL_WORDS),
            matches("[a-z]", "must contain a letter"),
        ],
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

/// A host name.
pub(crate) fn hostname(schema: &mut Schema) {
    add_match(
        schema,
        "^[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?([.][a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?)*$",
        "must be a host name",
    );
}

/// A set of cores as Linux writes it.
pub(crate) fn cpuset(schema: &mut Schema) {
    add_match(
        schema,
        "^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$",
        "must be a set of cores such as 0-2,4",
    );
}

/// The name of an environment variable.
pub(crate) fn env_name(schema: &mut Schema) {
    add_match(
        schema,
        "^[-._a-zA-Z][-._a-zA-Z0-9]*$",
        "must be a variable's name: letters, digits, '_', '-' and '.', not starting with a digit",
    );
}

/// An absolute path that stays where it says.
pub(crate) fn absolute_path(schema: &mut Schema) {
    add_rules(schema, [matches("^/", "must be an absolute path"), no_parent()]);
}

/// A path inside a container on which something is mounted.
pub(crate) fn mount_path(schema: &mut Schema) {
    add_rules(
        schema,
        [
            matches("^/[^:]*$", "must be an absolute path without ':'"),
            Rule::new("self != '/'", "must not be the root of the container"),
            no_parent(),
        ],
    );
}

/// A path below a mount.
pub(crate) fn relative_path(schema: &mut Schema) {
    add_rules(schema, [matches("^[^/]", "must be a relative path"), no_parent()]);
}

fn no_parent() -> Rule {
    Rule::new("!self.matches('(^|/)[.][.](/|$)')", "must not contain '..'")
}

/// An IP address. The renderer reads it for good.
pub(crate) fn ip(schema: &mut Schema) {
    add_match(schema, &format!("^({V4}|{V6})$"), "must be an IP address");
}

/// A list of IP addresses.
pub(crate) fn ips(schema: &mut Schema) {
    add_item_rules(
        schema,
        [matches(&format!("^({V4}|{V6})$"), "must be an IP address")],
    );
}

/// A subnet.
pub(crate) fn cidr(schema: &mut Schema) {
    add_match(
        schema,
        &format!("^({V4}/(3[0-2]|[12]?[0-9])|{V6}/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"),
        "must be a subnet such as 10.1.2.0/24",
    );
}

const V4: &str = "((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])";
const V6: &str = "[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}";

/// A signal by the name Linux gives it.
pub(crate) fn signal(schema: &mut Schema) {
    add_match(
        schema,
        "^SIG(ABRT|ALRM|BUS|CHLD|CONT|FPE|HUP|ILL|INT|IO|KILL|PIPE|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN([+]([1-9]|1[0-5]))?|RTMAX(-([1-9]|1[0-4]))?)$",
        "must be a signal by name, such as SIGTERM",
    );
}

/// Kernel parameters that belong to a container's own namespaces; engines refuse the others.
pub(crate) fn sysctl(schema: &mut Schema) {
    add_match(
        schema,
        "^(net[.][-a-z0-9_.*/]+|fs[.]mqueue[.][a-z_]+|kernel[.](msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$",
        "must be a kernel parameter of a container's own namespaces: net.*, fs.mqueue.*, kernel.msg*, kernel.sem or kernel.shm*",
    );
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
                "!has(self.ports) || self.ports.all(p, !has(p.hostPort) || self.ports.exists_one(q, has(q.hostPort) && q.hostPort == p.hostPort && q.protocol == p.protocol && (!has(q.hostIP) || !has(p.hostIP) || q.hostIP == p.hostIP)))",
                "two ports of the container want the same hostPort",
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
