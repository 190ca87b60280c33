//! Docker's answers in the model's terms, normalised so that what was asked for compares equal: a default
//! that Docker writes out (a zero, an empty string, `no`, its own networks) is absent here.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bollard::models::{
    self, ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, HealthStatusEnum, HostConfig,
    RestartPolicyNameEnum,
};
use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, HostPort};
use longshore_plan::spec::{Protocol, Resources, RestartPolicy};
use serde::Deserialize;

use crate::runtime::{Attachment, ContainerDetail, ContainerSummary, EngineHealth, ImageInfo, NetworkInfo};

/// Networks every engine has, by name (`podman` is podman's bridge).
const ENGINE_NETWORKS: [&str; 5] = ["bridge", "default", "host", "none", "podman"];
/// Docker's "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// One line of `GET /containers/json`, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    id: String,
    names: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<ListedPort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ListedPort {
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    protocol: String,
}

impl Listed {
    pub(super) fn summary(self) -> ContainerSummary {
        // Links of other containers show up as further names, with a second slash.
        let names = self.names.unwrap_or_default();
        let own = names
            .iter()
            .find(|name| !name.trim_start_matches('/').contains('/'))
            .or(names.first());
        let name = own
            .map(|name| name.trim_start_matches('/').to_owned())
            .unwrap_or_default();
        let ports = self.ports.unwrap_or_default();
        let mut host_ports: Vec<HostPort> = ports.iter().filter_map(ListedPort::published).collect();
        host_ports.sort_unstable();
        host_ports.dedup(); // IPv4 and IPv6
        let labels = self.labels.unwrap_or_default();
        ContainerSummary {
            id: EngineId(self.id),
            name,
            labels,
            host_ports,
        }
    }
}

impl ListedPort {
    fn published(&self) -> Option<HostPort> {
        let protocol = match self.protocol.as_str() {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        self.public_port
            .filter(|port| *port != 0)
            .map(|port| HostPort { port, protocol })
    }
}

/// One container in full.
pub(super) fn detail(answer: ContainerInspectResponse) -> ContainerDetail {
    let state = answer.state.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let host = answer.host_config.unwrap_or_default();
    let running = state.running == Some(true);
    let endpoints = answer
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    let attachment = |(network, endpoint): (&String, &EndpointSettings)| Attachment {
        network: network.clone(),
        address: address(endpoint).filter(|_| running),
    };
    let user_defined = |(name, _): &(&String, &EndpointSettings)| !ENGINE_NETWORKS.contains(&name.as_str());
    let mut networks: Vec<Attachment> = endpoints.iter().filter(user_defined).map(attachment).collect();
    networks.sort_by(|a, b| a.network.cmp(&b.network));
    let reached = if !running {
        None
    } else if host.network_mode.as_deref() == Some("host") {
        Some(IpAddr::from([127, 0, 0, 1]))
    } else {
        networks
            .iter()
            .find_map(|network| network.address)
            .or_else(|| endpoints.values().find_map(address))
    };
    ContainerDetail {
        id: EngineId(answer.id.unwrap_or_default()),
        name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        image: config.image.unwrap_or_default(),
        image_id: answer.image.unwrap_or_default(),
        engine_health: state
            .health
            .as_ref()
            .and_then(|health| engine_health(health.status)),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        restart_policy: host.restart_policy.as_ref().map_or(RestartPolicy::Never, policy),
        resources: resources(&host),
        networks,
        address: reached,
        restarts: answer
            .restart_count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        started_at: state
            .started_at
            .clone()
            .filter(|at| at != NEVER)
            .unwrap_or_default(),
        error: state.error.clone().unwrap_or_default(),
        state: container_state(&state),
    }
}

fn container_state(state: &models::ContainerState) -> ContainerState {
    let exit_code = state.exit_code.unwrap_or(0);
    let exited = ContainerState::Exited {
        exit_code,
        oom_killed: state.oom_killed.unwrap_or(false),
    };
    let flag = |value: Option<bool>| value == Some(true);
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerState::Created,
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            ContainerState::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting { exit_code },
        Some(ContainerStateStatusEnum::EXITED) => exited,
        Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::REMOVING) => ContainerState::Dead,
        // An engine that names no state still tells the flags.
        Some(ContainerStateStatusEnum::EMPTY) | None => {
            if flag(state.dead) {
                ContainerState::Dead
            } else if flag(state.restarting) {
                ContainerState::Restarting { exit_code }
            } else if flag(state.paused) {
                ContainerState::Paused
            } else if flag(state.running) {
                ContainerState::Running
            } else {
                exited
            }
        }
    }
}

fn engine_health(status: Option<HealthStatusEnum>) -> Option<EngineHealth> {
    match status? {
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
        HealthStatusEnum::STARTING => Some(EngineHealth::Starting),
        HealthStatusEnum::HEALTHY => Some(EngineHealth::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(EngineHealth::Unhealthy),
    }
}

fn address(endpoint: &EndpointSettings) -> Option<IpAddr> {
    let parse = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    parse(&endpoint.ip_address).or_else(|| parse(&endpoint.global_ipv6_address))
}

fn policy(policy: &models::RestartPolicy) -> RestartPolicy {
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => RestartPolicy::OnFailure {
            max_retries: policy
                .maximum_retry_count
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(0),
        },
        Some(RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY) | None => RestartPolicy::Never,
    }
}

/// The other way round.
pub(super) fn restart_policy(policy: RestartPolicy) -> models::RestartPolicy {
    let (name, count) = match policy {
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, None),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        RestartPolicy::OnFailure { max_retries } => {
            (RestartPolicyNameEnum::ON_FAILURE, Some(i64::from(max_retries)))
        }
        RestartPolicy::Never => (RestartPolicyNameEnum::NO, None),
    };
    models::RestartPolicy {
        name: Some(name),
        maximum_retry_count: count,
    }
}

/// The limits; zero and -1 are Docker's "unlimited".
pub(super) fn resources(host: &HostConfig) -> Resources {
    let positive = |value: Option<i64>| {
        value
            .and_then(|value| u64::try_from(value).ok())
            .filter(|v| *v > 0)
    };
    // podman, and whoever updates by hand, may write the limit as quota and period.
    let by_quota = || {
        let period = positive(host.cpu_period).unwrap_or(100_000);
        positive(host.cpu_quota).map(|quota| quota * 1000 / period)
    };
    Resources {
        cpu_limit_millis: positive(host.nano_cpus)
            .map(|nano| nano / 1_000_000)
            .or_else(by_quota),
        cpu_shares: positive(host.cpu_shares),
        cpuset_cpus: host.cpuset_cpus.clone().filter(|cpus| !cpus.is_empty()),
        memory_limit_bytes: positive(host.memory),
        memory_reservation_bytes: positive(host.memory_reservation),
        pids_limit: positive(host.pids_limit),
    }
}

/// An image.
pub(super) fn image(answer: &models::ImageInspect) -> ImageInfo {
    ImageInfo {
        id: answer.id.clone().unwrap_or_default(),
        size_bytes: answer.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
    }
}

/// A network.
pub(super) fn network(answer: models::Network) -> NetworkInfo {
    let subnets = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    NetworkInfo {
        id: answer.id.unwrap_or_default(),
        name: answer.name.unwrap_or_default(),
        labels: answer.labels.unwrap_or_default().into_iter().collect(),
        subnets: subnets.into_iter().filter_map(|pool| pool.subnet).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> ContainerDetail {
        detail(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn what_docker_writes_out_and_nobody_asked_for_is_absent() {
        let detail = parse(serde_json::json!({
            "Id": "abc", "Name": "/a", "Image": "sha256:1", "RestartCount": 0,
            "State": {"Status": "created", "Running": false, "ExitCode": 0, "Pid": 0, "Error": "",
                "StartedAt": NEVER, "FinishedAt": NEVER},
            "Config": {"Image": "a:1", "Labels": {"x": "y"}},
            "HostConfig": {"NetworkMode": "default", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
                "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "MemoryReservation": 0, "CpusetCpus": "",
                "PidsLimit": null, "CpuQuota": 0, "CpuPeriod": 0},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": ""}}},
        }));
        assert_eq!(detail.resources, Resources::default());
        assert_eq!(detail.restart_policy, RestartPolicy::Never);
        assert_eq!(
            (detail.networks, detail.address, detail.started_at),
            (vec![], None, String::new())
        );
        assert_eq!(
            (detail.name.as_str(), detail.state),
            ("a", ContainerState::Created)
        );
    }

    #[test]
    fn limits_written_as_a_quota_are_read_and_minus_one_is_unlimited() {
        let host =
            serde_json::json!({"CpuQuota": 50_000, "CpuPeriod": 100_000, "PidsLimit": -1, "Memory": -1});
        let resources = resources(&serde_json::from_value(host).unwrap());
        assert_eq!(
            resources,
            Resources {
                cpu_limit_millis: Some(500),
                ..Resources::default()
            }
        );
    }

    #[test]
    fn user_networks_are_sorted_and_their_address_reaches_the_container() {
        let detail = parse(serde_json::json!({
            "State": {"Status": "running", "Running": true},
            "HostConfig": {"NetworkMode": "w.b"},
            "NetworkSettings": {"Networks": {
                "w.b": {"IPAddress": "10.0.1.2"}, "w.a": {"IPAddress": "10.0.0.2"},
                "bridge": {"IPAddress": "172.17.0.2"}}},
        }));
        let names: Vec<_> = detail
            .networks
            .iter()
            .map(|network| network.network.as_str())
            .collect();
        assert_eq!(names, ["w.a", "w.b"]);
        assert_eq!(detail.address, Some(IpAddr::from([10, 0, 0, 2])));
    }

    #[test]
    fn the_host_network_is_reached_by_loopback() {
        let detail = parse(serde_json::json!({
            "State": {"Status": "running", "Running": true},
            "HostConfig": {"NetworkMode": "host"},
            "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}},
        }));
        assert_eq!(
            (detail.networks, detail.address),
            (vec![], Some(IpAddr::from([127, 0, 0, 1])))
        );
    }

    #[test]
    fn policies_come_back_as_they_went() {
        for wanted in [
            RestartPolicy::Always,
            RestartPolicy::UnlessStopped,
            RestartPolicy::Never,
            RestartPolicy::OnFailure { max_retries: 0 },
            RestartPolicy::OnFailure { max_retries: 5 },
        ] {
            assert_eq!(policy(&restart_policy(wanted)), wanted);
        }
    }
}
