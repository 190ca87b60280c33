//! Probes on the simulated machine: they reach the container that has the address and port.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use longshore_plan::observed::ContainerState;
use tokio::time::{Instant, sleep};

use super::client::SimRuntime;
use super::state::State;
use crate::runtime::probe_network::{HttpTarget, ProbeFailure, ProbeNetwork};

enum Reached {
    Nobody,
    /// Its process is frozen: the kernel accepts, nobody answers.
    Frozen,
    Sick,
    Well,
}

impl State {
    fn reach(&self, host: &str, port: u16, now: Instant) -> Reached {
        let Ok(address) = host.parse::<IpAddr>() else {
            return Reached::Nobody;
        };
        let at = self.containers.values().find(|container| {
            let serves = container
                .request
                .spec
                .ports
                .iter()
                .any(|p| p.container_port == port);
            let published = container.published().any(|(held, _)| held.port == port);
            let own = self.detail(container).address == Some(address)
                || container.networks.values().any(|held| *held == address);
            let by_host = address.is_loopback() && published;
            container.lives() && (by_host || own && (serves || container.request.spec.ports.is_empty()))
        });
        match at {
            None => Reached::Nobody,
            Some(container) if container.phase == ContainerState::Paused => Reached::Frozen,
            Some(container) if container.well(now) => Reached::Well,
            Some(_) => Reached::Sick,
        }
    }
}

impl SimRuntime {
    async fn reach(&self, host: &str, port: u16, timeout: Duration) -> Result<bool, ProbeFailure> {
        self.live().await;
        sleep(Duration::from_millis(1)).await;
        let reached = self.machine.act(|state, now| state.reach(host, port, now));
        match reached {
            Reached::Nobody => Err(ProbeFailure::Connect("connection refused".to_owned())),
            Reached::Frozen => {
                sleep(timeout).await;
                Err(ProbeFailure::Timeout)
            }
            Reached::Sick => Ok(false),
            Reached::Well => Ok(true),
        }
    }
}

#[async_trait]
impl ProbeNetwork for SimRuntime {
    async fn http_get(&self, target: &HttpTarget, timeout: Duration) -> Result<(), ProbeFailure> {
        if self.reach(&target.host, target.port, timeout).await? {
            Ok(())
        } else {
            Err(ProbeFailure::Status(503))
        }
    }

    async fn tcp_connect(&self, host: &str, port: u16, timeout: Duration) -> Result<(), ProbeFailure> {
        if self.reach(host, port, timeout).await? {
            Ok(())
        } else {
            Err(ProbeFailure::Connect("connection refused".to_owned()))
        }
    }
}
