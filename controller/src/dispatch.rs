//! Dispatch: one `plan.apply` per device in flight, repeated until it is taken, followed until it ends.
//! A pure state machine; it returns what to send and never sends.
//!
//! Promises: every command ends, answered, timed out or superseded. A newer desired set supersedes the
//! plan in flight at once. What was answered completely is not sent again until the device or the
//! declaration changes or a growing back-off has passed, so a device that cannot do it is not asked for
//! it all day. Fences only ever grow.

mod ends;
mod flight;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_bus::clock::IdSource;
use longshore_bus::envelope::{CorrelationId, ErrorBody};
use longshore_bus::topic::Requester;
use longshore_bus::{DeviceId, Message, PublishError, PublishOutcome};
use longshore_plan::desired::DesiredSet;
use longshore_plan::step::{Fence, Plan};

use self::flight::Flight;
use crate::timers::{Timers, Uptime};

/// What a device should be brought to, and what it said last.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Its desired set.
    pub(crate) desired: &'a Arc<DesiredSet>,
    /// The set's digest.
    pub(crate) digest: &'a str,
    /// The plan from the last report to it.
    pub(crate) plan: &'a Plan,
    /// The state hash of that report.
    pub(crate) basis: &'a str,
    /// The digest of the desired set the device accepted last.
    pub(crate) accepted_digest: &'a str,
    /// The fence it accepted last.
    pub(crate) accepted_fence: Option<&'a Fence>,
    /// It is carrying out a plan.
    pub(crate) busy: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The device says how it went; its report says what came of it.
    Answered,
    /// The device would not take it, and would not take it again.
    Refused(ErrorBody),
    /// Nobody took it in time.
    TimedOut,
    /// Nobody was there.
    Offline,
    /// A newer one took its place.
    Superseded,
    /// It is larger than the bus takes, or the bus does not let us.
    Unsendable(String),
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Hand this to the bus and tell [`Dispatcher::published`].
    Send(DeviceId, CorrelationId, Message),
    /// A command came to its end.
    Ended(DeviceId, CorrelationId, End),
    /// The bus says that nobody is subscribed.
    NotSubscribed(DeviceId),
    /// Decide about the device again.
    Reconsider(DeviceId),
    /// Take an epoch above this one: a device has seen it.
    NeedEpoch(u64),
}

/// How the device's plan stands, for its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing to do, or nothing to do it with.
    Idle,
    /// A plan is on its way or being carried out.
    InFlight,
    /// The last one was answered and the device is not there yet; a back-off runs.
    Waiting,
    /// The last one was refused.
    Refused {
        /// Low-cardinality.
        code: String,
        /// In words.
        message: String,
    },
}

/// What is constant in one run.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// The site's uid.
    pub(crate) site: String,
    /// Where answers are wanted.
    pub(crate) requester: Requester,
    /// Makes correlation ids.
    pub(crate) ids: IdSource,
}

#[derive(Debug, Default)]
struct DeviceDispatch {
    n: u64,
    flight: Option<Flight>,
    settled: Option<Settled>,
    /// How many plans for one digest ended in a row without the device being in sync between them.
    streak: u32,
}

/// The last plan that ended, and until when the same is not sent again.
#[derive(Debug)]
struct Settled {
    digest: String,
    basis: String,
    end: End,
    not_before: Uptime,
    not_before_if_changed: Uptime,
}

/// Every device's command in flight.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    sender: Sender,
    epoch: u64,
    devices: BTreeMap<DeviceId, DeviceDispatch>,
    timers: Timers<DeviceId>,
}

/// The code of a plan that the device was never asked to take: see [`End::Unsendable`].
pub(crate) const UNSENDABLE: &str = "Unsendable";

/// The longest pause between two tries of the same thing.
const BACKOFF_MOST: Duration = Duration::from_mins(5);
/// How many tries in a row may follow each other without a pause.
const AT_ONCE: u32 = 2;

impl Dispatcher {
    /// Starts with a freshly acquired epoch.
    pub(crate) fn new(sender: Sender, epoch: u64) -> Self {
        Self {
            sender,
            epoch,
            devices: BTreeMap::new(),
            timers: Timers::default(),
        }
    }

    /// A higher epoch was acquired: fences start anew below it.
    pub(crate) fn set_epoch(&mut self, epoch: u64, now: Uptime) {
        if epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        for (id, entry) in &mut self.devices {
            entry.n = 0;
            // It was of no use under the old one.
            let waits = entry.settled.as_ref().is_some_and(|s| s.end == End::Superseded);
            if waits && entry.streak <= AT_ONCE {
                entry.settled = None;
            }
            self.timers.set_earlier(id, now);
        }
    }

    /// The epoch plans are sent under.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Commands that have not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.devices.values().filter(|d| d.flight.is_some()).count()
    }

    /// How the device's plan stands.
    pub(crate) fn standing(&self, id: &DeviceId) -> Standing {
        let Some(entry) = self.devices.get(id) else {
            return Standing::Idle;
        };
        match (&entry.flight, &entry.settled) {
            (Some(_), _) => Standing::InFlight,
            (None, Some(settled)) => match &settled.end {
                End::Refused(error) => Standing::Refused {
                    code: error.code.clone(),
                    message: error.message.clone(),
                },
                End::Unsendable(message) => Standing::Refused {
                    code: UNSENDABLE.to_owned(),
                    message: message.clone(),
                },
                _ => Standing::Waiting,
            },
            (None, None) => Standing::Idle,
        }
    }

    /// Compares what the device should have with what it said, and sends a plan if one is due.
    pub(crate) fn consider(
        &mut self,
        id: &DeviceId,
        wanted: &Wanted<'_>,
        issued_at: &str,
        now: Uptime,
    ) -> Vec<Output> {
        let mut out = Vec::new();
        let entry = self.devices.entry(id.clone()).or_default();
        if let Some(flight) = &mut entry.flight {
            flight.reported = Some((wanted.accepted_fence.cloned(), wanted.busy));
            self.timers.set(id, flight.next_wake());
        }
        let in_sync = wanted.plan.steps.is_empty() && wanted.digest == wanted.accepted_digest;
        if in_sync && !wanted.busy {
            entry.streak = 0;
            entry.settled = None;
        }
        if let Some(flight) = &entry.flight {
            if flight.digest == wanted.digest {
                return out;
            }
            out.push(Output::Ended(id.clone(), flight.correlation_id, End::Superseded));
            entry.flight = None;
            entry.settled = None;
            entry.streak = 0;
        }
        // What it carries out now may be just this, from before a restart of ours, or its own healing.
        if in_sync || (wanted.busy && wanted.digest == wanted.accepted_digest) {
            self.timers.clear(id);
            return out;
        }
        if let Some(settled) = &entry.settled {
            if settled.digest == wanted.digest {
                let until = if settled.basis == wanted.basis {
                    settled.not_before
                } else {
                    settled.not_before_if_changed
                };
                if now < until {
                    self.timers.set(id, until);
                    return out;
                }
            } else {
                entry.streak = 0;
            }
        }
        entry.settled = None;
        entry.n = entry.n.saturating_add(1);
        let fence = Fence {
            site: self.sender.site.clone(),
            epoch: self.epoch,
            n: entry.n,
        };
        match Flight::prepare(id, &self.sender, fence, wanted, issued_at, now) {
            Ok(flight) => {
                out.push(Output::Send(
                    id.clone(),
                    flight.correlation_id,
                    flight.message(now),
                ));
                self.timers.set(id, flight.next_wake());
                entry.flight = Some(flight);
            }
            Err(error) => {
                let end = End::Unsendable(error.to_string());
                let until = now + BACKOFF_MOST;
                entry.settled = Some(Settled {
                    digest: wanted.digest.to_owned(),
                    basis: wanted.basis.to_owned(),
                    end,
                    not_before: until,
                    not_before_if_changed: until,
                });
                self.timers.set(id, until);
            }
        }
        out
    }

    /// What the bus made of a message.
    pub(crate) fn published(
        &mut self,
        id: &DeviceId,
        correlation_id: CorrelationId,
        result: &Result<PublishOutcome, PublishError>,
        now: Uptime,
    ) -> Vec<Output> {
        let in_flight = self
            .flight(id)
            .is_some_and(|f| f.correlation_id == correlation_id);
        if !in_flight {
            return Vec::new();
        }
        match result {
            // Not connected: the repeat will find the bus back, or the time to live ends.
            Ok(PublishOutcome::Accepted) | Err(PublishError::NotConnected { .. }) => Vec::new(),
            Ok(PublishOutcome::NoMatchingSubscribers) => {
                let mut out = self.end(id, End::Offline, now);
                out.push(Output::NotSubscribed(id.clone()));
                out
            }
            Err(error @ (PublishError::NotAuthorised { .. } | PublishError::TooLarge { .. })) => {
                self.end(id, End::Unsendable(error.to_string()), now)
            }
        }
    }

    /// The device is gone. It brings what it accepted to its end alone; what it did not is planned anew.
    pub(crate) fn device_gone(&mut self, id: &DeviceId, now: Uptime) -> Vec<Output> {
        let out = match self.flight(id) {
            Some(_) => self.end(id, End::Offline, now),
            None => Vec::new(),
        };
        self.timers.clear(id);
        if let Some(entry) = self.devices.get_mut(id) {
            entry.settled = None;
        }
        out
    }

    /// The Device object is gone: nothing is remembered but its fence.
    pub(crate) fn forget(&mut self, id: &DeviceId, now: Uptime) -> Vec<Output> {
        let out = self.device_gone(id, now);
        if let Some(entry) = self.devices.get_mut(id) {
            entry.streak = 0;
        }
        out
    }

    /// Time passed: repeats what was not taken, ends what ran out of time.
    pub(crate) fn tick(&mut self, now: Uptime) -> Vec<Output> {
        let mut out = Vec::new();
        while let Some(id) = self.timers.pop_due(now) {
            let Some(flight) = self.flight(&id) else {
                out.push(Output::Reconsider(id));
                continue;
            };
            match flight.on_time(now) {
                flight::Due::Nothing => {}
                flight::Due::Repeat => {
                    let message = flight.message(now);
                    out.push(Output::Send(id.clone(), flight.correlation_id, message));
                }
                flight::Due::Expired => {
                    out.extend(self.end(&id, End::TimedOut, now));
                    continue;
                }
                flight::Due::SeenDone => {
                    out.extend(self.end(&id, End::Answered, now));
                    continue;
                }
            }
            let wake = self.flight(&id).map(|f| f.next_wake());
            if let Some(wake) = wake {
                self.timers.set(&id, wake);
            }
        }
        out
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_wake(&self) -> Option<Uptime> {
        self.timers.next()
    }

    fn flight(&mut self, id: &DeviceId) -> Option<&mut Flight> {
        self.devices.get_mut(id)?.flight.as_mut()
    }
}
