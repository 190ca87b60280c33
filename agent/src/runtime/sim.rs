//! A simulated engine.
