//! The whole agent on a simulated device, an in-memory bus and paused time, against a small controller
//! that plans from reports as the real one does.

mod commands;
mod conflicts;
mod crash;
mod drift;
mod endings;
mod faults;
mod harness;
mod jobs;
mod late_plans;
mod lifecycle;
mod logs;
mod replace;
