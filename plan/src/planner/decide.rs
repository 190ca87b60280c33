//! What one container needs, looked at alone: a pure function of the container and of what the rest of
//! the device forbids it.

use super::index::{Item, is_leftover, rests};
use crate::drift;
use crate::hash::SpecHash;
use crate::observed::{ContainerState, Failure, FailureReason, ObservedContainer, Retry};
use crate::spec::RestartPolicy;
use crate::step::{HeldCause, Reason};

/// How a container comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// There is none.
    Create,
    /// There is one, of another spec.
    Replace,
    /// There is one that only a removal helps.
    Recreate,
}

/// What is to be done for one container, in the order of the fields. Empty is the goal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) rename: Option<Reason>,
    pub(crate) update: Option<Reason>,
    pub(crate) unpause: Option<Reason>,
    pub(crate) start: Option<Reason>,
    pub(crate) make: Option<(Make, Reason)>,
    /// What is left undone, and why.
    pub(crate) held: Vec<HeldCause>,
}

/// What the rest of the device forbids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forbidden {
    /// It must not be made anew. One that is there goes on as it is.
    pub(crate) make: Option<HeldCause>,
    /// It must not take its name.
    pub(crate) rename: Option<HeldCause>,
    /// It must not run.
    pub(crate) run: Option<HeldCause>,
}

impl Needs {
    /// Whether anything is to be done.
    pub(crate) fn any(&self) -> bool {
        let Self {
            rename,
            update,
            unpause,
            start,
            make,
            held: _,
        } = self;
        rename.is_some() || update.is_some() || unpause.is_some() || start.is_some() || make.is_some()
    }

    fn hold(cause: HeldCause) -> Self {
        Self {
            held: vec![cause],
            ..Self::default()
        }
    }
}

/// Decides for one container. At most one of several objects is looked at: the one that stays.
pub(crate) fn decide(item: &Item<'_>, forbidden: &Forbidden) -> Needs {
    // One too many that cannot be got rid of: nothing may be started beside it.
    if let Some(cause) = stuck_extra(item) {
        return Needs::hold(cause);
    }
    match item.keeper {
        None => make_missing(item, forbidden),
        Some(keeper) => {
            if let Some(cause) = &forbidden.run {
                return Needs::hold(cause.clone());
            }
            if keeper.state == ContainerState::Dead {
                recreate(item, keeper, forbidden)
            } else if item.same_spec(keeper) {
                mend(item, keeper, forbidden)
            } else {
                replace(item, keeper, forbidden)
            }
        }
    }
}

fn make_missing(item: &Item<'_>, forbidden: &Forbidden) -> Needs {
    if item.completed() {
        return Needs::default();
    }
    let (reason, drifted) = if item.applied_matches() {
        (drifted(&[drift::EXISTENCE]), true)
    } else {
        (Reason::Declared, false)
    };
    if drifted && item.observes() {
        return Needs::hold(observed_drift(vec![drift::EXISTENCE.to_owned()]));
    }
    make(item, Make::Create, reason, forbidden)
}

fn recreate(item: &Item<'_>, keeper: &ObservedContainer, forbidden: &Forbidden) -> Needs {
    // It did what it was for; its remains are in nobody's way.
    if item.completed() {
        return Needs::default();
    }
    let known = item.applied_matches();
    if known && item.observes() {
        return Needs::hold(observed_drift(vec![drift::STATE.to_owned()]));
    }
    if let Gate::Held(cause) = gate(item, Attempt::Remove, &keeper.hash) {
        return Needs::hold(cause);
    }
    let reason = if known || item.same_spec(keeper) {
        drifted(&[drift::STATE])
    } else {
        Reason::Changed
    };
    make(item, Make::Recreate, reason, forbidden)
}

fn replace(item: &Item<'_>, keeper: &ObservedContainer, forbidden: &Forbidden) -> Needs {
    let known = item.applied_matches();
    if known && item.observes() {
        return Needs::hold(observed_drift(vec![drift::SPEC.to_owned()]));
    }
    let reason = if known {
        drifted(&[drift::SPEC])
    } else {
        Reason::Changed
    };
    let mut needs = make(item, Make::Replace, reason, forbidden);
    if needs.make.is_none() {
        keep_alive(item, keeper, forbidden, &mut needs);
    } else if is_leftover(&keeper.engine_name, &item.desired.engine_name) {
        // The replacement needs the leftover names itself.
        let gate = rename_gate(item, forbidden, &keeper.hash);
        needs.rename = admit(gate, drifted(&[drift::NAME]), &mut needs.held);
        if needs.rename.is_none() {
            needs.make = None;
        }
    }
    needs
}

/// A change that cannot be made now must not be the reason why the old container lies still.
fn keep_alive(item: &Item<'_>, old: &ObservedContainer, forbidden: &Forbidden, needs: &mut Needs) {
    let leftover = is_leftover(&old.engine_name, &item.desired.engine_name);
    if item.observes() && !leftover && item.applied.is_some_and(|a| a.hash == old.hash) {
        return;
    }
    if leftover {
        let gate = rename_gate(item, forbidden, &old.hash);
        needs.rename = admit(gate, drifted(&[drift::NAME]), &mut needs.held);
    }
    // An interrupted replacement has set the old one's policy to `no`: not what was declared for it.
    let policy = match old.config.restart_policy {
        RestartPolicy::Never if leftover => item.desired.config.restart_policy,
        policy => policy,
    };
    match old.state {
        ContainerState::Paused => {
            let gate = gate(item, Attempt::Unpause, &old.hash);
            needs.unpause = admit(gate, drifted(&[drift::PAUSED]), &mut needs.held);
        }
        ContainerState::Created | ContainerState::Exited { .. } if !rests(old, policy) => {
            needs.start = admit(
                gate(item, Attempt::Start, &old.hash),
                Reason::Exited,
                &mut needs.held,
            );
        }
        _ => {}
    }
}

/// The right container is there: brings what can change in place to what is desired.
fn mend(item: &Item<'_>, keeper: &ObservedContainer, forbidden: &Forbidden) -> Needs {
    let desired = item.desired;
    let known = item.applied_matches();
    let mut needs = Needs::default();
    let leftover = is_leftover(&keeper.engine_name, &desired.engine_name);
    let differing: Vec<String> = drift::differences(item, keeper)
        .into_iter()
        .map(|d| d.field.to_owned())
        .collect();
    let only_watch = known && item.observes();
    if only_watch && !differing.is_empty() {
        needs.held.push(observed_drift(differing));
    }

    if keeper.engine_name != desired.engine_name && (leftover || item.has_default_name(keeper) || !only_watch)
    {
        let reason = if item.has_default_name(keeper) {
            Reason::Changed
        } else {
            drifted(&[drift::NAME])
        };
        needs.rename = admit(
            rename_gate(item, forbidden, &desired.hash),
            reason,
            &mut needs.held,
        );
    }
    if only_watch {
        return needs;
    }

    let config = drift::config_differences(&desired.config, &keeper.config);
    if !config.is_empty() {
        let reason = if known {
            Reason::Drifted {
                fields: config.into_iter().map(|d| d.field.to_owned()).collect(),
            }
        } else {
            Reason::Changed
        };
        needs.update = admit(
            gate(item, Attempt::Update, &desired.hash),
            reason,
            &mut needs.held,
        );
    }
    match &keeper.state {
        ContainerState::Paused => {
            let gate = gate(item, Attempt::Unpause, &desired.hash);
            needs.unpause = admit(gate, drifted(&[drift::PAUSED]), &mut needs.held);
        }
        state @ (ContainerState::Created | ContainerState::Exited { .. }) => {
            if !item.completed() && !rests(keeper, desired.config.restart_policy) {
                let reason = match state {
                    _ if known => drifted(&[drift::STATE]),
                    ContainerState::Created => Reason::Declared,
                    _ => Reason::Exited,
                };
                needs.start = admit(gate(item, Attempt::Start, &desired.hash), reason, &mut needs.held);
            }
        }
        ContainerState::Running | ContainerState::Restarting { .. } | ContainerState::Dead => {}
    }
    needs
}

fn make(item: &Item<'_>, how: Make, reason: Reason, forbidden: &Forbidden) -> Needs {
    let refused = forbidden.make.as_ref().or(forbidden.run.as_ref());
    let gate = match (gate(item, Attempt::Make, &item.desired.hash), refused) {
        (Gate::Held(cause), _) => Gate::Held(cause),
        (_, Some(cause)) => Gate::Held(cause.clone()),
        (gate, None) => gate,
    };
    let mut needs = Needs::default();
    needs.make = admit(gate, reason, &mut needs.held).map(|reason| (how, reason));
    needs
}

fn rename_gate(item: &Item<'_>, forbidden: &Forbidden, hash: &SpecHash) -> Gate {
    match &forbidden.rename {
        Some(cause) => Gate::Held(cause.clone()),
        None => gate(item, Attempt::Rename, hash),
    }
}

/// What is tried again for drift's sake is told as drift: how far an agent may go to undo it depends on
/// that, and a declared change may go further (see [`Reason::Drifted`]).
fn admit(gate: Gate, reason: Reason, held: &mut Vec<HeldCause>) -> Option<Reason> {
    match (gate, reason) {
        (Gate::Clear, reason) | (Gate::Retry, reason @ Reason::Drifted { .. }) => Some(reason),
        (Gate::Retry, _) => Some(Reason::Retry),
        (Gate::Held(cause), _) => {
            held.push(cause);
            None
        }
    }
}

fn drifted(fields: &[&str]) -> Reason {
    Reason::Drifted {
        fields: fields.iter().map(|&f| f.to_owned()).collect(),
    }
}

fn observed_drift(fields: Vec<String>) -> HeldCause {
    HeldCause::DriftObserved { fields }
}

/// What is tried, as far as a noted failure tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Make,
    Start,
    Update,
    Rename,
    Unpause,
    Remove,
}

/// Whether an attempt may be made in view of those that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    Clear,
    Retry,
    Held(HeldCause),
}

/// Whether the object that stays cannot be stopped just now, should that be asked for.
pub(crate) fn cannot_stop(item: &Item<'_>) -> bool {
    item.keeper.is_some_and(|keeper| {
        matches!(
            remove_gate(&item.failures, Some(&item.desired.hash), keeper),
            Gate::Held(_)
        )
    })
}

/// Why the container's surplus objects cannot be removed now.
pub(crate) fn stuck_extra(item: &Item<'_>) -> Option<HeldCause> {
    item.extras.iter().find_map(
        |extra| match remove_gate(&item.failures, Some(&item.desired.hash), extra) {
            Gate::Held(cause) => Some(cause),
            Gate::Clear | Gate::Retry => None,
        },
    )
}

/// Whether an object may be removed in view of failed removals of its container. A removal's failure is
/// noted under the hash that was desired then or under the object's own.
pub(crate) fn remove_gate(
    failures: &[&Failure],
    desired: Option<&SpecHash>,
    object: &ObservedContainer,
) -> Gate {
    verdict(failures.iter().copied().filter(|f| {
        concerns(f.reason, Attempt::Remove)
            && (desired.is_none() || f.hash == object.hash || Some(&f.hash) == desired)
    }))
}

/// Whether `attempt` on a container of `hash` may be made. Failures of another spec or configuration say
/// nothing about this one; those of the container that is there count whatever its configuration was.
fn gate(item: &Item<'_>, attempt: Attempt, hash: &SpecHash) -> Gate {
    verdict(item.failures.iter().copied().filter(|f| {
        let matches =
            f.hash == *hash && (*hash != item.desired.hash || f.config_digest == item.config_digest);
        matches && concerns(f.reason, attempt)
    }))
}

/// The strictest of the failures decides.
fn verdict<'a>(failures: impl Iterator<Item = &'a Failure>) -> Gate {
    let strictness = |f: &Failure| match f.retry {
        Retry::Blocked => 0,
        Retry::Waiting => 1,
        Retry::Due => 2,
    };
    let Some(failure) = failures.min_by_key(|f| strictness(f)) else {
        return Gate::Clear;
    };
    match failure.retry {
        Retry::Due => Gate::Retry,
        Retry::Blocked | Retry::Waiting => Gate::Held(HeldCause::Failed {
            reason: failure.reason,
            message: failure.message.clone(),
            blocked: failure.retry == Retry::Blocked,
        }),
    }
}

/// Which attempts a failure is about. A failed change holds that change and no other: a rolled-back spec
/// does not keep the old container from being started again, a refused update does not keep it from
/// being unfrozen.
fn concerns(reason: FailureReason, attempt: Attempt) -> bool {
    use Attempt::{Make, Remove, Rename, Start, Unpause, Update};
    match reason {
        FailureReason::ImageNotFound
        | FailureReason::ImageTagNotFound
        | FailureReason::RegistryUnavailable
        | FailureReason::RegistryAuthenticationFailed
        | FailureReason::ImagePullFailed
        | FailureReason::ImageNeverPull
        | FailureReason::CreateFailed
        | FailureReason::RolledBack
        | FailureReason::Unhealthy
        | FailureReason::NetworkFailed
        | FailureReason::VolumeFailed => attempt == Make,
        FailureReason::StartFailed => matches!(attempt, Make | Start | Unpause),
        FailureReason::PortConflict | FailureReason::DependencyNotReady => matches!(attempt, Make | Start),
        FailureReason::NameConflict => matches!(attempt, Make | Rename),
        FailureReason::ContentMissing => matches!(attempt, Make | Start | Update),
        // A rename is an in-place change too.
        FailureReason::UpdateFailed => matches!(attempt, Update | Rename),
        FailureReason::RemoveFailed => attempt == Remove,
        // A removal is what makes room.
        FailureReason::DiskFull => attempt != Remove,
        FailureReason::RuntimeUnavailable | FailureReason::LedgerUnavailable => true,
    }
}
