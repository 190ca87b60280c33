//! One container.

use std::collections::BTreeMap;

use longshore_crds::workload::{
    Container, DependencyCondition, DeviceNode as DeclaredDevice, DnsConfig, ExtraHost, ImagePullPolicy,
    OnConfigChange, Port as DeclaredPort, Protocol as DeclaredProtocol, RestartPolicy as DeclaredRestart,
    SeccompType, SecurityContext as DeclaredSecurity, Template, Ulimit as DeclaredUlimit, Volume,
};
use longshore_plan::desired::{DesiredContainer, DesiredNetwork};
use longshore_plan::hash::spec_hash;
use longshore_plan::names::{ContainerKey, DnsLabel};
use longshore_plan::spec::{self, ContainerBehaviour, ContainerConfig, ContainerSpec, Dependency};

use super::context::Context;
use super::{env, mounts, probe, resources};

/// What all containers of a template have in common.
pub(super) struct Shared<'a> {
    workload: DnsLabel,
    volumes: &'a [Volume],
    networks: Vec<String>,
    hostname: Option<String>,
    dns: Option<spec::Dns>,
    sysctls: BTreeMap<String, String>,
    host_network: bool,
    host_pid: bool,
    host_ipc: bool,
    runtime_handler: Option<String>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        context: &mut Context<'_>,
        workload: &DnsLabel,
        template: &'a Template,
        networks: &[DesiredNetwork],
    ) -> Self {
        // Without `..`: a new field of a template must be decided on here.
        let Template {
            containers: _,
            init_containers: _,
            volumes,
            networks: _,
            host_network,
            host_pid,
            host_ipc,
            hostname,
            dns_config,
            sysctls,
            runtime_handler,
            image_pull_secrets: _,
        } = template;
        Self {
            workload: workload.clone(),
            volumes,
            networks: networks.iter().map(|network| network.name.clone()).collect(),
            hostname: hostname.clone(),
            dns: dns_config.as_ref().and_then(|dns| self::dns(context, dns)),
            sysctls: sysctls
                .iter()
                .map(|s| (s.name.clone(), s.value.clone()))
                .collect(),
            host_network: *host_network == Some(true),
            host_pid: *host_pid == Some(true),
            host_ipc: *host_ipc == Some(true),
            runtime_handler: runtime_handler.clone(),
        }
    }
}

pub(super) fn render(
    context: &mut Context<'_>,
    shared: &Shared<'_>,
    field: &str,
    declared: &Container,
    init: bool,
) -> DesiredContainer {
    // Without `..`: a new field of a container must be decided on here.
    let Container {
        name,
        image,
        image_pull_policy,
        command,
        args,
        working_dir,
        env: _,
        env_from: _,
        ports,
        resources,
        volume_mounts: _,
        devices,
        security_context,
        restart_policy,
        restart_max_retries,
        liveness_probe,
        readiness_probe,
        startup_probe,
        image_healthcheck,
        stop_signal,
        stop_grace_period_seconds,
        tty,
        stdin,
        ulimits,
        shm_size,
        init: init_process,
        logging,
        labels,
        extra_hosts,
        depends_on: _,
        on_config_change,
        config_change_signal,
        container_name,
    } = declared;

    let name = context.label(&format!("{field}.name"), name);
    let key = ContainerKey::new(shared.workload.clone(), name.clone());
    let on_config_change = match on_config_change {
        None | Some(OnConfigChange::Update) => spec::OnConfigChange::Update,
        Some(OnConfigChange::Replace) => spec::OnConfigChange::Replace,
        Some(OnConfigChange::Signal) => {
            let signal = config_change_signal.clone();
            spec::OnConfigChange::Signal(signal.unwrap_or_else(|| "SIGHUP".to_owned()))
        }
    };
    let replace = on_config_change == spec::OnConfigChange::Replace;
    let mounts = mounts::render(
        context,
        field,
        &shared.workload,
        declared,
        shared.volumes,
        replace,
    );
    let env = env::render(context, field, declared);
    let spec = ContainerSpec {
        image: image.clone(),
        command: env::expand_all(context, &format!("{field}.command"), command, &env),
        args: env::expand_all(context, &format!("{field}.args"), args, &env),
        working_dir: working_dir.clone(),
        env,
        ports: self::ports(context, field, ports, shared.host_network),
        mounts: mounts.mounts,
        devices: devices.iter().map(device).collect(),
        security: security_context
            .as_ref()
            .map(|s| security(context, field, s))
            .unwrap_or_default(),
        stop_signal: stop_signal.clone(),
        tty: *tty == Some(true),
        stdin: *stdin == Some(true),
        ulimits: self::ulimits(ulimits),
        shm_size_bytes: context.bytes(&format!("{field}.shmSize"), shm_size.as_ref()),
        init: *init_process == Some(true),
        logging: logging.as_ref().map(|logging| spec::Logging {
            driver: logging.driver.clone(),
            options: logging.options.clone(),
        }),
        labels: labels.clone(),
        extra_hosts: hosts(context, field, extra_hosts),
        hostname: shared.hostname.clone(),
        dns: shared.dns.clone(),
        sysctls: shared.sysctls.clone(),
        host_network: shared.host_network,
        host_pid: shared.host_pid,
        host_ipc: shared.host_ipc,
        runtime_handler: shared.runtime_handler.clone(),
    };
    let config = ContainerConfig {
        restart_policy: restart(*restart_policy, *restart_max_retries, init),
        resources: resources::render(context, &format!("{field}.resources"), resources.as_ref()),
        networks: shared.networks.clone(),
        content: mounts.content,
    };
    let mut probe = |name: &str, declared: &Option<_>| {
        probe::render(context, &format!("{field}.{name}"), declared.as_ref(), ports)
    };
    let behaviour = ContainerBehaviour {
        pull_policy: match image_pull_policy {
            Some(ImagePullPolicy::Always) => spec::PullPolicy::Always,
            None | Some(ImagePullPolicy::IfNotPresent) => spec::PullPolicy::IfNotPresent,
            Some(ImagePullPolicy::Never) => spec::PullPolicy::Never,
        },
        liveness: probe("livenessProbe", liveness_probe),
        readiness: probe("readinessProbe", readiness_probe),
        startup: probe("startupProbe", startup_probe),
        depends_on: dependencies(context, field, declared),
        image_healthcheck: *image_healthcheck == Some(true),
        stop_grace_period_seconds: stop_grace_period_seconds.filter(|seconds| *seconds != 10),
        on_config_change,
    };
    DesiredContainer {
        engine_name: container_name.clone().unwrap_or_else(|| key.to_string()),
        name,
        init,
        hash: spec_hash(&spec),
        spec,
        config,
        behaviour,
    }
}

fn restart(policy: Option<DeclaredRestart>, retries: Option<u32>, init: bool) -> spec::RestartPolicy {
    let max_retries = retries.unwrap_or_default();
    match policy {
        None if init => spec::RestartPolicy::OnFailure { max_retries },
        None | Some(DeclaredRestart::Always) => spec::RestartPolicy::Always,
        Some(DeclaredRestart::UnlessStopped) => spec::RestartPolicy::UnlessStopped,
        Some(DeclaredRestart::OnFailure) => spec::RestartPolicy::OnFailure { max_retries },
        Some(DeclaredRestart::Never) => spec::RestartPolicy::Never,
    }
}

/// Sorted. With the host's network every port is the host's.
fn ports(
    context: &mut Context<'_>,
    field: &str,
    declared: &[DeclaredPort],
    host_network: bool,
) -> Vec<spec::Port> {
    let mut ports = Vec::new();
    for (index, port) in declared.iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        let DeclaredPort {
            name: _,
            container_port,
            host_port,
            host_ip,
            protocol,
        } = port;
        if host_network && host_port.is_some_and(|host| host != *container_port) {
            context.invalid(
                &format!("{field}.hostPort"),
                "must be the containerPort with hostNetwork",
            );
        }
        ports.push(spec::Port {
            container_port: *container_port,
            host_port: if host_network {
                Some(*container_port)
            } else {
                *host_port
            },
            host_ip: host_ip
                .as_ref()
                .map(|ip| context.address(&format!("{field}.hostIP"), ip)),
            protocol: match protocol.unwrap_or_default() {
                DeclaredProtocol::Tcp => spec::Protocol::Tcp,
                DeclaredProtocol::Udp => spec::Protocol::Udp,
                DeclaredProtocol::Sctp => spec::Protocol::Sctp,
            },
        });
    }
    ports.sort();
    ports
}

fn device(declared: &DeclaredDevice) -> spec::DeviceNode {
    let DeclaredDevice {
        host_path,
        container_path,
        permissions,
    } = declared;
    spec::DeviceNode {
        host_path: host_path.clone(),
        container_path: container_path.clone().unwrap_or_else(|| host_path.clone()),
        permissions: permissions.clone().unwrap_or_else(|| "rwm".to_owned()),
    }
}

fn security(context: &mut Context<'_>, field: &str, declared: &DeclaredSecurity) -> spec::SecurityContext {
    let DeclaredSecurity {
        privileged,
        capabilities,
        run_as_user,
        run_as_group,
        supplemental_groups,
        read_only_root_filesystem,
        allow_privilege_escalation,
        seccomp_profile,
    } = declared;
    let capabilities = capabilities.clone().unwrap_or_default();
    let seccomp = seccomp_profile.as_ref().and_then(|profile| match profile.kind {
        SeccompType::RuntimeDefault => None,
        SeccompType::Unconfined => Some("unconfined".to_owned()),
        SeccompType::Localhost => {
            if profile.localhost_profile.is_none() {
                let field = format!("{field}.securityContext.seccompProfile.localhostProfile");
                context.invalid(&field, "must be set with type Localhost");
            }
            profile.localhost_profile.clone()
        }
    });
    spec::SecurityContext {
        privileged: *privileged == Some(true),
        cap_add: set(capabilities.add),
        cap_drop: set(capabilities.drop),
        run_as_user: run_as_user.clone(),
        run_as_group: *run_as_group,
        supplemental_groups: set(supplemental_groups.clone()),
        read_only_root_filesystem: *read_only_root_filesystem == Some(true),
        no_new_privileges: *allow_privilege_escalation == Some(false),
        seccomp,
    }
}

fn set<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items.dedup();
    items
}

fn ulimits(declared: &[DeclaredUlimit]) -> Vec<spec::Ulimit> {
    let mut ulimits: Vec<_> = declared
        .iter()
        .map(|DeclaredUlimit { name, soft, hard }| spec::Ulimit {
            name: name.clone(),
            soft: *soft,
            hard: hard.unwrap_or(*soft),
        })
        .collect();
    ulimits.sort_by(|a, b| a.name.cmp(&b.name));
    ulimits
}

fn hosts(context: &mut Context<'_>, field: &str, declared: &[ExtraHost]) -> BTreeMap<String, String> {
    let mut hosts = BTreeMap::new();
    for (index, ExtraHost { hostname, ip }) in declared.iter().enumerate() {
        let address = context.address(&format!("{field}.extraHosts[{index}].ip"), ip);
        hosts.insert(hostname.clone(), address.to_string());
    }
    hosts
}

fn dependencies(context: &mut Context<'_>, field: &str, declared: &Container) -> Vec<Dependency> {
    let mut dependencies = Vec::new();
    for (index, dependency) in declared.depends_on.iter().enumerate() {
        dependencies.push(Dependency {
            container: context.label(
                &format!("{field}.dependsOn[{index}].container"),
                &dependency.container,
            ),
            condition: match dependency.condition {
                None | Some(DependencyCondition::Started) => spec::DependencyCondition::Started,
                Some(DependencyCondition::Healthy) => spec::DependencyCondition::Healthy,
                Some(DependencyCondition::Completed) => spec::DependencyCondition::Completed,
            },
        });
    }
    dependencies
}

/// Absent when nothing is configured.
fn dns(context: &mut Context<'_>, declared: &DnsConfig) -> Option<spec::Dns> {
    let DnsConfig {
        nameservers,
        searches,
        options,
    } = declared;
    let mut dns = spec::Dns {
        nameservers: Vec::new(),
        searches: searches.clone(),
        options: Vec::new(),
    };
    for (index, server) in nameservers.iter().enumerate() {
        let field = format!("spec.template.dnsConfig.nameservers[{index}]");
        dns.nameservers.push(context.address(&field, server));
    }
    for option in options {
        dns.options.push(match &option.value {
            Some(value) => format!("{}:{value}", option.name),
            None => option.name.clone(),
        });
    }
    (dns != spec::Dns::default()).then_some(dns)
}
