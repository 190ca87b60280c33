//! The agent: executes plans on one device's container runtime and never lets go.
//!
//! Start it with [`Agent::start`]; it owns its tasks and stops as a whole. Everything it must know after a
//! crash lies in its ledger, and every start is a recovery. See docs/architecture.md.

pub mod labels;
pub mod runtime;
pub mod storage;

mod agent;
mod answers;
mod backoff;
mod content;
mod counters;
mod executor;
#[cfg(test)]
mod fixtures;
mod ledger;
mod link;
mod local;
mod observer;
mod ownership;
mod probes;
mod registry;
mod reporter;
mod subnet;
#[cfg(test)]
mod tests;

pub use agent::{Agent, AgentConfig, AgentFailed, AgentHandle, AgentSnapshot, StartError};
pub use counters::CounterValues;
pub use ledger::LedgerError;
pub use storage::{MemoryStorage, Storage, StorageError};
pub use subnet::InvalidCidr;
