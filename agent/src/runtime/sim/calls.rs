//! Every call of [`Runtime`] on the simulated machine.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt as _};
use longshore_plan::desired::{DesiredNetwork, DesiredVolume};
use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::{Resources, RestartPolicy};
use tokio::time::{Instant, sleep};

use super::client::{SimRuntime, error};
use super::events::Subscription;
use super::fault::Op;
use super::registry::{Reference, image_id};
use super::state::{Refusal, State};
use crate::runtime::{
    ContainerDetail, ContainerSummary, CreateRequest, ExecResult, ImageInfo, Listener, NetworkInfo,
    PullProgress, PullProgressSender, RegistryAuth, Runtime, RuntimeError, RuntimeErrorKind, RuntimeEvent,
    RuntimeInfo, VolumeInfo,
};

/// A pull's progress comes in so many steps.
const PULL_STEPS: u32 = 20;
const LOG_TAIL_BYTES: usize = 16 * 1024;

#[async_trait]
impl Runtime for SimRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.call(Op::Info, "", |state, _| {
            let names = [
                "events",
                "exec",
                "healthcheck",
                "pause",
                "pull",
                "rename",
                "update",
            ];
            Ok(RuntimeInfo {
                kind: "sim".to_owned(),
                version: state.version.clone(),
                api_version: "1.41".to_owned(),
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
                capabilities: names.map(ToOwned::to_owned).to_vec(),
            })
        })
        .await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        let changed = self.machine.subscribe();
        let subscription = self
            .call(Op::Events, "", |state, _| {
                Ok(Subscription::new(self.clone(), changed, state))
            })
            .await?;
        Ok(subscription
            .stream()
            .map(|event| event.map_err(|refusal| error(Op::Events, "", refusal)))
            .boxed())
    }

    async fn list(&self) -> Result<Vec<ContainerSummary>, RuntimeError> {
        self.call(Op::List, "", |state, _| Ok(state.summary())).await
    }

    async fn inspect(&self, id: &EngineId) -> Result<Option<ContainerDetail>, RuntimeError> {
        let detail =
            |state: &mut State, _| Ok(state.containers.get(id).map(|container| state.detail(container)));
        self.call(Op::Inspect, &self.name(id), detail).await
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        let info = |state: &mut State, _| {
            let image = state.local_image(reference);
            Ok(image.map(|image| ImageInfo {
                id: image_id(image),
                size_bytes: image.size_bytes,
            }))
        };
        self.call(Op::Image, reference, info).await
    }

    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: PullProgressSender,
    ) -> Result<ImageInfo, RuntimeError> {
        let started = self.begin(Op::Pull, reference).await?;
        let refused = |refusal| error(Op::Pull, reference, refusal);
        let wanted = Reference::parse(reference);
        let image = self
            .machine
            .act(|state, _| {
                state
                    .check_engine(started.incarnation)
                    .and_then(|()| state.registries.find(&wanted, auth))
            })
            .map_err(refused)?;
        for step in 1..=PULL_STEPS {
            sleep(image.pull_takes / PULL_STEPS).await;
            self.answering(Op::Pull, reference).await?;
            self.machine
                .act(|state, _| {
                    state.check_engine(started.incarnation)?;
                    state.registries.find(&wanted, auth) // the registry may go away in the middle
                })
                .map_err(refused)?;
            let left = u64::from(PULL_STEPS - step);
            let done_bytes = image.size_bytes - image.size_bytes / u64::from(PULL_STEPS) * left;
            progress.send_replace(PullProgress {
                done_bytes,
                total_bytes: image.size_bytes,
            });
        }
        let info = self.machine.act(|state, now| {
            let info = state.load_image(reference, image);
            state.record(now, self.actor(), Op::Pull, reference, None, &info.id);
            info
        });
        self.end(Op::Pull, reference, &started).await?;
        Ok(info)
    }

    async fn create(&self, request: &CreateRequest) -> Result<EngineId, RuntimeError> {
        let actor = self.actor();
        self.call(Op::Create, &request.name, |state, now| {
            state.create(request, now, actor)
        })
        .await
    }

    async fn start(&self, id: &EngineId) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::Start, &self.name(id), |state, now| {
            state.start(id, now, actor)
        })
        .await
    }

    async fn stop(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), self.name(id));
        let started = self.begin(Op::Stop, &name).await?;
        let refused = |refusal| error(Op::Stop, &name, refusal);
        self.machine
            .act(|state, now| {
                state.check_engine(started.incarnation)?;
                if state.ask_to_stop(id, now, grace)? {
                    state.record(now, actor, Op::Stop, &name, Some(id), "");
                }
                Ok(())
            })
            .map_err(refused)?;
        self.wait_stopped(id, Op::Stop, &name).await?;
        self.end(Op::Stop, &name, &started).await
    }

    async fn kill(&self, id: &EngineId, signal: &str) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), self.name(id));
        self.call(Op::Kill, &name, |state, now| {
            state.signal(id, now, signal)?;
            state.record(now, actor, Op::Kill, &name, Some(id), signal);
            Ok(())
        })
        .await
    }

    async fn restart(&self, id: &EngineId, grace: Duration) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), self.name(id));
        let started = self.begin(Op::Restart, &name).await?;
        let refused = |refusal| error(Op::Restart, &name, refusal);
        self.machine
            .act(|state, now| {
                state.check_engine(started.incarnation)?;
                let stops = state.ask_to_stop(id, now, grace)?;
                state.record(now, actor, Op::Restart, &name, Some(id), "");
                if stops {
                    state.container(id)?.start_after_stop = true;
                    return Ok(());
                }
                state.start(id, now, actor)
            })
            .map_err(refused)?;
        self.wait_stopped(id, Op::Restart, &name).await?;
        self.end(Op::Restart, &name, &started).await
    }

    async fn unpause(&self, id: &EngineId) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::Unpause, &self.name(id), |state, now| {
            state.unpause(id, now, actor)
        })
        .await
    }

    async fn rename(&self, id: &EngineId, name: &str) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::Rename, &self.name(id), |state, now| {
            state.rename(id, name, now, actor)
        })
        .await
    }

    async fn update(
        &self,
        id: &EngineId,
        restart_policy: RestartPolicy,
        resources: &Resources,
    ) -> Result<(), RuntimeError> {
        let actor = self.actor();
        let update = |state: &mut State, now| state.update(id, restart_policy, resources, now, actor);
        self.call(Op::Update, &self.name(id), update).await
    }

    async fn remove(&self, id: &EngineId) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::Remove, &self.name(id), |state, now| {
            state.remove(id, now, actor);
            Ok(())
        })
        .await
    }

    async fn exec(
        &self,
        id: &EngineId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        let name = self.name(id);
        let run = self.call(Op::Exec, &name, |state, now| state.exec(id, command, now));
        // Dropping the call at the timeout leaves the machine as it is.
        tokio::time::timeout(timeout, run)
            .await
            .unwrap_or_else(|_| Err(super::client::timeout(Op::Exec, &name)))
    }

    async fn log_tail(&self, id: &EngineId, lines: usize) -> Result<String, RuntimeError> {
        self.call(Op::LogTail, &self.name(id), |state, _| {
            let log = &state.container(id)?.log;
            let start = log.len().saturating_sub(LOG_TAIL_BYTES);
            let all: Vec<&str> = log.get(start..).unwrap_or(log).split_inclusive('\n').collect();
            Ok(all[all.len().saturating_sub(lines)..].concat())
        })
        .await
    }

    async fn listeners(&self) -> Vec<Listener> {
        self.machine.act(|state, _| state.listeners())
    }

    async fn networks(&self) -> Result<Vec<NetworkInfo>, RuntimeError> {
        let all = |state: &mut State, _| {
            Ok(state
                .networks
                .values()
                .map(|network| network.info.clone())
                .collect())
        };
        self.call(Op::Networks, "", all).await
    }

    async fn create_network(
        &self,
        network: &DesiredNetwork,
        subnet: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), &network.name);
        self.call(Op::CreateNetwork, name, |state, now| {
            state.create_network(network, subnet, labels, actor)?;
            state.record(now, actor, Op::CreateNetwork, name, None, "");
            Ok(())
        })
        .await
    }

    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::RemoveNetwork, name, |state, now| {
            state.remove_network(name)?;
            state.record(now, actor, Op::RemoveNetwork, name, None, "");
            Ok(())
        })
        .await
    }

    async fn connect(&self, network: &str, id: &EngineId, _aliases: &[String]) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), self.name(id));
        self.call(Op::Connect, &name, |state, now| {
            state.connect(network, id)?;
            state.record(now, actor, Op::Connect, &name, Some(id), network);
            Ok(())
        })
        .await
    }

    async fn disconnect(&self, network: &str, id: &EngineId) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), self.name(id));
        self.call(Op::Disconnect, &name, |state, now| {
            state.disconnect(network, id)?;
            state.record(now, actor, Op::Disconnect, &name, Some(id), network);
            Ok(())
        })
        .await
    }

    async fn volumes(&self) -> Result<Vec<VolumeInfo>, RuntimeError> {
        self.call(Op::Volumes, "", |state, _| {
            Ok(state.volumes.values().cloned().collect())
        })
        .await
    }

    async fn create_volume(
        &self,
        volume: &DesiredVolume,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        let (actor, name) = (self.actor(), &volume.name);
        self.call(Op::CreateVolume, name, |state, now| {
            state.create_volume(volume, labels)?;
            state.record(now, actor, Op::CreateVolume, name, None, "");
            Ok(())
        })
        .await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::RemoveVolume, name, |state, now| {
            state.remove_volume(name)?;
            state.record(now, actor, Op::RemoveVolume, name, None, "");
            Ok(())
        })
        .await
    }

    async fn remove_image(&self, reference: &str) -> Result<(), RuntimeError> {
        let actor = self.actor();
        self.call(Op::RemoveImage, reference, |state, now| {
            state.remove_image(reference);
            state.record(now, actor, Op::RemoveImage, reference, None, "");
            Ok(())
        })
        .await
    }
}

impl State {
    /// The commands of the test application; any other one succeeds when the container is well.
    fn exec(&mut self, id: &EngineId, command: &[String], now: Instant) -> Result<ExecResult, Refusal> {
        let container = self.container(id)?;
        if container.phase != ContainerState::Running {
            return Err(Refusal::new(
                RuntimeErrorKind::Conflict,
                format!("Container {id} is not running"),
            ));
        }
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let ok = match words.as_slice() {
            [_, "touch", file] => {
                container.files.insert((*file).to_owned());
                true
            }
            [_, "rm", file] => container.files.remove(*file),
            [_, "cat", file] => container.files.contains(*file),
            _ => container.well(now),
        };
        Ok(ExecResult {
            exit_code: i64::from(!ok),
            output: String::new(),
        })
    }
}
