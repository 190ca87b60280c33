//! How a plan in flight ends, and when the same may be sent again.

use std::time::Duration;

use longshore_bus::DeviceId;
use longshore_bus::envelope::{ErrorBody, ResponseEnvelope, Status, error_code};
use longshore_plan::step::Fence;

use super::{AT_ONCE, BACKOFF_MOST, Dispatcher, End, Output, Settled};
use crate::timers::Uptime;

impl Dispatcher {
    /// An answer of the device, to the plan or to one of its steps.
    pub(crate) fn on_response(
        &mut self,
        id: &DeviceId,
        response: &ResponseEnvelope,
        now: Uptime,
    ) -> Vec<Output> {
        let Some(flight) = self.flight(id) else {
            return Vec::new();
        };
        if !flight.owns(response.correlation_id) {
            return Vec::new();
        }
        flight.heard(now);
        let wake = flight.next_wake();
        let ends = response.correlation_id == flight.correlation_id && response.is_final;
        self.timers.set(id, wake);
        if !ends {
            return Vec::new();
        }
        match (response.status, &response.error) {
            (Status::Failed, Some(error)) => self.on_error(id, error, now),
            (Status::Cancelled, _) => self.end(id, End::Superseded, now),
            _ => self.end(id, End::Answered, now),
        }
    }

    fn on_error(&mut self, id: &DeviceId, error: &ErrorBody, now: Uptime) -> Vec<Output> {
        match error.code.as_str() {
            error_code::STALE_FENCE => self.on_stale_fence(id, error, now),
            error_code::FOREIGN_SITE
            | error_code::UNSUPPORTED_FIELD
            | error_code::UNSUPPORTED_ACTION
            | error_code::MALFORMED
            | error_code::LEDGER_UNAVAILABLE => self.end(id, End::Refused(error.clone()), now),
            error_code::EXPIRED => self.end(id, End::TimedOut, now),
            _ => self.end(id, End::Answered, now),
        }
    }

    /// The device has seen a higher fence of this site: of our own after a restored store, most likely.
    fn on_stale_fence(&mut self, id: &DeviceId, error: &ErrorBody, now: Uptime) -> Vec<Output> {
        let seen = error.details.get("seen").cloned();
        let seen: Option<Fence> = seen.and_then(|seen| serde_json::from_value(seen).ok());
        let Some(seen) = seen.filter(|seen| seen.site == self.sender.site) else {
            return self.end(id, End::Refused(error.clone()), now);
        };
        let mut out = self.end(id, End::Superseded, now);
        let Some(entry) = self.devices.get_mut(id) else {
            return out;
        };
        let spent = seen.epoch == self.epoch && seen.n == u64::MAX;
        if seen.epoch > self.epoch || spent {
            out.push(Output::NeedEpoch(seen.epoch));
            return out;
        }
        if seen.epoch == self.epoch {
            entry.n = entry.n.max(seen.n);
        }
        // An agent for which no fence is high enough has to wait like any other.
        if entry.streak <= AT_ONCE {
            entry.settled = None;
        }
        out
    }

    /// Ends the plan in flight and decides when the same may be sent again.
    pub(super) fn end(&mut self, id: &DeviceId, end: End, now: Uptime) -> Vec<Output> {
        let Some(entry) = self.devices.get_mut(id) else {
            return Vec::new();
        };
        let Some(flight) = entry.flight.take() else {
            return Vec::new();
        };
        entry.streak = entry.streak.saturating_add(1);
        let grown = |first: u64, factor: u32| {
            let factor = factor.min(10);
            Duration::from_secs(first << factor).min(BACKOFF_MOST)
        };
        let (same, changed) = match &end {
            // A new report says what came of it. The first tries may follow at once.
            End::Answered | End::Superseded => {
                let changed = match entry.streak {
                    0..=AT_ONCE => Duration::ZERO,
                    more => grown(1, more - AT_ONCE),
                };
                (grown(5, entry.streak - 1), changed)
            }
            End::TimedOut => (grown(2, entry.streak), grown(2, entry.streak)),
            End::Offline => (Duration::ZERO, Duration::ZERO),
            End::Refused(_) | End::Unsendable(_) => (BACKOFF_MOST, grown(5, entry.streak)),
        };
        let not_before = now + same;
        entry.settled = Some(Settled {
            digest: flight.digest,
            basis: flight.basis,
            end: end.clone(),
            not_before,
            not_before_if_changed: now + changed,
        });
        self.timers.set(id, not_before);
        vec![
            Output::Ended(id.clone(), flight.correlation_id, end),
            Output::Reconsider(id.clone()),
        ]
    }
}
