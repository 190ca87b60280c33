//! Time and identity as inputs: the server never reads the wall clock or a random source itself,
//! so a seeded simulation gets the same bytes on every run.

use std::sync::Arc;

use jiff::Timestamp;

/// Where the server gets the time of day for timestamps.
///
/// Timers (watch timeouts, housekeeping) run on tokio's clock instead, which tests can pause.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Where object uids and the random suffixes of `generateName` come from.
pub trait Uids: Send + Sync {
    /// A fresh uid, unique for ever.
    fn uid(&self) -> String;
    /// Five characters for `generateName`; a clash is retried with the next answer.
    fn suffix(&self) -> String;
}

/// Uids from the operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomUids;

/// Without vowels and look-alikes, so that no suffix spells a word.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five characters from the suffix alphabet. `pick(n)` draws one of `n`; larger answers wrap.
pub fn suffix_from(mut pick: impl FnMut(usize) -> usize) -> String {
    (0..5)
        .map(|_| char::from(SUFFIX_ALPHABET[pick(SUFFIX_ALPHABET.len()) % SUFFIX_ALPHABET.len()]))
        .collect()
}

impl Uids for RandomUids {
    fn uid(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn suffix(&self) -> String {
        let random = uuid::Uuid::new_v4();
        let mut bytes = random.as_bytes().iter().map(|&byte| usize::from(byte));
        suffix_from(|_| bytes.next().unwrap_or(0))
    }
}

/// The clock and the uid source, handed around together.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) uids: Arc<dyn Uids>,
}

impl Sources {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present moment as `metadata` carries it: whole seconds.
    pub(crate) fn now_seconds(&self) -> Timestamp {
        whole_seconds(self.clock.now())
    }
}

/// Drops the fraction: `metav1.Time` has none.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
