//! A device in miniature: an engine, a ledger and an executor that carries out steps one at a time, down
//! to the single engine call. Tests run plans against it, let calls fail, and pull the plug between any
//! two calls.
//!
//! It proves plans, and not the agent, from which it differs where that is simpler: its replace goes back
//! where the agent goes forward, and blocks less (see docs/adr/0007-replace-next-and-prev.md).
//!
//! What survives a crash is what would: the engine's objects ([`ModelDevice::observed`] shows them) and the
//! journal. What it promises is checked while it runs: see [`ModelDevice::broken`].

mod engine;
mod ledger;
mod replace;

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::DesiredSet;
use crate::hash::SpecHash;
use crate::names::{ContainerKey, DnsLabel, EngineId};
use crate::observed::{ContainerState, FailureReason, HostPort, Observed, OwnedVolume, Retry};
use crate::spec::{Port, RestartPolicy};
use crate::step::{Action, Plan, Precondition, Reason, Step, StepOutcome};
use replace::Journal;

/// One engine call, as a place where things go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Micro {
    Journal,
    Pull,
    Network,
    Volume,
    Create,
    SetPolicy,
    Rename,
    Update,
    Unpause,
    Stop,
    Start,
    Healthy,
    Remove,
}

/// Why a step did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The plug was pulled: nothing more happens, not even putting back.
    Crash,
    /// A call failed.
    Failed(FailureReason),
    /// The precondition does not hold.
    Refused,
}

/// The device. See the module's docs.
#[derive(Debug, Clone, Default)]
pub struct ModelDevice {
    /// The engine's objects and the ledger's facts, as a report shows them.
    observed: Observed,
    /// What each object publishes: more than a report tells.
    ports: BTreeMap<EngineId, Vec<Port>>,
    journal: Option<Journal>,
    ids: u64,
    /// Engine calls left before the plug is pulled.
    fuse: Option<usize>,
    /// Engine calls made since the device was made.
    calls: usize,
    faults: BTreeSet<(ContainerKey, SpecHash, Micro)>,
    broken: Vec<String>,
}

impl ModelDevice {
    /// A device in this state. Its containers publish what the report says, and those of a desired spec
    /// what that says.
    pub fn new(observed: Observed, desired: &DesiredSet) -> Self {
        let of_report = |p: &HostPort| Port {
            container_port: p.port,
            host_port: Some(p.port),
            host_ip: None,
            protocol: p.protocol,
        };
        let ports = observed.containers.iter().map(|c| {
            let known = desired.container(&c.key).filter(|(_, want)| want.hash == c.hash);
            let ports = known.map_or_else(
                || c.host_ports.iter().map(of_report).collect(),
                |(_, want)| want.spec.ports.clone(),
            );
            (c.id.clone(), ports)
        });
        Self {
            ports: ports.collect(),
            observed,
            ..Self::default()
        }
    }

    /// What the agent would report.
    pub fn observed(&self) -> Observed {
        let mut observed = self.observed.clone();
        for container in &mut observed.containers {
            let ports = self
                .ports
                .get(&container.id)
                .map(Vec::as_slice)
                .unwrap_or_default();
            container.host_ports = engine::host_ports(ports);
        }
        observed
            .containers
            .sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        observed
    }

    /// Promises broken so far, in words: two of one container ran together that did not before.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// How many engine calls were made.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Lets every call of that kind for a container of that hash fail from now on.
    pub fn inject(&mut self, key: ContainerKey, hash: SpecHash, call: Micro) {
        self.faults.insert((key, hash, call));
    }

    /// Calls succeed again.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Pulls the plug after that many more engine calls; `None` never.
    pub fn crash_after(&mut self, calls: Option<usize>) {
        self.fuse = calls;
    }

    /// Whether the plug was pulled.
    pub fn crashed(&self) -> bool {
        self.fuse == Some(0)
    }

    /// Back-offs have run out: whatever waited is due.
    pub fn elapse(&mut self) {
        for failure in &mut self.observed.failures {
            if failure.retry == Retry::Waiting {
                failure.retry = Retry::Due;
            }
        }
    }

    /// Somebody works on the device behind our back, or a process ends.
    pub fn meddle(&mut self, with: impl FnOnce(&mut Observed)) {
        with(&mut self.observed);
    }

    /// A process ends.
    pub fn exit(&mut self, key: &ContainerKey, exit_code: i64) {
        let policies = self.rest_policies();
        for container in self
            .observed
            .containers
            .iter_mut()
            .filter(|c| &c.key == key && c.state.is_up())
        {
            container.state = ContainerState::Exited {
                exit_code,
                oom_killed: false,
            };
            if exit_code == 0 && policies.contains(&container.id) {
                for applied in self.observed.applied.iter_mut().filter(|a| &a.key == key) {
                    applied.completed |= applied.hash == container.hash;
                }
            }
        }
    }

    /// The ids of containers that rest once they ended well.
    fn rest_policies(&self) -> BTreeSet<EngineId> {
        let rests = |p| matches!(p, RestartPolicy::Never | RestartPolicy::OnFailure { .. });
        let resting = self
            .observed
            .containers
            .iter()
            .filter(|c| rests(c.config.restart_policy));
        resting.map(|c| c.id.clone()).collect()
    }

    /// Carries out a plan made from `desired`, to its end or to the crash. Answers every step.
    pub fn apply(&mut self, desired: &DesiredSet, plan: &Plan) -> Vec<StepOutcome> {
        let mut failed: BTreeSet<DnsLabel> = BTreeSet::new();
        let mut outcomes = Vec::new();
        for (i, step) in plan.steps.iter().enumerate() {
            if self.crashed() {
                break;
            }
            if failed.contains(served(&plan.steps[i..], step)) {
                outcomes.push(StepOutcome::Skipped {
                    because: "an earlier step failed".into(),
                });
                continue;
            }
            let outcome = match self.step(desired, step) {
                Ok(()) => StepOutcome::Done { changed: true },
                Err(Trouble::Crash) => break,
                Err(Trouble::Refused) => StepOutcome::PreconditionFailed {
                    found: "something else".into(),
                },
                Err(Trouble::Failed(reason)) => {
                    self.note_failure(desired, step, reason);
                    StepOutcome::Failed {
                        reason,
                        message: "injected".into(),
                    }
                }
            };
            if !matches!(outcome, StepOutcome::Done { .. }) {
                failed.insert(step.workload.clone());
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// The agent starts again after a crash: an interrupted replacement is finished, forward or back.
    pub fn recover(&mut self) {
        self.fuse = None;
        self.resume_replacement();
    }

    fn step(&mut self, desired: &DesiredSet, step: &Step) -> Result<(), Trouble> {
        let key = step.container();
        let id = match (&key, &step.precondition) {
            (Some(key), Precondition::Is { id }) => {
                if !self
                    .observed
                    .containers
                    .iter()
                    .any(|c| &c.key == key && &c.id == id)
                {
                    return Err(Trouble::Refused);
                }
                Some(id.clone())
            }
            (Some(key), Precondition::Absent) => {
                if self.observed.containers.iter().any(|c| &c.key == key) {
                    return Err(Trouble::Refused);
                }
                None
            }
            (Some(_), Precondition::None) => return Err(Trouble::Refused),
            (None, _) => None,
        };
        match (&step.action, key, id) {
            (Action::PullImage { container, .. }, ..) => {
                let key = ContainerKey::new(step.workload.clone(), container.clone());
                let hash = desired.container(&key).ok_or(Trouble::Refused)?.1.hash.clone();
                self.call(&key, &hash, Micro::Pull)
            }
            (Action::CreateNetwork { name }, ..) => self.create_network(&step.workload, name),
            (Action::RemoveNetwork { name }, ..) => self.remove_network(&step.workload, name),
            (Action::CreateVolume { name }, ..) => self.create_volume(desired, &step.workload, name),
            (Action::RemoveVolume { name }, ..) => {
                self.observed.volumes.retain(|v: &OwnedVolume| &v.name != name);
                Ok(())
            }
            (Action::CreateContainer { .. }, Some(key), None) => {
                let (_, want) = desired.container(&key).ok_or(Trouble::Refused)?;
                self.await_dependencies(desired, &key)?;
                let id = self.create(&key, want, &want.engine_name)?;
                self.start(&id)?;
                self.settled(&key, want);
                // There is nothing to go back to: an unhealthy one stays, and the failure says so.
                self.call(&key, &want.hash, Micro::Healthy)
            }
            (Action::RemoveContainer { .. }, Some(key), Some(id)) => {
                self.remove(&id)?;
                if matches!(step.reason, Reason::Removed { .. }) {
                    self.observed.applied.retain(|a| a.key != key);
                    self.observed.failures.retain(|f| f.key != key);
                }
                Ok(())
            }
            (Action::StopContainer { .. }, _, Some(id)) => self.stop(&id),
            (Action::ReplaceContainer { .. }, Some(key), Some(id)) => {
                let (workload, want) = desired.container(&key).ok_or(Trouble::Refused)?;
                self.await_dependencies(desired, &key)?;
                self.replace(&key, want, id, workload.on_failure)
            }
            (action, Some(key), Some(id)) => {
                let (_, want) = desired.container(&key).ok_or(Trouble::Refused)?;
                match action {
                    Action::StartContainer { .. } => self.start(&id)?,
                    Action::UnpauseContainer { .. } => {
                        self.change(&id, Micro::Unpause, |c| c.state = ContainerState::Running)?;
                    }
                    Action::RenameContainer { .. } => self.rename(&id, &want.engine_name)?,
                    Action::UpdateContainer { .. } => {
                        if want
                            .config
                            .networks
                            .iter()
                            .any(|n| !self.observed.networks.contains(n))
                        {
                            return Err(Trouble::Failed(FailureReason::UpdateFailed));
                        }
                        self.change(&id, Micro::Update, |c| c.config = want.config.clone())?;
                    }
                    _ => return Err(Trouble::Refused),
                }
                self.settled(&key, want);
                Ok(())
            }
            _ => Err(Trouble::Refused),
        }
    }

    /// Waits for what `key` depends on. Jobs come to their end while one waits.
    fn await_dependencies(&mut self, desired: &DesiredSet, key: &ContainerKey) -> Result<(), Trouble> {
        let Some((workload, own)) = desired.container(key) else {
            return Err(Trouble::Refused);
        };
        let inits = workload
            .containers
            .iter()
            .take_while(|c| !(own.init && c.name == own.name));
        let inits = inits
            .filter(|c| c.init && c.name != own.name)
            .map(|c| (&c.name, true));
        let declared = own.behaviour.depends_on.iter().map(|d| {
            (
                &d.container,
                d.condition == crate::spec::DependencyCondition::Completed,
            )
        });
        for (name, completed) in inits.chain(declared) {
            let on = ContainerKey::new(key.workload.clone(), name.clone());
            if completed {
                self.exit(&on, 0);
            }
            let done = self.observed.applied.iter().any(|a| a.key == on && a.completed);
            let ended = |c: &ContainerState| matches!(c, ContainerState::Exited { exit_code: 0, .. });
            let found = self.observed.containers.iter().find(|c| c.key == on);
            let met = done || found.is_some_and(|c| ended(&c.state) || (!completed && c.state.is_up()));
            if !met {
                return Err(Trouble::Failed(FailureReason::DependencyNotReady));
            }
        }
        Ok(())
    }
}

/// The workload whose failure makes `step` pointless: a stop serves the container it makes way for.
fn served<'a>(rest: &'a [Step], step: &'a Step) -> &'a DnsLabel {
    if !matches!(step.action, Action::StopContainer { .. }) || !matches!(step.reason, Reason::NeededBy { .. })
    {
        return &step.workload;
    }
    let next = rest
        .iter()
        .find(|s| !matches!(s.action, Action::StopContainer { .. }));
    next.map_or(&step.workload, |s| &s.workload)
}

#[cfg(test)]
mod tests;
