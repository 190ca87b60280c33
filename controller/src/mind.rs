//! The mind: all the controller knows, and what it wants done next. Pure: it takes in what happened, with
//! the time it happened at, and [`Mind::act`] returns effects. It never waits and never does.
//!
//! Level-triggered: what comes in only marks devices and workloads as worth another look; what is done
//! about them depends on the whole of what is known then.

mod devices;
mod inputs;
#[cfg(test)]
mod tests;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::envelope::{CommandEnvelope, ContentRequest, ControllerSign, VERSION, action};
use longshore_bus::port::{Message, Properties};
use longshore_bus::topic::Requester;
use longshore_bus::{DeviceId, Topic, codec};
use longshore_crds::names::ObjectKey;
use longshore_crds::{DeviceStatus, WorkloadStatus};
use longshore_plan::desired::DesiredSet;
use serde_json::Value;

use crate::assess::Trouble;
use crate::counters::Counters;
use crate::decide::{Decision, Kept};
use crate::dispatch::{Dispatcher, Output, Sender};
use crate::effects::Effect;
use crate::events::EventQueue;
use crate::finalizer::CrdState;
use crate::fleet::{Change, Fleet};
use crate::model::Model;
use crate::patch::{Vanished, status_patch};
use crate::placement::Placement;
use crate::render::{ContentKind, ContentObject, Rendered};
use crate::site::SITE_SECRET;
use crate::site::lease::RENEW_EVERY;
use crate::timers::{Timers, Uptime, earlier};
use crate::writes::{Outcome, Writes};

/// How long a command that asks for a report may wait.
const ASK_TTL: Duration = Duration::from_secs(10);
/// How many content requests are answered at a time; more are dropped, and asked again.
const SERVING: usize = 16;
/// How long a deletion waits for devices that are not connected.
const ABSENT_GRACE: Duration = Duration::from_mins(1);
/// Between two looks at a CRD that could not be seen.
const CRD_RETRY: Duration = Duration::from_secs(5);
/// How often gauges are taken.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to renew the Lease after one that failed.
const RENEW_RETRY: Duration = Duration::from_secs(5);

/// What is written to an object.
#[derive(Debug, Clone, PartialEq)]
enum Write {
    Device(DeviceStatus),
    Workload(WorkloadStatus),
    Metadata(Value),
}

/// One device, as decided last.
#[derive(Debug, Default)]
struct DeviceMind {
    kept: Kept,
    decision: Option<Decision>,
    /// The last set it was seen to have accepted, and its digest.
    accepted: Option<(String, Arc<DesiredSet>)>,
    /// Since when its object is being deleted.
    ending_since: Option<Uptime>,
}

/// One workload, as rendered last.
#[derive(Debug)]
struct WorkloadMind {
    rendered: Result<Arc<Rendered>, Trouble>,
    /// Since when this revision is failing.
    failing_since: Option<(String, Uptime)>,
    /// Since when its object is being deleted.
    ending_since: Option<Uptime>,
}

/// What became of the question whether an object's CRD stays.
#[derive(Debug, Clone, Copy)]
enum CrdLookup {
    Asked,
    Unknown { again: Uptime },
    Known(CrdState),
}

/// What is constant in one run.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The site's uid.
    pub(crate) site: String,
    /// Where answers are wanted.
    pub(crate) requester: Requester,
    /// The namespace of the site's own objects.
    pub(crate) system_namespace: String,
}

/// See the module's docs.
pub(crate) struct Mind {
    identity: Identity,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    counters: Arc<Counters>,
    /// The time of the last look.
    uptime: Uptime,
    model: Model,
    fleet: Fleet,
    dispatcher: Dispatcher,
    placements: BTreeMap<String, Placement>,
    devices: BTreeMap<DeviceId, DeviceMind>,
    workloads: BTreeMap<ObjectKey, WorkloadMind>,
    crds: BTreeMap<String, CrdLookup>,
    stale_renderings: BTreeSet<ObjectKey>,
    dirty_devices: BTreeSet<DeviceId>,
    dirty_workloads: BTreeSet<ObjectKey>,
    looks: Timers<ObjectKey>,
    device_looks: Timers<DeviceId>,
    writes: Writes<Write>,
    events: EventQueue,
    effects: Vec<Effect>,
    serving: usize,
    acquiring: bool,
    next_renewal: Uptime,
    next_count: Uptime,
    /// Absent while the bus is down.
    next_sign: Option<Uptime>,
}

impl Mind {
    /// A mind that knows nothing yet and leads under `epoch`.
    pub(crate) fn new(
        identity: Identity,
        clock: Arc<dyn Clock>,
        ids: IdSource,
        counters: Arc<Counters>,
        epoch: u64,
    ) -> Self {
        let sender = Sender {
            site: identity.site.clone(),
            requester: identity.requester.clone(),
            ids: ids.clone(),
        };
        let private = ContentObject {
            kind: ContentKind::Secret,
            namespace: identity.system_namespace.clone(),
            name: SITE_SECRET.to_owned(),
        };
        Self {
            identity,
            clock,
            ids,
            counters,
            uptime: Uptime::ZERO,
            model: Model::without(private),
            fleet: Fleet::default(),
            dispatcher: Dispatcher::new(sender, epoch),
            placements: BTreeMap::new(),
            devices: BTreeMap::new(),
            workloads: BTreeMap::new(),
            crds: BTreeMap::new(),
            stale_renderings: BTreeSet::new(),
            dirty_devices: BTreeSet::new(),
            dirty_workloads: BTreeSet::new(),
            looks: Timers::default(),
            device_looks: Timers::default(),
            writes: Writes::default(),
            events: EventQueue::default(),
            effects: Vec::new(),
            serving: 0,
            acquiring: false,
            next_renewal: RENEW_EVERY,
            next_count: Uptime::ZERO,
            next_sign: None,
        }
    }

    /// Looks at everything that is worth another look, and says what is to be done.
    pub(crate) fn act(&mut self, now: Uptime) -> Vec<Effect> {
        self.uptime = now;
        self.keep_alive(now);
        let changes = self.fleet.tick(now);
        self.take_changes(changes, now);
        let outputs = self.dispatcher.tick(now);
        self.take_outputs(outputs, now);
        while let Some(key) = self.looks.pop_due(now) {
            self.dirty_workloads.insert(key);
        }
        while let Some(id) = self.device_looks.pop_due(now) {
            self.dirty_devices.insert(id);
        }
        // Before everything was listed once, what is missing may only not have been read yet.
        if self.model.is_complete() {
            self.render_stale();
            while let Some(id) = self.dirty_devices.pop_first() {
                self.look_at_device(&id, now);
            }
            while let Some(key) = self.dirty_workloads.pop_first() {
                self.look_at_workload(&key, now);
            }
        }
        self.take_writes(now);
        if let Some((about, note)) = self.events.take() {
            self.effects.push(Effect::Tell {
                about: Box::new(about),
                note,
            });
        }
        self.count(now);
        std::mem::take(&mut self.effects)
    }

    /// When [`Self::act`] has something to do without anything having happened.
    pub(crate) fn next_wake(&self) -> Uptime {
        let mut wake = earlier(Some(self.next_renewal), self.next_sign);
        for other in [
            self.fleet.next_wake(),
            self.dispatcher.next_wake(),
            self.writes.next_wake(),
            self.looks.next(),
            self.device_looks.next(),
        ] {
            wake = earlier(wake, other);
        }
        if !self.dirty_devices.is_empty() && self.model.is_complete() {
            return Uptime::ZERO;
        }
        wake.unwrap_or(Uptime::MAX)
    }

    /// Whether everything decided so far is written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.writes.is_idle() && self.events.is_idle()
    }

    fn keep_alive(&mut self, now: Uptime) {
        if now >= self.next_renewal {
            self.next_renewal = now + RENEW_EVERY;
            let epoch = self.dispatcher.epoch();
            self.effects.push(Effect::Renew { epoch });
        }
        if self.next_sign.is_some_and(|at| now >= at) {
            self.next_sign = Some(now + ControllerSign::PERIOD);
            self.broadcast(&Topic::Controller);
        }
    }

    /// Gauges go over the whole fleet, so not with every message.
    fn count(&mut self, now: Uptime) {
        if now >= self.next_count {
            self.next_count = now + COUNT_EVERY;
            self.counters.connected.set(self.fleet.connected() as u64);
            self.counters.in_flight.set(self.dispatcher.in_flight() as u64);
            self.counters
                .unreadable
                .set(self.model.workloads.unreadable() + self.model.devices.unreadable());
            self.counters.events_dropped.set(self.events.dropped());
        }
    }

    fn take_changes(&mut self, changes: Vec<Change>, now: Uptime) {
        for change in changes {
            match change {
                Change::Dirty(id) | Change::NewSession(id) => {
                    self.dirty_devices.insert(id);
                }
                Change::Came(id) => self.device_came(&id),
                Change::Went(id, cause) => {
                    let outputs = self.dispatcher.device_gone(&id, now);
                    self.take_outputs(outputs, now);
                    self.device_went(&id, cause);
                }
                Change::Reported(id, before) => self.device_reported(&id, before.as_deref()),
                Change::Ask(id) => self.ask(&id),
                Change::RollCall => self.broadcast(&Topic::RollCall),
                Change::Stranger(id) => {
                    self.counters.strangers.add(1);
                    tracing::warn!(device = %id, "somebody speaks that has no Device object; it is not listened to");
                }
            }
        }
    }

    fn take_outputs(&mut self, outputs: Vec<Output>, now: Uptime) {
        for output in outputs {
            match output {
                Output::Send(id, correlation_id, message) => {
                    self.counters.plans_sent.add(1);
                    self.effects.push(Effect::Publish {
                        message,
                        of: Some((id, correlation_id)),
                    });
                }
                Output::Ended(id, correlation_id, end) => {
                    tracing::debug!(device = %id, %correlation_id, ?end, "plan ended");
                    self.counters.plans_ended.add(1);
                }
                Output::NotSubscribed(id) => {
                    let changes = self.fleet.not_subscribed(&id);
                    self.take_changes(changes, now);
                }
                Output::Reconsider(id) => {
                    self.dirty_devices.insert(id);
                }
                Output::NeedEpoch(above) => {
                    if !self.acquiring {
                        self.acquiring = true;
                        self.effects.push(Effect::Acquire { above });
                    }
                }
            }
        }
    }

    fn take_writes(&mut self, now: Uptime) {
        while let Some((target, write)) = self.writes.take_due(now) {
            let patch = match &write {
                Write::Metadata(patch) => Ok(Some(patch.clone())),
                Write::Device(status) => {
                    status_patch(self.model.devices.get(&target.key), |d| d.status.as_ref(), status)
                }
                Write::Workload(status) => status_patch(
                    self.model.workloads.get(&target.key),
                    |w| w.status.as_ref(),
                    status,
                ),
            };
            match patch {
                Ok(Some(patch)) => {
                    self.counters.api_writes.add(1);
                    self.effects.push(Effect::Write { target, patch });
                }
                Ok(None) => self.writes.done(&target, Outcome::Done, now),
                Err(Vanished) => self.writes.done(&target, Outcome::Gone, now),
            }
        }
    }

    fn broadcast(&mut self, topic: &Topic) {
        let sign = ControllerSign {
            version: VERSION,
            site: self.identity.site.clone(),
            epoch: self.dispatcher.epoch(),
        };
        let Ok(payload) = codec::encode(&sign) else {
            return;
        };
        self.effects.push(Effect::Publish {
            message: Message {
                topic: topic.to_string(),
                payload,
                properties: Properties {
                    message_expiry: Some(ControllerSign::UNSUPERVISED_AFTER),
                    ..Properties::default()
                },
            },
            of: None,
        });
    }

    /// Asks one device for a report. The report is the answer; the command needs no following.
    fn ask(&mut self, id: &DeviceId) {
        let correlation_id = self.ids.correlation_id();
        let envelope = CommandEnvelope {
            version: VERSION,
            correlation_id,
            tenant: id.tenant().to_string(),
            device: id.device().to_string(),
            plugin: "container".to_owned(),
            action: action::REPORT_GET.to_owned(),
            args: Value::Object(serde_json::Map::new()),
            actor: "controller".to_owned(),
            issued_at: self.clock.now_rfc3339(),
            ttl_ms: u64::try_from(ASK_TTL.as_millis()).unwrap_or(u64::MAX),
            fence: None,
            traceparent: None,
        };
        let Ok(payload) = codec::encode(&envelope) else {
            return;
        };
        self.effects.push(Effect::Publish {
            message: Message {
                topic: Topic::Request(id.clone()).to_string(),
                payload,
                properties: Properties {
                    correlation_data: Some(bytes::Bytes::copy_from_slice(correlation_id.0.as_bytes())),
                    response_topic: Some(
                        Topic::Response(id.clone(), self.identity.requester.clone()).to_string(),
                    ),
                    message_expiry: Some(ASK_TTL),
                    ..Properties::default()
                },
            },
            of: None,
        });
    }

    /// A device lacks a value. It gets those that its own workloads refer to, and no other.
    fn serve(&mut self, device: DeviceId, request: ContentRequest) {
        if self.serving >= SERVING {
            self.counters.content_dropped.add(1);
            return;
        }
        let kept = self.devices.get(&device).map(|d| &d.kept);
        let from = kept.and_then(|kept| {
            kept.values()
                .find_map(|(_, rendered)| rendered.content.get(&request.digest))
        });
        let from = from.cloned();
        self.serving += 1;
        self.effects.push(Effect::Serve {
            device,
            request,
            from,
        });
    }

    /// Now, for people, in whole seconds as the API keeps it.
    fn wall_time(&self) -> Time {
        let now = Timestamp::try_from(self.clock.now()).unwrap_or(Timestamp::UNIX_EPOCH);
        Time(now.round(jiff::Unit::Second).unwrap_or(now))
    }
}
