//! One deadline per key, the earliest first. Pure: time is an input.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time since the controller started, by tokio's clock. Intervals are counted in it, never in wall time.
pub(crate) type Uptime = Duration;

/// Deadlines by key; setting one again moves it.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    at: BTreeMap<K, Uptime>,
    order: BTreeSet<(Uptime, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            at: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Wakes for `key` at `at`, and no more at the time set before.
    pub(crate) fn set(&mut self, key: &K, at: Uptime) {
        self.clear(key);
        self.at.insert(key.clone(), at);
        self.order.insert((at, key.clone()));
    }

    /// As [`Self::set`], unless an earlier time is set already.
    pub(crate) fn set_earlier(&mut self, key: &K, at: Uptime) {
        if self.at.get(key).is_none_or(|set| *set > at) {
            self.set(key, at);
        }
    }

    /// Does not wake for `key`.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(at) = self.at.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    /// When to wake next.
    pub(crate) fn next(&self) -> Option<Uptime> {
        self.order.first().map(|(at, _)| *at)
    }

    /// One key whose time has come; its deadline is gone with that.
    pub(crate) fn pop_due(&mut self, now: Uptime) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}

/// The earlier of two deadlines that may be absent.
pub(crate) fn earlier(a: Option<Uptime>, b: Option<Uptime>) -> Option<Uptime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (only, None) | (None, only) => only,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Uptime {
        Uptime::from_secs(seconds)
    }

    #[test]
    fn deadlines_come_in_order_and_a_moved_one_comes_once() {
        let mut timers = Timers::default();
        timers.set(&"a", s(3));
        timers.set(&"b", s(1));
        timers.set(&"a", s(2));
        timers.set_earlier(&"b", s(5));
        assert_eq!(timers.next(), Some(s(1)));
        assert_eq!(timers.pop_due(s(0)), None);
        assert_eq!(timers.pop_due(s(9)), Some("b"));
        assert_eq!(timers.pop_due(s(9)), Some("a"));
        assert_eq!(timers.pop_due(s(9)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cleared_deadline_never_comes() {
        let mut timers = Timers::default();
        timers.set(&1, s(1));
        timers.clear(&1);
        assert_eq!(timers.pop_due(s(9)), None);
    }

    #[test]
    fn the_earlier_of_two_is_taken() {
        assert_eq!(earlier(Some(s(2)), Some(s(1))), Some(s(1)));
        assert_eq!(earlier(None, Some(s(1))), Some(s(1)));
        assert_eq!(earlier(None, None), None);
    }
}
