//! A [`CreateRequest`] in Docker's words.
//!
//! Bind sources are always `Mounts`, never `Binds`: a missing `-v` source silently becomes an empty
//! directory, a missing mount source is an error.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointSettings, HostConfig, HostConfigLogConfig, ImageConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType, NetworkingConfig,
    PortBinding, ResourcesUlimits,
};
use longshore_plan::spec::{
    ContainerSpec, Logging, MountSource, Port, Propagation, Protocol, Resources, SecurityContext,
};

use super::connection::ApiVersion;
use super::inspect::restart_policy;
use crate::runtime::CreateRequest;

/// From here on the engine makes a missing bind source itself when asked to.
pub(super) const CREATE_MOUNTPOINT: ApiVersion = ApiVersion::new(1, 42);
/// From here on a creation may name several networks.
pub(super) const MANY_ENDPOINTS: ApiVersion = ApiVersion::new(1, 44);

/// What is needed beside the request itself.
pub(super) struct Context {
    pub(super) version: ApiVersion,
    /// The image's own configuration.
    pub(super) image: ImageConfig,
    /// The content of the seccomp profile, where the request names a file.
    pub(super) seccomp_profile: Option<String>,
}

/// The body of `POST /containers/create`. A volume without its directory is left out by the caller's
/// check, see [`missing_content`].
pub(super) fn body(request: &CreateRequest, context: &Context) -> ContainerCreateBody {
    let CreateRequest {
        name: _,
        spec,
        env,
        content_dirs: _,
        restart_policy: _,
        resources: _,
        networks,
        alias,
        labels,
        stop_grace_period,
    } = request;
    let mut all_labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    all_labels.extend(labels.clone());
    let at_once = if context.version < MANY_ENDPOINTS {
        1
    } else {
        networks.len()
    };
    let endpoints: HashMap<_, _> = networks
        .iter()
        .take(at_once)
        .map(|network| (network.clone(), endpoint(alias)))
        .collect();
    ContainerCreateBody {
        hostname: spec.hostname.clone(),
        user: user(&spec.security, &context.image),
        exposed_ports: some(spec.ports.iter().map(port_name).collect()),
        tty: spec.tty.then_some(true),
        open_stdin: spec.stdin.then_some(true),
        env: some(env.clone()),
        cmd: some(spec.args.clone()),
        entrypoint: some(spec.command.clone()),
        image: Some(spec.image.clone()),
        working_dir: spec.working_dir.clone(),
        labels: Some(all_labels),
        stop_signal: Some(stop_signal(spec, &context.image)),
        stop_timeout: Some(i64::try_from(stop_grace_period.as_secs()).unwrap_or(i64::MAX)),
        host_config: Some(host_config(request, context)),
        networking_config: (!endpoints.is_empty()).then_some(NetworkingConfig {
            endpoints_config: Some(endpoints),
        }),
        ..ContainerCreateBody::default()
    }
}

/// A place in a network under the container's alias.
pub(super) fn endpoint(alias: &str) -> EndpointSettings {
    let aliases = (!alias.is_empty()).then(|| vec![alias.to_owned()]);
    EndpointSettings {
        aliases,
        ..EndpointSettings::default()
    }
}

/// The content mount no directory is given for.
pub(super) fn missing_content(request: &CreateRequest) -> Option<&str> {
    request.spec.mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Content { name, .. } => {
            (!request.content_dirs.contains_key(name)).then_some(name.as_str())
        }
        MountSource::HostPath { .. } | MountSource::Volume { .. } | MountSource::Tmpfs { .. } => None,
    })
}

/// Always named: to a container without a stop signal, Docker takes *every* signal (a `SIGHUP` that means
/// "reload") for a stop by hand and never restarts it again (seen on 20.10).
fn stop_signal(spec: &ContainerSpec, image: &ImageConfig) -> String {
    let of_image = image.stop_signal.clone().filter(|signal| !signal.is_empty());
    spec.stop_signal
        .clone()
        .or(of_image)
        .unwrap_or_else(|| "SIGTERM".to_owned())
}

/// Docker knows no group without a user: then the image's user stays.
fn user(security: &SecurityContext, image: &ImageConfig) -> Option<String> {
    let group = security
        .run_as_group
        .map(|group| format!(":{group}"))
        .unwrap_or_default();
    match &security.run_as_user {
        Some(user) => Some(format!("{user}{group}")),
        None if group.is_empty() => None,
        None => {
            let of_image = image
                .user
                .as_deref()
                .unwrap_or_default()
                .split(':')
                .next()
                .unwrap_or_default();
            Some(format!(
                "{}{group}",
                if of_image.is_empty() { "0" } else { of_image }
            ))
        }
    }
}

fn host_config(request: &CreateRequest, context: &Context) -> HostConfig {
    let ContainerSpec {
        image: _,
        command: _,
        args: _,
        working_dir: _,
        env: _,
        ports,
        mounts: _,
        devices,
        security,
        stop_signal: _,
        tty: _,
        stdin: _,
        ulimits,
        shm_size_bytes,
        init,
        logging,
        labels: _,
        extra_hosts,
        hostname: _,
        dns,
        sysctls,
        host_network,
        host_pid,
        host_ipc,
        runtime_handler,
    } = &request.spec;
    let dns = dns.clone().unwrap_or_default();
    let Resources {
        cpu_limit_millis,
        cpu_shares,
        cpuset_cpus,
        memory_limit_bytes,
        memory_reservation_bytes,
        pids_limit,
    } = &request.resources;
    let host = |wanted: bool| wanted.then(|| "host".to_owned());
    HostConfig {
        nano_cpus: cpu_limit_millis.map(nano_cpus),
        cpu_shares: cpu_shares.map(signed),
        cpuset_cpus: cpuset_cpus.clone(),
        memory: memory_limit_bytes.map(signed),
        memory_reservation: memory_reservation_bytes.map(signed),
        pids_limit: pids_limit.map(signed),
        devices: some(
            devices
                .iter()
                .map(|device| DeviceMapping {
                    path_on_host: Some(device.host_path.clone()),
                    path_in_container: Some(device.container_path.clone()),
                    cgroup_permissions: Some(device.permissions.clone()),
                })
                .collect(),
        ),
        init: init.then_some(true),
        ulimits: some(
            ulimits
                .iter()
                .map(|limit| ResourcesUlimits {
                    name: Some(limit.name.clone()),
                    soft: Some(limit.soft),
                    hard: Some(limit.hard),
                })
                .collect(),
        ),
        log_config: Some(log_config(logging.as_ref())),
        network_mode: host(*host_network).or_else(|| request.networks.first().cloned()),
        port_bindings: if *host_network {
            None
        } else {
            some_map(bindings(ports))
        },
        restart_policy: Some(restart_policy(request.restart_policy)),
        mounts: some(
            request
                .spec
                .mounts
                .iter()
                .map(|mount| one_mount(mount, request, context.version))
                .collect(),
        ),
        cap_add: some(security.cap_add.clone()),
        cap_drop: some(security.cap_drop.clone()),
        dns: some(dns.nameservers.iter().map(ToString::to_string).collect()),
        dns_options: some(dns.options),
        dns_search: some(dns.searches),
        extra_hosts: some(
            extra_hosts
                .iter()
                .map(|(name, address)| format!("{name}:{address}"))
                .collect(),
        ),
        group_add: some(
            security
                .supplemental_groups
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
        ipc_mode: host(*host_ipc),
        pid_mode: host(*host_pid),
        privileged: security.privileged.then_some(true),
        readonly_rootfs: security.read_only_root_filesystem.then_some(true),
        security_opt: some(security_options(security, context.seccomp_profile.as_deref())),
        shm_size: shm_size_bytes.map(signed),
        sysctls: some_map(sysctls.clone().into_iter().collect()),
        runtime: runtime_handler.clone(),
        ..HostConfig::default()
    }
}

/// Bounded by default: an edge disk fills in days otherwise.
fn log_config(logging: Option<&Logging>) -> HostConfigLogConfig {
    let default = [("max-size", "10m"), ("max-file", "3")];
    let (driver, config) = match logging {
        Some(logging) => (
            logging.driver.clone(),
            logging.options.clone().into_iter().collect(),
        ),
        None => (
            "json-file".to_owned(),
            default.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ),
    };
    HostConfigLogConfig {
        typ: Some(driver),
        config: Some(config),
    }
}

fn security_options(security: &SecurityContext, profile: Option<&str>) -> Vec<String> {
    let privileges = security.no_new_privileges.then(|| "no-new-privileges".to_owned());
    let seccomp = match (security.seccomp.as_deref(), profile) {
        (Some("unconfined"), _) => Some("seccomp=unconfined".to_owned()),
        (Some(_), Some(profile)) => Some(format!("seccomp={profile}")),
        _ => None,
    };
    privileges.into_iter().chain(seccomp).collect()
}

fn one_mount(mount: &longshore_plan::spec::Mount, request: &CreateRequest, version: ApiVersion) -> Mount {
    let bind = |path: &str, create: bool| {
        let propagation = mount.propagation.map(|propagation| match propagation {
            Propagation::Rslave => MountBindOptionsPropagationEnum::RSLAVE,
            Propagation::Rshared => MountBindOptionsPropagationEnum::RSHARED,
        });
        let create_mountpoint = (create && version >= CREATE_MOUNTPOINT).then_some(true);
        let options = MountBindOptions {
            propagation,
            create_mountpoint,
            ..MountBindOptions::default()
        };
        Mount {
            typ: Some(MountType::BIND),
            source: Some(path.to_owned()),
            bind_options: (options != MountBindOptions::default()).then_some(options),
            ..Mount::default()
        }
    };
    let base = match &mount.source {
        MountSource::HostPath { path, create } => bind(path, *create),
        MountSource::Content { name, files: _ } => {
            bind(request.content_dirs.get(name).map_or("", String::as_str), false)
        }
        MountSource::Volume { name } => Mount {
            typ: Some(MountType::VOLUME),
            source: Some(name.clone()),
            ..Mount::default()
        },
        MountSource::Tmpfs { size_bytes } => Mount {
            typ: Some(MountType::TMPFS),
            tmpfs_options: size_bytes.map(|bytes| MountTmpfsOptions {
                size_bytes: Some(signed(bytes)),
                ..MountTmpfsOptions::default()
            }),
            ..Mount::default()
        },
    };
    // Content is the agent's: a container must not change what its hash stands for.
    let read_only = mount.read_only || matches!(mount.source, MountSource::Content { .. });
    Mount {
        target: Some(mount.target.clone()),
        read_only: read_only.then_some(true),
        ..base
    }
}

fn bindings(ports: &[Port]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut all: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        if let Some(host_port) = port.host_port {
            let binding = PortBinding {
                host_ip: port.host_ip.map(|ip| ip.to_string()),
                host_port: Some(host_port.to_string()),
            };
            all.entry(port_name(port))
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
    }
    all
}

fn port_name(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", port.container_port)
}

/// Docker's billionths of a core.
pub(super) fn nano_cpus(millis: u64) -> i64 {
    signed(millis.saturating_mul(1_000_000))
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map<V>(map: HashMap<String, V>) -> Option<HashMap<String, V>> {
    (!map.is_empty()).then_some(map)
}
