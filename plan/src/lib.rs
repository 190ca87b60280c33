//! The plain model of a device and the pure planner. No I/O, no clock, no async.
