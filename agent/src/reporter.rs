//! Reports: always the whole compact snapshot, debounced, numbered, with a digest of its content. An equal
//! digest is not sent again, except at the beginning of a session and when somebody asks.

mod fit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::envelope::{Alive, Report, VERSION};
use longshore_bus::{Bus, DeviceId, Properties, Topic};
use longshore_plan::drift::drift;
use longshore_plan::hash::digest_hex;
use longshore_plan::observed::{Drift, Observed};
use longshore_plan::step::Fence;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::fit::fitted;
use crate::counters::Counters;
use crate::ledger::{Ledger, LedgerState};
use crate::link::publish;
use crate::observer::{View, until};

/// Changes within this are one report.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// How often the lease is renewed.
const ALIVE: Duration = Duration::from_mins(1);
const ALIVE_JITTER_MILLIS: u64 = 3_000;
/// One that was not taken is tried again.
const REPEAT: Duration = Duration::from_secs(5);

/// Where a report can be asked for. Bounded; one request is as good as many.
#[derive(Debug, Clone)]
pub(crate) struct ReportRequests(mpsc::Sender<Duration>);

impl ReportRequests {
    /// The two ends.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Duration>) {
        let (sender, receiver) = mpsc::channel(8);
        (Self(sender), receiver)
    }

    /// Asks for a report after `delay`. Overflow: dropped, since one is on its way then.
    pub(crate) fn ask(&self, delay: Duration) {
        let _queued_or_on_its_way = self.0.try_send(delay);
    }
}

/// Everything a report says, apart from its numbers: what its digest is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    pub(crate) fence: Option<Fence>,
    pub(crate) desired_digest: String,
    pub(crate) busy: bool,
    pub(crate) observed: Observed,
    pub(crate) drift: Vec<Drift>,
}

/// What there is to report.
pub(crate) fn content(state: &LedgerState, observed: &Observed) -> Content {
    Content {
        fence: state.accepted.as_ref().map(|a| a.fence.clone()),
        desired_digest: state
            .accepted
            .as_ref()
            .map(|a| a.desired_digest.clone())
            .unwrap_or_default(),
        busy: state.next.is_some() || state.replace.is_some(),
        drift: drift(state.wanted(), observed),
        observed: observed.clone(),
    }
}

/// The reporter's parts.
pub(crate) struct Reporter {
    pub(crate) device: DeviceId,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) view: Arc<View>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: IdSource,
    pub(crate) counters: Arc<Counters>,
    pub(crate) session: watch::Receiver<Option<Uuid>>,
    pub(crate) requests: mpsc::Receiver<Duration>,
    pub(crate) sent: Arc<Sent>,
}

/// The last report sent.
#[derive(Debug, Default)]
pub(crate) struct Sent(Mutex<(u64, String)>);

impl Sent {
    fn get(&self) -> MutexGuard<'_, (u64, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter {
    /// Reports until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut snapshots = self.view.follow();
        let mut states = self.ledger.follow();
        let mut due: Option<Instant> = None;
        let mut asked: Option<Instant> = None;
        let mut alive: Option<Instant> = None;
        let mut greeted = None;
        loop {
            let session = *self.session.borrow_and_update();
            if let Some(session) = session.filter(|s| greeted != Some(*s)) {
                greeted = Some(session);
                asked = Some(Instant::now());
                alive = Some(self.next_alive());
            } else if session.is_none() {
                greeted = None;
                alive = None;
            }
            // Cancel-safe: watches and timers only wake; a request is put to use at once.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = self.session.changed() => if changed.is_err() { return },
                request = self.requests.recv() => match request {
                    Some(delay) => {
                        let at = Instant::now() + delay;
                        asked = Some(asked.map_or(at, |asked| asked.min(at)));
                    }
                    None => return,
                },
                changed = snapshots.changed() => {
                    if changed.is_err() { return }
                    due.get_or_insert(Instant::now() + DEBOUNCE);
                }
                changed = states.changed() => {
                    if changed.is_err() { return }
                    due.get_or_insert(Instant::now() + DEBOUNCE);
                }
                () = until(asked) => {
                    asked = None;
                    due = None;
                    if !self.report(session, true).await {
                        asked = session.map(|_| Instant::now() + REPEAT);
                    }
                }
                () = until(due) => {
                    due = None;
                    if !self.report(session, false).await {
                        asked = session.map(|_| Instant::now() + REPEAT);
                    }
                }
                () = until(alive) => {
                    alive = Some(self.next_alive());
                    if let Some(session) = session {
                        self.stay_alive(session).await;
                    }
                }
            }
        }
    }

    fn next_alive(&self) -> Instant {
        Instant::now() + ALIVE - Duration::from_millis(self.ids.below(ALIVE_JITTER_MILLIS))
    }

    /// Sends a report if it differs from the last one, or anyway. `false` if it could not be sent.
    async fn report(&self, session: Option<Uuid>, anyway: bool) -> bool {
        let Some(session) = session else { return true };
        let snapshot = self.view.now();
        let content = content(&self.ledger.state(), &snapshot.observed);
        let state_hash = digest_hex(&content);
        let seq = {
            let sent = self.sent.get();
            if !anyway && sent.1 == state_hash {
                return true;
            }
            sent.0 + 1
        };
        let (report, less) = fitted(made(session, seq, state_hash.clone(), content));
        if less {
            self.counters.too_large.add();
            tracing::warn!("there is more to report than fits into a message: a part is left out");
        }
        let topic = Topic::Report(self.device.clone());
        let taken = publish(&*self.bus, &topic, &report, Properties::default()).await;
        if taken {
            self.counters.reports.add();
            *self.sent.get() = (seq, state_hash);
        }
        taken
    }

    async fn stay_alive(&self, session: Uuid) {
        let (seq, state_hash) = self.sent.get().clone();
        let alive = Alive {
            version: VERSION,
            session,
            seq,
            state_hash,
            clock: self.clock.now_rfc3339(),
        };
        // One that is lost is missed by nobody: three are.
        publish(
            &*self.bus,
            &Topic::Alive(self.device.clone()),
            &alive,
            Properties::default(),
        )
        .await;
    }
}

fn made(session: Uuid, seq: u64, state_hash: String, content: Content) -> Report {
    let Content {
        fence,
        desired_digest,
        busy,
        observed,
        drift,
    } = content;
    Report {
        version: VERSION,
        session,
        seq,
        state_hash,
        fence,
        desired_digest,
        busy,
        observed,
        drift,
    }
}
