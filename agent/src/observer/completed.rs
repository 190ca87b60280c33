//! Which containers have run to their end by themselves, and rest.

use longshore_plan::observed::ContainerState;
use longshore_plan::spec::RestartPolicy;

use crate::ledger::{LedgerState, OwnedContainer, Record};
use crate::runtime::ContainerDetail;

/// Whether a container has just been found to have run to its end.
pub(super) fn completed(
    owned: &OwnedContainer,
    detail: &ContainerDetail,
    state: &LedgerState,
) -> Option<Record> {
    let applied = state.applied.get(&owned.key)?;
    let exited_well =
        matches!(detail.state, ContainerState::Exited { exit_code: 0, .. }) && !detail.started_at.is_empty();
    if applied.completed || applied.hash != owned.hash || !exited_well {
        return None;
    }
    // One that was stopped by a replacement, or to make way, did not complete.
    let replaced = state
        .replace
        .as_ref()
        .is_some_and(|journal| journal.old == detail.id);
    let (_, wanted) = state.declaration(&owned.key, &owned.hash)?;
    let rests = match wanted.config.restart_policy {
        RestartPolicy::Never => true,
        RestartPolicy::OnFailure { .. } => detail.restart_policy == wanted.config.restart_policy,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => false,
    };
    let stopped = state.was_stopped(&detail.id, &detail.started_at);
    (rests && !replaced && !stopped).then(|| Record::Completed {
        key: owned.key.clone(),
    })
}
