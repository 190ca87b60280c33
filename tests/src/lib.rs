//! Whole-system proofs: contract suites, seeded simulation, end to end, benchmarks.

pub mod harness;
