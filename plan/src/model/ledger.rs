//! What the ledger notes: what was brought about, and what did not work.

use super::ModelDevice;
use crate::desired::{DesiredContainer, DesiredSet};
use crate::drift::config_differences;
use crate::hash::config_digest;
use crate::names::ContainerKey;
use crate::observed::{Applied, ContainerState, Failure, FailureReason, ObservedContainer, Retry};
use crate::planner::rests;
use crate::step::{Action, Step};

impl ModelDevice {
    /// Notes in the ledger what has been brought about, once all of it has.
    pub(super) fn settled(&mut self, key: &ContainerKey, want: &DesiredContainer) {
        let as_desired = |c: &ObservedContainer| {
            let same = &c.key == key && c.hash == want.hash && c.engine_name == want.engine_name;
            let up = c.state.is_up() && c.state != ContainerState::Paused;
            let settled = up || rests(c, want.config.restart_policy);
            same && settled && config_differences(&want.config, &c.config).is_empty()
        };
        if !self.observed.containers.iter().any(as_desired) {
            return;
        }
        let digest = config_digest(&want.config);
        let completed = self
            .observed
            .applied
            .iter()
            .any(|a| &a.key == key && a.hash == want.hash && a.completed);
        self.observed.failures.retain(|f| &f.key != key);
        self.observed.applied.retain(|a| &a.key != key);
        self.observed.applied.push(Applied {
            key: key.clone(),
            hash: want.hash.clone(),
            config_digest: digest,
            completed,
        });
        self.observed.applied.sort_by(|a, b| a.key.cmp(&b.key));
    }

    pub(super) fn note_failure(&mut self, desired: &DesiredSet, step: &Step, reason: FailureReason) {
        let container = match (&step.action, step.container()) {
            (Action::PullImage { container, .. }, _) => {
                ContainerKey::new(step.workload.clone(), container.clone())
            }
            (_, Some(key)) => key,
            _ => return,
        };
        let object = self.observed.containers.iter().find(|c| c.key == container);
        let (hash, digest) = match (desired.container(&container), object) {
            (Some((_, want)), _) => (want.hash.clone(), config_digest(&want.config)),
            (None, Some(object)) => (object.hash.clone(), config_digest(&object.config)),
            (None, None) => return,
        };
        let reason = match (&step.action, reason) {
            (Action::UpdateContainer { .. }, _) => FailureReason::UpdateFailed,
            (Action::RemoveContainer { .. }, _) => FailureReason::RemoveFailed,
            (_, reason) => reason,
        };
        let retry = if reason == FailureReason::RolledBack {
            Retry::Blocked
        } else {
            Retry::Waiting
        };
        let same = |f: &Failure| f.key == container && f.hash == hash && f.reason == reason;
        let attempts = self
            .observed
            .failures
            .iter()
            .find(|f| same(f))
            .map_or(0, |f| f.attempts)
            + 1;
        self.observed.failures.retain(|f| !same(f));
        self.observed.failures.push(Failure {
            key: container,
            hash,
            config_digest: digest,
            reason,
            message: "injected".into(),
            retry,
            attempts,
        });
        self.observed.failures.sort_by(|a, b| a.key.cmp(&b.key));
    }
}
