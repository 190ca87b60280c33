//! The server as its clients see it: through `kube`, over the wire, and after a crash.

mod client;
mod deep;
mod durability;
mod kubectl;
mod refusals;
mod requests;
mod toy;
mod watches;
