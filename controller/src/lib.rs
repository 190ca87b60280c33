//! The controller: from custom resources to plans on the bus, and from reports to status.
//!
//! ```text
//! watches ─┐                          ┌─► plans, content ─► bus
//! bus ─────┼─► Mind (pure) ─► effects ┼─► statuses, finalizers, Events ─► API
//! time ────┘                          └─► Lease ─► API
//! ```
//!
//! One task per site waits for what happens and tells the `Mind`, which holds the model of the API's
//! objects (`model`), the devices' reports (`fleet`) and the commands on their way (`dispatch`), decides
//! with pure functions (`placement`, `render`, `decide`, `assess`, `status`) and answers with effects.
//! It sees only a [`kube::Client`]: an embedded API server in the same process, or a real cluster.

mod assess;
mod content;
mod controller;
mod counters;
mod decide;
mod dispatch;
mod effects;
mod events;
mod finalizer;
#[cfg(test)]
mod fixtures;
mod fleet;
mod mind;
mod model;
mod patch;
pub mod placement;
mod preview;
pub mod render;
mod run;
mod site;
mod status;
mod timers;
mod watch;
mod words;
mod writes;

pub use controller::{Controller, ControllerConfig, ControllerHandle, StartError};
pub use counters::{Counter, Counters};
pub use preview::{DevicePreview, Objects, PreviewInput, preview};
pub use run::RunError;
pub use site::SiteError;
pub use site::lease::LeaseError;
