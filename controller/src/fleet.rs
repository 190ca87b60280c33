//! The fleet: what is known of every device from its own messages. A pure state machine.
//!
//! Owns presence and the last report of each device. Woken by messages and by [`Fleet::tick`].
//!
//! Promises: a report is *confirmed* only when it came in this run, in the device's current session and
//! since the bus was last connected; nothing is planned from any other. A device never goes `Gone` by
//! its lease while the bus is down, because then the silence is ours. What arrives late or twice changes
//! nothing, and where it misled us the session that goes on reporting wins in the end.

mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_bus::DeviceId;
use longshore_bus::envelope::{Alive, Birth, Gone, Report};

use self::session::{Sessions, Verdict};
use crate::timers::{Timers, Uptime, earlier};

/// Three missed signs of life, which come every 60 s, and a little for the way.
pub(crate) const LEASE: Uptime = Uptime::from_secs(3 * 60 + 5);
/// How long an unconfirmed device keeps its `Connected` of before: one sign of life must fit in.
pub(crate) const GRACE: Uptime = Uptime::from_secs(75);
/// How often leases are looked at.
const SWEEP: Uptime = Uptime::from_secs(5);
/// When the roll call is repeated while somebody has not answered, counted from its first.
const ROLL_CALLS: [Uptime; 4] = [
    Uptime::ZERO,
    Uptime::from_secs(3),
    Uptime::from_secs(12),
    Uptime::from_secs(40),
];
/// Between two requests for one device's report: at first, and at most.
const ASK_FIRST: Uptime = Uptime::from_secs(1);
const ASK_MOST: Uptime = Uptime::from_secs(30);
/// Devices without a Device object that are remembered, in case the object comes.
const MAX_STRANGERS: usize = 1024;

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Not heard of since the controller started or the bus came back. Its stored condition stands.
    Unconfirmed {
        /// Until then.
        until: Uptime,
    },
    /// It speaks.
    Connected,
    /// It does not.
    Gone(GoneCause),
}

/// Why a device counts as gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoneCause {
    /// Its will, or its own goodbye.
    Goodbye,
    /// Three signs of life were missed.
    LeaseExpired,
    /// A command found nobody subscribed.
    NotSubscribed,
    /// It did not answer the roll call.
    NeverHeard,
}

/// One device.
#[derive(Debug)]
pub(crate) struct DeviceState {
    /// Whether it is there.
    pub(crate) presence: Presence,
    /// What it said of itself when it came.
    pub(crate) birth: Option<Birth>,
    /// The last report, kept also when it is not confirmed any more.
    pub(crate) report: Option<Arc<Report>>,
    /// Whether the report may be planned from.
    pub(crate) confirmed: bool,
    expected: bool,
    sessions: Sessions,
    heard: Uptime,
    ask_delay: Uptime,
}

impl DeviceState {
    fn new(presence: Presence, now: Uptime) -> Self {
        Self {
            presence,
            birth: None,
            report: None,
            confirmed: false,
            expected: false,
            sessions: Sessions::default(),
            heard: now,
            ask_delay: ASK_FIRST,
        }
    }

    /// The report, if it may be planned from.
    pub(crate) fn confirmed_report(&self) -> Option<&Arc<Report>> {
        self.report
            .as_ref()
            .filter(|_| self.confirmed && self.presence == Presence::Connected)
    }
}

/// What a message or the time brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Something about the device differs: decide again.
    Dirty(DeviceId),
    /// It came (back).
    Came(DeviceId),
    /// It went.
    Went(DeviceId, GoneCause),
    /// A new report, with the confirmed one before it.
    Reported(DeviceId, Option<Arc<Report>>),
    /// Another session began: its agent or its connection was restarted.
    NewSession(DeviceId),
    /// Ask it for a report.
    Ask(DeviceId),
    /// Ask everybody for a report.
    RollCall,
    /// Somebody without a Device object spoke for the first time.
    Stranger(DeviceId),
}

/// A message about one device; whose it is, its topic says.
#[derive(Debug)]
pub(crate) enum Sign {
    /// `evt/birth`.
    Birth(Birth),
    /// `evt/gone`.
    Gone(Gone),
    /// `evt/alive`.
    Alive(Alive),
    /// `evt/report`.
    Report(Box<Report>),
    /// Anything else it sent.
    Speech,
}

/// Every device heard of or declared.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    devices: BTreeMap<DeviceId, DeviceState>,
    asks: Timers<DeviceId>,
    /// When the bus came up, and how many roll calls went out since; absent while it is down.
    link: Option<(Uptime, usize)>,
    next_sweep: Uptime,
}

impl Fleet {
    /// The device's state.
    pub(crate) fn get(&self, id: &DeviceId) -> Option<&DeviceState> {
        self.devices.get(id)
    }

    /// How many declared devices are connected.
    pub(crate) fn connected(&self) -> usize {
        let connected = |d: &&DeviceState| d.expected && d.presence == Presence::Connected;
        self.devices.values().filter(connected).count()
    }

    /// A Device object exists for it.
    pub(crate) fn expect(&mut self, id: &DeviceId, now: Uptime) -> Vec<Change> {
        let fresh = !self.devices.contains_key(id);
        let state = self
            .devices
            .entry(id.clone())
            .or_insert_with(|| DeviceState::new(Presence::Unconfirmed { until: now + GRACE }, now));
        if state.expected {
            return Vec::new();
        }
        state.expected = true;
        if fresh {
            // It may have spoken before we listened; the roll call may be over.
            self.asks.set(id, now);
        }
        let mut changes = vec![Change::Dirty(id.clone())];
        if state.presence == Presence::Connected {
            changes.push(Change::Came(id.clone()));
        }
        changes
    }

    /// Its Device object is gone.
    pub(crate) fn forget(&mut self, id: &DeviceId) {
        if let Some(state) = self.devices.get_mut(id) {
            state.expected = false;
            if state.presence != Presence::Connected {
                self.devices.remove(id);
                self.asks.clear(id);
            }
        }
    }

    /// The bus is connected (again): nothing heard before counts as confirmed.
    pub(crate) fn link_up(&mut self, now: Uptime) -> Vec<Change> {
        self.link = Some((now, 0));
        self.next_sweep = now + SWEEP;
        let mut changes = Vec::new();
        for (id, state) in &mut self.devices {
            state.confirmed = false;
            if state.presence == Presence::Connected || matches!(state.presence, Presence::Unconfirmed { .. })
            {
                state.presence = Presence::Unconfirmed { until: now + GRACE };
                changes.push(Change::Dirty(id.clone()));
            }
        }
        changes
    }

    /// The bus is gone: silence means nothing from here on.
    pub(crate) fn link_down(&mut self) {
        self.link = None;
    }

    /// A command found nobody subscribed. No news of a device that is still given its grace.
    pub(crate) fn not_subscribed(&mut self, id: &DeviceId) -> Vec<Change> {
        match self.devices.get_mut(id) {
            Some(state) if state.presence == Presence::Connected => {
                let change = go(id, state, GoneCause::NotSubscribed);
                self.asks.clear(id);
                vec![change, Change::Dirty(id.clone())]
            }
            _ => Vec::new(),
        }
    }

    /// A message of one device.
    pub(crate) fn on_sign(&mut self, id: &DeviceId, sign: Sign, now: Uptime) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.devices.contains_key(id) {
            let strangers = self.devices.values().filter(|d| !d.expected).count();
            if strangers >= MAX_STRANGERS {
                return changes;
            }
            changes.push(Change::Stranger(id.clone()));
            let presence = Presence::Unconfirmed { until: now + GRACE };
            self.devices.insert(id.clone(), DeviceState::new(presence, now));
        }
        let Some(state) = self.devices.get_mut(id) else {
            return changes;
        };
        let wants_report = match sign {
            Sign::Birth(birth) => on_birth(id, state, birth, &mut changes),
            Sign::Gone(gone) => {
                if state.sessions.is_current(gone.session) && !matches!(state.presence, Presence::Gone(_)) {
                    changes.push(go(id, state, GoneCause::Goodbye));
                    changes.push(Change::Dirty(id.clone()));
                }
                false
            }
            Sign::Alive(alive) => on_alive(id, state, &alive, now, &mut changes),
            Sign::Report(report) => {
                on_report(id, state, *report, now, &mut changes);
                false
            }
            Sign::Speech => {
                state.heard = now;
                false
            }
        };
        if wants_report {
            self.asks.set_earlier(id, now + state.ask_delay);
        } else if state.confirmed || matches!(state.presence, Presence::Gone(_)) {
            self.asks.clear(id);
            state.ask_delay = ASK_FIRST;
        }
        changes
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Uptime) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(id) = self.asks.pop_due(now) {
            if let Some(state) = self.devices.get_mut(&id) {
                // One that is gone is asked once for each sign of it: a retained birth may be years old.
                if !matches!(state.presence, Presence::Gone(_)) {
                    state.ask_delay = (state.ask_delay * 2).min(ASK_MOST);
                    self.asks.set(&id, now + state.ask_delay);
                }
                changes.push(Change::Ask(id));
            }
        }
        let Some((up, calls)) = self.link else {
            return changes;
        };
        if ROLL_CALLS.get(calls).is_some_and(|after| now >= up + *after) {
            self.link = Some((up, calls + 1));
            let waiting = |d: &DeviceState| matches!(d.presence, Presence::Unconfirmed { .. });
            // The first one also finds those whose Device object is not read yet.
            if calls == 0 || self.devices.values().any(waiting) {
                changes.push(Change::RollCall);
            }
        }
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            for (id, state) in &mut self.devices {
                let cause = match state.presence {
                    Presence::Unconfirmed { until } if now >= until => GoneCause::NeverHeard,
                    Presence::Connected if now >= state.heard + LEASE => GoneCause::LeaseExpired,
                    _ => continue,
                };
                changes.push(go(id, state, cause));
                changes.push(Change::Dirty(id.clone()));
                self.asks.clear(id);
            }
        }
        changes
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_wake(&self) -> Option<Uptime> {
        let link = self.link.map(|(up, calls)| {
            let roll_call = ROLL_CALLS.get(calls).map(|after| up + *after);
            roll_call.map_or(self.next_sweep, |at| at.min(self.next_sweep))
        });
        earlier(self.asks.next(), link)
    }
}

fn go(id: &DeviceId, state: &mut DeviceState, cause: GoneCause) -> Change {
    state.presence = Presence::Gone(cause);
    state.confirmed = false;
    state.ask_delay = ASK_FIRST;
    Change::Went(id.clone(), cause)
}

fn come(id: &DeviceId, state: &mut DeviceState, now: Uptime, changes: &mut Vec<Change>) {
    state.heard = now;
    if state.presence != Presence::Connected {
        state.presence = Presence::Connected;
        changes.push(Change::Came(id.clone()));
        changes.push(Change::Dirty(id.clone()));
    }
}

/// A birth is retained and may be years old: it names the session, and proves nobody's presence.
fn on_birth(id: &DeviceId, state: &mut DeviceState, birth: Birth, changes: &mut Vec<Change>) -> bool {
    match state.sessions.meet(birth.session, None) {
        Verdict::Stale => return false,
        Verdict::Current => {}
        Verdict::New => {
            state.confirmed = false;
            changes.push(Change::NewSession(id.clone()));
        }
    }
    if state.birth.as_ref() != Some(&birth) {
        state.birth = Some(birth);
        changes.push(Change::Dirty(id.clone()));
    }
    !state.confirmed
}

fn on_alive(
    id: &DeviceId,
    state: &mut DeviceState,
    alive: &Alive,
    now: Uptime,
    changes: &mut Vec<Change>,
) -> bool {
    match state.sessions.meet(alive.session, None) {
        // Either late, or we took a late one for the current: a report will tell.
        Verdict::Stale => return true,
        Verdict::New => {
            state.confirmed = false;
            changes.push(Change::NewSession(id.clone()));
        }
        // It said goodbye; this was on its way before, unless a report follows.
        Verdict::Current if state.presence == Presence::Gone(GoneCause::Goodbye) => return true,
        Verdict::Current => {}
    }
    come(id, state, now, changes);
    !state.confirmed
        || state
            .report
            .as_ref()
            .is_none_or(|report| report.state_hash != alive.state_hash)
}

fn on_report(id: &DeviceId, state: &mut DeviceState, report: Report, now: Uptime, changes: &mut Vec<Change>) {
    match state.sessions.meet(report.session, Some(report.seq)) {
        Verdict::Stale => return,
        Verdict::New => {
            state.confirmed = false;
            changes.push(Change::NewSession(id.clone()));
        }
        Verdict::Current => {}
    }
    come(id, state, now, changes);
    let confirmed = std::mem::replace(&mut state.confirmed, true);
    let before = state.report.take();
    let same = before.as_ref().is_some_and(|b| b.state_hash == report.state_hash);
    if confirmed && same {
        state.report = before;
        return;
    }
    state.report = Some(Arc::new(report));
    // An unconfirmed one is of before the restart: what happened since is no transition we saw.
    changes.push(Change::Reported(id.clone(), before.filter(|_| confirmed)));
    changes.push(Change::Dirty(id.clone()));
}
