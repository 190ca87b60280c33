//! The controller: from custom resources to plans on the bus, and from reports to status.

mod assess;
mod content;
mod decide;
mod dispatch;
mod finalizer;
mod fleet;
mod model;
pub mod placement;
pub mod render;
mod site;
mod timers;
mod words;
mod writes;
