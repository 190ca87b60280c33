//! How one workload stands on one device, from what the device reported. Pure; the words of statuses and
//! of the failing devices come from here, and say nothing that was not observed.

#[cfg(test)]
mod tests;

use longshore_bus::envelope::Report;
use longshore_plan::desired::{DesiredContainer, DesiredWorkload};
use longshore_plan::hash::config_digest;
use longshore_plan::names::ContainerKey;
use longshore_plan::observed::{
    ContainerState, Failure, FailureReason, Health, ObservedContainer, Retry, RuntimeState,
};
use longshore_plan::step::{HeldCause, Plan};

use longshore_crds::conditions::reason;

use crate::render::RenderProblem;
use crate::words;

/// Why something is not as it should be: a word, a sentence, and the container if it is about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One word of [`longshore_crds::conditions::reason`] or [`FailureReason`].
    pub(crate) reason: String,
    /// In words.
    pub(crate) message: String,
    /// Of which container.
    pub(crate) container: Option<String>,
}

impl Trouble {
    /// Trouble with the whole workload.
    pub(crate) fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
            container: None,
        }
    }

    /// Every problem of a rendering in one sentence. What needs another spec decides the reason before
    /// what heals by itself.
    pub(crate) fn of_problems(problems: &[RenderProblem]) -> Self {
        const SHOWN: usize = 8;
        let invalid = problems.iter().find(|p| p.reason() == reason::INVALID_SPEC);
        let word = invalid
            .or(problems.first())
            .map_or(reason::INVALID_SPEC, RenderProblem::reason);
        let shown: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
        let mut message = shown.join("; ");
        if problems.len() > SHOWN {
            message.push_str("; and more");
        }
        Self::new(word, message)
    }

    fn of(container: &DesiredContainer, reason: &str, message: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            message: format!("{}: {message}", container.name),
            container: Some(container.name.to_string()),
        }
    }
}

/// How a workload stands on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every container is as declared and healthy, or completed.
    Ready,
    /// A change is on its way; the words say which.
    Progressing(String),
    /// A change failed and is tried again.
    Retrying(Trouble),
    /// It will not get there by itself.
    Stalled(Trouble),
    /// It is as declared and does not do well.
    Unhealthy(Trouble),
    /// It is not as declared, and is not to be changed now.
    OnHold(Trouble),
    /// The agent is not connected.
    Offline(String),
    /// Nothing was heard since the controller started; the device's stored status still counts.
    Unconfirmed {
        /// Whether that status said that it was ready.
        was_ready: bool,
    },
    /// It is being taken off.
    Removing,
}

impl Verdict {
    /// How it is, in one word.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Ready => reason::READY,
            Self::Progressing(_) => reason::PROGRESSING,
            Self::Retrying(trouble)
            | Self::Stalled(trouble)
            | Self::Unhealthy(trouble)
            | Self::OnHold(trouble) => &trouble.reason,
            Self::Offline(_) => reason::DEVICE_OFFLINE,
            Self::Unconfirmed { .. } => reason::UNCONFIRMED,
            Self::Removing => "Removing",
        }
    }

    /// The same in words, if there is more to say.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Ready | Self::Unconfirmed { .. } | Self::Removing => None,
            Self::Progressing(message) | Self::Offline(message) => Some(message),
            Self::Retrying(trouble)
            | Self::Stalled(trouble)
            | Self::Unhealthy(trouble)
            | Self::OnHold(trouble) => Some(&trouble.message),
        }
    }

    /// What went wrong, for the list of failing devices.
    pub(crate) fn failure(&self) -> Option<&Trouble> {
        match self {
            Self::Retrying(trouble) | Self::Stalled(trouble) | Self::Unhealthy(trouble) => Some(trouble),
            _ => None,
        }
    }
}

/// One workload on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnDevice {
    /// How it stands.
    pub(crate) verdict: Verdict,
    /// The revision it has there, if all containers have the same.
    pub(crate) revision: Option<String>,
    /// Every container is made from what is declared.
    pub(crate) updated: bool,
    /// Something differs that nobody declared.
    pub(crate) drifted: bool,
    /// How many containers it should have.
    pub(crate) desired: u32,
    /// How many of them do well.
    pub(crate) ready: u32,
}

/// What a workload is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    /// What the device reported.
    pub(crate) report: &'a Report,
    /// The plan from that report to the desired set.
    pub(crate) plan: &'a Plan,
    /// The device has accepted the workload as it is declared now.
    pub(crate) accepted: bool,
    /// The device is paused.
    pub(crate) paused: bool,
    /// The device refused the plan, and why.
    pub(crate) refused: Option<&'a str>,
}

/// Judges `workload` by what was reported.
pub(crate) fn assess(workload: &DesiredWorkload, evidence: &Evidence<'_>) -> OnDevice {
    let views: Vec<View<'_>> = workload
        .containers
        .iter()
        .map(|c| View::new(workload, c, evidence))
        .collect();
    let updated = views.iter().all(|v| v.updated);
    let mut revisions: Vec<&str> = views
        .iter()
        .filter_map(|v| v.observed)
        .map(|o| o.revision.as_str())
        .collect();
    revisions.dedup();
    let revision = match revisions.as_slice() {
        // The hash decides: a revision that changed a rollout field only runs in the old containers.
        _ if updated => Some(workload.revision.clone()),
        [only] => Some((*only).to_owned()),
        _ => None,
    };
    OnDevice {
        verdict: verdict(workload, &views, updated, evidence),
        revision,
        updated,
        drifted: evidence
            .report
            .drift
            .iter()
            .any(|d| d.key.workload == workload.name),
        desired: u32::try_from(views.len()).unwrap_or(u32::MAX),
        ready: u32::try_from(views.iter().filter(|v| v.ready).count()).unwrap_or(u32::MAX),
    }
}

/// One container, declared and seen.
struct View<'a> {
    container: &'a DesiredContainer,
    observed: Option<&'a ObservedContainer>,
    failure: Option<&'a Failure>,
    held: Option<&'a HeldCause>,
    updated: bool,
    ready: bool,
}

impl<'a> View<'a> {
    fn new(workload: &'a DesiredWorkload, container: &'a DesiredContainer, evidence: &Evidence<'a>) -> Self {
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
        let held = evidence.plan.held.iter().find(|h| h.key == key).map(|h| &h.cause);
        let completed = applied.is_some_and(|a| a.completed && a.hash == container.hash);
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
            held,
            updated,
            ready: completed || (updated && runs_well),
        }
    }

    /// The failure's words, with the image where they lack it.
    fn failure_words(&self, failure: &Failure) -> String {
        let image = &self.container.spec.image;
        let about_image = matches!(
            failure.reason,
            FailureReason::ImageNotFound
                | FailureReason::ImageTagNotFound
                | FailureReason::RegistryUnavailable
                | FailureReason::RegistryAuthenticationFailed
                | FailureReason::ImagePullFailed
                | FailureReason::ImageNeverPull
                | FailureReason::RolledBack
        );
        if about_image && !failure.message.contains(image.as_str()) {
            format!("{} (image {image})", failure.message)
        } else {
            failure.message.clone()
        }
    }
}

/// Whether the plan has a step for that container.
fn plans_for(plan: &Plan, key: &ContainerKey) -> bool {
    plan.steps
        .iter()
        .any(|step| step.workload == key.workload && words::container(&step.action) == Some(&key.container))
}

fn verdict(
    workload: &DesiredWorkload,
    views: &[View<'_>],
    updated: bool,
    evidence: &Evidence<'_>,
) -> Verdict {
    if let RuntimeState::Unavailable { message } = &evidence.report.observed.runtime {
        return Verdict::Unhealthy(Trouble::new(reason::RUNTIME_UNAVAILABLE, message));
    }
    if let Some(message) = evidence.refused {
        return Verdict::Stalled(Trouble::new(reason::PLAN_REFUSED, message));
    }
    if let Some(trouble) = views.iter().find_map(conflict) {
        return Verdict::Stalled(trouble);
    }
    if let Some(verdict) = failed(views) {
        return verdict;
    }
    let out_of_date = views
        .iter()
        .find(|v| !v.updated)
        .map(|v| v.container.name.as_str());
    if let Some(container) = out_of_date {
        let hold = |word: &str, who: &str| {
            let message = format!("{container} is not as declared, and {who}");
            Verdict::OnHold(Trouble::new(word, message))
        };
        if evidence.paused {
            return hold(reason::DEVICE_PAUSED, "its device is paused");
        }
        if workload.suspend {
            return hold(reason::SUSPENDED, "the workload is suspended");
        }
    }
    if let Some(message) = under_way(workload, evidence) {
        return Verdict::Progressing(message);
    }
    if let Some(trouble) = views.iter().find_map(|v| unwell(v)) {
        return Verdict::Unhealthy(trouble);
    }
    match views.iter().find(|v| !v.ready) {
        Some(view) if view.observed.is_some() => {
            Verdict::Progressing(format!("waiting for {} to become healthy", view.container.name))
        }
        Some(view) => Verdict::Progressing(format!("{} is not there yet", view.container.name)),
        None if !updated || !evidence.accepted => Verdict::Progressing("the device is being told".to_owned()),
        None => Verdict::Ready,
    }
}

fn conflict(view: &View<'_>) -> Option<Trouble> {
    match view.held? {
        HeldCause::PortConflict { port, with } => Some(Trouble::of(
            view.container,
            "PortConflict",
            &format!("host port {port} is held by {with}"),
        )),
        HeldCause::NameConflict { name, with } => Some(Trouble::of(
            view.container,
            "NameConflict",
            &format!("the name {name} is held by {with}"),
        )),
        _ => None,
    }
}

/// The gravest failure: one that is not tried again before one that is.
fn failed(views: &[View<'_>]) -> Option<Verdict> {
    let trouble = |view: &View<'_>, failure: &Failure| {
        Trouble::of(
            view.container,
            failure.reason.as_str(),
            &view.failure_words(failure),
        )
    };
    let failures = || views.iter().filter_map(|v| v.failure.map(|f| (v, f)));
    if let Some((view, failure)) = failures().find(|(_, f)| f.retry == Retry::Blocked) {
        return Some(Verdict::Stalled(trouble(view, failure)));
    }
    let (view, failure) = failures().next()?;
    Some(Verdict::Retrying(trouble(view, failure)))
}

/// What the plan still does for the workload.
fn under_way(workload: &DesiredWorkload, evidence: &Evidence<'_>) -> Option<String> {
    let step = evidence.plan.steps.iter().find(|s| s.workload == workload.name)?;
    Some(match words::container(&step.action) {
        Some(container) => format!("{container}: {}", words::under_way(&step.action)),
        None => words::under_way(&step.action).to_owned(),
    })
}

fn unwell(view: &View<'_>) -> Option<Trouble> {
    let observed = view.observed?;
    if view.ready {
        return None;
    }
    match (&observed.state, observed.health) {
        (ContainerState::Restarting { exit_code }, _) => Some(Trouble::of(
            view.container,
            reason::CRASH_LOOP_BACK_OFF,
            // No count: a status must not tick.
            &format!("exits with code {exit_code} and is started again, over and over"),
        )),
        (
            ContainerState::Exited {
                exit_code,
                oom_killed,
            },
            _,
        ) => {
            let why = if *oom_killed {
                ", killed for want of memory"
            } else {
                ""
            };
            Some(Trouble::of(
                view.container,
                reason::UNHEALTHY,
                &format!("exited with code {exit_code}{why}"),
            ))
        }
        (ContainerState::Paused, _) => {
            Some(Trouble::of(view.container, reason::DRIFTED, "is paused by hand"))
        }
        (_, Health::Unhealthy) => Some(Trouble::of(
            view.container,
            reason::UNHEALTHY,
            "is running and not healthy",
        )),
        _ => None,
    }
}
