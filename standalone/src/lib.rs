//! The all-in-one binary: embedded API server, controller and agent in one process.
