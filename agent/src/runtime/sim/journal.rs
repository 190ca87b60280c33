//! Everything that happened to the machine, exactly, for a test to assert on.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_plan::names::EngineId;

use super::fault::{ClientId, Op};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// An agent, by its connection.
    Client(ClientId),
    /// The engine by itself: restart policies, exits, its own start and stop.
    Engine,
    /// A person at the device.
    Operator,
}

/// One effect that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the machine was made.
    pub at: Duration,
    /// Who asked for it.
    pub actor: Actor,
    /// What was done. The engine's restarts are [`Op::Start`], exits [`Op::Kill`].
    pub op: Op,
    /// The name of its object at that time.
    pub object: String,
    /// The container's id, where it is about one.
    pub id: Option<EngineId>,
    /// Rename: the new name. Exit: the code. Pull: the image id. Signal: its name. Else empty.
    pub detail: String,
}

/// One life of one container's process, from start to exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// The container.
    pub id: EngineId,
    /// Its name when the process started.
    pub name: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Who made the container: a hand-made copy with our labels is not ours.
    pub made_by: Actor,
    /// Since the machine was made.
    pub from: Duration,
    /// Absent while it runs.
    pub to: Option<Duration>,
}

impl Interval {
    fn overlaps(&self, other: &Self) -> bool {
        let before = |a: &Self, b: &Self| a.to.is_some_and(|end| end <= b.from);
        !before(self, other) && !before(other, self)
    }
}

/// The machine's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    /// Every effect in its order.
    pub entries: Vec<Entry>,
    /// Every process in the order of its start.
    pub intervals: Vec<Interval>,
}

impl Journal {
    /// The effects asked for by agents, leaving out the engine's and the operator's.
    pub fn by_clients(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.actor, Actor::Client(_)))
    }

    /// How often agents did `op` to an object of that name.
    pub fn count(&self, op: Op, object: &str) -> usize {
        self.by_clients()
            .filter(|entry| entry.op == op && entry.object == object)
            .count()
    }

    /// Pairs of processes of different containers, made by agents, that ran at the same time though
    /// they carry equal values of all these labels. "At most one" holds when this is empty.
    pub fn overlapping(&self, labels: &[&str]) -> Vec<(&Interval, &Interval)> {
        let mut groups: BTreeMap<Vec<&String>, Vec<&Interval>> = BTreeMap::new();
        let made = |interval: &&Interval| matches!(interval.made_by, Actor::Client(_));
        for interval in self.intervals.iter().filter(made) {
            let values: Option<Vec<_>> = labels.iter().map(|label| interval.labels.get(*label)).collect();
            if let Some(values) = values {
                groups.entry(values).or_default().push(interval);
            }
        }
        let mut found = Vec::new();
        for group in groups.values() {
            for (i, one) in group.iter().enumerate() {
                found.extend(
                    group[i + 1..]
                        .iter()
                        .filter(|other| other.id != one.id && other.overlaps(one))
                        .map(|other| (*one, *other)),
                );
            }
        }
        found
    }

    /// One line per effect, to be printed where a test fails.
    pub fn transcript(&self) -> String {
        use std::fmt::Write as _;
        self.entries.iter().fold(String::new(), |mut text, entry| {
            let Entry {
                at,
                actor,
                op,
                object,
                id,
                detail,
            } = entry;
            let id = id.as_ref().map(ToString::to_string).unwrap_or_default();
            let at = at.as_secs_f64();
            // Writing to a String cannot fail.
            writeln!(
                text,
                "{at:>10.3} {actor:?} {} {object} {id} {detail}",
                op.as_str()
            )
            .ok();
            text
        })
    }

    pub(super) fn process_started(&mut self, interval: Interval) {
        self.intervals.push(interval);
    }

    pub(super) fn process_ended(&mut self, id: &EngineId, at: Duration) {
        if let Some(open) = self
            .intervals
            .iter_mut()
            .rev()
            .find(|i| &i.id == id && i.to.is_none())
        {
            open.to = Some(at);
        }
    }
}
