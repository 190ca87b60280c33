//! Steps on desired containers: is there a difference, and may it be undone now?

use std::collections::BTreeSet;

use super::replay::Replay;
use super::{Checker, changed};
use crate::desired::{DesiredContainer, DriftMode};
use crate::hash::{SpecHash, config_digest};
use crate::names::ContainerKey;
use crate::observed::{ContainerState, Failure, FailureReason, Retry};
use crate::spec::{ContainerConfig, RestartPolicy};
use crate::step::{Action, Precondition, Step};

/// Configurations compared as sets where order means nothing.
fn same_config(a: &ContainerConfig, b: &ContainerConfig) -> bool {
    let networks = |c: &ContainerConfig| c.networks.iter().cloned().collect::<BTreeSet<_>>();
    let files = |c: &ContainerConfig| {
        let all = c
            .content
            .iter()
            .flat_map(|(v, files)| files.iter().map(move |f| (v.clone(), f.clone())));
        all.collect::<BTreeSet<_>>()
    };
    a.restart_policy == b.restart_policy
        && a.resources == b.resources
        && networks(a) == networks(b)
        && files(a) == files(b)
}

impl Checker<'_> {
    pub(super) fn needed(&mut self, i: usize, step: &Step, key: &ContainerKey, replay: &Replay) {
        let Some((workload, want)) = self.container(key) else {
            self.report(Some(i), "needless", format!("{key} is not desired"));
            return;
        };
        let object = match &step.precondition {
            Precondition::Is { id } => self
                .observed
                .containers
                .iter()
                .find(|c| c.key == *key && c.id == *id),
            Precondition::Absent | Precondition::None => None,
        };
        let rests = matches!(
            want.config.restart_policy,
            RestartPolicy::Never | RestartPolicy::OnFailure { .. }
        );
        let completed = rests
            && (self.observed.applied.iter())
                .any(|a| a.key == *key && a.completed && !changed(&a.hash, &want.hash));
        let needed = match (&step.action, object) {
            (Action::CreateContainer { .. }, _) => !completed,
            (Action::ReplaceContainer { .. }, Some(object)) => changed(&object.hash, &want.hash),
            (Action::UpdateContainer { .. }, Some(object)) => !same_config(&object.config, &want.config),
            (Action::RenameContainer { .. }, Some(object)) => object.engine_name != want.engine_name,
            (Action::UnpauseContainer { .. }, Some(object)) => object.state == ContainerState::Paused,
            (Action::StartContainer { .. }, Some(object)) => !replay.is_up(&object.id),
            _ => true,
        };
        if !needed {
            self.report(Some(i), "needless", format!("{key} is as desired in this"));
        }
        self.failed(i, step, key, want, object.map(|o| &o.hash));
        let renames = matches!(step.action, Action::RenameContainer { .. });
        if workload.drift == DriftMode::Observe && !renames && self.applied(key, want) {
            self.report(Some(i), "drift", format!("the drift of {key} is only observed"));
        }
    }

    fn failed(
        &mut self,
        i: usize,
        step: &Step,
        key: &ContainerKey,
        want: &DesiredContainer,
        object: Option<&SpecHash>,
    ) {
        let digest = config_digest(&want.config);
        let open = |f: &&Failure| f.key == *key && f.retry != Retry::Due;
        let of_desired = |f: &&Failure| open(f) && f.hash == want.hash && f.config_digest == digest;
        let failures = self.observed.failures.iter();
        let repeats = match &step.action {
            Action::CreateContainer { .. } | Action::ReplaceContainer { .. } => {
                failures.filter(of_desired).find(|f| {
                    !matches!(
                        f.reason,
                        FailureReason::UpdateFailed | FailureReason::RemoveFailed
                    )
                })
            }
            Action::UpdateContainer { .. } => failures
                .filter(of_desired)
                .find(|f| f.reason == FailureReason::UpdateFailed),
            Action::StartContainer { .. } => {
                let started = object == Some(&want.hash);
                failures
                    .filter(|f| {
                        if started {
                            of_desired(f)
                        } else {
                            open(f) && object == Some(&f.hash)
                        }
                    })
                    .find(|f| f.reason == FailureReason::StartFailed)
            }
            _ => None,
        };
        if let Some(failure) = repeats {
            let words = format!("{key} failed with {} and is not due", failure.reason.as_str());
            self.report(Some(i), "failed", words);
        }
    }
}
