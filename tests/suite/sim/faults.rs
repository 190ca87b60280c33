//! Traps: something goes wrong at an exact effect on the machine, which no wait could hit.
//!
//! One hook on the machine holds all of them. It also writes down which container was created for which
//! declaration, as the journal alone does not tell it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_agent::labels;
use longshore_agent::runtime::RuntimeErrorKind;
use longshore_agent::runtime::sim::{Crash, Effect, Fault, Op, Phase, SimMachine};
use tokio::sync::Notify;

use super::wishes::NOTE;

/// What a trap does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// The agent's process dies.
    AgentDies,
    /// The engine dies.
    EngineDies(Crash),
    /// The power goes: both die, and the containers.
    BothDie,
    /// The call fails.
    Error(RuntimeErrorKind),
    /// The engine does not answer this call.
    Hang,
}

/// Snaps at the `left`th effect from now of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trap {
    /// Only these, if one is named.
    pub(super) op: Option<Op>,
    pub(super) left: u32,
    pub(super) phase: Phase,
    pub(super) strike: Strike,
    pub(super) back_after: Duration,
}

/// A container made by an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) workload: String,
    pub(super) container: String,
    /// As the engine was asked for it.
    pub(super) image: String,
    /// The label that tells one spec from another.
    pub(super) note: String,
}

#[derive(Default)]
struct Inner {
    traps: Vec<Trap>,
    made: Vec<Made>,
    back_after: Duration,
    engine_back_after: Option<Duration>,
    snapped: u32,
}

/// All traps of one machine.
#[derive(Clone)]
pub(super) struct Traps {
    inner: Arc<Mutex<Inner>>,
    engine: Arc<Notify>,
}

impl Traps {
    /// Puts the hook in place.
    pub(super) fn set(machine: &SimMachine) -> Self {
        let traps = Self {
            inner: Arc::default(),
            engine: Arc::default(),
        };
        let (hook, watched) = (traps.clone(), machine.clone());
        machine.on_effect(move |effect| hook.on_effect(effect, &watched));
        traps
    }

    pub(super) fn arm(&self, trap: Trap) {
        self.inner.lock().unwrap().traps.push(trap);
    }

    pub(super) fn disarm(&self) {
        self.inner.lock().unwrap().traps.clear();
    }

    /// How many have snapped.
    pub(super) fn snapped(&self) -> u32 {
        self.inner.lock().unwrap().snapped
    }

    /// The containers made since the last call.
    pub(super) fn take_made(&self) -> Vec<Made> {
        std::mem::take(&mut self.inner.lock().unwrap().made)
    }

    /// When the agent that a trap has killed comes back.
    pub(super) fn back_after(&self) -> Duration {
        self.inner.lock().unwrap().back_after
    }

    /// Waits until a trap kills the engine; answers when it comes back. Cancel-safe.
    pub(super) async fn engine_fell(&self) -> Duration {
        loop {
            if let Some(after) = self.inner.lock().unwrap().engine_back_after.take() {
                return after;
            }
            self.engine.notified().await;
        }
    }

    fn on_effect(&self, effect: &Effect<'_>, machine: &SimMachine) -> Fault {
        let mut inner = self.inner.lock().unwrap();
        if effect.op == Op::Create
            && effect.phase == Phase::After
            && let Some(made) = machine.container(effect.object)
        {
            let label = |name| made.labels.get(name).cloned().unwrap_or_default();
            inner.made.push(Made {
                workload: label(labels::WORKLOAD),
                container: label(labels::CONTAINER),
                image: made.image.clone(),
                note: label(NOTE),
            });
        }
        let fits = |trap: &Trap| trap.phase == effect.phase && trap.op.is_none_or(|op| op == effect.op);
        for trap in inner.traps.iter_mut().filter(|trap| fits(trap)) {
            trap.left = trap.left.saturating_sub(1);
        }
        let Some(at) = inner.traps.iter().position(|trap| fits(trap) && trap.left == 0) else {
            return Fault::None;
        };
        let Trap {
            strike, back_after, ..
        } = inner.traps.remove(at);
        inner.snapped += 1;
        let engine = match strike {
            Strike::EngineDies(crash) => Some(crash),
            Strike::BothDie => Some(Crash::ContainersDie),
            Strike::AgentDies | Strike::Error(_) | Strike::Hang => None,
        };
        if let Some(crash) = engine {
            machine.crash_engine(crash);
            inner.engine_back_after = Some(back_after);
            self.engine.notify_one();
        }
        match strike {
            Strike::AgentDies | Strike::BothDie => {
                inner.back_after = back_after;
                Fault::CallerDies
            }
            Strike::EngineDies(_) => Fault::None,
            Strike::Error(kind) => Fault::Error(kind),
            Strike::Hang => Fault::Hang,
        }
    }
}
