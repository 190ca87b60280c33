//! The agent: executes plans on one device's container runtime and never lets go.

pub mod runtime;
