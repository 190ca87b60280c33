//! One step: precondition, action, record. Nothing is decided here that the plan does not say.

use longshore_plan::desired::{DesiredContainer, DesiredSet, DesiredWorkload};
use longshore_plan::hash::{SpecHash, config_digest};
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{ContainerState, FailureReason, Observed, ObservedContainer};
use longshore_plan::step::{Action, HeldCause, Precondition, Reason, Step, StepOutcome};

use super::{Executor, Failed, Interrupt, Trouble};
use crate::answers::{Answer, short};
use crate::ledger::{FailureRecord, Record};
use crate::runtime::ContainerDetail;

/// So often a change may cost what runs a stop, whoever's fault that is. What can be seen before the stop
/// is not counted: it may be tried for ever.
const MOST_STOPS: u32 = 3;

/// What a step did.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Anything had to be done.
    pub(super) changed: bool,
    /// Written down together with the step's end.
    pub(super) records: Vec<Record>,
}

impl Effects {
    pub(super) fn changed(records: Vec<Record>) -> Self {
        Self {
            changed: true,
            records,
        }
    }
}

/// Which declaration a failure is noted for.
pub(super) type Concerning = Option<(ContainerKey, SpecHash, String)>;

impl Executor {
    /// Carries out one step and records how it ended. An error leaves it unrecorded, to be taken up again.
    pub(super) async fn run_step(
        &mut self,
        desired: &DesiredSet,
        step: &Step,
        id: Option<&str>,
    ) -> Result<StepOutcome, Interrupt> {
        self.tools.counters.steps.add();
        tracing::info!(%step, "begun");
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        self.uninterrupted(&snapshot)?;
        let found = step
            .container()
            .and_then(|key| pick(snapshot.of(&key), &step.precondition).cloned());
        let concerning = concerning(desired, step, found.as_ref());
        let others: Vec<&ObservedContainer> = match (step.container(), &found) {
            (Some(key), Some(found)) => snapshot
                .observed
                .containers
                .iter()
                .filter(|c| c.key == key && c.id != found.id)
                .collect(),
            _ => Vec::new(),
        };
        let ready = self
            .precondition(step, found.as_ref())
            .and_then(|()| still_right(step, found.as_ref(), &others))
            .and_then(|()| not_in_vain(desired, step, &snapshot.observed));
        let result = match ready {
            Ok(()) => self.act(desired, step, found.as_ref(), id).await,
            Err(trouble) => Err(trouble),
        };
        let concerning = concerning.filter(|of| result.is_err() || self.heals(&step.action, of));
        self.end_step(id, &concerning, result).await
    }

    /// Whether a failure of this declaration is over when the step has succeeded. What only prepares a
    /// change says nothing of how the change itself went: its attempts are counted on.
    fn heals(&self, action: &Action, (key, hash, _): &(ContainerKey, SpecHash, String)) -> bool {
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

    /// Records a step's end, and that of a replace with it, in one write; then answers.
    pub(super) async fn end_step(
        &mut self,
        id: Option<&str>,
        concerning: &Concerning,
        result: Result<Effects, Trouble>,
    ) -> Result<StepOutcome, Interrupt> {
        let mut records = Vec::new();
        let mut failed = None;
        let outcome = match result {
            Ok(effects) => {
                self.timeouts = 0;
                records.extend(effects.records);
                if let Some((key, hash, _)) = concerning {
                    records.push(Record::Healed {
                        key: key.clone(),
                        hash: hash.clone(),
                    });
                }
                StepOutcome::Done {
                    changed: effects.changed,
                }
            }
            Err(Trouble::Interrupted(interrupt)) => return Err(interrupt),
            Err(Trouble::Precondition { found }) => StepOutcome::PreconditionFailed { found },
            Err(Trouble::Skipped { because }) => StepOutcome::Skipped { because },
            Err(Trouble::Failed(Failed {
                reason,
                mut message,
                mut blocked,
                at_a_stop,
            })) => {
                let stops = self.stops_before(concerning) + u32::from(at_a_stop);
                if at_a_stop && !blocked && stops >= MOST_STOPS {
                    blocked = true;
                    message = format!("{message}; what ran was stopped {stops} times for it");
                }
                let message = short(&message);
                tracing::warn!(reason = reason.as_str(), %message, "a step failed");
                if let Some((key, hash, config_digest)) = concerning {
                    failed = Some((key, hash, reason));
                    records.push(Record::Failed(FailureRecord {
                        key: key.clone(),
                        hash: hash.clone(),
                        config_digest: config_digest.clone(),
                        reason,
                        message: message.clone(),
                        blocked,
                        attempts: 0,
                        stops: u32::from(at_a_stop),
                    }));
                }
                StepOutcome::Failed { reason, message }
            }
        };
        if self.tools.ledger.state().replace.is_some() {
            records.push(Record::ReplaceEnded);
        }
        if let Some(id) = id {
            records.push(Record::StepEnded {
                id: id.to_owned(),
                outcome: outcome.clone(),
                at: self.stamp(),
            });
        }
        let topic = self
            .tools
            .ledger
            .state()
            .next
            .as_ref()
            .map(|n| n.response_topic.clone());
        self.append(records).await?;
        if let Some((key, hash, reason)) = failed {
            self.tools.view.retry_at(key, hash, reason);
        }
        if let (Some(id), Some(topic)) = (id.and_then(correlation), topic) {
            self.tools.answers.end(id, &topic, Answer::of_step(&outcome));
        }
        Ok(outcome)
    }

    /// How often what ran was stopped for this declaration, in vain.
    fn stops_before(&self, concerning: &Concerning) -> u32 {
        let Some((key, hash, digest)) = concerning else {
            return 0;
        };
        let state = self.tools.ledger.state();
        let failure = state.failures.get(&(key.clone(), hash.clone()));
        failure
            .filter(|f| f.config_digest == *digest)
            .map_or(0, |f| f.stops)
    }

    fn precondition(&self, step: &Step, found: Option<&ObservedContainer>) -> Result<(), Trouble> {
        let Some(key) = step.container() else {
            return Ok(());
        };
        let refuse = |found: String| Err(Trouble::Precondition { found });
        if self.is_being_replaced(&key) {
            return refuse("a replace is under way".to_owned());
        }
        match (&step.precondition, found) {
            (Precondition::None, _) | (Precondition::Absent, None) => Ok(()),
            (Precondition::Absent, Some(found)) => refuse(format!("container {} is there", found.id)),
            (Precondition::Is { id }, Some(found)) if found.id == *id => Ok(()),
            (Precondition::Is { .. }, Some(found)) => refuse(format!("it is container {}", found.id)),
            (Precondition::Is { .. }, None) => refuse("it is gone".to_owned()),
        }
    }

    async fn act(
        &mut self,
        desired: &DesiredSet,
        step: &Step,
        found: Option<&ObservedContainer>,
        id: Option<&str>,
    ) -> Result<Effects, Trouble> {
        let named = |container: &DnsLabel| {
            let key = ContainerKey::new(step.workload.clone(), container.clone());
            desired
                .container(&key)
                .map(|(w, c)| (w.clone(), c.clone()))
                .ok_or_else(|| precondition("it is not in the desired set"))
        };
        let object = || found.ok_or_else(|| precondition("it is gone"));
        match &step.action {
            Action::PullImage { container, image } => {
                let (workload, container) = named(container)?;
                self.pull(&workload, &container, image, id).await
            }
            Action::CreateNetwork { name } => self.create_network(desired, &step.workload, name).await,
            Action::RemoveNetwork { name } => self.remove_network(name).await,
            Action::CreateVolume { name } => self.create_volume(desired, &step.workload, name).await,
            Action::RemoveVolume { name } => self.remove_volume(name).await,
            Action::CreateContainer { container } => {
                let (workload, container) = named(container)?;
                self.create(&workload, &container).await
            }
            Action::StartContainer { .. } => self.start(desired, object()?).await,
            Action::StopContainer { .. } => {
                let object = object()?.clone();
                self.quieten(&object.id).await?;
                Ok(Effects {
                    changed: object.state.is_up(),
                    records: Vec::new(),
                })
            }
            Action::UnpauseContainer { .. } => {
                let unpaused = self.tools.runtime.unpause(&object()?.id).await;
                unpaused.map_err(|e| self.trouble(e, FailureReason::StartFailed))?;
                Ok(Effects::changed(Vec::new()))
            }
            Action::RenameContainer { container } => {
                let (_, wanted) = named(container)?;
                let renamed = self
                    .tools
                    .runtime
                    .rename(&object()?.id, &wanted.engine_name)
                    .await;
                renamed.map_err(|e| self.trouble(e, FailureReason::UpdateFailed))?;
                Ok(Effects::changed(Vec::new()))
            }
            Action::UpdateContainer { container } => {
                let (workload, wanted) = named(container)?;
                self.update(&workload, &wanted, object()?, step, id).await
            }
            Action::ReplaceContainer { container } => {
                let (workload, wanted) = named(container)?;
                let old = object()?.id.clone();
                self.replace(&workload, &wanted, &old, id.map(str::to_owned))
                    .await
            }
            Action::RemoveContainer { .. } => self.remove(desired, object()?).await,
        }
    }

    /// One container as it is now. An engine that cannot even tell that is as good as away.
    pub(super) async fn inspect(&self, id: &EngineId) -> Result<Option<ContainerDetail>, Interrupt> {
        self.tools.runtime.inspect(id).await.map_err(Interrupt::Runtime)
    }
}

/// Whether what the step was planned for still holds beyond the object's id. A plan can be made from a report
/// of the middle of a replace and arrive after its end: what was one too many then may be the only one now.
fn still_right(
    step: &Step,
    found: Option<&ObservedContainer>,
    others: &[&ObservedContainer],
) -> Result<(), Trouble> {
    let Some(found) = found else { return Ok(()) };
    let another_runs = others.iter().any(|c| c.state.is_up());
    match (&step.action, &step.reason) {
        (Action::RemoveContainer { .. }, Reason::Duplicate) if others.is_empty() => {
            Err(precondition("it is the only one of its container"))
        }
        (Action::RemoveContainer { .. }, Reason::Duplicate) if found.state.is_up() && !another_runs => {
            Err(precondition("it is the only one of its container that runs"))
        }
        (Action::RemoveContainer { .. }, Reason::Drifted { .. } | Reason::Changed | Reason::Retry)
            if found.state != ContainerState::Dead =>
        {
            Err(precondition("it is not dead any more"))
        }
        (Action::StartContainer { .. }, _) if another_runs => {
            Err(precondition("another one of its container runs"))
        }
        (Action::ReplaceContainer { .. }, _) if !others.is_empty() => {
            Err(precondition("another one of its container is there"))
        }
        _ => Ok(()),
    }
}

/// A plan can be made while the same change is being tried and arrive after it failed. What has failed for
/// good is not tried again unasked, or what runs would be stopped in vain once more.
fn not_in_vain(desired: &DesiredSet, step: &Step, observed: &Observed) -> Result<(), Trouble> {
    let (Action::PullImage { container, .. }
    | Action::CreateContainer { container }
    | Action::ReplaceContainer { container }) = &step.action
    else {
        return Ok(());
    };
    let key = ContainerKey::new(step.workload.clone(), container.clone());
    let held = longshore_plan::plan(desired, observed).held;
    let blocked = |cause: &HeldCause| matches!(cause, HeldCause::Failed { blocked: true, .. });
    if held.iter().any(|held| held.key == key && blocked(&held.cause)) {
        return Err(precondition("it has failed, and nobody asked for another try"));
    }
    Ok(())
}

fn precondition(found: &str) -> Trouble {
    Trouble::Precondition {
        found: found.to_owned(),
    }
}

pub(super) fn correlation(id: &str) -> Option<longshore_bus::envelope::CorrelationId> {
    id.parse().ok().map(longshore_bus::envelope::CorrelationId)
}

/// The object a step is about: the one it names, else any of its key.
fn pick<'a>(
    mut of_key: impl Iterator<Item = &'a ObservedContainer>,
    precondition: &Precondition,
) -> Option<&'a ObservedContainer> {
    let first = of_key.next()?;
    match precondition {
        Precondition::Is { id } if first.id != *id => of_key.find(|c| c.id == *id).or(Some(first)),
        Precondition::Is { .. } | Precondition::Absent | Precondition::None => Some(first),
    }
}

/// The declaration a step's failure is noted for: the desired one where it brings that about, else that
/// of the object it acts on.
fn concerning(desired: &DesiredSet, step: &Step, found: Option<&ObservedContainer>) -> Concerning {
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
                .or_else(|| {
                    Some((
                        found.key.clone(),
                        found.hash.clone(),
                        config_digest(&found.config),
                    ))
                }),
            None => of_desired(container),
        },
        Action::StopContainer { .. } | Action::RemoveContainer { .. } => found.map(|found| {
            (
                found.key.clone(),
                found.hash.clone(),
                config_digest(&found.config),
            )
        }),
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
