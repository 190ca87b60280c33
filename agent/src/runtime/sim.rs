//! A simulated device with an engine that behaves like Docker 20.10: for simulations on paused time, for
//! tests that need a failure at an exact moment, and for trying Longshore where no engine is.
//!
//! [`SimMachine`] is the device: it outlives agents and engines, and is what a test holds to prepare it,
//! to act on it by hand, to break it and to read its exact [`Journal`]. [`SimRuntime`] is one agent's
//! connection to it.
//!
//! It owns no task and no thread. Latencies are tokio time drawn from a seeded generator, and what happens
//! by itself (exits, restarts) happens, with its exact time, before anybody looks.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! use longshore_agent::runtime::{PullProgressSender, Runtime, sim::{Behaviour, SimImage, SimMachine}};
//! let machine = SimMachine::new(7);
//! machine.publish("hello:1", SimImage::new("v1", Behaviour::default()));
//! let agent = machine.runtime();
//! agent.pull("hello:1", None, PullProgressSender::default()).await.unwrap();
//! # });
//! ```

mod behaviour;
mod calls;
mod client;
mod containers;
mod events;
mod fault;
mod journal;
mod lifecycle;
mod objects;
mod operator;
mod probe;
mod registry;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

pub use behaviour::{Behaviour, Exit, Healthcheck, SimImage};
pub use client::SimRuntime;
pub use fault::{ClientId, Effect, Fault, Hook, Op, Phase};
pub use journal::{Actor, Entry, Interval, Journal};
pub use lifecycle::Crash;
pub use operator::by_hand;
pub use state::Latency;

use crate::runtime::{ContainerDetail, RuntimeErrorKind};
use registry::Reference;
use state::State;

/// A simulated device. Clones are the same device.
#[derive(Clone)]
pub struct SimMachine {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Bumped whenever somebody who waits should look again.
    changed: watch::Sender<u64>,
}

impl SimMachine {
    /// 2026-01-01T00:00:00Z in Unix seconds: what the machine's clock shows when it is made.
    pub const CLOCK_START: u64 = 1_767_225_600;

    /// A device with a running engine and nothing on it. Equal seeds and equal calls give equal histories
    /// (on a single-threaded runtime with paused time).
    pub fn new(seed: u64) -> Self {
        let (changed, _) = watch::channel(0);
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(seed)),
                changed,
            }),
        }
    }

    /// A new agent's connection.
    pub fn runtime(&self) -> SimRuntime {
        let client = self.act(|state, _| {
            state.clients += 1;
            ClientId(state.clients)
        });
        SimRuntime {
            machine: self.clone(),
            client,
        }
    }

    /// That client's process is gone: its calls never return.
    pub fn kill_client(&self, client: ClientId) {
        self.act(|state, _| state.dead_clients.insert(client));
    }

    /// Puts an image into its registry. Another image under the same tag moves the tag.
    pub fn publish(&self, reference: &str, image: SimImage) {
        self.act(|state, _| state.registries.publish(&Reference::parse(reference), image));
    }

    /// Takes a tag out of its registry.
    pub fn withdraw(&self, reference: &str) {
        self.act(|state, _| state.registries.withdraw(&Reference::parse(reference)));
    }

    /// Makes the repository of the reference ask for this account.
    pub fn protect(&self, reference: &str, username: &str, password: &str) {
        self.act(|state, _| {
            state
                .registries
                .protect(&Reference::parse(reference), username, password);
        });
    }

    /// Cuts off a registry (`docker.io`, `127.0.0.1:5000`), or brings it back.
    pub fn set_registry_reachable(&self, server: &str, reachable: bool) {
        self.act(|state, _| state.registries.set_reachable(server, reachable));
    }

    /// Every repository nobody published holds every tag, as a variant of this image.
    pub fn serve_any_image(&self, image: SimImage) {
        self.act(|state, _| state.registries.anything = Some(image));
    }

    /// Puts an image on the device, as `docker load` does. Returns its id.
    pub fn load(&self, reference: &str, image: SimImage) -> String {
        self.act(|state, _| state.load_image(reference, image).id)
    }

    /// How long calls take from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.act(|state, _| state.latency = latency);
    }

    /// The next `op` (on that object, if one is named) is refused, before it has any effect. Repeated
    /// calls queue up.
    pub fn fail_next(&self, op: Op, object: Option<&str>, kind: RuntimeErrorKind) {
        self.act(|state, _| state.fail_next.push(op, object.map(ToOwned::to_owned), kind));
    }

    /// Asks `hook` before and after every effect of every client. It may use the machine.
    pub fn on_effect(&self, hook: impl Fn(&Effect<'_>) -> Fault + Send + Sync + 'static) {
        self.act(|state, _| state.hook = Some(Arc::new(hook)));
    }

    /// No more faults from the hook.
    pub fn clear_hook(&self) {
        self.act(|state, _| state.hook = None);
    }

    /// How many effects agents have begun.
    pub fn effects(&self) -> u64 {
        self.look(|state| state.effects)
    }

    /// Everything that happened until now.
    pub fn journal(&self) -> Journal {
        self.act(|state, _| state.journal.clone())
    }

    /// All containers as they are now, by name; no call, no latency.
    pub fn containers(&self) -> Vec<ContainerDetail> {
        let mut all: Vec<_> = self.act(|state, _| {
            state
                .containers
                .values()
                .map(|container| state.detail(container))
                .collect()
        });
        all.sort_by(|a: &ContainerDetail, b| a.name.cmp(&b.name));
        all
    }

    /// One container by name.
    pub fn container(&self, name: &str) -> Option<ContainerDetail> {
        self.containers()
            .into_iter()
            .find(|container| container.name == name)
    }

    /// The names of all networks.
    pub fn network_names(&self) -> Vec<String> {
        self.look(|state| state.networks.keys().cloned().collect())
    }

    /// The names of all volumes.
    pub fn volume_names(&self) -> Vec<String> {
        self.look(|state| state.volumes.keys().cloned().collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere fails that test; the state is consistent after every statement.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what does not change by itself.
    fn look<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    /// Lets time catch up, acts at this moment, and wakes who waits if there is something to see.
    fn act<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.state();
        let before = state.mark();
        let now = Instant::now();
        state.advance(now);
        let value = act(&mut state, now);
        if state.mark() != before {
            self.shared.changed.send_modify(|version| *version += 1);
        }
        value
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }
}

impl std::fmt::Debug for SimMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimMachine").finish_non_exhaustive()
    }
}
