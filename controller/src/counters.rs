//! What was counted in this run, for metrics and tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number that only grows, or a gauge.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// What a controller counted since it started.
#[derive(Debug, Default)]
pub struct Counters {
    /// How often a device was looked at.
    pub decisions: Counter,
    /// Plans sent, repeats included.
    pub plans_sent: Counter,
    /// Plans that came to an end.
    pub plans_ended: Counter,
    /// Reports taken in.
    pub reports: Counter,
    /// Writes to the API, but for the Lease and Events.
    pub api_writes: Counter,
    /// Writes that failed and were tried again.
    pub api_failures: Counter,
    /// Messages that were too large, not readable, or on a topic that is none of ours.
    pub malformed: Counter,
    /// Devices that speak and have no Device object.
    pub strangers: Counter,
    /// Content requests dropped because too many came at a time.
    pub content_dropped: Counter,
    /// Lists and watches that failed.
    pub watch_failures: Counter,
    /// Objects that could not be read, each time they came.
    pub unreadable: Counter,
    /// Events dropped because too many waited.
    pub events_dropped: Counter,
    /// Connected devices, now.
    pub connected: Counter,
    /// Plans that have not ended, now.
    pub in_flight: Counter,
}
