//! One container of a workload, as it is declared and as it was seen.

use longshore_crds::conditions::reason;
use longshore_plan::desired::{DesiredContainer, DesiredWorkload};
use longshore_plan::hash::config_digest;
use longshore_plan::names::ContainerKey;
use longshore_plan::observed::{ContainerState, Failure, FailureReason, Health, ObservedContainer, Retry};
use longshore_plan::spec::RestartPolicy;
use longshore_plan::step::{HeldCause, Plan};

use super::{Evidence, Trouble};
use crate::words;

/// One container, declared and seen.
pub(super) struct View<'a> {
    pub(super) container: &'a DesiredContainer,
    pub(super) observed: Option<&'a ObservedContainer>,
    failure: Option<&'a Failure>,
    held: Vec<&'a HeldCause>,
    pub(super) updated: bool,
    pub(super) ready: bool,
}

impl<'a> View<'a> {
    /// Takes out of the evidence what is about that container.
    pub(super) fn new(
        workload: &'a DesiredWorkload,
        container: &'a DesiredContainer,
        evidence: &Evidence<'a>,
    ) -> Self {
        let key = workload.key(container);
        let found = &evidence.report.observed;
        // After a crash there may be two; the one made from the declaration is the one that counts.
        let mut all: Vec<_> = found.containers.iter().filter(|c| c.key == key).collect();
        all.sort_by_key(|c| (c.hash != container.hash, !c.state.is_up()));
        let observed = all.first().copied();
        let config = config_digest(&container.config);
        let applied = found.applied.iter().find(|a| a.key == key);
        let failure = found
            .failures
            .iter()
            .find(|f| f.key == key && f.hash == container.hash && f.config_digest == config);
        let held = evidence
            .plan
            .held
            .iter()
            .filter(|h| h.key == key)
            .map(|h| &h.cause);
        let rests = matches!(
            container.config.restart_policy,
            RestartPolicy::Never | RestartPolicy::OnFailure { .. }
        );
        let completed = rests
            && applied
                .is_some_and(|a| a.completed && (a.hash == container.hash || !a.hash.is_known_version()));
        let is_planned = plans_for(evidence.plan, &key);
        let same_hash = observed.is_some_and(|o| {
            // A hash of another version was compared field by field by the planner.
            o.hash == container.hash || (!o.hash.is_known_version() && !is_planned)
        });
        let updated = completed || (same_hash && applied.is_none_or(|a| a.config_digest == config));
        let runs_well =
            observed.is_some_and(|o| o.state == ContainerState::Running && o.health == Health::Healthy);
        Self {
            container,
            observed,
            failure,
            held: held.collect(),
            updated,
            ready: completed || (updated && runs_well),
        }
    }

    /// The failure's words, with the image where they lack it.
    fn failure_words(&self, reason: FailureReason, message: &str) -> String {
        let image = &self.container.spec.image;
        let about_image = matches!(
            reason,
            FailureReason::ImageNotFound
                | FailureReason::ImageTagNotFound
                | FailureReason::RegistryUnavailable
                | FailureReason::RegistryAuthenticationFailed
                | FailureReason::ImagePullFailed
                | FailureReason::ImageNeverPull
                | FailureReason::RolledBack
        );
        if about_image && !message.contains(image.as_str()) {
            format!("{message} (image {image})")
        } else {
            message.to_owned()
        }
    }

    /// What failed, and whether it is never tried again.
    pub(super) fn failed(&self) -> Option<(Trouble, bool)> {
        let (reason, message, blocked) = match (self.failure, self.held_failure()) {
            (Some(f), _) => (f.reason, f.message.as_str(), f.retry == Retry::Blocked),
            // Something else about it failed, and it waits for that.
            (None, Some(held)) if !self.ready => held,
            _ => return None,
        };
        let words = self.failure_words(reason, message);
        Some((Trouble::of(self.container, reason.as_str(), &words), blocked))
    }

    fn held_failure(&self) -> Option<(FailureReason, &'a str, bool)> {
        self.held.iter().find_map(|cause| match cause {
            HeldCause::Failed {
                reason,
                message,
                blocked,
            } => Some((*reason, message.as_str(), *blocked)),
            _ => None,
        })
    }

    /// Who has what it needs.
    pub(super) fn conflict(&self) -> Option<Trouble> {
        self.held.iter().find_map(|cause| match cause {
            HeldCause::PortConflict { port, with } => Some(Trouble::of(
                self.container,
                FailureReason::PortConflict.as_str(),
                &format!("host port {port} is held by {with}"),
            )),
            HeldCause::NameConflict { name, with } => Some(Trouble::of(
                self.container,
                FailureReason::NameConflict.as_str(),
                &format!("the name {name} is held by {with}"),
            )),
            _ => None,
        })
    }

    /// Why one that nothing is done about does not do well.
    pub(super) fn unwell(&self) -> Option<Trouble> {
        if self.ready {
            return None;
        }
        let trouble = |word: &str, message: &str| Some(Trouble::of(self.container, word, message));
        let state = self.observed.map(|o| &o.state);
        match state {
            Some(ContainerState::Restarting { exit_code }) => {
                // No count: a status must not tick.
                let words = format!("exits with code {exit_code} and is started again, over and over");
                return trouble(reason::CRASH_LOOP_BACK_OFF, &words);
            }
            Some(ContainerState::Exited {
                exit_code,
                oom_killed,
            }) => {
                let why = if *oom_killed {
                    ", killed for want of memory"
                } else {
                    ""
                };
                return trouble(reason::UNHEALTHY, &format!("exited with code {exit_code}{why}"));
            }
            Some(ContainerState::Paused) => return trouble(reason::DRIFTED, "is paused by hand"),
            _ => {}
        }
        let starts = self.updated && state == Some(&ContainerState::Running);
        let watched = self.held.iter().find_map(|cause| match cause {
            HeldCause::DriftObserved { fields } if !starts => Some(fields.join(", ")),
            _ => None,
        });
        if let Some(fields) = watched {
            return trouble(
                reason::DRIFTED,
                &format!("differs in {fields}, which is only observed"),
            );
        }
        match (state, self.observed.map(|o| o.health)) {
            (Some(ContainerState::Created | ContainerState::Dead), _) => {
                trouble(reason::UNHEALTHY, "is there and does not run")
            }
            (_, Some(Health::Unhealthy)) => trouble(reason::UNHEALTHY, "is running and not healthy"),
            _ => None,
        }
    }
}

/// Whether the plan has a step for that container.
fn plans_for(plan: &Plan, key: &ContainerKey) -> bool {
    plan.steps
        .iter()
        .any(|step| step.workload == key.workload && words::container(&step.action) == Some(&key.container))
}
