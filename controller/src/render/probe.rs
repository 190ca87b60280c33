//! Probes, with Kubernetes' defaults filled in.

use longshore_crds::PortRef;
use longshore_crds::workload::{self, ExecAction, HttpGetAction, Port, TcpSocketAction};
use longshore_plan::spec::{Probe, ProbeAction};

use super::context::Context;
use super::problem::RenderProblem;

/// Absent for an absent probe, and for a problem.
pub(super) fn render(
    context: &mut Context<'_>,
    field: &str,
    probe: Option<&workload::Probe>,
    ports: &[Port],
) -> Option<Probe> {
    let workload::Probe {
        exec,
        http_get,
        tcp_socket,
        initial_delay_seconds,
        period_seconds,
        timeout_seconds,
        success_threshold,
        failure_threshold,
    } = probe?;
    let action = match (exec, http_get, tcp_socket) {
        (Some(ExecAction { command }), None, None) => ProbeAction::Exec {
            command: command.clone(),
        },
        (None, Some(get), None) => {
            let HttpGetAction {
                port,
                path,
                host,
                http_headers,
            } = get;
            ProbeAction::HttpGet {
                port: number(context, &format!("{field}.httpGet.port"), port, ports)?,
                path: path.clone().unwrap_or_else(|| "/".to_owned()),
                host: host.clone(),
                headers: http_headers
                    .iter()
                    .map(|h| (h.name.clone(), h.value.clone()))
                    .collect(),
            }
        }
        (None, None, Some(TcpSocketAction { port, host })) => ProbeAction::TcpSocket {
            port: number(context, &format!("{field}.tcpSocket.port"), port, ports)?,
            host: host.clone(),
        },
        _ => {
            context.invalid(field, "needs exactly one of exec, httpGet and tcpSocket");
            return None;
        }
    };
    Some(Probe {
        action,
        initial_delay_seconds: initial_delay_seconds.unwrap_or(0),
        period_seconds: period_seconds.unwrap_or(10),
        timeout_seconds: timeout_seconds.unwrap_or(1),
        success_threshold: success_threshold.unwrap_or(1),
        failure_threshold: failure_threshold.unwrap_or(3),
    })
}

fn number(context: &mut Context<'_>, field: &str, port: &PortRef, ports: &[Port]) -> Option<u16> {
    let name = match port {
        PortRef::Number(number) => return Some(*number),
        PortRef::Name(name) => name,
    };
    let found = ports.iter().find(|port| port.name.as_ref() == Some(name));
    if found.is_none() {
        context.problem(RenderProblem::Unknown {
            field: field.to_owned(),
            what: "port named",
            name: name.clone(),
        });
    }
    Some(found?.container_port)
}
