//! The wire contract between controller and agent: ids, topics, envelopes, the [`Bus`] trait, and an
//! in-memory bus with faults. Everything between controller and agent crosses it as bytes, also in one
//! process. See docs/bus.md for the contract in words and `bus/vectors` for its test vectors.

pub mod clock;
pub mod codec;
pub mod envelope;
pub mod memory;
pub mod port;
pub mod topic;

pub use port::{
    Bus, LinkState, Message, Properties, PublishError, PublishOutcome, SubscribeError, Subscription,
};
pub use topic::{DeviceId, Topic};
