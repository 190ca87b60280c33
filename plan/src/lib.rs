//! The plain model of a device and the pure planner. No I/O, no clock, no async.
//!
//! ```text
//! DesiredSet × Observed ──plan()──► Plan { steps, held } ──► words, or a PlanCommand for the agent
//! ```
//!
//! The controller plans from reports; the agent plans alone, with the same code, while it is
//! unsupervised. See docs/architecture.md.

pub mod desired;
pub mod hash;
pub mod model;
pub mod names;
pub mod observed;
pub mod spec;
pub mod step;

pub mod check;
pub mod drift;
pub mod explain;
pub mod planner;

pub use planner::plan;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod wire_tests;
