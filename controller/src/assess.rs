//! How one workload stands on one device, from what the device reported. Pure; the words of statuses and
//! of the failing devices come from here, and say nothing that was not observed.

#[cfg(test)]
mod tests;
mod view;

use longshore_bus::envelope::Report;
use longshore_crds::conditions::reason;
use longshore_plan::desired::{DesiredContainer, DesiredWorkload};
use longshore_plan::observed::RuntimeState;
use longshore_plan::step::Plan;

use self::view::View;
use crate::render::RenderProblem;
use crate::words;

/// Why something is not as it should be: a word, a sentence, and the container if it is about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One word of [`longshore_crds::conditions::reason`] or [`longshore_plan::observed::FailureReason`].
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

fn verdict(
    workload: &DesiredWorkload,
    views: &[View<'_>],
    updated: bool,
    evidence: &Evidence<'_>,
) -> Verdict {
    match &evidence.report.observed.runtime {
        RuntimeState::Unavailable { message } => {
            return Verdict::Unhealthy(Trouble::new(reason::RUNTIME_UNAVAILABLE, message));
        }
        // What is reported is the last that was known, not what is there.
        RuntimeState::Unknown => return Verdict::Progressing("its runtime was not asked yet".to_owned()),
        RuntimeState::Ready { .. } => {}
    }
    if let Some(message) = evidence.refused {
        return Verdict::Stalled(Trouble::new(reason::PLAN_REFUSED, message));
    }
    if let Some(trouble) = views.iter().find_map(View::conflict) {
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
    if let Some(trouble) = views.iter().find_map(View::unwell) {
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

/// The gravest failure: one that is not tried again before one that is.
fn failed(views: &[View<'_>]) -> Option<Verdict> {
    let failures: Vec<(Trouble, bool)> = views.iter().filter_map(View::failed).collect();
    if let Some((trouble, _)) = failures.iter().find(|(_, blocked)| *blocked) {
        return Some(Verdict::Stalled(trouble.clone()));
    }
    let (trouble, _) = failures.into_iter().next()?;
    Some(Verdict::Retrying(trouble))
}

/// What the plan still does for the workload.
fn under_way(workload: &DesiredWorkload, evidence: &Evidence<'_>) -> Option<String> {
    let step = evidence.plan.steps.iter().find(|s| s.workload == workload.name)?;
    let words = words::under_way(&step.action, Some(workload));
    Some(match words::container(&step.action) {
        Some(container) => format!("{container}: {words}"),
        None => words.to_owned(),
    })
}
