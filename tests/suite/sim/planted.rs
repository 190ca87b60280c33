//! Planted bugs: what the checks must find.
//!
//! They are planted at the edges of the real parts, where this test binary hands them their engine and their
//! bus: each wrapper makes an agent or a controller behave as if it had the bug. Nothing of it is compiled
//! into what is released.

mod bus;
mod engine;

use std::sync::Arc;

use longshore_agent::runtime::Runtime;
use longshore_agent::runtime::sim::{SimMachine, SimRuntime};
use longshore_bus::Bus;
use longshore_bus::memory::MemoryBus;

use super::judge::Rule;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    Nothing,
    /// The agent goes on without stopping the old container.
    ForgetsToStop,
    /// The agent takes the old container away before the new one is known to work.
    RemovesTheOldFirst,
    /// An agent that starts restarts what runs.
    RestartsAtItsStart,
    /// The agent removes by something that fits more than its own.
    RemovesTheNeighbour,
    /// The agent makes each container, throws it away and makes it again.
    MakesEachTwice,
    /// The agent takes volumes away with their containers.
    RemovesVolumes,
    /// The agent believes to have changed in place what it has not.
    ChangesNothingInPlace,
    /// The controller takes whatever is reported for running and healthy.
    BelievesAllIsWell,
    /// A workload that is merely missing is removed from the device.
    RemovesWhatIsMissing,
}

impl Plant {
    /// Every bug, and the promises one of which it must be seen to break.
    pub(super) const ALL: [(Self, &'static [Rule]); 9] = [
        (Self::ForgetsToStop, &[Rule::TwoRun]),
        (Self::RemovesTheOldFirst, &[Rule::OldGone]),
        (Self::RestartsAtItsStart, &[Rule::Restarted]),
        (Self::RemovesTheNeighbour, &[Rule::Foreign]),
        (Self::MakesEachTwice, &[Rule::CreatedTwice]),
        (Self::RemovesVolumes, &[Rule::Volume]),
        (Self::ChangesNothingInPlace, &[Rule::Converges]),
        (Self::BelievesAllIsWell, &[Rule::Status]),
        (Self::RemovesWhatIsMissing, &[Rule::Absence]),
    ];
}

/// One bug in one site. It remembers what the lives of a controller have in common.
#[derive(Debug, Clone)]
pub(super) struct Planted {
    plant: Plant,
    memory: Arc<bus::Memory>,
}

impl Planted {
    pub(super) fn new(plant: Plant) -> Self {
        Self {
            plant,
            memory: Arc::default(),
        }
    }

    /// The engine as the agent sees it.
    pub(super) fn engine(&self, runtime: &SimRuntime) -> Arc<dyn Runtime> {
        match self.plant {
            Plant::Nothing | Plant::BelievesAllIsWell | Plant::RemovesWhatIsMissing => {
                Arc::new(runtime.clone())
            }
            plant => Arc::new(engine::Wrong::new(runtime.clone(), plant)),
        }
    }

    /// The bus as the controller sees it.
    pub(super) fn controllers_bus(&self, bus: Arc<MemoryBus>, machine: &SimMachine) -> Arc<dyn Bus> {
        match self.plant {
            Plant::BelievesAllIsWell | Plant::RemovesWhatIsMissing => Arc::new(bus::Wrong::new(
                bus,
                self.plant,
                Arc::clone(&self.memory),
                machine.clone(),
            )),
            _ => bus,
        }
    }
}
