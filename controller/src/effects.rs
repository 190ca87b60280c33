//! What the mind wants done in the world, and the doing of it. Nothing is decided here.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::events::Recorder;
use kube::{Api, Client};
use longshore_bus::clock::Clock;
use longshore_bus::envelope::{ContentRequest, CorrelationId};
use longshore_bus::{Bus, DeviceId, Message, PublishError, PublishOutcome};
use longshore_crds::{Device, Workload};
use serde_json::Value;

use crate::content::{ContentKeys, serve};
use crate::events::{self, Note};
use crate::finalizer::CrdState;
use crate::render::ContentSource;
use crate::site::lease::{LeaseError, LeaseKeeper};
use crate::site::{FIELD_MANAGER, status};
use crate::writes::{Kind, Outcome, Part, Target};

/// Something to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Hand a message to the bus; `of` wants to know what became of it.
    Publish {
        message: Message,
        of: Option<(DeviceId, CorrelationId)>,
    },
    /// Send a merge patch.
    Write { target: Target, patch: Value },
    /// Look whether the CRD of an object that is being deleted stays.
    LookUpCrd { uid: String, crd: String },
    /// Answer a device's request for content.
    Serve {
        device: DeviceId,
        request: ContentRequest,
        from: Option<ContentSource>,
    },
    /// Publish an Event.
    Tell { about: Box<ObjectReference>, note: Note },
    /// Acquire an epoch above this one.
    Acquire { above: u64 },
    /// Say that we still lead under this epoch.
    Renew { epoch: u64 },
}

/// An object as a write left it.
#[derive(Debug)]
pub(crate) enum Written {
    /// A Device.
    Device(Box<Device>),
    /// A Workload.
    Workload(Box<Workload>),
}

/// What came of an effect.
#[derive(Debug)]
pub(crate) enum Done {
    /// The bus took it, or not.
    Published(
        Option<(DeviceId, CorrelationId)>,
        Result<PublishOutcome, PublishError>,
    ),
    /// The API server took it, or not.
    Written(Target, Outcome, Option<Written>),
    /// What is known of the CRD now; absent if it could not be found out.
    Crd(String, Option<CrdState>),
    /// Content was sent, or could not be read.
    Served,
    /// An Event was published, or not.
    Told,
    /// We lead under a new epoch, or do not.
    Acquired(Result<u64, LeaseError>),
    /// We still lead, or do not.
    Renewed(Result<(), LeaseError>),
}

/// The world. Cheap to clone: every effect is a task of its own.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) keys: ContentKeys,
    pub(crate) lease: LeaseKeeper,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
}

impl World {
    /// Does it.
    pub(crate) async fn perform(self, effect: Effect) -> Done {
        match effect {
            Effect::Publish { message, of } => Done::Published(of, self.bus.publish(message).await),
            Effect::Write { target, patch } => {
                let (outcome, written) = self.write(&target, &patch).await;
                Done::Written(target, outcome, written)
            }
            Effect::LookUpCrd { uid, crd } => Done::Crd(uid, self.look_up(&crd).await),
            Effect::Serve {
                device,
                request,
                from,
            } => {
                match serve::answer(self.client, self.keys, device, request, from).await {
                    // Lost or refused: the agent asks again.
                    Ok(message) => drop(self.bus.publish(message).await),
                    Err(error) => {
                        tracing::warn!(error = %chain(&error), "content cannot be read; the device asks again");
                    }
                }
                Done::Served
            }
            Effect::Tell { about, note } => {
                if let Err(error) = events::publish(self.recorder, *about, note).await {
                    tracing::debug!(%error, "an Event was not taken");
                }
                Done::Told
            }
            Effect::Acquire { above } => Done::Acquired(self.lease.acquire(above, self.clock.as_ref()).await),
            Effect::Renew { epoch } => Done::Renewed(self.lease.renew(epoch, self.clock.as_ref()).await),
        }
    }

    async fn write(&self, target: &Target, patch: &Value) -> (Outcome, Option<Written>) {
        let client = self.client.clone();
        let result = match target.kind {
            Kind::Device => merge::<Device>(client, target, patch)
                .await
                .map(|o| Written::Device(Box::new(o))),
            Kind::Workload => merge::<Workload>(client, target, patch)
                .await
                .map(|o| Written::Workload(Box::new(o))),
        };
        match result {
            Ok(written) => (Outcome::Done, Some(written)),
            Err(error) => (classify(&error, target), None),
        }
    }

    async fn look_up(&self, crd: &str) -> Option<CrdState> {
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        match api.get_metadata_opt(crd).await {
            Ok(Some(found)) if found.metadata.deletion_timestamp.is_none() => Some(CrdState::Stays),
            Ok(_) => Some(CrdState::Goes),
            Err(error) => {
                tracing::warn!(%crd, %error, "cannot see whether the CRD stays; nothing is removed until then");
                None
            }
        }
    }
}

async fn merge<K>(client: Client, target: &Target, patch: &Value) -> Result<K, kube::Error>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client, &target.key.namespace);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    match target.part {
        Part::Metadata => api.patch(&target.key.name, &params, &patch).await,
        Part::Status => api.patch_status(&target.key.name, &params, &patch).await,
    }
}

/// The one place that says what an error of the API server means for a write.
fn classify(error: &kube::Error, target: &Target) -> Outcome {
    match status(error) {
        Some(404) => Outcome::Gone,
        // The watch brings what is there now, and that is decided on anew.
        Some(409) => Outcome::Conflict,
        code => {
            tracing::warn!(object = %target.key, part = ?target.part, ?code, %error, "write failed; it is tried again");
            Outcome::Failed
        }
    }
}

/// An error with its sources, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
