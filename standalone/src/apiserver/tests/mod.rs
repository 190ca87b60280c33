//! The server as its clients see it: through `kube`, over the wire, and after a crash.

mod client;
mod durability;
mod kubectl;
mod requests;
mod toy;
mod watches;
