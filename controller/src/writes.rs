//! What is to be written to the API, object by object. A pure queue: it says what is due and never
//! writes.
//!
//! Promises: one write of an object at a time, its metadata before its status; the latest offer wins, so the queue
//! holds at most one per part; writes of one part are at least [`COALESCE`] apart, and all of them stay under a rate. What
//! fails is tried again with growing pauses; what is gone is dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_crds::names::ObjectKey;

use crate::timers::{Timers, Uptime};

/// Between two writes of one object.
pub(crate) const COALESCE: Duration = Duration::from_millis(250);
/// How many writes go on at a time.
const PARALLEL: usize = 8;
/// How many writes may follow each other at once before the rate holds them back.
const BURST: u32 = 200;
/// Between two writes when the burst is used up: 100 a second.
const PACE: Duration = Duration::from_millis(10);
/// The first and the longest pause after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_mins(1);

/// Which part of which object is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Of which kind.
    pub(crate) kind: Kind,
    /// Which part.
    pub(crate) part: Part,
    /// Which object.
    pub(crate) key: ObjectKey,
}

impl Target {
    /// The other part of the object.
    fn sibling(&self) -> Self {
        let part = match self.part {
            Part::Metadata => Part::Status,
            Part::Status => Part::Metadata,
        };
        Self { part, ..self.clone() }
    }
}

/// The kinds we write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub(crate) enum Kind {
    Device,
    Workload,
}

/// The parts we write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Finalizers and our annotations. Before the status, because more waits for it.
    Metadata,
    /// The status subresource.
    Status,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Written.
    Done,
    /// It was made from another version than the object has now: what is wanted is decided anew.
    Conflict,
    /// The object is gone.
    Gone,
    /// The server could not, or would not now.
    Failed,
}

#[derive(Debug)]
struct Entry<T> {
    waiting: Option<T>,
    /// What is being written, in case it must be written again.
    in_flight: Option<T>,
    not_before: Uptime,
    failures: u32,
}

/// The queue. `T` is what is written.
#[derive(Debug)]
pub(crate) struct Writes<T> {
    entries: BTreeMap<Target, Entry<T>>,
    timers: Timers<Target>,
    in_flight: usize,
    /// When the burst is whole again; each write moves it on by [`PACE`].
    paid_until: Uptime,
}

impl<T> Default for Writes<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            timers: Timers::default(),
            in_flight: 0,
            paid_until: Uptime::ZERO,
        }
    }
}

impl<T: Clone> Writes<T> {
    /// This is to be written; an earlier offer that is not written yet is forgotten.
    pub(crate) fn offer(&mut self, target: &Target, what: T, now: Uptime) {
        let entry = self.entries.entry(target.clone()).or_insert(Entry {
            waiting: None,
            in_flight: None,
            not_before: now,
            failures: 0,
        });
        entry.waiting = Some(what);
        if entry.in_flight.is_none() {
            self.timers.set(target, entry.not_before.max(now));
        }
    }

    /// It is not to be written any more. What is on its way goes on.
    pub(crate) fn withdraw(&mut self, target: &Target) {
        if let Some(entry) = self.entries.get_mut(target) {
            entry.waiting = None;
            self.timers.clear(target);
            if entry.in_flight.is_none() && entry.failures == 0 {
                self.entries.remove(target);
            }
        }
    }

    /// What has been offered and may not be there yet.
    pub(crate) fn latest(&self, target: &Target) -> Option<&T> {
        let entry = self.entries.get(target)?;
        entry.waiting.as_ref().or(entry.in_flight.as_ref())
    }

    /// Whether nothing waits and nothing is on its way. An entry may be left of which only the pause after its
    /// last write is remembered.
    pub(crate) fn is_idle(&self) -> bool {
        let idle = |entry: &Entry<T>| entry.waiting.is_none() && entry.in_flight.is_none();
        self.entries.values().all(idle)
    }

    /// The next write that is due. Its end must be told to [`Self::done`].
    pub(crate) fn take_due(&mut self, now: Uptime) -> Option<(Target, T)> {
        if self.in_flight >= PARALLEL || now < self.rate_allows_at() {
            return None;
        }
        while let Some(target) = self.timers.pop_due(now) {
            // Each would make the other's version an old one. The end of that write brings this one back.
            let sibling = self.entries.get(&target.sibling());
            if sibling.is_some_and(|entry| entry.in_flight.is_some()) {
                continue;
            }
            let Some(entry) = self.entries.get_mut(&target) else {
                continue;
            };
            let Some(what) = entry.waiting.take() else {
                // Only its pause was remembered.
                self.entries.remove(&target);
                continue;
            };
            entry.in_flight = Some(what.clone());
            self.in_flight += 1;
            self.paid_until = self.paid_until.max(now) + PACE;
            return Some((target, what));
        }
        None
    }

    /// A write ended.
    pub(crate) fn done(&mut self, target: &Target, outcome: Outcome, now: Uptime) {
        self.end(target, outcome, now);
        let sibling = target.sibling();
        if let Some(entry) = self.entries.get(&sibling)
            && entry.in_flight.is_none()
        {
            self.timers.set(&sibling, entry.not_before.max(now));
        }
    }

    fn end(&mut self, target: &Target, outcome: Outcome, now: Uptime) {
        let Some(entry) = self.entries.get_mut(target) else {
            return;
        };
        let Some(what) = entry.in_flight.take() else {
            return;
        };
        self.in_flight -= 1;
        let pause = match outcome {
            Outcome::Gone => {
                self.timers.clear(target);
                self.entries.remove(target);
                return;
            }
            Outcome::Done | Outcome::Conflict => {
                entry.failures = 0;
                COALESCE
            }
            Outcome::Failed => {
                entry.waiting.get_or_insert(what);
                entry.failures = entry.failures.saturating_add(1);
                (RETRY_FIRST * (1 << entry.failures.min(10))).min(RETRY_MOST)
            }
        };
        entry.not_before = now + pause;
        self.timers.set(target, entry.not_before);
    }

    /// When [`Self::take_due`] has something. Absent while all hands are full: an end comes first.
    pub(crate) fn next_wake(&self) -> Option<Uptime> {
        if self.in_flight >= PARALLEL {
            return None;
        }
        Some(self.timers.next()?.max(self.rate_allows_at()))
    }

    fn rate_allows_at(&self) -> Uptime {
        self.paid_until.saturating_sub(PACE * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target {
            kind: Kind::Device,
            part: Part::Status,
            key: ObjectKey::new("default", name),
        }
    }

    const fn ms(millis: u64) -> Uptime {
        Uptime::from_millis(millis)
    }

    #[test]
    fn the_latest_offer_wins_and_writes_of_one_object_keep_apart() {
        let mut writes = Writes::default();
        writes.offer(&target("a"), 1, ms(0));
        writes.offer(&target("a"), 2, ms(0));
        assert_eq!(writes.take_due(ms(0)), Some((target("a"), 2)));
        writes.offer(&target("a"), 3, ms(1));
        assert_eq!(writes.take_due(ms(1)), None, "one at a time");
        assert_eq!(writes.latest(&target("a")), Some(&3));
        writes.done(&target("a"), Outcome::Done, ms(10));
        assert_eq!(writes.take_due(ms(259)), None);
        assert_eq!(writes.next_wake(), Some(ms(260)));
        assert_eq!(writes.take_due(ms(260)), Some((target("a"), 3)));
        assert!(!writes.is_idle(), "on its way");
        writes.done(&target("a"), Outcome::Done, ms(261));
        assert!(writes.is_idle(), "only the pause is remembered");
        assert_eq!(writes.take_due(ms(9999)), None);
        assert!(writes.is_idle());
    }

    #[test]
    fn the_parts_of_one_object_are_written_one_after_the_other_the_metadata_first() {
        let status = target("a");
        let metadata = status.sibling();
        for outcome in [Outcome::Done, Outcome::Conflict, Outcome::Failed, Outcome::Gone] {
            let mut writes = Writes::default();
            writes.offer(&status, 1, ms(0));
            writes.offer(&metadata, 2, ms(0));
            assert_eq!(writes.take_due(ms(0)), Some((metadata.clone(), 2)));
            assert_eq!(writes.take_due(ms(0)), None);
            writes.done(&metadata, outcome, ms(7));
            // At once, and whatever became of the other.
            assert_eq!(writes.next_wake(), Some(ms(7)));
            assert_eq!(writes.take_due(ms(7)), Some((status.clone(), 1)));
            writes.offer(&metadata, 3, ms(8));
            assert_eq!(writes.take_due(ms(9_999)), None, "nor the other way round");
            writes.done(&status, Outcome::Done, ms(10_000));
            assert_eq!(writes.take_due(ms(10_000)), Some((metadata.clone(), 3)));
        }
    }

    #[test]
    fn a_failure_is_tried_again_later_and_later_with_the_latest_offer() {
        let mut writes = Writes::default();
        writes.offer(&target("a"), 1, ms(0));
        let mut now = ms(0);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let due = writes.next_wake().unwrap();
            pauses.push(due.saturating_sub(now));
            now = due;
            writes.take_due(now).unwrap();
            writes.done(&target("a"), Outcome::Failed, now);
        }
        assert!(pauses.is_sorted());
        assert_eq!(*pauses.last().unwrap(), RETRY_MOST);
        writes.offer(&target("a"), 2, now);
        now = writes.next_wake().unwrap();
        assert_eq!(writes.take_due(now), Some((target("a"), 2)));
    }

    #[test]
    fn what_is_gone_is_not_written_again() {
        let mut writes = Writes::default();
        writes.offer(&target("a"), 1, ms(0));
        writes.take_due(ms(0)).unwrap();
        writes.offer(&target("a"), 2, ms(0));
        writes.done(&target("a"), Outcome::Gone, ms(1));
        assert!(writes.is_idle());
        assert_eq!(writes.latest(&target("a")), None);
    }

    #[test]
    fn a_withdrawn_offer_is_not_written() {
        let mut writes = Writes::default();
        writes.offer(&target("a"), 1, ms(0));
        writes.withdraw(&target("a"));
        assert_eq!(writes.take_due(ms(9)), None);
        assert!(writes.is_idle());
    }

    #[test]
    fn a_flood_is_held_to_the_rate() {
        let mut writes = Writes::default();
        for i in 0..1000 {
            writes.offer(&target(&format!("d{i}")), i, ms(0));
        }
        let mut written = 0;
        let mut now = ms(0);
        while now < ms(1000) {
            while let Some((target, _)) = writes.take_due(now) {
                written += 1;
                writes.done(&target, Outcome::Done, now);
            }
            now = writes.next_wake().unwrap();
        }
        assert!((290..=310).contains(&written), "{written}");
    }

    #[test]
    fn only_so_many_go_on_at_a_time() {
        let mut writes = Writes::default();
        for i in 0..20 {
            writes.offer(&target(&format!("d{i}")), i, ms(0));
        }
        let taken = std::iter::from_fn(|| writes.take_due(ms(0))).count();
        assert_eq!(taken, PARALLEL);
        assert_eq!(writes.next_wake(), None);
    }
}
