//! The one task that changes anything on the device.
//!
//! ```text
//! recover ─► finish the journaled plan ─► liveness restarts ─► local plan, while unsupervised ─► wait
//!    ▲                                                                                            │
//!    └──────── the engine came back, a plan was accepted, something changed, a retry is due ◄─────┘
//! ```
//!
//! Every turn begins from what is really there. A step that is cut short by the engine's or the disk's
//! failure leaves a journaled point; the turn after it recovers exactly as a new process would: a replace
//! is finished forward or back, then the plan is made again from its desired set and what is observed.

mod alone;
mod cancellations;
mod concerning;
mod container;
mod ending;
mod housekeeping;
mod objects;
mod plan;
mod ports;
mod put_back;
mod recover;
mod replace;
mod step;
mod trouble;
mod wait;
mod withdrawn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_bus::DeviceId;
use longshore_bus::clock::Clock;
use longshore_plan::hash::SpecHash;
use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::FailureReason;
use longshore_plan::step::Step;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::backoff;
use crate::content::Content;
use crate::counters::Counters;
use crate::ledger::{Ledger, LedgerError, Record};
use crate::observer::View;
use crate::probes::RestartRequest;
use crate::runtime::{Runtime, RuntimeError, RuntimeErrorKind};
use crate::storage::Storage;
use crate::subnet::Cidr;

pub(crate) use self::cancellations::Cancellations;
pub(crate) use self::plan::unrecorded_failures;
use self::trouble::{Failed, Interrupt, Trouble};

/// What the executor works with.
pub(crate) struct Tools {
    pub(crate) device: DeviceId,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) view: Arc<View>,
    pub(crate) content: Arc<Content>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) cancellations: Arc<Cancellations>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) network_pool: Vec<Cidr>,
    pub(crate) storage: Storage,
}

/// What others ask of it.
pub(crate) struct Inputs {
    pub(crate) restarts: mpsc::Receiver<RestartRequest>,
    /// Whether a live controller is in charge.
    pub(crate) supervised: watch::Receiver<bool>,
    pub(crate) stop: CancellationToken,
}

/// The executor.
pub(crate) struct Executor {
    tools: Tools,
    inputs: Inputs,
    /// The journaled plan was begun before what is known now: it is made again from what is observed.
    stale: bool,
    /// The connection to the engine that is worked with.
    epoch: u64,
    /// What its or our own death left was put right on this connection.
    recovered: bool,
    /// Timeouts in a row: the first ones may be the engine's death, then they are the step's failure.
    timeouts: u32,
    /// Containers that were started and are not healthy yet.
    unready: BTreeMap<EngineId, Unready>,
    liveness: BTreeMap<EngineId, LivenessBackoff>,
    last_local: Option<(Vec<Step>, Instant)>,
    /// Failures of the ledger in a row.
    ledger_failures: u32,
    /// Something was answered that the ledger does not know yet.
    told_unrecorded: bool,
    supervised_gone: bool,
}

struct Unready {
    key: ContainerKey,
    hash: SpecHash,
    config_digest: String,
    deadline: Instant,
}

struct LivenessBackoff {
    count: u32,
    last: Instant,
}

/// So many timeouts of the engine in a row end a step.
const TIMEOUTS: u32 = 3;
const LEDGER_FIRST: Duration = Duration::from_secs(5);
const LEDGER_LONGEST: Duration = Duration::from_mins(1);

/// What a turn came to.
enum Turn {
    /// There may be more to do.
    Again,
    /// Nothing to do before this.
    Idle(Option<Instant>),
}

impl Executor {
    pub(crate) fn new(tools: Tools, inputs: Inputs) -> Self {
        Self {
            tools,
            inputs,
            stale: true,
            epoch: 0,
            recovered: false,
            timeouts: 0,
            unready: BTreeMap::new(),
            liveness: BTreeMap::new(),
            last_local: None,
            ledger_failures: 0,
            told_unrecorded: false,
            supervised_gone: false,
        }
    }

    /// Works until the agent stops.
    pub(crate) async fn run(mut self) {
        loop {
            let turn = match self.ready().await {
                Ok(()) => self.turn().await,
                Err(interrupt) => Err(interrupt),
            };
            match turn {
                Ok(Turn::Again) => self.ledger_works(),
                Ok(Turn::Idle(until)) => {
                    if self.idle(until).await.is_err() {
                        return;
                    }
                }
                Err(Interrupt::Stopping) => return,
                Err(Interrupt::Restarted) => self.stale = true,
                Err(Interrupt::Runtime(error)) => {
                    self.stale = true;
                    self.tools.view.runtime_lost(&error);
                }
                Err(Interrupt::Ledger(error)) => {
                    self.stale = true;
                    if self.ledger_fails(&error).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until the engine answers, and puts right what its or our own death left. What is withdrawn
    /// meanwhile ends without it.
    async fn ready(&mut self) -> Result<(), Interrupt> {
        let mut snapshots = self.tools.view.follow();
        let mut states = self.tools.ledger.follow();
        let mut cancellations = self.tools.cancellations.follow();
        loop {
            states.mark_unchanged();
            cancellations.mark_unchanged();
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if snapshot.is_ready() {
                if snapshot.epoch != self.epoch || !self.recovered {
                    self.stale = true;
                    self.epoch = snapshot.epoch;
                    self.recovered = false;
                    self.recover().await?;
                    self.recovered = true;
                }
                return Ok(());
            }
            self.end_withdrawn().await?;
            // Cancel-safe: watches keep what has been seen.
            tokio::select! {
                biased;
                () = self.inputs.stop.cancelled() => return Err(Interrupt::Stopping),
                changed = snapshots.changed() => if changed.is_err() { return Err(Interrupt::Stopping) },
                changed = states.changed() => if changed.is_err() { return Err(Interrupt::Stopping) },
                changed = cancellations.changed() => if changed.is_err() { return Err(Interrupt::Stopping) },
            }
        }
    }

    async fn turn(&mut self) -> Result<Turn, Interrupt> {
        if self.inputs.stop.is_cancelled() {
            return Err(Interrupt::Stopping);
        }
        if self.tools.ledger.state().replace.is_some() {
            self.recover().await?;
        }
        if self.told_unrecorded {
            self.end_withdrawn().await?;
        }
        if let Some(next) = self.tools.ledger.state().next.clone() {
            self.finish_plan(next).await?;
            return Ok(Turn::Again);
        }
        // Nothing unfinished is left of an earlier life.
        self.stale = false;
        if let Ok(request) = self.inputs.restarts.try_recv() {
            self.restart_failing(request).await?;
            return Ok(Turn::Again);
        }
        let wake = self.housekeeping().await?;
        if !*self.inputs.supervised.borrow() {
            match self.heal_alone().await? {
                Turn::Again => return Ok(Turn::Again),
                Turn::Idle(at) => return Ok(Turn::Idle(wake.into_iter().chain(at).min())),
            }
        }
        Ok(Turn::Idle(wake))
    }

    /// Waits for any reason to look again; an error means that the agent stops.
    async fn idle(&mut self, until: Option<Instant>) -> Result<(), ()> {
        let mut snapshots = self.tools.view.follow();
        let mut states = self.tools.ledger.follow();
        // What changed since the turn looked is not waited for: both are compared with what is there now.
        snapshots.mark_unchanged();
        states.mark_unchanged();
        if states.borrow().next.is_some() {
            return Ok(());
        }
        // Cancel-safe: watches keep what has been seen, a received request is put to use at once.
        tokio::select! {
            biased;
            () = self.inputs.stop.cancelled() => return Err(()),
            request = self.inputs.restarts.recv() => match request {
                Some(request) => self.pend(request).await,
                None => return Err(()),
            },
            changed = states.changed() => if changed.is_err() { return Err(()) },
            changed = snapshots.changed() => if changed.is_err() { return Err(()) },
            changed = self.inputs.supervised.changed(), if !self.supervised_gone => {
                self.supervised_gone = changed.is_err();
            }
            () = crate::observer::until(until) => {}
        }
        Ok(())
    }

    /// A liveness restart that arrived while there was nothing else to do.
    async fn pend(&mut self, request: RestartRequest) {
        match self.restart_failing(request).await {
            Err(Interrupt::Runtime(error)) => self.tools.view.runtime_lost(&error),
            // The probe goes on failing and asks again.
            Ok(()) | Err(Interrupt::Restarted | Interrupt::Ledger(_) | Interrupt::Stopping) => {}
        }
    }

    async fn ledger_fails(&mut self, error: &LedgerError) -> Result<(), ()> {
        self.ledger_failures = self.ledger_failures.saturating_add(1);
        self.tools.counters.ledger_errors.add();
        tracing::error!(
            error = %chain(error),
            "the ledger cannot be written: nothing is changed on this device until it can"
        );
        let state = self.tools.ledger.state();
        let failures = state
            .next
            .iter()
            .flat_map(|next| plan::unrecorded_failures(&next.command, &next.outcomes))
            .collect();
        self.tools.view.set_volatile(failures);
        let delay = backoff::doubled(LEDGER_FIRST, self.ledger_failures, LEDGER_LONGEST);
        let again = Instant::now() + delay;
        let mut cancellations = self.tools.cancellations.follow();
        loop {
            cancellations.mark_unchanged();
            if self.tell_withdrawn().await {
                return Ok(());
            }
            // Cancel-safe: a watch keeps what has been seen.
            tokio::select! {
                biased;
                () = self.inputs.stop.cancelled() => return Err(()),
                () = tokio::time::sleep_until(again) => return Ok(()),
                changed = cancellations.changed() => if changed.is_err() { return Err(()) },
            }
        }
    }

    fn ledger_works(&mut self) {
        self.ledger_failures = 0;
        if self.tools.view.has_volatile() {
            self.tools.view.set_volatile(Vec::new());
        }
    }

    /// What an engine's refusal means for a step.
    fn trouble(&mut self, error: RuntimeError, otherwise: FailureReason) -> Trouble {
        let timed_out = error.kind == RuntimeErrorKind::Timeout;
        if timed_out {
            self.timeouts += 1;
        }
        if error.kind == RuntimeErrorKind::Unavailable || (timed_out && self.timeouts < TIMEOUTS) {
            return Trouble::Interrupted(Interrupt::Runtime(error));
        }
        self.timeouts = 0;
        let reason = match error.kind {
            RuntimeErrorKind::ImageNotFound => FailureReason::ImageNotFound,
            RuntimeErrorKind::ImageTagNotFound => FailureReason::ImageTagNotFound,
            RuntimeErrorKind::RegistryUnavailable => FailureReason::RegistryUnavailable,
            RuntimeErrorKind::RegistryAuthenticationFailed => FailureReason::RegistryAuthenticationFailed,
            RuntimeErrorKind::NameConflict => FailureReason::NameConflict,
            RuntimeErrorKind::PortConflict => FailureReason::PortConflict,
            RuntimeErrorKind::DiskFull => FailureReason::DiskFull,
            RuntimeErrorKind::Unavailable
            | RuntimeErrorKind::Timeout
            | RuntimeErrorKind::NotFound
            | RuntimeErrorKind::Conflict
            | RuntimeErrorKind::Invalid
            | RuntimeErrorKind::Unsupported
            | RuntimeErrorKind::Other => otherwise,
        };
        Failed::waiting(reason, error.to_string()).into()
    }

    async fn append(&self, records: Vec<Record>) -> Result<(), LedgerError> {
        self.tools.ledger.append(records).await
    }

    /// Unix seconds, for records.
    fn stamp(&self) -> u64 {
        stamp(&*self.tools.clock)
    }
}

/// Unix seconds by the wall clock.
pub(crate) fn stamp(clock: &dyn Clock) -> u64 {
    let since_epoch = clock.now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs()
}

/// An error with its causes, for a log line at the edge.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}
