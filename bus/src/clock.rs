//! The wall clock and the ids that carry it. Inputs, so that a simulation can own both.
//!
//! Intervals and deadlines never come from here: they are counted in tokio's monotonic time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::envelope::CorrelationId;

/// What time it is, for people: timestamps in objects, logs and UUIDv7.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> SystemTime;

    /// Now, as RFC 3339 in UTC with seconds.
    fn now_rfc3339(&self) -> String {
        jiff::Timestamp::try_from(self.now())
            .map(|t| t.round(jiff::Unit::Second).unwrap_or(t).to_string())
            .unwrap_or_default()
    }
}

/// The machine's clock: the one place where it is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that follows tokio's time from a fixed start: real in production, paused in a simulation.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: SystemTime,
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// Starts at `unix_seconds` now. Must be called within a runtime.
    pub fn starting_at(unix_seconds: u64) -> Self {
        Self {
            base: SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds),
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        self.base + self.origin.elapsed()
    }
}

/// Makes UUIDv7s from a clock and a random generator that may be seeded.
#[derive(Clone)]
pub struct IdSource {
    clock: Arc<dyn Clock>,
    random: Arc<Mutex<SmallRng>>,
}

impl IdSource {
    /// Ids nobody can foresee.
    pub fn from_entropy(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            random: Arc::new(Mutex::new(SmallRng::from_os_rng())),
        }
    }

    /// The same ids for the same seed and times.
    pub fn from_seed(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self {
            clock,
            random: Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))),
        }
    }

    /// The next id.
    pub fn uuid(&self) -> Uuid {
        let random: [u8; 10] = self
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random();
        let since_epoch = self
            .clock
            .now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// The next correlation id.
    pub fn correlation_id(&self) -> CorrelationId {
        CorrelationId(self.uuid())
    }

    /// A number below `bound`, for jitter; 0 for a bound of 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_range(0..bound)
    }
}

impl std::fmt::Debug for IdSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdSource").finish_non_exhaustive()
    }
}
