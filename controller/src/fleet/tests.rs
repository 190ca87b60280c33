//! Devices that come, go, stay silent and speak out of turn.

use longshore_bus::envelope::VERSION;
use uuid::Uuid;

use super::*;
use crate::fixtures::{running, workload};

mod asks;
mod presence;
mod properties;
mod sessions;

fn s(seconds: u64) -> Uptime {
    Uptime::from_secs(seconds)
}

fn device(name: &str) -> DeviceId {
    format!("default.{name}").parse().unwrap()
}

fn birth(session: u128) -> Sign {
    Sign::Birth(Birth {
        version: VERSION,
        session: Uuid::from_u128(session),
        protocol: (1, 1),
        agent_version: "0.1.0".into(),
        actions: Vec::new(),
        features: Vec::new(),
        fence: None,
        clock: String::new(),
    })
}

fn will(session: u128) -> Sign {
    Sign::Gone(Gone {
        version: VERSION,
        session: Uuid::from_u128(session),
    })
}

fn alive(session: u128, hash: &str) -> Sign {
    Sign::Alive(Alive {
        version: VERSION,
        session: Uuid::from_u128(session),
        seq: 1,
        state_hash: hash.into(),
        clock: String::new(),
    })
}

/// A report of a device that runs `hello` as of that image; the image is its hash.
fn report(session: u128, seq: u64, image: &str) -> Sign {
    let mut report = crate::fixtures::report(running(&[workload("hello", &[("web", image)])]), "");
    report.session = Uuid::from_u128(session);
    report.seq = seq;
    report.state_hash = image.into();
    Sign::Report(Box::new(report))
}

/// A fleet with one device, `dev1`.
struct Bench {
    fleet: Fleet,
    now: Uptime,
    id: DeviceId,
}

impl Bench {
    /// The bus is up and the device is declared; nothing was heard of it.
    fn new() -> Self {
        let mut bench = Self {
            fleet: Fleet::default(),
            now: Uptime::ZERO,
            id: device("dev1"),
        };
        bench.fleet.link_up(s(0));
        bench.fleet.expect(&bench.id, s(0));
        bench
    }

    /// The device is connected in session 1 and has reported.
    fn connected() -> Self {
        let mut bench = Self::new();
        bench.hear(birth(1));
        bench.hear(report(1, 1, "a"));
        bench
    }

    fn hear(&mut self, sign: Sign) -> Vec<Change> {
        self.fleet.on_sign(&self.id, sign, self.now)
    }

    /// Lets time pass from wake to wake until `end`.
    fn run_until(&mut self, end: Uptime) -> Vec<(Uptime, Change)> {
        let mut all = Vec::new();
        while let Some(at) = self.fleet.next_wake().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            all.extend(self.fleet.tick(now).into_iter().map(|change| (now, change)));
            let next = self.fleet.next_wake();
            assert!(next.is_none_or(|next| next > now), "time stands still at {now:?}");
        }
        self.now = end;
        all
    }

    fn state(&self) -> &DeviceState {
        self.fleet.get(&self.id).unwrap()
    }

    fn presence(&self) -> Presence {
        self.state().presence
    }

    /// The hash of the report that may be planned from.
    fn confirmed(&self) -> Option<&str> {
        self.state().confirmed_report().map(|r| r.state_hash.as_str())
    }

    fn dirty(&self) -> Change {
        Change::Dirty(self.id.clone())
    }

    fn came(&self) -> Change {
        Change::Came(self.id.clone())
    }

    fn went(&self, cause: GoneCause) -> Change {
        Change::Went(self.id.clone(), cause)
    }
}

/// When devices were asked for reports, in seconds.
fn asks(changes: &[(Uptime, Change)]) -> Vec<u64> {
    let asks = changes
        .iter()
        .filter(|(_, change)| matches!(change, Change::Ask(_)));
    asks.map(|(at, _)| at.as_secs()).collect()
}

/// The report before, of a change that tells of one.
fn before(changes: &[Change]) -> Vec<Option<String>> {
    let reported = changes.iter().filter_map(|change| match change {
        Change::Reported(_, before) => Some(before.as_ref().map(|r| r.state_hash.clone())),
        _ => None,
    });
    reported.collect()
}
