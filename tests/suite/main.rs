//! The whole-system suite: one binary, its tests side by side.

mod e2e;
mod harness_smoke;
mod runtime_contract;
mod sim;
