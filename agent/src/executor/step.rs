//! One step: precondition, action, record. Nothing is decided here that the plan does not say.

use longshore_plan::desired::DesiredSet;
use longshore_plan::names::{ContainerKey, DnsLabel, EngineId};
use longshore_plan::observed::{ContainerState, FailureReason, Observed, ObservedContainer};
use longshore_plan::step::{Action, HeldCause, Precondition, Reason, Step, StepOutcome};

use super::concerning::{Concerning, concerning};
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
        let key = step.container();
        let found = key
            .as_ref()
            .and_then(|key| pick(snapshot.of(key), &step.precondition).cloned());
        let concerning = concerning(desired, step, found.as_ref());
        let others: Vec<&ObservedContainer> = match (&key, &found) {
            (Some(key), Some(found)) => snapshot.of(key).filter(|c| c.id != found.id).collect(),
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
