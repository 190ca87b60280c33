//! The engine's calls, each of which can fail or be the last.

use std::collections::BTreeSet;

use super::{Micro, ModelDevice, Trouble};
use crate::desired::{DesiredContainer, DesiredSet};
use crate::hash::SpecHash;
use crate::names::{ContainerKey, DnsLabel, EngineId};
use crate::observed::{ContainerState, FailureReason, Health, HostPort, ObservedContainer, OwnedVolume};
use crate::spec::{Port, RestartPolicy};

/// What a report tells of published ports.
pub(super) fn host_ports(ports: &[Port]) -> Vec<HostPort> {
    let published = ports.iter().filter_map(|p| {
        p.host_port.map(|port| HostPort {
            port,
            protocol: p.protocol,
        })
    });
    let mut published: Vec<_> = published.collect();
    published.sort_unstable();
    published.dedup();
    published
}

fn clash(a: &Port, b: &Port) -> bool {
    let same = a.host_port.is_some() && a.host_port == b.host_port && a.protocol == b.protocol;
    let any = |p: &Port| p.host_ip.is_none_or(|ip| ip.is_unspecified());
    same && (any(a) || any(b) || a.host_ip == b.host_ip)
}

impl ModelDevice {
    /// One call: it happens, fails, or is never made.
    pub(super) fn call(&mut self, key: &ContainerKey, hash: &SpecHash, micro: Micro) -> Result<(), Trouble> {
        match &mut self.fuse {
            Some(0) => return Err(Trouble::Crash),
            Some(left) => *left -= 1,
            None => {}
        }
        self.calls += 1;
        if !self.faults.contains(&(key.clone(), hash.clone(), micro)) {
            return Ok(());
        }
        Err(Trouble::Failed(match micro {
            Micro::Journal => FailureReason::LedgerUnavailable,
            Micro::Pull => FailureReason::ImagePullFailed,
            Micro::Network => FailureReason::NetworkFailed,
            Micro::Volume => FailureReason::VolumeFailed,
            Micro::Create => FailureReason::CreateFailed,
            Micro::Rename => FailureReason::NameConflict,
            Micro::Update | Micro::SetPolicy => FailureReason::UpdateFailed,
            Micro::Start | Micro::Unpause => FailureReason::StartFailed,
            Micro::Healthy => FailureReason::Unhealthy,
            Micro::Stop | Micro::Remove => FailureReason::RemoveFailed,
        }))
    }

    pub(super) fn find(&self, id: &EngineId) -> Option<&ObservedContainer> {
        self.observed.containers.iter().find(|c| &c.id == id)
    }

    /// Changes an object, if it is there.
    pub(super) fn change(
        &mut self,
        id: &EngineId,
        micro: Micro,
        how: impl FnOnce(&mut ObservedContainer),
    ) -> Result<(), Trouble> {
        let Some((key, hash)) = self.find(id).map(|c| (c.key.clone(), c.hash.clone())) else {
            return Err(Trouble::Refused);
        };
        self.call(&key, &hash, micro)?;
        let before = self.doubled();
        if let Some(container) = self.observed.containers.iter_mut().find(|c| &c.id == id) {
            how(container);
        }
        self.note_doubled(&before);
        Ok(())
    }

    fn name_taken(&self, name: &str) -> bool {
        self.observed.containers.iter().any(|c| c.engine_name == name)
            || self.observed.unmanaged.iter().any(|u| u.name == name)
    }

    pub(super) fn create(
        &mut self,
        key: &ContainerKey,
        want: &DesiredContainer,
        name: &str,
    ) -> Result<EngineId, Trouble> {
        if self.name_taken(name) {
            return Err(Trouble::Failed(FailureReason::NameConflict));
        }
        if want
            .config
            .networks
            .iter()
            .any(|n| !self.observed.networks.contains(n))
        {
            return Err(Trouble::Failed(FailureReason::NetworkFailed));
        }
        self.call(key, &want.hash, Micro::Create)?;
        self.ids += 1;
        let id = EngineId(format!("model{:08}", self.ids));
        self.ports.insert(id.clone(), want.spec.ports.clone());
        self.observed.containers.push(ObservedContainer {
            key: key.clone(),
            id: id.clone(),
            engine_name: name.to_owned(),
            hash: want.hash.clone(),
            revision: String::new(),
            state: ContainerState::Created,
            health: Health::Unknown,
            config: want.config.clone(),
            host_ports: Vec::new(),
            restarts: 0,
            image_id: String::new(),
            started_at: String::new(),
            interrupted: false,
        });
        Ok(id)
    }

    pub(super) fn start(&mut self, id: &EngineId) -> Result<(), Trouble> {
        let Some(container) = self.find(id) else {
            return Err(Trouble::Refused);
        };
        if container.state.is_up() {
            return Ok(());
        }
        let own = self.ports.get(id).cloned().unwrap_or_default();
        let bound = |other: &ObservedContainer| {
            other.state.is_up()
                && self
                    .ports
                    .get(&other.id)
                    .into_iter()
                    .flatten()
                    .any(|p| own.iter().any(|o| clash(o, p)))
        };
        let foreign = |p: &HostPort| {
            own.iter()
                .any(|o| o.host_port == Some(p.port) && o.protocol == p.protocol)
        };
        if self.observed.containers.iter().any(bound)
            || self
                .observed
                .unmanaged
                .iter()
                .flat_map(|u| &u.host_ports)
                .any(foreign)
        {
            return Err(Trouble::Failed(FailureReason::PortConflict));
        }
        let started = format!("t{:08}", self.calls);
        self.change(id, Micro::Start, |c| {
            c.state = ContainerState::Running;
            c.interrupted = false;
            c.started_at = started;
        })
    }

    pub(super) fn stop(&mut self, id: &EngineId) -> Result<(), Trouble> {
        self.change(id, Micro::Stop, |c| {
            if c.state.is_up() {
                c.state = ContainerState::Exited {
                    exit_code: 143,
                    oom_killed: false,
                };
                c.interrupted = true;
            }
        })
    }

    pub(super) fn rename(&mut self, id: &EngineId, name: &str) -> Result<(), Trouble> {
        if self.find(id).is_some_and(|c| c.engine_name == name) {
            return Ok(());
        }
        if self.name_taken(name) {
            return Err(Trouble::Failed(FailureReason::NameConflict));
        }
        self.change(id, Micro::Rename, |c| name.clone_into(&mut c.engine_name))
    }

    pub(super) fn set_policy(&mut self, id: &EngineId, policy: RestartPolicy) -> Result<(), Trouble> {
        self.change(id, Micro::SetPolicy, |c| c.config.restart_policy = policy)
    }

    /// Stops and removes it.
    pub(super) fn remove(&mut self, id: &EngineId) -> Result<(), Trouble> {
        self.stop(id)?;
        let Some((key, hash)) = self.find(id).map(|c| (c.key.clone(), c.hash.clone())) else {
            return Ok(());
        };
        self.call(&key, &hash, Micro::Remove)?;
        self.observed.containers.retain(|c| &c.id != id);
        self.ports.remove(id);
        Ok(())
    }

    pub(super) fn create_network(&mut self, workload: &DnsLabel, name: &str) -> Result<(), Trouble> {
        self.plain_call(workload, Micro::Network)?;
        if !self.observed.networks.iter().any(|n| n == name) {
            self.observed.networks.push(name.to_owned());
            self.observed.networks.sort();
        }
        Ok(())
    }

    pub(super) fn remove_network(&mut self, workload: &DnsLabel, name: &str) -> Result<(), Trouble> {
        if self
            .observed
            .containers
            .iter()
            .any(|c| c.config.networks.iter().any(|n| n == name))
        {
            return Err(Trouble::Failed(FailureReason::NetworkFailed));
        }
        self.plain_call(workload, Micro::Network)?;
        self.observed.networks.retain(|n| n != name);
        Ok(())
    }

    pub(super) fn create_volume(
        &mut self,
        desired: &DesiredSet,
        workload: &DnsLabel,
        name: &str,
    ) -> Result<(), Trouble> {
        self.plain_call(workload, Micro::Volume)?;
        let declared = desired
            .workload(workload)
            .and_then(|w| w.volumes.iter().find(|v| v.name == name));
        let reclaim = declared.ok_or(Trouble::Refused)?.reclaim;
        if self.observed.volumes.iter().all(|v| v.name != name) {
            let volume = OwnedVolume {
                name: name.to_owned(),
                workload: workload.to_string(),
                reclaim,
            };
            self.observed.volumes.push(volume);
        }
        Ok(())
    }

    /// A call that is about no container.
    fn plain_call(&mut self, workload: &DnsLabel, micro: Micro) -> Result<(), Trouble> {
        let key = ContainerKey::new(workload.clone(), workload.clone());
        self.call(&key, &SpecHash(String::new()), micro)
    }

    /// The host goes down and comes up again: the engine starts what its policy says, also what was
    /// stopped by hand under `Always`.
    pub fn restart_engine(&mut self) {
        let before = self.doubled();
        for container in &mut self.observed.containers {
            let was_up = container.state.is_up();
            let starts = match (&container.state, container.config.restart_policy) {
                (ContainerState::Created | ContainerState::Dead, _) => continue,
                (_, RestartPolicy::Always) => true,
                (_, RestartPolicy::UnlessStopped) => was_up,
                (_, RestartPolicy::OnFailure { .. } | RestartPolicy::Never) => false,
            };
            if starts {
                container.state = ContainerState::Running;
            } else if was_up {
                container.state = ContainerState::Exited {
                    exit_code: 137,
                    oom_killed: false,
                };
            }
        }
        self.note_doubled(&before);
    }

    /// Keys of which more than one runs.
    pub(super) fn doubled(&self) -> BTreeSet<ContainerKey> {
        let mut seen = BTreeSet::new();
        let up = self.observed.containers.iter().filter(|c| c.state.is_up());
        up.filter(|c| !seen.insert(&c.key))
            .map(|c| c.key.clone())
            .collect()
    }

    /// Notes what runs twice and did not before.
    fn note_doubled(&mut self, before: &BTreeSet<ContainerKey>) {
        for key in self.doubled().difference(before) {
            self.broken.push(format!("two of {key} run together"));
        }
    }
}
