//! The steps on one container that need no journal of their own: create, start, update, remove, restart.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload};
use longshore_plan::hash::config_digest;
use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::{Applied, FailureReason, ObservedContainer};
use longshore_plan::spec::{ContainerConfig, MountSource, OnConfigChange};
use longshore_plan::step::{Reason, Step};
use tokio::time::Instant;

use super::step::Effects;
use super::{Executor, Failed, Interrupt, LivenessBackoff, Trouble, Unready};
use crate::backoff;
use crate::content::ContentError;
use crate::labels;
use crate::ledger::{OwnedContainer, Record};
use crate::probes::RestartRequest;
use crate::runtime::{CreateRequest, RuntimeErrorKind};

/// Docker's default between stop signal and kill.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// A container that ran this long since its last liveness restart begins its back-off anew.
const LIVENESS_FORGIVEN: Duration = Duration::from_mins(10);

impl Executor {
    pub(super) async fn create(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
    ) -> Result<Effects, Trouble> {
        self.wait_for_dependencies(workload, container).await?;
        self.claim_ports(container, None).await?;
        let request = self
            .request(workload, container, container.engine_name.clone())
            .await?;
        let id = self.make(&request, workload.key(container), container).await?;
        let started = self.tools.runtime.start(&id).await;
        started.map_err(|e| self.trouble(e, FailureReason::StartFailed))?;
        self.watch(workload, container, &id);
        Ok(Effects::changed(vec![applied(workload, container)]))
    }

    /// Makes a container, which is ours from then on.
    pub(super) async fn make(
        &mut self,
        request: &CreateRequest,
        key: ContainerKey,
        container: &DesiredContainer,
    ) -> Result<EngineId, Trouble> {
        let _until_written_down = self.tools.view.making(&request.name);
        let created = self.tools.runtime.create(request).await;
        let id = created.map_err(|e| self.trouble(e, FailureReason::CreateFailed))?;
        let container = OwnedContainer {
            key,
            hash: container.hash.clone(),
        };
        self.append(vec![Record::ContainerOwned {
            id: id.clone(),
            container,
        }])
        .await?;
        Ok(id)
    }

    pub(super) async fn start(
        &mut self,
        desired: &DesiredSet,
        object: &ObservedContainer,
    ) -> Result<Effects, Trouble> {
        let state = self.tools.ledger.state();
        let declaration = desired
            .container(&object.key)
            .filter(|(_, c)| c.hash == object.hash)
            .or_else(|| state.declaration(&object.key, &object.hash));
        if let Some((workload, container)) = declaration.filter(|(_, c)| c.hash == object.hash) {
            self.wait_for_dependencies(workload, container).await?;
            self.claim_ports(container, Some(&object.id)).await?;
            // The files are there before the engine looks for them, also after somebody removed them.
            self.lay_out(workload, container).await?;
        }
        let started = self.tools.runtime.start(&object.id).await;
        started.map_err(|e| self.trouble(e, FailureReason::StartFailed))?;
        let mut records = Vec::new();
        if let Some((workload, container)) = desired
            .container(&object.key)
            .filter(|(_, c)| c.hash == object.hash)
        {
            self.watch(workload, container, &object.id);
            if same_config(&object.config, &container.config) {
                records.push(applied(workload, container));
            }
        }
        Ok(Effects::changed(records))
    }

    pub(super) async fn update(
        &mut self,
        workload: &DesiredWorkload,
        wanted: &DesiredContainer,
        object: &ObservedContainer,
        step: &Step,
        id: Option<&str>,
    ) -> Result<Effects, Trouble> {
        let (want, have) = (&wanted.config, &object.config);
        if want.restart_policy != have.restart_policy || want.resources != have.resources {
            let updated = self
                .tools
                .runtime
                .update(&object.id, want.restart_policy, &want.resources)
                .await;
            match updated {
                Ok(()) => {}
                // Declared is declared: what this engine cannot change in place takes another container.
                Err(error)
                    if error.kind == RuntimeErrorKind::Unsupported
                        && !matches!(step.reason, Reason::Drifted { .. }) =>
                {
                    tracing::info!(container = %object.key, %error, "replaced instead of updated");
                    return self
                        .replace(workload, wanted, &object.id, id.map(str::to_owned))
                        .await;
                }
                Err(error) => return Err(self.trouble(error, FailureReason::UpdateFailed)),
            }
        }
        self.update_networks(wanted, object).await?;
        if want.content != have.content {
            self.lay_out(workload, wanted).await?;
            if let OnConfigChange::Signal(signal) = &wanted.behaviour.on_config_change
                && object.state.is_up()
            {
                let sent = self.tools.runtime.kill(&object.id, signal).await;
                sent.map_err(|e| self.trouble(e, FailureReason::UpdateFailed))?;
            }
        }
        let records = if wanted.hash == object.hash {
            vec![applied(workload, wanted)]
        } else {
            Vec::new()
        };
        Ok(Effects::changed(records))
    }

    async fn update_networks(
        &mut self,
        wanted: &DesiredContainer,
        object: &ObservedContainer,
    ) -> Result<(), Trouble> {
        let (want, have) = (&wanted.config.networks, &object.config.networks);
        // Joined before left: it is never without any.
        for network in want.iter().filter(|n| !have.contains(n)) {
            let alias = [wanted.name.to_string()];
            let joined = self.tools.runtime.connect(network, &object.id, &alias).await;
            joined.map_err(|e| self.trouble(e, FailureReason::UpdateFailed))?;
        }
        for network in have.iter().filter(|n| !want.contains(n)) {
            let left = self.tools.runtime.disconnect(network, &object.id).await;
            left.map_err(|e| self.trouble(e, FailureReason::UpdateFailed))?;
        }
        Ok(())
    }

    pub(super) async fn remove(
        &mut self,
        desired: &DesiredSet,
        object: &ObservedContainer,
    ) -> Result<Effects, Trouble> {
        if object.state.is_up() {
            self.stop(&object.id, &object.started_at).await?;
        }
        let removed = self.tools.runtime.remove(&object.id).await;
        removed.map_err(|e| self.trouble(e, FailureReason::RemoveFailed))?;
        self.unready.remove(&object.id);
        let mut records = vec![Record::ContainerGone {
            id: object.id.clone(),
        }];
        if desired.container(&object.key).is_none() {
            records.push(Record::Forgotten {
                key: object.key.clone(),
            });
        }
        Ok(Effects::changed(records))
    }

    /// Restarts a container whose liveness or startup probe failed, with a back-off of its own.
    pub(super) async fn restart_failing(&mut self, request: RestartRequest) -> Result<(), Interrupt> {
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        self.uninterrupted(&snapshot)?;
        let state = self.tools.ledger.state();
        // The same start of the same container, or the request is about something that is over.
        let Some(object) = snapshot
            .container(&request.id)
            .filter(|c| c.started_at == request.started_at && c.state.is_up())
        else {
            return Ok(());
        };
        let set = state.wanted();
        if set.paused || set.workload(&request.key.workload).is_none_or(|w| w.suspend) {
            return Ok(());
        }
        let now = Instant::now();
        let backing_off = self.liveness.get(&request.id).is_some_and(|b| {
            let delay = backoff::doubled(backoff::RETRY_FIRST, b.count, backoff::RETRY_LONGEST);
            now.duration_since(b.last) < delay
        });
        if backing_off {
            return Ok(());
        }
        tracing::warn!(container = %request.key, words = %request.words, "restarted");
        self.tools.counters.liveness_restarts.add();
        self.note_stop(&object.id, &object.started_at).await?;
        let grace = self.grace_of(&object.id);
        let restarted = self.tools.runtime.restart(&object.id, grace).await;
        if let Err(error) = restarted {
            match self.trouble(error, FailureReason::StartFailed) {
                Trouble::Interrupted(interrupt) => return Err(interrupt),
                trouble => tracing::warn!(container = %request.key, %trouble, "it could not be restarted"),
            }
        }
        self.liveness.retain(|id, b| {
            snapshot.container(id).is_some() && now.duration_since(b.last) < LIVENESS_FORGIVEN
        });
        let entry = self
            .liveness
            .entry(request.id)
            .or_insert(LivenessBackoff { count: 0, last: now });
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        Ok(())
    }

    /// Everything the engine needs to make a container, its content resolved.
    pub(super) async fn request(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
        name: String,
    ) -> Result<CreateRequest, Trouble> {
        let state = self.tools.ledger.state();
        let Some(site) = &state.site else {
            return Err(
                Failed::waiting(FailureReason::CreateFailed, "the device belongs to no site yet").into(),
            );
        };
        let env = self.tools.content.environment(&container.spec).await;
        let env = env.map_err(|e| content_trouble(&e))?;
        let content_dirs = self.lay_out(workload, container).await?;
        let key = workload.key(container);
        Ok(CreateRequest {
            name,
            spec: container.spec.clone(),
            env,
            content_dirs,
            restart_policy: container.config.restart_policy,
            resources: container.config.resources.clone(),
            networks: container.config.networks.clone(),
            alias: container.name.to_string(),
            labels: labels::of_container(
                site,
                &self.tools.device,
                &key,
                &workload.revision,
                &container.hash,
            ),
            stop_grace_period: grace(container),
        })
    }

    async fn lay_out(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
    ) -> Result<BTreeMap<String, String>, Trouble> {
        let mounts_content = container
            .spec
            .mounts
            .iter()
            .any(|m| matches!(m.source, MountSource::Content { .. }));
        if !mounts_content && container.config.content.is_empty() {
            return Ok(BTreeMap::new());
        }
        let key = workload.key(container);
        let directories = self
            .tools
            .content
            .lay_out(&key, &container.hash, &container.spec, &container.config.content)
            .await;
        directories.map_err(|e| content_trouble(&e))
    }

    /// How long a container may take to stop.
    pub(super) fn grace_of(&self, id: &EngineId) -> Duration {
        let state = self.tools.ledger.state();
        let owned = state.containers.get(id);
        let declaration = owned.and_then(|owned| state.declaration(&owned.key, &owned.hash));
        declaration.map_or(DEFAULT_GRACE, |(_, container)| grace(container))
    }

    /// Follows a started container until it is healthy; see housekeeping.
    fn watch(&mut self, workload: &DesiredWorkload, container: &DesiredContainer, id: &EngineId) {
        let seconds = workload
            .progress_deadline_seconds
            .max(workload.min_ready_seconds.saturating_add(5));
        self.unready.insert(
            id.clone(),
            Unready {
                key: workload.key(container),
                hash: container.hash.clone(),
                config_digest: config_digest(&container.config),
                deadline: Instant::now() + Duration::from_secs(u64::from(seconds)),
            },
        );
    }
}

pub(super) fn applied(workload: &DesiredWorkload, container: &DesiredContainer) -> Record {
    Record::Applied(Applied {
        key: workload.key(container),
        hash: container.hash.clone(),
        config_digest: config_digest(&container.config),
        completed: false,
    })
}

/// Whether a container's changeable part is as declared; lists of networks are sets.
pub(super) fn same_config(have: &ContainerConfig, want: &ContainerConfig) -> bool {
    let sorted = |config: &ContainerConfig| {
        let mut config = config.clone();
        config.networks.sort();
        config
    };
    sorted(have) == sorted(want)
}

fn grace(container: &DesiredContainer) -> Duration {
    let seconds = container.behaviour.stop_grace_period_seconds;
    seconds.map_or(DEFAULT_GRACE, |s| Duration::from_secs(u64::from(s)))
}

fn content_trouble(error: &ContentError) -> Trouble {
    let reason = match error {
        ContentError::Missing { .. } => FailureReason::ContentMissing,
        ContentError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            FailureReason::DiskFull
        }
        ContentError::Invalid { .. } | ContentError::Write { .. } => FailureReason::CreateFailed,
    };
    Failed::waiting(reason, super::chain(error)).into()
}
