//! Starting and stopping.

use std::sync::Arc;

use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::topic::CONTROLLER_FILTER;
use longshore_bus::{Bus, SubscribeError};
use longshore_plan::names::{DnsLabel, InvalidName};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::counters::Counters;
use crate::effects::World;
use crate::mind::{Identity, Mind};
use crate::run::{Run, RunError};
use crate::site::lease::{LeaseError, LeaseKeeper};
use crate::site::{self, SiteError};
use crate::{events, watch};

/// How a controller is set up.
#[derive(Clone)]
pub struct ControllerConfig {
    /// Its name: the holder of the Lease, and one level of the topic its answers come on. A DNS label.
    pub identity: String,
    /// The namespace of the site's Secret and Lease.
    pub system_namespace: String,
    /// The uid of a site whose Secret was lost: where there is none, one is made with this uid, and devices go on as
    /// they are, to which another uid would be another site. The content key was in the Secret alone and is made anew:
    /// what a container has from Secrets and ConfigMaps then counts as changed. Without it such a site is a new one.
    pub former_site: Option<Uuid>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and jitter.
    pub ids: IdSource,
    /// Its version, for the log.
    pub version: String,
}

/// Why a controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its identity is no DNS label.
    #[error("use {identity:?} as the controller's identity")]
    Identity {
        /// As it was given.
        identity: String,
        /// Why not.
        #[source]
        source: InvalidName,
    },
    /// The site's identity is not to be had.
    #[error("find the site's identity")]
    Site {
        /// Why.
        #[source]
        source: SiteError,
    },
    /// The Lease is not to be had.
    #[error("lead the site")]
    Lead {
        /// Why.
        #[source]
        source: LeaseError,
    },
    /// The bus refuses to let us listen.
    #[error("listen to the devices")]
    Subscribe {
        /// Why.
        #[source]
        source: SubscribeError,
    },
}

/// The controller.
pub struct Controller;

impl Controller {
    /// Starts one. Returns when it leads and listens; devices are not heard of yet.
    ///
    /// Waits while somebody else holds the Lease. Errors of the API server at this point are returned,
    /// later ones are retried.
    pub async fn start(
        config: ControllerConfig,
        client: kube::Client,
        bus: Arc<dyn Bus>,
    ) -> Result<ControllerHandle, StartError> {
        let requester = DnsLabel::new(config.identity.clone()).map_err(|source| StartError::Identity {
            identity: config.identity.clone(),
            source,
        })?;
        let uid = || config.former_site.unwrap_or_else(|| config.ids.uuid());
        let site = site::ensure(&client, &config.system_namespace, uid)
            .await
            .map_err(|source| StartError::Site { source })?;
        let lease = LeaseKeeper::new(client.clone(), &config.system_namespace, &config.identity);
        let epoch = lease
            .acquire(0, config.clock.as_ref())
            .await
            .map_err(|source| StartError::Lead { source })?;
        let messages = bus
            .subscribe(&[CONTROLLER_FILTER])
            .await
            .map_err(|source| StartError::Subscribe { source })?;
        tracing::info!(version = %config.version, site = %site.uid, epoch, "controller leads");
        let counters = Arc::new(Counters::default());
        let identity = Identity {
            site: site.uid.clone(),
            requester,
            system_namespace: config.system_namespace.clone(),
        };
        let cancel = CancellationToken::new();
        let run = Run {
            mind: Mind::new(
                identity,
                Arc::clone(&config.clock),
                config.ids.clone(),
                Arc::clone(&counters),
                epoch,
            ),
            watches: watch::open(&client, &site.keys, &config.ids),
            messages,
            link: bus.link(),
            world: World {
                recorder: events::recorder(client.clone(), &config.identity),
                client,
                bus,
                keys: site.keys,
                lease,
                clock: config.clock,
            },
            cancel: cancel.clone(),
        };
        let task = tokio::spawn(run.until_cancelled());
        Ok(ControllerHandle {
            site: site.uid,
            counters,
            cancel,
            abort: task.abort_handle(),
            task: Mutex::new(Some(task)),
        })
    }
}

/// A running controller. Dropping it stops the controller without waiting.
pub struct ControllerHandle {
    site: String,
    counters: Arc<Counters>,
    cancel: CancellationToken,
    abort: AbortHandle,
    task: Mutex<Option<JoinHandle<Result<(), RunError>>>>,
}

impl ControllerHandle {
    /// Stops it in order: what was decided is written, the Lease is given back, containers are left as
    /// they are.
    pub async fn stop(self) -> Result<(), RunError> {
        self.cancel.cancel();
        self.ended().await
    }

    /// Ends it where it stands, as kill -9 would: for simulations.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Waits until it ends; an error says why it could not go on, and only the first to wait to the end is
    /// told. Cancel-safe: who stops waiting leaves the task to the next one, and [`Self::stop`] to its word.
    pub async fn ended(&self) -> Result<(), RunError> {
        let mut slot = self.task.lock().await;
        let Some(task) = slot.as_mut() else {
            return Ok(());
        };
        let ended = task.await;
        *slot = None;
        match ended {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(RunError::Aborted),
            Err(source) => Err(RunError::Task { source }),
        }
    }

    /// Whether it still runs; [`ControllerHandle::ended`] says why not.
    pub fn is_running(&self) -> bool {
        !self.abort.is_finished()
    }

    /// The site's uid: part of every fence, and a label of every container.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for ControllerHandle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
