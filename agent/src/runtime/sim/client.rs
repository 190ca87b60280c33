//! The machine seen through [`crate::runtime::Runtime`], with latency, faults and the caller's death.

use std::time::Duration;

use longshore_plan::names::EngineId;
use tokio::time::{Instant, sleep, sleep_until};

use super::SimMachine;
use super::fault::{ClientId, Effect, Fault, Op, Phase};
use super::journal::Actor;
use super::state::{Refusal, State};
use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// How long a call waits for an engine that is silent.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// One agent's connection to a [`SimMachine`]. Clones are the same agent; another life of it, or another
/// agent, connects anew with [`SimMachine::runtime`].
#[derive(Clone)]
pub struct SimRuntime {
    pub(super) machine: SimMachine,
    pub(super) client: ClientId,
}

impl SimRuntime {
    /// The machine behind it.
    pub fn machine(&self) -> &SimMachine {
        &self.machine
    }

    /// Which connection it is, as the journal names it.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Returns when this client died ([`Fault::CallerDies`] or [`SimMachine::kill_client`]); the test then
    /// aborts the agent.
    pub async fn died(&self) {
        let mut changed = self.machine.subscribe();
        while !self
            .machine
            .look(|state| state.dead_clients.contains(&self.client))
        {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Never returns if this client is dead.
    pub(super) async fn live(&self) {
        if self
            .machine
            .look(|state| state.dead_clients.contains(&self.client))
        {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn actor(&self) -> Actor {
        Actor::Client(self.client)
    }

    /// One call: latency, faults, then `effect` at one moment, then faults and latency again.
    pub(super) async fn call<T>(
        &self,
        op: Op,
        object: &str,
        effect: impl FnOnce(&mut State, Instant) -> Result<T, Refusal>,
    ) -> Result<T, RuntimeError> {
        let started = self.begin(op, object).await?;
        let outcome = self.machine.act(|state, now| {
            state.check_engine(started.incarnation)?;
            effect(state, now)
        });
        self.live().await;
        let value = outcome.map_err(|refusal| error(op, object, refusal))?;
        self.end(op, object, &started).await?;
        Ok(value)
    }

    pub(super) async fn begin(&self, op: Op, object: &str) -> Result<Started, RuntimeError> {
        self.live().await;
        let (delay, incarnation) = self.machine.act(|state, _| (state.delay(op), state.incarnation));
        sleep(delay).await;
        self.answering(op, object).await?;
        let (nth, queued) = self.machine.act(|state, _| {
            state.effects += u64::from(op.is_effect());
            (state.effects, state.fail_next.take(op, object))
        });
        if let Some(kind) = queued {
            return Err(error(op, object, Refusal::new(kind, "refused by script")));
        }
        let started = Started { nth, incarnation };
        self.fault(op, object, &started, Phase::Before).await?;
        Ok(started)
    }

    pub(super) async fn end(&self, op: Op, object: &str, started: &Started) -> Result<(), RuntimeError> {
        self.fault(op, object, started, Phase::After).await?;
        let delay = self.machine.act(|state, _| state.delay(op));
        sleep(delay).await;
        self.live().await;
        let check = self
            .machine
            .act(|state, _| state.check_engine(started.incarnation));
        check.map_err(|refusal| error(op, object, refusal))
    }

    /// Waits while the engine is frozen, at most the call's timeout.
    pub(super) async fn answering(&self, op: Op, object: &str) -> Result<(), RuntimeError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut changed = self.machine.subscribe();
        loop {
            self.live().await;
            if !self.machine.look(|state| state.frozen) {
                return Ok(());
            }
            tokio::select! { // both arms only wait
                _ = changed.changed() => {}
                () = sleep_until(deadline) => return Err(timeout(op, object)),
            }
        }
    }

    async fn fault(&self, op: Op, object: &str, started: &Started, phase: Phase) -> Result<(), RuntimeError> {
        let hook = self.machine.look(|state| state.hook.clone());
        let Some(hook) = hook.filter(|_| op.is_effect()) else {
            return Ok(());
        };
        match hook(&Effect {
            op,
            phase,
            object,
            nth: started.nth,
            client: self.client,
        }) {
            Fault::None => Ok(()),
            Fault::Error(kind) => Err(error(op, object, Refusal::new(kind, "refused by script"))),
            Fault::Hang => {
                sleep(CALL_TIMEOUT).await;
                self.live().await;
                Err(timeout(op, object))
            }
            Fault::CallerDies => {
                self.machine.kill_client(self.client);
                self.live().await;
                Ok(())
            }
        }
    }

    pub(super) fn name(&self, id: &EngineId) -> String {
        self.machine.look(|state| state.name_of(id))
    }

    /// Waits until the container's process is gone.
    pub(super) async fn wait_stopped(&self, id: &EngineId, op: Op, object: &str) -> Result<(), RuntimeError> {
        let mut changed = self.machine.subscribe();
        loop {
            self.live().await;
            changed.mark_unchanged();
            let (up, due) = self.machine.act(|state, _| {
                let stopping = state
                    .containers
                    .get(id)
                    .filter(|c| c.lives())
                    .and_then(|c| c.stop_due);
                (state.up, stopping)
            });
            if !up {
                return Err(error(op, object, Refusal::engine_down()));
            }
            let Some((due, _)) = due else { return Ok(()) };
            tokio::select! { // both arms only wait
                _ = changed.changed() => {}
                () = sleep_until(due) => {}
            }
        }
    }
}

pub(super) struct Started {
    nth: u64,
    pub(super) incarnation: u64,
}

impl State {
    pub(super) fn check_engine(&self, incarnation: u64) -> Result<(), Refusal> {
        if self.up && self.incarnation == incarnation {
            Ok(())
        } else {
            Err(Refusal::engine_down())
        }
    }

    /// Half of what such a call takes.
    fn delay(&mut self, op: Op) -> Duration {
        if !self.up {
            return Duration::from_millis(1); // a refused connection is told at once
        }
        let range = if op.is_effect() {
            self.latency.effect
        } else {
            self.latency.read
        };
        self.sample(range) / 2
    }
}

pub(super) fn error(op: Op, object: &str, refusal: Refusal) -> RuntimeError {
    let operation = if object.is_empty() {
        op.as_str().to_owned()
    } else {
        format!("{} {object}", op.as_str())
    };
    RuntimeError {
        operation,
        kind: refusal.kind,
        message: refusal.message,
    }
}

pub(super) fn timeout(op: Op, object: &str) -> RuntimeError {
    error(
        op,
        object,
        Refusal::new(RuntimeErrorKind::Timeout, "no answer in time"),
    )
}
