//! The all-in-one binary: embedded API server, controller and agent in one process.

pub mod apiserver;
pub mod cli;
pub mod client;
pub mod descriptors;
pub mod error_chain;
pub mod logging;
mod private_file;
pub mod up;
