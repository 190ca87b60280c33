//! An engine on which the agent seems to have a bug.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use longshore_agent::labels;
use longshore_agent::runtime::sim::SimRuntime;
use longshore_agent::runtime::{
    ContainerDetail, ContainerSummary, CreateRequest, ExecResult, ImageInfo, Listener, NetworkInfo,
    PullProgressSender, RegistryAuth, Runtime, RuntimeError, RuntimeEvent, RuntimeInfo, VolumeInfo,
};
use longshore_plan::desired::{DesiredNetwork, DesiredVolume};
use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::{Resources, RestartPolicy};

use super::super::perform::THEIRS;
use super::super::site::site_uid;
use super::Plant;

/// Passes every call on, with the bug's doing added or left out.
pub(super) struct Wrong {
    inner: SimRuntime,
    plant: Plant,
    began: AtomicBool,
}

impl Wrong {
    pub(super) fn new(inner: SimRuntime, plant: Plant) -> Self {
        Self {
            inner,
            plant,
            began: AtomicBool::new(false),
        }
    }

    async fn restart_all(&self) -> Result<(), RuntimeError> {
        for one in self.inner.machine().containers() {
            let is_ours = one.labels.get(labels::SITE) == Some(&site_uid());
            if is_ours && one.state == ContainerState::Running {
                self.inner.restart(&one.id, Duration::ZERO).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Runtime for Wrong {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        if self.plant == Plant::RestartsAtItsStart && !self.began.swap(true, Ordering::Relaxed) {
            self.restart_all().await?;
        }
        self.inner.info().await
    }

    async fn create(&self, request: &CreateRequest) -> Result<EngineId, RuntimeError> {
        if self.plant == Plant::MakesEachTwice {
            let first = self.inner.create(request).await?;
            self.inner.remove(&first).await?;
        }
        self.inner.create(request).await
    }

    async fn stop(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError> {
        if self.plant == Plant::ForgetsToStop {
            return Ok(());
        }
        self.inner.stop(id, grace).await
    }

    async fn rename(&self, id: &EngineId, name: &str) -> Result<(), RuntimeError> {
        self.inner.rename(id, name).await?;
        if self.plant == Plant::RemovesTheOldFirst && name.strip_suffix(".prev").is_some() {
            self.inner.remove(id).await?;
        }
        Ok(())
    }

    async fn update(
        &self,
        id: &EngineId,
        restart_policy: RestartPolicy,
        resources: &Resources,
    ) -> Result<(), RuntimeError> {
        if self.plant == Plant::ChangesNothingInPlace {
            return Ok(());
        }
        self.inner.update(id, restart_policy, resources).await
    }

    async fn remove(&self, id: &EngineId) -> Result<(), RuntimeError> {
        self.inner.remove(id).await?;
        match self.plant {
            Plant::RemovesTheNeighbour => {
                let theirs = self.inner.machine().container(THEIRS).map(|one| one.id);
                if let Some(theirs) = theirs {
                    self.inner.remove(&theirs).await?;
                }
            }
            Plant::RemovesVolumes => {
                for volume in self.inner.volumes().await? {
                    if volume.name != THEIRS {
                        // One that another container uses stays.
                        drop(self.inner.remove_volume(&volume.name).await);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        self.inner.events().await
    }

    async fn list(&self) -> Result<Vec<ContainerSummary>, RuntimeError> {
        self.inner.list().await
    }

    async fn inspect(&self, id: &EngineId) -> Result<Option<ContainerDetail>, RuntimeError> {
        self.inner.inspect(id).await
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        self.inner.image(reference).await
    }

    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: PullProgressSender,
    ) -> Result<ImageInfo, RuntimeError> {
        self.inner.pull(reference, auth, progress).await
    }

    async fn start(&self, id: &EngineId) -> Result<(), RuntimeError> {
        self.inner.start(id).await
    }

    async fn kill(&self, id: &EngineId, signal: &str) -> Result<(), RuntimeError> {
        self.inner.kill(id, signal).await
    }

    async fn restart(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError> {
        self.inner.restart(id, grace).await
    }

    async fn unpause(&self, id: &EngineId) -> Result<(), RuntimeError> {
        self.inner.unpause(id).await
    }

    async fn exec(
        &self,
        id: &EngineId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        self.inner.exec(id, command, timeout).await
    }

    async fn log_tail(&self, id: &EngineId, lines: usize) -> Result<String, RuntimeError> {
        self.inner.log_tail(id, lines).await
    }

    async fn listeners(&self) -> Vec<Listener> {
        self.inner.listeners().await
    }

    async fn networks(&self) -> Result<Vec<NetworkInfo>, RuntimeError> {
        self.inner.networks().await
    }

    async fn create_network(
        &self,
        network: &DesiredNetwork,
        subnet: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        self.inner.create_network(network, subnet, labels).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError> {
        self.inner.remove_network(name).await
    }

    async fn connect(&self, network: &str, id: &EngineId, aliases: &[String]) -> Result<(), RuntimeError> {
        self.inner.connect(network, id, aliases).await
    }

    async fn disconnect(&self, network: &str, id: &EngineId) -> Result<(), RuntimeError> {
        self.inner.disconnect(network, id).await
    }

    async fn volumes(&self) -> Result<Vec<VolumeInfo>, RuntimeError> {
        self.inner.volumes().await
    }

    async fn create_volume(
        &self,
        volume: &DesiredVolume,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        self.inner.create_volume(volume, labels).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        self.inner.remove_volume(name).await
    }

    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError> {
        self.inner.remove_image(reference).await
    }
}
