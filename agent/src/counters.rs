//! What the agent counts: cheap, never reset, read by status and tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)+ }

        /// The agent's counters at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct CounterValues { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Counters {
            pub(crate) fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counters! {
    /// Messages that could not be read, or that were not for us.
    malformed,
    /// Messages larger than an envelope may be, in either direction.
    too_large,
    /// Answers dropped because the outbox was full or the bus away.
    answers_dropped,
    /// Commands answered from memory or ledger because they were repeated.
    repeats,
    /// Plans accepted.
    plans,
    /// Plans refused for their fence or site.
    refused_plans,
    /// Plans made here while unsupervised.
    local_plans,
    /// Steps begun.
    steps,
    /// Containers restarted because their liveness probe failed.
    liveness_restarts,
    /// Relists.
    relists,
    /// What a periodic relist found that events had missed; should stay zero.
    missed_by_events,
    /// Reports published.
    reports,
    /// Containers adopted by name and hash.
    adopted,
    /// Ledger writes that failed.
    ledger_errors,
    /// Times the runtime went away.
    runtime_losses,
}
