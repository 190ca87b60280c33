//! Limits changed in place, and what Docker cannot change.

use bollard::models::{ContainerUpdateBody, HostConfig};
use longshore_plan::spec::{Resources, RestartPolicy};

use super::create::{nano_cpus, signed};
use super::inspect::{resources, restart_policy};

/// The limit that is there and shall not be any more: Docker reads a zero in an update as "leave it", and
/// refuses -1. Only the limit of processes can be lifted (seen on 20.10).
pub(super) fn lifted(have: &Resources, want: &Resources) -> Option<&'static str> {
    let Resources {
        cpu_limit_millis,
        cpu_shares,
        cpuset_cpus,
        memory_limit_bytes,
        memory_reservation_bytes,
        pids_limit: _,
    } = have;
    [
        (
            "CPU limit",
            cpu_limit_millis.is_some() && want.cpu_limit_millis.is_none(),
        ),
        ("CPU weight", cpu_shares.is_some() && want.cpu_shares.is_none()),
        ("CPU set", cpuset_cpus.is_some() && want.cpuset_cpus.is_none()),
        (
            "memory limit",
            memory_limit_bytes.is_some() && want.memory_limit_bytes.is_none(),
        ),
        (
            "memory reservation",
            memory_reservation_bytes.is_some() && want.memory_reservation_bytes.is_none(),
        ),
    ]
    .into_iter()
    .find_map(|(name, lifted)| lifted.then_some(name))
}

/// The body of `POST /containers/{id}/update`: what differs, and the restart policy.
pub(super) fn body(host: &HostConfig, policy: RestartPolicy, want: &Resources) -> ContainerUpdateBody {
    let have = resources(host);
    let changed = |have: Option<u64>, want: Option<u64>| want.filter(|_| have != want).map(signed);
    let memory = changed(have.memory_limit_bytes, want.memory_limit_bytes);
    ContainerUpdateBody {
        nano_cpus: want
            .cpu_limit_millis
            .filter(|_| have.cpu_limit_millis != want.cpu_limit_millis)
            .map(nano_cpus),
        cpu_shares: changed(have.cpu_shares, want.cpu_shares),
        cpuset_cpus: want
            .cpuset_cpus
            .clone()
            .filter(|_| have.cpuset_cpus != want.cpuset_cpus),
        memory,
        // Docker made swap twice the memory at creation and refuses a limit above it; so it goes along,
        // unless swap is unlimited.
        memory_swap: memory
            .filter(|_| host.memory_swap != Some(-1))
            .map(|memory| memory.saturating_mul(2)),
        memory_reservation: changed(have.memory_reservation_bytes, want.memory_reservation_bytes),
        pids_limit: if have.pids_limit == want.pids_limit {
            None
        } else {
            Some(want.pids_limit.map_or(-1, signed))
        },
        restart_policy: Some(restart_policy(policy)),
        ..ContainerUpdateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_limit_of_processes_can_be_lifted() {
        let have = Resources {
            memory_limit_bytes: Some(1),
            pids_limit: Some(1),
            ..Resources::default()
        };
        assert_eq!(lifted(&have, &Resources::default()), Some("memory limit"));
        let want = Resources {
            pids_limit: None,
            ..have.clone()
        };
        assert_eq!(lifted(&have, &want), None);
        assert_eq!(lifted(&Resources::default(), &have), None);
    }

    #[test]
    fn swap_goes_along_with_memory_and_what_is_equal_is_not_sent() {
        let host = HostConfig {
            memory: Some(64),
            memory_swap: Some(128),
            nano_cpus: Some(500_000_000),
            pids_limit: Some(5),
            ..HostConfig::default()
        };
        let want = Resources {
            memory_limit_bytes: Some(256),
            cpu_limit_millis: Some(500),
            ..Resources::default()
        };
        let sent = body(&host, RestartPolicy::Never, &want);
        assert_eq!(
            (sent.memory, sent.memory_swap, sent.nano_cpus),
            (Some(256), Some(512), None)
        );
        assert_eq!(sent.pids_limit, Some(-1));
        let unlimited = HostConfig {
            memory_swap: Some(-1),
            ..host
        };
        assert_eq!(body(&unlimited, RestartPolicy::Never, &want).memory_swap, None);
    }
}
