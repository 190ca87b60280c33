//! Images, networks and volumes.

use std::time::Duration;

use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload, ReclaimPolicy};
use longshore_plan::names::DnsLabel;
use longshore_plan::observed::{FailureReason, OwnedVolume};
use longshore_plan::spec::{MountSource, PullPolicy};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use super::step::{Effects, correlation};
use super::wait::overtaken;
use super::{Executor, Failed, Interrupt, Trouble};
use crate::answers::{Answer, CANCELLED, SUPERSEDED};
use crate::labels;
use crate::ledger::{OwnedImage, Record};
use crate::registry;
use crate::runtime::{ImageInfo, PullProgress, RegistryAuth, RuntimeError, RuntimeErrorKind};
use crate::storage::Storage;
use crate::subnet::{self, Taken};

/// So often a pull's progress is told.
const PROGRESS: Duration = Duration::from_secs(2);

/// Whether a container mounts a volume.
pub(super) fn mounts(container: &DesiredContainer, volume: &str) -> bool {
    container
        .spec
        .mounts
        .iter()
        .any(|m| matches!(&m.source, MountSource::Volume { name } if name == volume))
}

impl Executor {
    /// Sees that the image is on the device, by the container's pull policy.
    pub(super) async fn pull(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
        image: &str,
        id: Option<&str>,
    ) -> Result<Effects, Trouble> {
        let present = self.tools.runtime.image(image).await;
        let present = present.map_err(|e| self.trouble(e, FailureReason::ImagePullFailed))?;
        match (container.behaviour.pull_policy, &present) {
            (PullPolicy::IfNotPresent | PullPolicy::Never, Some(_)) => return Ok(Effects::default()),
            (PullPolicy::Never, None) => {
                let message = format!("image {image} is not on the device and its pull policy is Never");
                return Err(Failed::waiting(FailureReason::ImageNeverPull, message).into());
            }
            (PullPolicy::IfNotPresent | PullPolicy::Always, _) => {}
        }
        let pulled = self.try_credentials(workload, container, image, id).await?;
        let same = present.as_ref().is_some_and(|before| before.id == pulled.id);
        let ours = present.is_none() || self.tools.ledger.state().images.contains_key(image);
        let records = if ours {
            vec![Record::ImageOwned {
                reference: image.to_owned(),
                image: OwnedImage {
                    id: pulled.id,
                    workload: workload.name.clone(),
                    at: self.stamp(),
                },
            }]
        } else {
            Vec::new()
        };
        Ok(Effects {
            changed: !same,
            records,
        })
    }

    /// Pulls with each of the workload's credentials for the registry, or without any.
    async fn try_credentials(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
        image: &str,
        id: Option<&str>,
    ) -> Result<ImageInfo, Trouble> {
        let (credentials, unread) = self.credentials(workload, image).await;
        let server = registry::server_of(image);
        let mut tries: Vec<Option<RegistryAuth>> = credentials.into_iter().map(Some).collect();
        if tries.is_empty() {
            tries.push(None);
        }
        let mut last = None;
        for auth in &tries {
            match self
                .pull_once(workload, container, image, auth.as_ref(), id)
                .await?
            {
                Ok(info) => return Ok(info),
                Err(error) => {
                    let other_may_work = matches!(
                        error.kind,
                        RuntimeErrorKind::RegistryAuthenticationFailed | RuntimeErrorKind::ImageNotFound
                    );
                    last = Some(error);
                    if !other_may_work {
                        break;
                    }
                }
            }
        }
        let Some(error) = last else {
            return Err(Failed::waiting(FailureReason::ImagePullFailed, "nothing was tried").into());
        };
        let words = error.message.clone();
        match self.trouble(error, FailureReason::ImagePullFailed) {
            Trouble::Failed(mut failed) => {
                failed.message = format!("image {image} from registry {server}: {words}");
                if let Some(unread) = unread {
                    failed.message = format!("{} ({unread})", failed.message);
                }
                Err(failed.into())
            }
            trouble => Err(trouble),
        }
    }

    /// The credentials for the image's registry, and words about those that could not be used.
    async fn credentials(
        &self,
        workload: &DesiredWorkload,
        image: &str,
    ) -> (Vec<RegistryAuth>, Option<String>) {
        let mut found = Vec::new();
        let mut unread = None;
        for secret in &workload.image_pull_secrets {
            match self.tools.content.value(&secret.digest, "a pull secret").await {
                Ok(value) => match registry::credentials(value.bytes(), image) {
                    Ok(credentials) => found.extend(credentials),
                    Err(error) => unread = Some(error.to_string()),
                },
                Err(error) => unread = Some(error.to_string()),
            }
        }
        (found, unread)
    }

    async fn pull_once(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
        image: &str,
        auth: Option<&RegistryAuth>,
        id: Option<&str>,
    ) -> Result<Result<ImageInfo, RuntimeError>, Trouble> {
        let key = workload.key(container);
        let (sender, mut progress) = watch::channel(PullProgress::default());
        let mut states = self.tools.ledger.follow();
        let mut cancellations = self.tools.cancellations.follow();
        let mut snapshots = self.tools.view.follow();
        let pull = self.tools.runtime.pull(image, auth, sender);
        tokio::pin!(pull);
        loop {
            let skipped = |because: &str| Trouble::Skipped {
                because: because.to_owned(),
            };
            if overtaken(&states.borrow_and_update(), &key, &container.hash) {
                return Err(skipped(SUPERSEDED));
            }
            cancellations.borrow_and_update();
            if id.is_some_and(|id| self.is_cancelled(id)) {
                return Err(skipped(CANCELLED));
            }
            let snapshot = std::sync::Arc::clone(&snapshots.borrow_and_update());
            self.uninterrupted(&snapshot)?;
            // Cancel-safe: dropping the pull cancels it; the others are watches and timers.
            tokio::select! {
                biased;
                () = self.inputs.stop.cancelled() => return Err(Interrupt::Stopping.into()),
                pulled = &mut pull => return Ok(pulled),
                _ = states.changed() => {}
                _ = cancellations.changed() => {}
                _ = snapshots.changed() => {}
                () = sleep(PROGRESS) => self.tell_progress(id, &mut progress),
            }
        }
    }

    fn tell_progress(&self, id: Option<&str>, progress: &mut watch::Receiver<PullProgress>) {
        let Some(id) = id.and_then(correlation) else {
            return;
        };
        let Some(topic) = self
            .tools
            .ledger
            .state()
            .next
            .as_ref()
            .map(|n| n.response_topic.clone())
        else {
            return;
        };
        let PullProgress {
            done_bytes,
            total_bytes,
        } = progress.borrow_and_update().clone();
        let told = json!({ "doneBytes": done_bytes, "totalBytes": total_bytes });
        self.tools.answers.send(id, &topic, Answer::progress(told));
    }

    pub(super) async fn create_network(
        &mut self,
        desired: &DesiredSet,
        workload: &DnsLabel,
        name: &str,
    ) -> Result<Effects, Trouble> {
        let declared = desired
            .workload(workload)
            .and_then(|w| w.networks.iter().find(|n| n.name == name));
        let (Some(network), Some(site)) = (declared, self.tools.ledger.state().site.clone()) else {
            return Err(Trouble::Precondition {
                found: "the network is not in the desired set".to_owned(),
            });
        };
        let existing = self.tools.runtime.networks().await;
        let existing = existing.map_err(|e| self.trouble(e, FailureReason::NetworkFailed))?;
        let owned = || Record::NetworkOwned {
            name: name.to_owned(),
            workload: workload.clone(),
        };
        if let Some(there) = existing.iter().find(|n| n.name == name) {
            if labels::are_of(&there.labels, &site, &self.tools.device) {
                return Ok(Effects {
                    changed: false,
                    records: vec![owned()],
                });
            }
            let message = format!("a network {name} is there and not ours");
            return Err(Failed::waiting(FailureReason::NameConflict, message).into());
        }
        let subnet = match (&network.subnet, &network.driver) {
            (Some(subnet), _) => Some(subnet.clone()),
            (None, None) => {
                // A simulated device has no host whose routes matter.
                let mut taken = match self.tools.storage {
                    Storage::Dir(_) => Taken::of_host(),
                    Storage::Memory(_) => Taken::default(),
                };
                for network in &existing {
                    taken.add(&network.subnets);
                }
                let Some(subnet) = subnet::choose(&self.tools.network_pool, &taken) else {
                    let message = "no subnet of the network pool is free of routes, resolvers and networks";
                    return Err(Failed::waiting(FailureReason::NetworkFailed, message).into());
                };
                Some(subnet.to_string())
            }
            // What another driver does with addresses is its own business.
            (None, Some(_)) => None,
        };
        let labels = labels::of_object(&site, &self.tools.device, workload);
        let made = self
            .tools
            .runtime
            .create_network(network, subnet.as_deref(), &labels)
            .await;
        made.map_err(|e| self.trouble(e, FailureReason::NetworkFailed))?;
        Ok(Effects::changed(vec![owned()]))
    }

    pub(super) async fn remove_network(&mut self, name: &str) -> Result<Effects, Trouble> {
        if !self.tools.ledger.state().networks.contains_key(name) {
            return Err(not_ours("network", name));
        }
        let removed = self.tools.runtime.remove_network(name).await;
        removed.map_err(|e| self.trouble(e, FailureReason::RemoveFailed))?;
        Ok(Effects::changed(vec![Record::NetworkGone {
            name: name.to_owned(),
        }]))
    }

    pub(super) async fn create_volume(
        &mut self,
        desired: &DesiredSet,
        workload: &DnsLabel,
        name: &str,
    ) -> Result<Effects, Trouble> {
        let declared = desired
            .workload(workload)
            .and_then(|w| w.volumes.iter().find(|v| v.name == name));
        let (Some(volume), Some(site)) = (declared, self.tools.ledger.state().site.clone()) else {
            return Err(Trouble::Precondition {
                found: "the volume is not in the desired set".to_owned(),
            });
        };
        let existing = self.tools.runtime.volumes().await;
        let existing = existing.map_err(|e| self.trouble(e, FailureReason::VolumeFailed))?;
        let there = existing.iter().find(|v| v.name == name);
        let ours = there.is_none_or(|v| labels::are_of(&v.labels, &site, &self.tools.device));
        if there.is_none() {
            let labels = labels::of_object(&site, &self.tools.device, workload);
            let made = self.tools.runtime.create_volume(volume, &labels).await;
            made.map_err(|e| self.trouble(e, FailureReason::VolumeFailed))?;
        }
        // One we did not make is attached and noted, and never removed whatever is asked.
        let reclaim = if ours {
            volume.reclaim
        } else {
            ReclaimPolicy::Retain
        };
        let owned = Record::VolumeOwned(OwnedVolume {
            name: name.to_owned(),
            workload: workload.to_string(),
            reclaim,
        });
        Ok(Effects {
            changed: there.is_none(),
            records: vec![owned],
        })
    }

    pub(super) async fn remove_volume(&mut self, name: &str) -> Result<Effects, Trouble> {
        let state = self.tools.ledger.state();
        if state
            .volumes
            .get(name)
            .is_none_or(|v| v.reclaim != ReclaimPolicy::Delete)
        {
            return Err(not_ours("volume", name));
        }
        let removed = self.tools.runtime.remove_volume(name).await;
        removed.map_err(|e| self.trouble(e, FailureReason::RemoveFailed))?;
        Ok(Effects::changed(vec![Record::VolumeGone {
            name: name.to_owned(),
        }]))
    }
}

fn not_ours(kind: &str, name: &str) -> Trouble {
    Trouble::Precondition {
        found: format!("{kind} {name} is not ours to remove"),
    }
}
