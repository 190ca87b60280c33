//! The mind against a small API, model devices and a bus without faults: no I/O, no task, no clock.

mod changes;
mod ends;
mod faults;
mod rig;
mod start;
