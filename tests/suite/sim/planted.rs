//! Planted bugs: what the checks must find.

use std::sync::Arc;

use longshore_agent::runtime::Runtime;
use longshore_agent::runtime::sim::{SimMachine, SimRuntime};
use longshore_bus::Bus;
use longshore_bus::memory::MemoryBus;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plant {
    Nothing,
}

impl Plant {
    /// The engine as the agent sees it.
    pub(super) fn in_the_engine(self, runtime: &SimRuntime) -> Arc<dyn Runtime> {
        match self {
            Self::Nothing => Arc::new(runtime.clone()),
        }
    }

    /// The bus as the controller sees it.
    pub(super) fn on_the_controllers_bus(self, bus: Arc<MemoryBus>, _machine: &SimMachine) -> Arc<dyn Bus> {
        match self {
            Self::Nothing => bus,
        }
    }
}
