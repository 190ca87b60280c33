//! Generated devices for the property tests: small pools of names, images and ports, so that everything
//! collides with everything.

use super::*;
fn policies() -> impl Strategy<Value = RestartPolicy> {
    select(vec![
        RestartPolicy::Always,
        RestartPolicy::Always,
        RestartPolicy::UnlessStopped,
        RestartPolicy::Never,
        RestartPolicy::OnFailure { max_retries: 0 },
        RestartPolicy::OnFailure { max_retries: 2 },
    ])
}

fn specs() -> impl Strategy<Value = ContainerSpec> {
    let ports = vec(
        (
            80_u16..83,
            option::weighted(0.7, 80_u16..83),
            option::weighted(0.2, 1_u8..3),
        ),
        0..2,
    );
    (
        select(vec!["i:1", "i:2"]),
        ports,
        option::weighted(0.2, select(vec!["a.v", "shared"])),
    )
        .prop_map(|(image, ports, volume)| ContainerSpec {
            image: image.into(),
            ports: ports
                .into_iter()
                .map(|(container_port, host_port, ip)| Port {
                    container_port,
                    host_port,
                    host_ip: ip.map(|last| std::net::IpAddr::from([10, 0, 0, last])),
                    protocol: Protocol::Tcp,
                })
                .collect(),
            mounts: volume
                .into_iter()
                .map(|name: &str| Mount {
                    target: "/v".into(),
                    source: MountSource::Volume { name: name.into() },
                    read_only: false,
                    propagation: None,
                })
                .collect(),
            ..ContainerSpec::default()
        })
}

fn configs() -> impl Strategy<Value = ContainerConfig> {
    (policies(), option::of(1_u64..3), option::weighted(0.2, 0_u8..2)).prop_map(
        |(restart_policy, memory, contents)| {
            let file = |n: u8| ContentFile {
                path: "f".into(),
                content: ContentRef {
                    digest: ContentDigest(format!("{n:064x}")),
                    secret: false,
                },
                mode: None,
            };
            ContainerConfig {
                restart_policy,
                resources: Resources {
                    memory_limit_bytes: memory,
                    ..Resources::default()
                },
                networks: Vec::new(),
                content: contents
                    .into_iter()
                    .map(|n| ("c".to_owned(), vec![file(n)]))
                    .collect(),
            }
        },
    )
}

/// What dependencies may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// On earlier containers of the workload.
    Valid,
    /// On anything, also on itself and on what is not there.
    Any,
}

fn containers(shape: Shape) -> impl Strategy<Value = Vec<DesiredContainer>> {
    let edges = vec(
        (
            0_usize..4,
            select(vec![DependencyCondition::Started, DependencyCondition::Healthy]),
        ),
        0..2,
    );
    let one = (
        specs(),
        configs(),
        edges,
        prop::bool::weighted(0.2),
        option::weighted(0.1, select(vec!["n", "m"])),
    );
    (vec(one, 0..4), prop::sample::subsequence(CONTAINERS.to_vec(), 4)).prop_map(move |(parts, names)| {
        let count = parts.len();
        let make =
            |(i, (spec, mut config, edges, init, name)): (usize, (_, ContainerConfig, Vec<_>, _, _))| {
                let init = init && (shape == Shape::Any || i == 0);
                if init {
                    config.restart_policy = RestartPolicy::Never;
                }
                let edges = edges.into_iter().filter_map(|(on, condition): (usize, _)| {
                    let on = if shape == Shape::Valid {
                        (on < i && on < count).then_some(on)?
                    } else {
                        on
                    };
                    Some(Dependency {
                        container: label(names[on]),
                        condition,
                    })
                });
                let name: Option<&str> = name;
                DesiredContainer {
                    name: label(names[i]),
                    engine_name: name.map(str::to_owned).unwrap_or_default(),
                    init,
                    hash: spec_hash(&spec),
                    spec,
                    config,
                    behaviour: ContainerBehaviour {
                        depends_on: if init && shape == Shape::Valid {
                            Vec::new()
                        } else {
                            edges.collect()
                        },
                        ..ContainerBehaviour::default()
                    },
                }
            };
        parts.into_iter().enumerate().map(make).collect()
    })
}

fn workloads(shape: Shape) -> impl Strategy<Value = DesiredWorkload> {
    let drift = prop_oneof![4 => Just(DriftMode::Enforce), 1 => Just(DriftMode::Observe)];
    let failure = prop_oneof![3 => Just(OnFailure::Rollback), 1 => Just(OnFailure::Continue)];
    let flags = (0_i32..3, drift, prop::bool::weighted(0.1), failure);
    (containers(shape), flags, prop::bool::weighted(0.4), any::<bool>()).prop_map(
        |(containers, (priority, drift, suspend, on_failure), network, delete)| DesiredWorkload {
            priority,
            drift,
            suspend,
            on_failure,
            networks: if network { vec![network_of("")] } else { Vec::new() },
            volumes: vec![DesiredVolume {
                name: "v".into(),
                driver: None,
                options: BTreeMap::new(),
                reclaim: if delete {
                    ReclaimPolicy::Delete
                } else {
                    ReclaimPolicy::Retain
                },
            }],
            ..workload("tbd", containers)
        },
    )
}

fn network_of(workload: &str) -> DesiredNetwork {
    DesiredNetwork {
        name: format!("{workload}.net"),
        driver: None,
        subnet: None,
        internal: false,
        options: BTreeMap::new(),
    }
}

/// A desired set as the controller would render it.
pub(crate) fn desired(shape: Shape) -> impl Strategy<Value = DesiredSet> {
    let removals = vec((select(WORKLOADS.to_vec()), any::<bool>()), 0..2);
    (vec(option::weighted(0.7, workloads(shape)), 4), removals).prop_map(|(workloads, removals)| {
        let mut set = DesiredSet::default();
        for (name, workload) in WORKLOADS.iter().zip(workloads) {
            let Some(mut workload) = workload else { continue };
            workload.name = label(name);
            for network in &mut workload.networks {
                *network = network_of(name);
            }
            for volume in &mut workload.volumes {
                volume.name = format!("{name}.v");
            }
            for container in &mut workload.containers {
                if container.engine_name.is_empty() {
                    container.engine_name = format!("{name}.{}", container.name);
                }
                container.config.networks = workload.networks.iter().map(|n| n.name.clone()).collect();
            }
            set.workloads.push(workload);
        }
        for (name, deleted) in removals {
            let reason = if deleted {
                RemovalReason::Deleted
            } else {
                RemovalReason::MovedAway
            };
            let known = set.workloads.iter().any(|w| w.name.as_str() == name);
            if !known && set.removals.iter().all(|r| r.workload.as_str() != name) {
                set.removals.push(Removal {
                    workload: label(name),
                    reason,
                });
            }
        }
        set.removals.sort_by(|a, b| a.workload.cmp(&b.workload));
        set
    })
}

fn states() -> impl Strategy<Value = ContainerState> {
    select(vec![
        ContainerState::Created,
        ContainerState::Running,
        ContainerState::Running,
        ContainerState::Running,
        ContainerState::Paused,
        ContainerState::Restarting { exit_code: 1 },
        ContainerState::Exited {
            exit_code: 0,
            oom_killed: false,
        },
        ContainerState::Exited {
            exit_code: 1,
            oom_killed: true,
        },
        ContainerState::Dead,
    ])
}

/// What may be on the device of one container.
#[derive(Debug, Clone)]
struct Thing {
    at: (usize, usize),
    hash: u8,
    state: ContainerState,
    name: u8,
    config: Option<ContainerConfig>,
    port: Option<u16>,
    restarts: u32,
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let thing = (
        (0_usize..4, 0_usize..4),
        0_u8..5,
        states(),
        0_u8..8,
        option::weighted(0.3, configs()),
    );
    let more = (option::weighted(0.4, 80_u16..83), 0_u32..3);
    let thing = (thing, more).prop_map(|((at, hash, state, name, config), (port, restarts))| Thing {
        at,
        hash,
        state,
        name,
        config,
        port,
        restarts,
    });
    vec(thing, 0..8)
}

fn reasons() -> impl Strategy<Value = FailureReason> {
    select(vec![
        FailureReason::ImagePullFailed,
        FailureReason::RolledBack,
        FailureReason::StartFailed,
        FailureReason::UpdateFailed,
        FailureReason::RemoveFailed,
        FailureReason::PortConflict,
        FailureReason::NameConflict,
        FailureReason::DiskFull,
        FailureReason::RuntimeUnavailable,
    ])
}

/// A device in any state, with something to do with `desired`. Physics hold: no two containers that are up
/// have one port, no two objects one name.
pub(crate) fn observed(desired: DesiredSet) -> impl Strategy<Value = Observed> {
    let records = vec(
        (
            (0_usize..4, 0_usize..4),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
        ),
        0..6,
    );
    let retries = select(vec![Retry::Waiting, Retry::Due, Retry::Blocked]);
    let failures = vec(
        ((0_usize..4, 0_usize..4), any::<bool>(), reasons(), retries),
        0..3,
    );
    let unmanaged = vec((select(vec!["n", "other", "a.x"]), option::of(80_u16..83)), 0..2);
    let volumes = vec(
        (
            select(vec!["a.v", "b.v", "shared"]),
            select(WORKLOADS.to_vec()),
            any::<bool>(),
        ),
        0..3,
    );
    let networks =
        prop::sample::subsequence(vec!["a.net", "a.old", "b.net", "c.net", "d.net", "x.net"], 0..4);
    (things(), records, failures, unmanaged, volumes, networks).prop_map(
        move |(things, records, failures, unmanaged, volumes, networks)| {
            let mut observed = Observed {
                runtime: ready(),
                ..Observed::default()
            };
            observed.unmanaged = unmanaged
                .into_iter()
                .map(|(name, port)| Unmanaged {
                    name: name.into(),
                    host_ports: port
                        .map(|port| HostPort {
                            port,
                            protocol: Protocol::Tcp,
                        })
                        .into_iter()
                        .collect(),
                })
                .collect();
            for (i, thing) in things.into_iter().enumerate() {
                observed.containers.push(real(&desired, i, thing));
            }
            make_physical(&mut observed);
            for (at, hash, config, completed) in records {
                let key = at_key(at);
                if observed.applied.iter().any(|a| a.key == key) {
                    continue;
                }
                let want = desired.container(&key).map(|(_, c)| c);
                observed.applied.push(Applied {
                    hash: want
                        .filter(|_| hash)
                        .map_or_else(|| other_hash("old"), |c| c.hash.clone()),
                    config_digest: want
                        .filter(|_| config)
                        .map_or_else(String::new, |c| config_digest(&c.config)),
                    completed,
                    key,
                });
            }
            for (at, hash, reason, retry) in failures {
                let key = at_key(at);
                let want = desired.container(&key).map(|(_, c)| c).filter(|_| hash);
                observed.failures.push(Failure {
                    hash: want.map_or_else(|| other_hash("old"), |c| c.hash.clone()),
                    config_digest: want.map_or_else(String::new, |c| config_digest(&c.config)),
                    key,
                    reason,
                    message: "generated".into(),
                    retry,
                    attempts: 1,
                });
            }
            observed.volumes = volumes
                .into_iter()
                .map(|(name, workload, delete)| OwnedVolume {
                    name: name.into(),
                    workload: workload.into(),
                    reclaim: if delete {
                        ReclaimPolicy::Delete
                    } else {
                        ReclaimPolicy::Retain
                    },
                })
                .collect();
            observed.networks = networks.into_iter().map(str::to_owned).collect();
            observed
        },
    )
}

fn at_key((workload, container): (usize, usize)) -> ContainerKey {
    key(WORKLOADS[workload], CONTAINERS[container])
}

fn real(desired: &DesiredSet, i: usize, thing: Thing) -> ObservedContainer {
    let key = at_key(thing.at);
    let want = desired.container(&key).map(|(_, c)| c.clone());
    let want = want.unwrap_or_else(|| container(key.workload.as_str(), key.container.as_str(), "i:1"));
    let mut found = object(key.workload.as_str(), &want, &format!("id{i}"));
    match thing.hash {
        0..=2 => {}
        3 => {
            found.hash = other_hash("old");
            found.host_ports = thing
                .port
                .map(|port| HostPort {
                    port,
                    protocol: Protocol::Tcp,
                })
                .into_iter()
                .collect();
        }
        _ => found.hash = SpecHash("v9:feed".into()),
    }
    match thing.name {
        0 => found.engine_name = format!("{}.prev", want.engine_name),
        1 => found.engine_name = format!("{}.next", want.engine_name),
        2 => found.engine_name = "n".into(),
        3 => found.engine_name = key.to_string(),
        _ => {}
    }
    found.state = thing.state;
    found.restarts = thing.restarts;
    if let Some(config) = thing.config {
        found.config = config;
    }
    found
}

/// Two cannot have one name, and two that are up cannot have one port.
fn make_physical(observed: &mut Observed) {
    let mut names: Vec<String> = observed.unmanaged.iter().map(|u| u.name.clone()).collect();
    let mut bound: Vec<HostPort> = observed
        .unmanaged
        .iter()
        .flat_map(|u| u.host_ports.clone())
        .collect();
    for (i, container) in observed.containers.iter_mut().enumerate() {
        if names.contains(&container.engine_name) {
            container.engine_name = format!("free{i}");
        }
        names.push(container.engine_name.clone());
        if container.state.is_up() && container.host_ports.iter().any(|p| bound.contains(p)) {
            container.state = ContainerState::Exited {
                exit_code: 1,
                oom_killed: false,
            };
        }
        if container.state.is_up() {
            bound.extend(&container.host_ports);
        }
    }
}

/// A desired set and a device with something to do with it. Shown as JSON: that is short.
#[derive(Clone)]
pub(crate) struct Situation {
    pub(crate) desired: DesiredSet,
    pub(crate) observed: Observed,
}

impl std::fmt::Debug for Situation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = |value: serde_json::Result<String>| value.unwrap();
        writeln!(f, "\ndesired {}", json(serde_json::to_string(&self.desired)))?;
        writeln!(f, "observed {}", json(serde_json::to_string(&self.observed)))?;
        let plan = crate::plan(&self.desired, &self.observed);
        for line in crate::explain::explain(&plan, &self.desired, &self.observed) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

pub(crate) fn situation(shape: Shape) -> impl Strategy<Value = Situation> {
    desired(shape).prop_flat_map(|desired| {
        observed(desired.clone()).prop_map(move |observed| Situation {
            desired: desired.clone(),
            observed,
        })
    })
}

/// A desired set, shown as JSON.
#[derive(Clone)]
pub(crate) struct Json(pub(crate) DesiredSet);

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", serde_json::to_string(&self.0).unwrap())
    }
}

/// Two desired sets, the second of which follows on the first: what it lacks is ordered away or not.
pub(crate) fn change() -> impl Strategy<Value = (Json, Json)> {
    let orders = vec(any::<bool>(), WORKLOADS.len());
    (desired(Shape::Valid), desired(Shape::Valid), orders).prop_map(|(mut before, mut after, orders)| {
        before.removals.clear();
        after.removals.clear();
        for workload in &mut before.workloads {
            workload.suspend = false;
        }
        for (name, ordered) in WORKLOADS.iter().zip(orders) {
            let name = label(name);
            if ordered && after.workload(&name).is_none() && before.workload(&name).is_some() {
                after.removals.push(Removal {
                    workload: name,
                    reason: RemovalReason::MovedAway,
                });
            }
        }
        (Json(before), Json(after))
    })
}
