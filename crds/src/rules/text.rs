//! Rules of single strings: names, paths, addresses.

use schemars::Schema;
use serde_json::json;

use super::Rule;
use crate::names::LABEL;
use crate::schema::{add_item_rules, add_rules};

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

/// A container's name as Docker wants it, and not one that `replace` uses for the old container or the new
/// one.
pub(crate) fn container_name(schema: &mut Schema) {
    add_match(
        schema,
        "^[a-zA-Z0-9][a-zA-Z0-9_.-]+$",
        "must be a container name: two or more letters, digits, '_', '.' and '-', not starting with one of the last three",
    );
    add_rules(
        schema,
        [Rule::new(
            "!self.endsWith('.prev') && !self.endsWith('.next')",
            "must not end in '.prev' or '.next', the names of a container that is being replaced",
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
