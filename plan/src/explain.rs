//! The words of a plan: one line a step, one line a held container. This is what `longshore diff` prints
//! and what a person reads before a change reaches a device.
//!
//! No secrets: of the environment no value appears, whatever its source; of content nothing but its path.

use std::fmt;

use crate::desired::{DesiredSet, RemovalReason};
use crate::drift::config_differences;
use crate::names::ContainerKey;
use crate::observed::Observed;
use crate::step::{Action, Held, HeldCause, Plan, Precondition, Reason, Step};

#[cfg(test)]
mod tests;

/// One line a step in the plan's order, then one line a held container. What both inputs can tell is
/// added: `replace hello.web: image hello:2 (spec v1:… → v1:…), because its declaration changed`.
pub fn explain(plan: &Plan, desired: &DesiredSet, observed: &Observed) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| {
        let details = details(step, desired, observed);
        if details.is_empty() {
            step.to_string()
        } else {
            format!("{}: {details}, {}", Act(step), step.reason)
        }
    });
    let lines = steps.chain(plan.held.iter().map(Held::to_string));
    lines.map(|line| printable(&line)).collect()
}

/// An engine's message or a report's name may hold anything; a line stays a line, and no terminal obeys it.
pub fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// What the inputs tell of a step beyond itself.
fn details(step: &Step, desired: &DesiredSet, observed: &Observed) -> String {
    let Some(key) = step.container() else {
        return String::new();
    };
    let Some((_, want)) = desired.container(&key) else {
        return String::new();
    };
    let object = match &step.precondition {
        Precondition::Is { id } => observed.containers.iter().find(|c| c.key == key && &c.id == id),
        Precondition::Absent | Precondition::None => None,
    };
    match (&step.action, object) {
        (Action::CreateContainer { .. }, _) => format!("image {}", want.spec.image),
        (Action::ReplaceContainer { .. }, Some(have)) => {
            format!("image {} (spec {} → {})", want.spec.image, have.hash, want.hash)
        }
        (Action::UpdateContainer { .. }, Some(have)) => {
            let differences = config_differences(&want.config, &have.config);
            let words = differences
                .iter()
                .map(|d| format!("{} {} → {}", d.field, d.have, d.want));
            words.collect::<Vec<_>>().join("; ")
        }
        (Action::RenameContainer { .. }, Some(have)) => {
            format!("{} → {}", have.engine_name, want.engine_name)
        }
        _ => String::new(),
    }
}

/// A step without its reason.
struct Act<'a>(&'a Step);

impl fmt::Display for Act<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workload = &self.0.workload;
        match &self.0.action {
            Action::PullImage { container, image } => write!(f, "pull {image} for {workload}.{container}"),
            Action::CreateNetwork { name } => write!(f, "create network {name}"),
            Action::RemoveNetwork { name } => write!(f, "remove network {name}"),
            Action::CreateVolume { name } => write!(f, "create volume {name}"),
            Action::RemoveVolume { name } => write!(f, "remove volume {name} and its data"),
            Action::CreateContainer { container } => write!(f, "create {workload}.{container}"),
            Action::StartContainer { container } => write!(f, "start {workload}.{container}"),
            Action::StopContainer { container } => write!(f, "stop {workload}.{container}"),
            Action::UnpauseContainer { container } => write!(f, "unpause {workload}.{container}"),
            Action::RenameContainer { container } => write!(f, "rename {workload}.{container}"),
            Action::UpdateContainer { container } => write!(f, "update {workload}.{container} in place"),
            Action::ReplaceContainer { container } => write!(f, "replace {workload}.{container}"),
            Action::RemoveContainer { container } => {
                write!(f, "remove {workload}.{container}")?;
                match &self.0.precondition {
                    Precondition::Is { id } => write!(f, " ({id}) with its anonymous volumes"),
                    Precondition::Absent | Precondition::None => Ok(()),
                }
            }
        }
    }
}

/// `<act>, because <reason>`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", Act(self), self.reason)
    }
}

/// `because …`, to stand behind an act.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared => f.write_str("because it is declared and not there"),
            Self::Changed => f.write_str("because its declaration changed"),
            Self::Drifted { fields } => write!(f, "because of drift in {}", fields.join(", ")),
            Self::Exited => f.write_str("because it does not run and should"),
            Self::Removed { cause: None } => f.write_str("because it is no longer declared"),
            Self::Removed {
                cause: Some(RemovalReason::Deleted),
            } => f.write_str("because its workload is being deleted"),
            Self::Removed {
                cause: Some(RemovalReason::MovedAway),
            } => f.write_str("because its workload no longer targets this device"),
            Self::Removed {
                cause: Some(RemovalReason::Decommissioned),
            } => f.write_str("because the device is being decommissioned"),
            Self::Duplicate => f.write_str("because there is more than one of it"),
            Self::NeededBy { container } => write!(f, "because {container} needs it"),
            Self::Retry => f.write_str("because an earlier attempt failed and is due again"),
        }
    }
}

/// `hold <workload>.<container>: <cause>`.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, cause } = self;
        write!(f, "hold {}: {cause}", ContainerKey::to_string(key))
    }
}

impl fmt::Display for HeldCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DevicePaused => f.write_str("the device is paused"),
            Self::WorkloadSuspended => f.write_str("the workload is suspended"),
            Self::DriftObserved { fields } => {
                write!(f, "drift in {} is only observed", fields.join(", "))
            }
            Self::Failed {
                reason,
                message,
                blocked,
            } => {
                let when = if *blocked {
                    "until its spec changes or a retry is asked for"
                } else {
                    "for now"
                };
                write!(f, "{} {when}: {message}", reason.as_str())
            }
            Self::PortConflict { port, with } => write!(f, "host port {port} is taken by {with}"),
            Self::NameConflict { name, with } => write!(f, "the name {name} is taken by {with}"),
            Self::RuntimeUnavailable => f.write_str("the container runtime does not answer"),
            Self::Orphaned => {
                f.write_str("its workload is unknown here; it is kept until removed explicitly")
            }
        }
    }
}
