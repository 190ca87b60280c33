//! Docker Engine 20.10 and newer (API 1.41+), and what speaks its API (podman), through bollard.
//!
//! - Connects when first asked, and again after every absence; each call is bounded in time.
//! - Refusals come back as [`RuntimeErrorKind`]s, by status and by the engine's words, and hold no value of
//!   an environment variable and no password.
//! - Bind mounts are always `Mounts`. A host path with `create` is made by the engine from API 1.42 on; on
//!   an older engine by the agent itself, if the engine is local (a Unix socket): the agent must then see
//!   the host's file system. An older remote engine refuses a missing path (`Invalid`).
//! - bollard logs request bodies (environments among them) through the `log` crate at `debug`. Nothing may
//!   ever forward `log` records of target `bollard` below `info`.

mod connection;
mod create;
mod creation;
mod error;
mod inspect;
mod objects;
mod profile;
mod pull;
mod secrets;
mod streams;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
    RenameContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use futures::stream::BoxStream;
use longshore_plan::desired::{DesiredNetwork, DesiredVolume};
use longshore_plan::names::EngineId;
use longshore_plan::spec::{Resources, RestartPolicy};
use serde::Deserialize;

use super::{
    ContainerDetail, ContainerSummary, CreateRequest, ExecResult, ImageInfo, Listener, NetworkInfo,
    PullProgressSender, RegistryAuth, Runtime, RuntimeError, RuntimeErrorKind, RuntimeEvent, RuntimeInfo,
    VolumeInfo,
};
use connection::{CHANGING, Connection, LOOKING};
use error::own;
use objects::gone_is_fine;

/// How much longer than the grace period a stop may take.
const STOP_MARGIN: Duration = Duration::from_secs(30);
/// How often it is looked whether a removal that somebody else began is over, and how long between.
const REMOVAL_TRIES: u32 = 100;
const REMOVAL_PAUSE: Duration = Duration::from_millis(200);

/// A Docker Engine. Clones share the connection.
#[derive(Clone)]
pub struct DockerRuntime {
    connection: Arc<Connection>,
}

impl DockerRuntime {
    /// The engine at `endpoint`: `unix:///var/run/docker.sock` (or the bare path), `tcp://host:port`,
    /// `http://host:port`. Nothing is asked yet; only a malformed endpoint is an error.
    pub fn new(endpoint: &str) -> Result<Self, RuntimeError> {
        Ok(Self {
            connection: Arc::new(Connection::new(endpoint)?),
        })
    }

    async fn inspect_raw(
        &self,
        operation: &str,
        id: &EngineId,
    ) -> Result<bollard::models::ContainerInspectResponse, RuntimeError> {
        let inspect = |docker: Docker| async move {
            docker
                .inspect_container(&id.0, None::<InspectContainerOptions>)
                .await
        };
        self.connection.call(operation, LOOKING, inspect).await
    }

    async fn wait_removed(&self, operation: &str, id: &EngineId) -> Result<(), RuntimeError> {
        for _ in 0..REMOVAL_TRIES {
            if self.inspect(id).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(REMOVAL_PAUSE).await;
        }
        Err(own(
            operation,
            RuntimeErrorKind::Timeout,
            "a removal in progress does not end",
        ))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct VersionAnswer {
    version: String,
    os: String,
    arch: String,
    components: Vec<Component>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Component {
    name: String,
}

/// What the kernel and the engine can limit.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Limits {
    memory_limit: bool,
    cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    cpu_set: bool,
    pids_limit: bool,
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let operation = "info";
        let version: VersionAnswer = self.connection.get(operation, "/version").await?;
        let limits: Limits = self.connection.get(operation, "/info").await?;
        let (_, api) = self.connection.docker(operation).await?;
        let podman = version
            .components
            .iter()
            .any(|component| component.name.starts_with("Podman"));
        let capabilities = [
            ("events", true),
            ("exec", true),
            ("healthcheck", true),
            ("limit-cpu", limits.cpu_cfs_quota),
            ("limit-cpu-set", limits.cpu_set),
            ("limit-cpu-shares", limits.cpu_shares),
            ("limit-memory", limits.memory_limit),
            ("limit-pids", limits.pids_limit),
            ("pause", true),
            ("pull", true),
            ("rename", true),
            ("update", !podman),
        ];
        Ok(RuntimeInfo {
            kind: if podman { "podman" } else { "docker" }.to_owned(),
            version: version.version,
            api_version: api.to_string(),
            os: version.os,
            arch: version.arch,
            capabilities: capabilities
                .into_iter()
                .filter(|(_, can)| *can)
                .map(|(name, _)| name.to_owned())
                .collect(),
        })
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        streams::events(Arc::clone(&self.connection)).await
    }

    async fn list(&self) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let all: Vec<inspect::Listed> = self.connection.get("list", "/containers/json?all=1").await?;
        Ok(all.into_iter().map(inspect::Listed::summary).collect())
    }

    async fn inspect(&self, id: &EngineId) -> Result<Option<ContainerDetail>, RuntimeError> {
        match self.inspect_raw(&format!("inspect {id}"), id).await {
            Ok(answer) => Ok(Some(inspect::detail(answer))),
            Err(error) if error.kind == RuntimeErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        let inspect = |docker: Docker| async move { docker.inspect_image(reference).await };
        match self
            .connection
            .call(&format!("image {reference}"), LOOKING, inspect)
            .await
        {
            Ok(answer) => Ok(Some(inspect::image(&answer))),
            Err(error) if error.kind == RuntimeErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: PullProgressSender,
    ) -> Result<ImageInfo, RuntimeError> {
        pull::pull(&self.connection, reference, auth, &progress).await?;
        let missing = || {
            own(
                &format!("pull {reference}"),
                RuntimeErrorKind::Other,
                "the engine pulled it and has it not",
            )
        };
        self.image(reference).await?.ok_or_else(missing)
    }

    async fn create(&self, request: &CreateRequest) -> Result<EngineId, RuntimeError> {
        self.create_container(request).await
    }

    async fn start(&self, id: &EngineId) -> Result<(), RuntimeError> {
        let start = |docker: Docker| async move {
            docker.start_container(&id.0, None::<StartContainerOptions>).await
        };
        self.connection
            .call(&format!("start {id}"), CHANGING, start)
            .await
    }

    async fn stop(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError> {
        let options = StopContainerOptionsBuilder::default().t(seconds(grace)).build();
        let stop = |docker: Docker| async move { docker.stop_container(&id.0, Some(options)).await };
        self.connection
            .call(&format!("stop {id}"), grace + STOP_MARGIN, stop)
            .await
    }

    async fn kill(&self, id: &EngineId, signal: &str) -> Result<(), RuntimeError> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        let kill = |docker: Docker| async move { docker.kill_container(&id.0, Some(options)).await };
        self.connection.call(&format!("signal {id}"), LOOKING, kill).await
    }

    async fn restart(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError> {
        let options = RestartContainerOptionsBuilder::default()
            .t(seconds(grace))
            .build();
        let restart = |docker: Docker| async move { docker.restart_container(&id.0, Some(options)).await };
        self.connection
            .call(&format!("restart {id}"), grace + CHANGING, restart)
            .await
    }

    async fn unpause(&self, id: &EngineId) -> Result<(), RuntimeError> {
        let unpause = |docker: Docker| async move { docker.unpause_container(&id.0).await };
        match self
            .connection
            .call(&format!("unpause {id}"), LOOKING, unpause)
            .await
        {
            Err(error) if error.message.contains("is not paused") => Ok(()),
            outcome => outcome,
        }
    }

    async fn rename(&self, id: &EngineId, name: &str) -> Result<(), RuntimeError> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        let rename = |docker: Docker| async move { docker.rename_container(&id.0, options).await };
        match self
            .connection
            .call(&format!("rename {id} to {name}"), LOOKING, rename)
            .await
        {
            Err(error) if error.message.contains("same name as its current name") => Ok(()),
            outcome => outcome,
        }
    }

    async fn update(
        &self,
        id: &EngineId,
        restart_policy: RestartPolicy,
        resources: &Resources,
    ) -> Result<(), RuntimeError> {
        let operation = format!("update {id}");
        let host = self
            .inspect_raw(&operation, id)
            .await?
            .host_config
            .unwrap_or_default();
        if let Some(limit) = update::lifted(&inspect::resources(&host), resources) {
            let words = format!("the engine cannot lift the {limit} of an existing container");
            return Err(own(&operation, RuntimeErrorKind::Unsupported, words));
        }
        let body = update::body(&host, restart_policy, resources);
        let update = |docker: Docker| async move { docker.update_container(&id.0, body).await };
        self.connection.call(&operation, LOOKING, update).await
    }

    async fn remove(&self, id: &EngineId) -> Result<(), RuntimeError> {
        let operation = format!("remove {id}");
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let remove = |docker: Docker| async move { docker.remove_container(&id.0, Some(options)).await };
        match self.connection.call(&operation, CHANGING, remove).await {
            Err(error) if error.message.contains("already in progress") => {
                self.wait_removed(&operation, id).await
            }
            outcome => gone_is_fine(outcome),
        }
    }

    async fn exec(
        &self,
        id: &EngineId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        streams::exec(&self.connection, id, command, timeout).await
    }

    async fn log_tail(&self, id: &EngineId, lines: usize) -> Result<String, RuntimeError> {
        streams::log_tail(&self.connection, id, lines).await
    }

    async fn listeners(&self) -> Vec<Listener> {
        if self.connection.is_local() {
            super::listeners::of_host()
        } else {
            Vec::new()
        }
    }

    async fn networks(&self) -> Result<Vec<NetworkInfo>, RuntimeError> {
        objects::networks(&self.connection).await
    }

    async fn create_network(
        &self,
        network: &DesiredNetwork,
        subnet: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        objects::create_network(&self.connection, network, subnet, labels).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError> {
        objects::remove_network(&self.connection, name).await
    }

    async fn connect(&self, network: &str, id: &EngineId, aliases: &[String]) -> Result<(), RuntimeError> {
        objects::connect(&self.connection, network, id, aliases).await
    }

    async fn disconnect(&self, network: &str, id: &EngineId) -> Result<(), RuntimeError> {
        objects::disconnect(&self.connection, network, id).await
    }

    async fn volumes(&self) -> Result<Vec<VolumeInfo>, RuntimeError> {
        objects::volumes(&self.connection).await
    }

    async fn create_volume(
        &self,
        volume: &DesiredVolume,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        objects::create_volume(&self.connection, volume, labels).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        objects::remove_volume(&self.connection, name).await
    }

    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError> {
        let remove = |docker: Docker| async move {
            docker
                .remove_image(reference, None::<RemoveImageOptions>, None)
                .await
                .map(drop)
        };
        match self
            .connection
            .call(&format!("remove image {reference}"), CHANGING, remove)
            .await
        {
            Err(error) if error.kind == RuntimeErrorKind::Conflict => Ok(()),
            outcome => gone_is_fine(outcome),
        }
    }
}

/// Docker counts grace periods in whole seconds; a part of one is one.
fn seconds(grace: Duration) -> i32 {
    i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}
