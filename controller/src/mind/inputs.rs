//! What comes in: watch events, messages, the bus's state, and what became of effects.

use longshore_bus::envelope::{ContentRequest, ResponseEnvelope};
use longshore_bus::{DeviceId, LinkState, Message, Topic, codec};
use longshore_crds::names::ObjectKey;
use longshore_crds::{Device, Workload};

use super::{CRD_RETRY, CrdLookup, Mind, RENEW_RETRY};
use crate::effects::{Done, Written};
use crate::fleet::Sign;
use crate::model::Changed;
use crate::render;
use crate::site::lease::LeaseError;
use crate::timers::Uptime;
use crate::watch::WatchEvent;
use crate::writes::{Outcome, Target};

impl Mind {
    /// A watch says something.
    pub(crate) fn on_watch(&mut self, event: WatchEvent, now: Uptime) {
        match event {
            WatchEvent::Workload(event) => {
                for changed in self.model.workloads.apply(event) {
                    self.workload_changed(changed);
                }
            }
            WatchEvent::Device(event) => {
                for changed in self.model.devices.apply(event) {
                    self.device_changed(changed, now);
                }
            }
            WatchEvent::Content(event) => {
                for object in self.model.content.apply(event) {
                    let concerned: Vec<ObjectKey> = self
                        .model
                        .workloads_in(&object.namespace)
                        .filter(|w| render::references(w).contains(&object))
                        .filter_map(|w| ObjectKey::of(w.as_ref()))
                        .collect();
                    self.stale_renderings.extend(concerned);
                }
            }
            WatchEvent::Failed { kind, error } => {
                self.counters.watch_failures.add(1);
                tracing::warn!(kind, error = %error, "watch failed; what was known stands, and it is tried again");
            }
        }
    }

    fn workload_changed(&mut self, Changed { key, matters }: Changed) {
        if matters {
            self.placements.remove(&key.namespace);
            self.stale_renderings.insert(key.clone());
        }
        self.dirty_workloads.insert(key);
    }

    fn device_changed(&mut self, Changed { key, matters }: Changed, now: Uptime) {
        let Some(id) = device_id(&key) else {
            // Its name and its namespace do not fit together; its workloads' statuses say so.
            tracing::warn!(device = %key, "the device's id would be longer than the bus allows");
            return;
        };
        let exists = self.model.devices.get(&key).is_some();
        if exists {
            let changes = self.fleet.expect(&id, now);
            self.take_changes(changes, now);
        } else {
            self.fleet.forget(&id);
            let outputs = self.dispatcher.forget(&id, now);
            self.take_outputs(outputs, now);
            self.devices.remove(&id);
        }
        if matters {
            self.placements.remove(&key.namespace);
            let naming: Vec<ObjectKey> = self
                .model
                .workloads_in(&key.namespace)
                .filter(|w| w.spec.targets.iter().any(|t| t.device == key.name))
                .filter_map(|w| ObjectKey::of(w.as_ref()))
                .collect();
            self.dirty_workloads.extend(naming);
        }
        if exists {
            self.dirty_devices.insert(id);
        }
    }

    /// The bus came or went.
    pub(crate) fn on_link(&mut self, state: LinkState, now: Uptime) {
        match state {
            LinkState::Connected => {
                self.next_sign = Some(now);
                let changes = self.fleet.link_up(now);
                self.take_changes(changes, now);
            }
            LinkState::Disconnected => {
                self.next_sign = None;
                self.fleet.link_down();
            }
        }
    }

    /// A message came. Whose it is its topic says, which the broker has checked.
    pub(crate) fn on_message(&mut self, message: &Message, now: Uptime) {
        let Ok(topic) = message.topic.parse::<Topic>() else {
            self.malformed(&message.topic, "UnknownTopic");
            return;
        };
        // A retained birth that was cleared.
        if message.payload.is_empty() {
            return;
        }
        let decoded = match topic {
            Topic::Birth(id) => {
                codec::decode(&message.payload).map(|birth| self.on_sign(&id, Sign::Birth(birth), now))
            }
            Topic::Gone(id) => {
                codec::decode(&message.payload).map(|gone| self.on_sign(&id, Sign::Gone(gone), now))
            }
            Topic::Alive(id) => {
                codec::decode(&message.payload).map(|alive| self.on_sign(&id, Sign::Alive(alive), now))
            }
            Topic::Report(id) => codec::decode(&message.payload).map(|report| {
                self.counters.reports.add(1);
                self.on_sign(&id, Sign::Report(Box::new(report)), now);
            }),
            Topic::Response(id, requester) if requester == self.identity.requester => {
                codec::decode::<ResponseEnvelope>(&message.payload).map(|response| {
                    self.on_sign(&id, Sign::Speech, now);
                    let outputs = self.dispatcher.on_response(&id, &response, now);
                    self.take_outputs(outputs, now);
                })
            }
            Topic::ContentRequest(id) => codec::decode::<ContentRequest>(&message.payload).map(|request| {
                self.on_sign(&id, Sign::Speech, now);
                self.serve(id, request);
            }),
            // Somebody else's answers, and what we say ourselves.
            Topic::Response(..)
            | Topic::Request(_)
            | Topic::ContentResponse(_)
            | Topic::Controller
            | Topic::RollCall => Ok(()),
        };
        if let Err(error) = decoded {
            self.malformed(&message.topic, error.reason());
        }
    }

    fn on_sign(&mut self, id: &DeviceId, sign: Sign, now: Uptime) {
        let changes = self.fleet.on_sign(id, sign, now);
        self.take_changes(changes, now);
    }

    fn malformed(&mut self, topic: &str, reason: &'static str) {
        self.counters.malformed.add(1);
        let topic: String = topic.chars().take(128).collect();
        tracing::warn!(%topic, reason, "message dropped");
    }

    /// An effect came to its end. An error ends the run.
    pub(crate) fn on_done(&mut self, done: Done, now: Uptime) -> Result<(), LeaseError> {
        match done {
            Done::Published(of, result) => {
                if let Some((id, correlation_id)) = of {
                    let outputs = self.dispatcher.published(&id, correlation_id, &result, now);
                    self.take_outputs(outputs, now);
                }
            }
            Done::Written(target, outcome, written) => self.on_written(&target, outcome, written, now),
            Done::Crd(uid, state) => {
                let lookup = match state {
                    Some(state) => CrdLookup::Known(state),
                    None => CrdLookup::Unknown {
                        again: now + CRD_RETRY,
                    },
                };
                self.crds.insert(uid, lookup);
                self.ending_explained(now);
            }
            Done::Served => self.serving = self.serving.saturating_sub(1),
            Done::Told => self.events.done(),
            Done::Acquired(result) => {
                self.acquiring = false;
                match result {
                    Ok(epoch) => self.dispatcher.set_epoch(epoch, now),
                    Err(error @ LeaseError::Lost { .. }) => return Err(error),
                    // The next refusal asks again.
                    Err(error) => tracing::warn!(error = %crate::effects::chain(&error), "no higher epoch"),
                }
            }
            Done::Renewed(Ok(())) => {}
            Done::Renewed(Err(error @ LeaseError::Lost { .. })) => return Err(error),
            Done::Renewed(Err(error)) => {
                tracing::warn!(error = %crate::effects::chain(&error), "the Lease could not be renewed; devices refuse a deposed leader");
                self.next_renewal = self.next_renewal.min(now + RENEW_RETRY);
            }
        }
        Ok(())
    }

    fn on_written(&mut self, target: &Target, outcome: Outcome, written: Option<Written>, now: Uptime) {
        self.writes.done(target, outcome, now);
        if outcome == Outcome::Failed {
            self.counters.api_failures.add(1);
        }
        match written {
            Some(Written::Device(device)) => {
                if let Some(changed) = self.model.devices.on_written(*device) {
                    self.device_changed(changed, now);
                }
            }
            Some(Written::Workload(workload)) => {
                if let Some(changed) = self.model.workloads.on_written(*workload) {
                    self.workload_changed(changed);
                }
            }
            // Decide anew, in case the watch had brought the newer version before we heard of the conflict.
            None if outcome == Outcome::Conflict => match target.kind {
                crate::writes::Kind::Device => self.dirty_devices.extend(device_id(&target.key)),
                crate::writes::Kind::Workload => {
                    self.dirty_workloads.insert(target.key.clone());
                }
            },
            None => {}
        }
    }
}

/// The id under which a Device speaks on the bus.
pub(super) fn device_id(key: &ObjectKey) -> Option<DeviceId> {
    DeviceId::new(key.namespace.parse().ok()?, key.name.parse().ok()?).ok()
}

/// The name of the Device that speaks under an id.
pub(super) fn object_key(id: &DeviceId) -> ObjectKey {
    ObjectKey::new(id.tenant().as_str(), id.device().as_str())
}

/// The CRD of Workloads.
pub(super) fn workload_crd() -> String {
    crd_name::<Workload>()
}

/// The CRD of Devices.
pub(super) fn device_crd() -> String {
    crd_name::<Device>()
}

fn crd_name<K: kube::Resource<DynamicType = ()>>() -> String {
    format!("{}.{}", K::plural(&()), K::group(&()))
}
