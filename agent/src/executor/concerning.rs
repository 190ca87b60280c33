//! Which declaration a step's failure is noted for, and what becomes of one that is noted.

use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload};
use longshore_plan::hash::{SpecHash, config_digest};
use longshore_plan::names::{ContainerKey, DnsLabel};
use longshore_plan::observed::{FailureReason, ObservedContainer};
use longshore_plan::step::{Action, Step};

use super::Executor;

/// Which declaration a failure is noted for.
pub(super) type Concerning = Option<(ContainerKey, SpecHash, String)>;

impl Executor {
    /// Whether a failure of this declaration is over when the step has succeeded. What only prepares a
    /// change says nothing of how the change itself went: its attempts are counted on.
    pub(super) fn heals(&self, action: &Action, (key, hash, _): &(ContainerKey, SpecHash, String)) -> bool {
        use FailureReason as Why;
        let state = self.tools.ledger.state();
        let Some(failure) = state.failures.get(&(key.clone(), hash.clone())) else {
            return true;
        };
        match action {
            Action::PullImage { .. } => matches!(
                failure.reason,
                Why::ImageNotFound
                    | Why::ImageTagNotFound
                    | Why::RegistryUnavailable
                    | Why::RegistryAuthenticationFailed
                    | Why::ImagePullFailed
                    | Why::ImageNeverPull
            ),
            Action::CreateNetwork { .. } => failure.reason == Why::NetworkFailed,
            Action::CreateVolume { .. } => failure.reason == Why::VolumeFailed,
            Action::RenameContainer { .. } => {
                matches!(failure.reason, Why::NameConflict | Why::UpdateFailed)
            }
            Action::CreateContainer { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::UnpauseContainer { .. }
            | Action::UpdateContainer { .. }
            | Action::ReplaceContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RemoveNetwork { .. }
            | Action::RemoveVolume { .. } => true,
        }
    }

    /// How often what ran was stopped for this declaration, in vain.
    pub(super) fn stops_before(&self, concerning: &Concerning) -> u32 {
        let Some((key, hash, digest)) = concerning else {
            return 0;
        };
        let state = self.tools.ledger.state();
        let failure = state.failures.get(&(key.clone(), hash.clone()));
        failure
            .filter(|f| f.config_digest == *digest)
            .map_or(0, |f| f.stops)
    }
}

/// The declaration a step's failure is noted for: the desired one where it brings that about, else that
/// of the object it acts on.
pub(super) fn concerning(desired: &DesiredSet, step: &Step, found: Option<&ObservedContainer>) -> Concerning {
    let of_desired = |container: &DnsLabel| {
        let key = ContainerKey::new(step.workload.clone(), container.clone());
        let wanted = desired.container(&key).map(|(_, c)| declared(c));
        wanted.map(|(hash, digest)| (key, hash, digest))
    };
    match &step.action {
        Action::PullImage { container, .. }
        | Action::CreateContainer { container }
        | Action::UpdateContainer { container }
        | Action::RenameContainer { container }
        | Action::ReplaceContainer { container } => of_desired(container),
        Action::StartContainer { container } | Action::UnpauseContainer { container } => match found {
            Some(found) => of_desired(container)
                .filter(|(_, hash, _)| *hash == found.hash)
                .or_else(|| Some(of_found(found))),
            None => of_desired(container),
        },
        Action::StopContainer { .. } | Action::RemoveContainer { .. } => found.map(of_found),
        // Whoever needs it fails in its turn, and says so.
        Action::CreateNetwork { name } => {
            user_of(desired, &step.workload, |c| c.config.networks.contains(name))
        }
        Action::CreateVolume { name } => {
            user_of(desired, &step.workload, |c| super::objects::mounts(c, name))
        }
        Action::RemoveNetwork { .. } | Action::RemoveVolume { .. } => None,
    }
}

fn of_found(found: &ObservedContainer) -> (ContainerKey, SpecHash, String) {
    (
        found.key.clone(),
        found.hash.clone(),
        config_digest(&found.config),
    )
}

fn user_of(
    desired: &DesiredSet,
    workload: &DnsLabel,
    uses: impl Fn(&DesiredContainer) -> bool,
) -> Concerning {
    let workload: &DesiredWorkload = desired.workload(workload)?;
    let user = workload.containers.iter().find(|c| uses(c))?;
    let (hash, digest) = declared(user);
    Some((workload.key(user), hash, digest))
}

pub(super) fn declared(container: &DesiredContainer) -> (SpecHash, String) {
    (container.hash.clone(), config_digest(&container.config))
}
