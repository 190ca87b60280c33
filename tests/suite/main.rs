//! The whole-system suite: one binary, its tests side by side.

mod harness_smoke;
