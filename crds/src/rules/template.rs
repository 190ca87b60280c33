//! Rules across the containers, volumes and networks of one template.

use schemars::Schema;

use super::Rule;
use crate::schema::{add_rules, require};

/// Every container of `list` satisfies `predicate` (over `c`).
///
/// The message cannot name the one that does not: an expression that takes a name out of a filtered list
/// costs more than Kubernetes allows, because the estimate forgets how long a name can be.
fn every(list: &str, path: &'static str, predicate: &str, says: &str) -> Rule {
    Rule::new(
        format!("!has(self.{list}) || self.{list}.all(c, {predicate})"),
        format!("a container {says}"),
    )
    .at(path)
}

/// What holds within one template.
pub(crate) fn template(schema: &mut Schema) {
    let mut rules = vec![
        every(
            "initContainers",
            ".initContainers",
            "!self.containers.exists(o, o.name == c.name)",
            "has the name of another container",
        ),
        every(
            "containers",
            ".containers",
            "!has(c.containerName) || self.containers.exists_one(o, has(o.containerName) && o.containerName == c.containerName)",
            "has the containerName of another container",
        ),
        every(
            "containers",
            ".containers",
            "!has(c.ports) || c.ports.all(p, !has(p.hostPort) || self.containers.exists_one(o, has(o.ports) && o.ports.exists(q, has(q.hostPort) && q.hostPort == p.hostPort && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP') && (!has(q.hostIP) || !has(p.hostIP) || q.hostIP == p.hostIP))))",
            "wants the hostPort of another container",
        ),
        every(
            "containers",
            ".containers",
            "!has(c.dependsOn) || c.dependsOn.all(d, self.containers.exists(o, o.name == d.container))",
            "depends on one that spec.template.containers does not declare",
        ),
        every(
            "containers",
            ".containers",
            "!has(c.dependsOn) || !c.dependsOn.exists(d, has(d.condition) && d.condition == 'completed' && self.containers.exists(o, o.name == d.container && (!has(o.restartPolicy) || o.restartPolicy in ['Always', 'UnlessStopped'])))",
            "waits for the completion of one whose restartPolicy never lets it complete",
        ),
        every(
            "containers",
            ".containers",
            "!has(self.hostNetwork) || !self.hostNetwork || !has(c.ports) || c.ports.all(p, !has(p.hostIP) && (!has(p.hostPort) || p.hostPort == p.containerPort))",
            "has a port whose hostPort is not its containerPort, or a hostIP, with hostNetwork",
        ),
        every(
            "containers",
            ".containers",
            "!has(self.hostIPC) || !self.hostIPC || !has(c.shmSize)",
            "has a shmSize with hostIPC, whose size is the host's",
        ),
        Rule::new(
            "!has(self.hostNetwork) || !self.hostNetwork || !has(self.networks) || self.networks.size() == 0",
            "must not be set with hostNetwork",
        )
        .at(".networks"),
        Rule::new(
            "!has(self.hostNetwork) || !self.hostNetwork || !has(self.sysctls) || self.sysctls.all(s, !s.name.startsWith('net.'))",
            "net.* is the host's with hostNetwork",
        )
        .at(".sysctls"),
        Rule::new(
            "!has(self.hostIPC) || !self.hostIPC || !has(self.sysctls) || self.sysctls.all(s, s.name.startsWith('net.'))",
            "kernel.* and fs.mqueue.* are the host's with hostIPC",
        )
        .at(".sysctls"),
    ];
    for (list, path) in [
        ("containers", ".containers"),
        ("initContainers", ".initContainers"),
    ] {
        rules.push(every(
            list,
            path,
            "!has(c.volumeMounts) || (has(self.volumes) ? c.volumeMounts.all(m, self.volumes.exists(v, v.name == m.name)) : c.volumeMounts.size() == 0)",
            "mounts a volume that spec.template.volumes does not declare",
        ));
        rules.push(every(
            list,
            path,
            "!has(c.volumeMounts) || !has(self.volumes) || c.volumeMounts.all(m, !has(m.mountPropagation) || m.mountPropagation == 'None' || self.volumes.exists(v, v.name == m.name && has(v.hostPath)))",
            "has a mountPropagation on a volume that is no hostPath",
        ));
    }
    require(schema, &["containers"]);
    add_rules(schema, rules);
}
