//! Steps in a few words, for statuses. The full words of a plan are `longshore_plan::explain`'s.

use longshore_plan::desired::DesiredWorkload;
use longshore_plan::names::DnsLabel;
use longshore_plan::step::Action;

/// The container an action is about.
pub(crate) fn container(action: &Action) -> Option<&DnsLabel> {
    match action {
        Action::PullImage { container, .. }
        | Action::CreateContainer { container }
        | Action::StartContainer { container }
        | Action::StopContainer { container }
        | Action::UnpauseContainer { container }
        | Action::RenameContainer { container }
        | Action::UpdateContainer { container }
        | Action::ReplaceContainer { container }
        | Action::RemoveContainer { container } => Some(container),
        Action::CreateNetwork { .. }
        | Action::RemoveNetwork { .. }
        | Action::CreateVolume { .. }
        | Action::RemoveVolume { .. } => None,
    }
}

/// What is going on while an action is carried out, on a device that should have `desired` of that workload.
pub(crate) fn under_way(action: &Action, desired: Option<&DesiredWorkload>) -> &'static str {
    let is_desired = |name| desired.is_some_and(|w| w.containers.iter().any(|c| &c.name == name));
    match action {
        // Half-way through a replacement there are two of it, and one goes.
        Action::RemoveContainer { container } if is_desired(container) => "is being replaced",
        Action::PullImage { .. } => "its image is being pulled",
        Action::CreateNetwork { .. } => "a network is being made",
        Action::RemoveNetwork { .. } => "a network is being removed",
        Action::CreateVolume { .. } => "a volume is being made",
        Action::RemoveVolume { .. } => "a volume is being removed",
        Action::CreateContainer { .. } => "is being created",
        Action::StartContainer { .. } => "is being started",
        Action::StopContainer { .. } => "is being stopped",
        Action::UnpauseContainer { .. } => "is being unpaused",
        Action::RenameContainer { .. } => "is given its name back",
        Action::UpdateContainer { .. } => "is being updated in place",
        Action::ReplaceContainer { .. } => "is being replaced",
        Action::RemoveContainer { .. } => "is being removed",
    }
}
