//! (b) From an apply to a running container, beside the engine doing just that.
//!
//! A private Docker engine does both, one after the other, with the same image and the same settings. What
//! lies between them is the whole of Longshore: the API's durable write, the finalizer, the plan, the
//! agent's journal, and the calls by which the agent makes sure before and after.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
};
use longshore_agent::runtime::docker::DockerRuntime;
use longshore_agent::runtime::probe_network::HostNetwork;
use longshore_tests::harness::watch::Events;
use longshore_tests::harness::{Dockerd, Kind, webapp};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::measure::{Arm, Effort, Outcome, Row};
use crate::rig::{Keeping, Rig};

const DEVICE: &str = "dev1";
const IMAGE: &str = "bench-app:1";
/// The application only sleeps: nothing of its own start is measured, and it takes no port.
const ENVIRONMENT: &str = "MODE=sleep";
/// How long anything may take before it is an error and no figure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures it.
pub(crate) fn measure(effort: Effort) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting a runtime")?.block_on(networks(effort))
}

async fn networks(effort: Effort) -> Result<Outcome> {
    let Some(engine) = Dockerd::start().await? else {
        return Ok(Outcome::Skipped(
            "no private Docker engine can run here".to_owned(),
        ));
    };
    let docker = engine.bollard()?;
    webapp(IMAGE, "v1")?.build().load(&docker).await?;
    let mut rig = Rig::start(Keeping::OnDisk).await?;
    let agent = DockerRuntime::new(&engine.host()).context("the engine's address")?;
    rig.add_agent(DEVICE, Arc::new(agent), Arc::new(HostNetwork))
        .await?;
    let events = Events::listen(&docker)?;
    let stage = Stage { rig, docker, events };
    let rows = vec![
        stage.rounds("bridge", effort).await?,
        stage.rounds("host", effort).await?,
    ];
    stage.rig.stop().await?;
    Ok(Outcome::Rows(rows))
}

struct Stage {
    rig: Rig,
    docker: Docker,
    events: Events,
}

impl Stage {
    async fn rounds(&self, network: &str, effort: Effort) -> Result<Row> {
        let mut row = Row::new(
            format!("apply sent → container running, {network} network"),
            "create and start on the engine's socket",
            "ms",
        );
        // The first one shows the settings that the others are made with, and warms both ways.
        let (_, settings) = self.declared(&format!("{network}-first"), network).await?;
        let mut created = Arm::default();
        for round in 0..effort.pick(4, 40) {
            let name = format!("{network}-{round}");
            // Whoever comes second finds a warmer engine, so they take turns at that as well.
            if round % 2 == 0 {
                row.baseline.push(self.direct(&name, &settings).await?);
            }
            let (times, _) = self.declared(&name, network).await?;
            row.ours.push(times.running);
            created.push(times.created);
            if round % 2 == 1 {
                row.baseline.push(self.direct(&name, &settings).await?);
            }
        }
        let until = created.percentile(50);
        row.notes.push(format!(
            "of which until the engine had made it: {until:.1} ms (p50)"
        ));
        Ok(row)
    }

    /// A new workload, from the apply to the engine's word that its container runs; then it goes again.
    async fn declared(&self, name: &str, network: &str) -> Result<(Times, HostConfig)> {
        let workload = workload(name, network);
        let mark = self.events.mark();
        let begun = Instant::now();
        self.rig.objects.apply(&workload).await?;
        let container = format!("{name}.app");
        self.seen(mark, "create", &container).await?;
        let created = begun.elapsed();
        self.seen(mark, "start", &container).await?;
        let running = begun.elapsed();
        self.rig.objects.ready(name).await?;
        let inspected = self.docker.inspect_container(&container, None).await;
        let settings = inspected
            .context("inspecting")?
            .host_config
            .context("no host configuration")?;
        self.rig.objects.delete(Kind::Workload, name).await?;
        self.rig.objects.gone(Kind::Workload, name).await?;
        let times = Times {
            created: millis(created),
            running: millis(running),
        };
        Ok((times, settings))
    }

    /// The same container without Longshore.
    async fn direct(&self, name: &str, settings: &HostConfig) -> Result<f64> {
        let name = format!("direct-{name}");
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            env: Some(vec![ENVIRONMENT.to_owned()]),
            host_config: Some(settings.clone()),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let mark = self.events.mark();
        let begun = Instant::now();
        let made = self.docker.create_container(Some(options), body).await;
        let id = made.context("creating")?.id;
        let started = self
            .docker
            .start_container(&id, None::<StartContainerOptions>)
            .await;
        started.context("starting")?;
        self.seen(mark, "start", &name).await?;
        let took = begun.elapsed();
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        self.docker
            .remove_container(&id, Some(options))
            .await
            .context("removing")?;
        Ok(millis(took))
    }

    async fn seen(&self, mark: usize, action: &str, container: &str) -> Result<()> {
        let what = format!("{action} of {container}");
        let seen = self.events.first(mark, &what, PATIENCE, |event| {
            event.action == action && event.name == container
        });
        seen.await.map(drop)
    }
}

struct Times {
    created: f64,
    running: f64,
}

fn workload(name: &str, network: &str) -> Value {
    let (variable, value) = ENVIRONMENT.split_once('=').unwrap_or_default();
    let mut template = json!({"containers": [{
        "name": "app",
        "image": IMAGE,
        "env": [{"name": variable, "value": value}],
    }]});
    if network == "host" {
        template["hostNetwork"] = json!(true);
    }
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "targets": [{"device": DEVICE}],
            "template": template,
            // It counts as healthy at once, so that the rounds follow each other.
            "rollout": {"minReadySeconds": 0},
        },
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
