//! Host ports, looked at before anything is made or stopped. The engine would find a clash only when the
//! new container starts, which in a replace is after the old one was stopped.

use std::net::IpAddr;

use longshore_plan::desired::DesiredContainer;
use longshore_plan::names::EngineId;
use longshore_plan::observed::{FailureReason, HostPort};
use longshore_plan::spec::Port;

use super::{Executor, Failed, Interrupt, Trouble};
use crate::observer::Snapshot;

impl Executor {
    /// Refuses to go on while a host port that `wanted` publishes is somebody else's, and names who has it.
    /// The ports of `old` are given up for it. What runs on the host's network is left to the engine: its
    /// ports are its process's own affair.
    pub(super) async fn claim_ports(
        &self,
        wanted: &DesiredContainer,
        old: Option<&EngineId>,
    ) -> Result<(), Trouble> {
        if wanted.spec.host_network {
            return Ok(());
        }
        let published = wanted.spec.ports.iter();
        let claim = |p: &Port| {
            p.host_port.map(|port| {
                (
                    HostPort {
                        port,
                        protocol: p.protocol,
                    },
                    p.host_ip,
                )
            })
        };
        let claims: Vec<(HostPort, Option<IpAddr>)> = published.filter_map(claim).collect();
        if claims.is_empty() {
            return Ok(());
        }
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let given_up = match old {
            None => Vec::new(),
            Some(old) => match self.given_up(&snapshot, old) {
                Some(ports) => ports,
                None => return Ok(()),
            },
        };
        let listeners = self.tools.runtime.listeners().await;
        for (port, address) in claims.into_iter().filter(|(port, _)| !given_up.contains(port)) {
            let holder = unmanaged_holder(&snapshot, port).or_else(|| {
                let taken = listeners.iter().any(|l| l.excludes(port, address));
                taken.then(|| {
                    managed_holder(&snapshot, port)
                        .unwrap_or_else(|| "a program that is no container".to_owned())
                })
            });
            if let Some(holder) = holder {
                let message = format!("host port {} is held by {holder}", port.port);
                return Err(Failed::waiting(FailureReason::PortConflict, message).into());
            }
        }
        Ok(())
    }

    /// The host ports that go free with a container; `None` when that cannot be told.
    fn given_up(&self, snapshot: &Snapshot, id: &EngineId) -> Option<Vec<HostPort>> {
        let object = snapshot.container(id)?;
        let state = self.tools.ledger.state();
        let (_, made_from) = state.declaration(&object.key, &object.hash)?;
        (!made_from.spec.host_network).then(|| object.host_ports.clone())
    }
}

fn unmanaged_holder(snapshot: &Snapshot, port: HostPort) -> Option<String> {
    let mut others = snapshot.observed.unmanaged.iter();
    let holder = others.find(|other| other.host_ports.contains(&port))?;
    Some(format!("container {}, which is not managed", holder.name))
}

fn managed_holder(snapshot: &Snapshot, port: HostPort) -> Option<String> {
    let mut ours = snapshot.observed.containers.iter();
    let holder = ours.find(|c| c.state.is_up() && c.host_ports.contains(&port))?;
    Some(format!(
        "container {} of workload {}",
        holder.key.container, holder.key.workload
    ))
}
