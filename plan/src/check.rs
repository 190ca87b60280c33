//! An independent statement of what a plan must never do. It shares no decision with the planner: it
//! replays the steps and asks of each whether it was allowed to. Tests run it over every plan they make,
//! operators over one that surprises them.

mod needed;
mod order;
mod replay;

#[cfg(test)]
mod tests;

use crate::desired::{DesiredContainer, DesiredSet, DesiredWorkload, ReclaimPolicy};
use crate::hash::{SpecHash, config_digest};
use crate::names::{ContainerKey, DnsLabel};
use crate::observed::{Observed, RuntimeState};
use crate::spec::MountSource;
use crate::step::{Action, Plan, Precondition, Reason, Step};
use replay::Replay;

/// One broken invariant of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The step concerned, by its place in the plan, if it is one.
    pub step: Option<usize>,
    /// Which rule, in a few stable characters.
    pub rule: &'static str,
    /// In words.
    pub message: String,
}

/// Every invariant `plan` breaks; empty for every plan [`crate::plan`] makes.
///
/// | rule | a plan |
/// |---|---|
/// | `paused` | has no steps while the device is paused or its runtime does not answer |
/// | `suspended` | has no steps for a suspended workload |
/// | `foreign` | touches only objects of ours, by an id that was observed |
/// | `orphaned` | touches only workloads that are desired or ordered away |
/// | `precondition` | demands an id for every step on an object, absence for every creation |
/// | `pull` | pulls every image it will need before anything is stopped |
/// | `at-most-one` | makes, starts and replaces nothing beside another object of the container |
/// | `removal` | removes only what was ordered away, is one too many, or is dead |
/// | `stop` | stops only for a container of a workload with a higher priority that comes next |
/// | `dependency` | makes dependencies first, and nothing that depends on itself |
/// | `failed` | repeats nothing that must wait or is blocked |
/// | `drift` | undoes no drift of a workload that only observes it |
/// | `needless` | changes nothing that is as desired; above all it restarts nothing of an unchanged spec |
/// | `silent` | leaves no missing container without a step or a cause |
pub fn check(plan: &Plan, desired: &DesiredSet, observed: &Observed) -> Vec<Violation> {
    let mut checker = Checker {
        plan,
        desired,
        observed,
        found: Vec::new(),
    };
    let idle = desired.paused || !matches!(observed.runtime, RuntimeState::Ready { .. });
    if idle && !plan.steps.is_empty() {
        checker.report(
            None,
            "paused",
            "steps for a device that is paused or has no runtime".into(),
        );
    }
    let mut replay = Replay::new(observed);
    for (i, step) in plan.steps.iter().enumerate() {
        checker.ownership(i, step);
        checker.precondition(i, step);
        checker.justified(i, step, &replay);
        checker.alone(i, step, &replay);
        replay.apply(step);
    }
    checker.pulls();
    checker.dependencies();
    if !idle {
        checker.silent();
    }
    checker.found
}

struct Checker<'a> {
    plan: &'a Plan,
    desired: &'a DesiredSet,
    observed: &'a Observed,
    found: Vec<Violation>,
}

/// Whether a step makes a container: what needs an image and waits for dependencies.
fn makes(step: &Step) -> bool {
    matches!(
        step.action,
        Action::CreateContainer { .. } | Action::ReplaceContainer { .. }
    )
}

/// Whether two hashes of known version differ: only then has a spec changed.
fn changed(a: &SpecHash, b: &SpecHash) -> bool {
    a.is_known_version() && b.is_known_version() && a != b
}

impl<'a> Checker<'a> {
    fn report(&mut self, step: Option<usize>, rule: &'static str, message: String) {
        self.found.push(Violation { step, rule, message });
    }

    fn removed(&self, workload: &DnsLabel) -> bool {
        self.desired.workload(workload).is_none()
            && self.desired.removals.iter().any(|r| &r.workload == workload)
    }

    fn container(&self, key: &ContainerKey) -> Option<(&'a DesiredWorkload, &'a DesiredContainer)> {
        self.desired.container(key)
    }

    /// Whether what is desired of a container has been brought about before.
    fn applied(&self, key: &ContainerKey, want: &DesiredContainer) -> bool {
        let digest = config_digest(&want.config);
        self.observed
            .applied
            .iter()
            .any(|a| &a.key == key && !changed(&a.hash, &want.hash) && a.config_digest == digest)
    }

    fn ownership(&mut self, i: usize, step: &Step) {
        match self.desired.workload(&step.workload) {
            Some(workload) if workload.suspend => {
                self.report(Some(i), "suspended", format!("{} is suspended", step.workload));
            }
            None if !self.removed(&step.workload) => {
                let words = format!("{} is neither desired nor ordered away", step.workload);
                self.report(Some(i), "orphaned", words);
            }
            _ => {}
        }
        if let (Some(key), Precondition::Is { id }) = (step.container(), &step.precondition)
            && !self
                .observed
                .containers
                .iter()
                .any(|c| c.key == key && &c.id == id)
        {
            self.report(Some(i), "foreign", format!("{id} is no object of {key}"));
        }
        let own = |name: &str| {
            name.split_once('.')
                .is_some_and(|(w, _)| w == step.workload.as_str())
        };
        let foreign = match &step.action {
            Action::RemoveNetwork { name } => !own(name) || !self.observed.networks.contains(name),
            Action::RemoveVolume { name } => !self
                .observed
                .volumes
                .iter()
                .any(|v| &v.name == name && v.workload == step.workload.as_str()),
            _ => false,
        };
        if foreign {
            self.report(
                Some(i),
                "foreign",
                "the network or volume is not the workload's".into(),
            );
        }
    }

    fn precondition(&mut self, i: usize, step: &Step) {
        let right = match (&step.action, step.container(), &step.precondition) {
            (Action::CreateContainer { .. }, _, p) => *p == Precondition::Absent,
            (_, Some(_), p) => matches!(p, Precondition::Is { .. }),
            (_, None, p) => *p == Precondition::None,
        };
        if !right {
            self.report(
                Some(i),
                "precondition",
                format!("{:?} does not fit", step.precondition),
            );
        }
    }

    /// No two objects of one container may meet.
    fn alone(&mut self, i: usize, step: &Step, replay: &Replay) {
        let Some(key) = step.container() else { return };
        let allowed = match &step.action {
            Action::CreateContainer { .. } => 0,
            Action::StartContainer { .. } | Action::ReplaceContainer { .. } => 1,
            _ => return,
        };
        if replay.objects(&key) > allowed {
            self.report(
                Some(i),
                "at-most-one",
                format!("another object of {key} is still there"),
            );
        }
    }

    fn justified(&mut self, i: usize, step: &Step, replay: &Replay) {
        match (&step.action, step.container()) {
            (Action::RemoveContainer { .. }, Some(key)) => self.removal(i, step, &key, replay),
            (Action::StopContainer { .. }, _) => self.stop(i, step),
            (
                Action::RemoveNetwork { .. }
                | Action::RemoveVolume { .. }
                | Action::CreateNetwork { .. }
                | Action::CreateVolume { .. }
                | Action::PullImage { .. },
                _,
            ) => self.surroundings(i, step),
            (_, Some(key)) => self.needed(i, step, &key, replay),
            (_, None) => {}
        }
    }

    fn removal(&mut self, i: usize, step: &Step, key: &ContainerKey, replay: &Replay) {
        let Precondition::Is { id } = &step.precondition else {
            return;
        };
        let desired = self.container(key).is_some();
        let justified = match &step.reason {
            Reason::Removed { cause: Some(cause) } => {
                let mut orders = self.desired.removals.iter();
                self.removed(&key.workload)
                    && orders.any(|r| r.workload == key.workload && r.reason == *cause)
            }
            Reason::Removed { cause: None } => self.desired.workload(&key.workload).is_some() && !desired,
            Reason::Duplicate => desired && replay.objects(key) > 1,
            Reason::Drifted { .. } | Reason::Changed | Reason::Retry => {
                let mut later = self.plan.steps[i..]
                    .iter()
                    .filter(|s| s.container().as_ref() == Some(key));
                desired
                    && replay.is_dead(id)
                    && later.any(|s| matches!(s.action, Action::CreateContainer { .. }))
            }
            Reason::Declared | Reason::Exited | Reason::NeededBy { .. } => false,
        };
        if !justified {
            self.report(Some(i), "removal", format!("no cause to remove {id} of {key}"));
        }
        // Of several, what runs must not go for one that does not.
        let stays = |other: &&crate::observed::ObservedContainer| {
            other.key == *key && other.id != *id && other.state.is_up() && replay.is_there(&other.id)
        };
        let up = self
            .observed
            .containers
            .iter()
            .any(|c| c.id == *id && c.key == *key && c.state.is_up());
        if step.reason == Reason::Duplicate && up && !self.observed.containers.iter().any(|c| stays(&c)) {
            self.report(
                Some(i),
                "removal",
                format!("{id} is the only one of {key} that runs"),
            );
        }
    }

    fn stop(&mut self, i: usize, step: &Step) {
        let mut rest = self.plan.steps[i..].iter();
        let served = rest.find(|s| !matches!(s.action, Action::StopContainer { .. }));
        let priority = |w: &DnsLabel| self.desired.workload(w).map(|w| w.priority);
        let justified = match (&step.reason, served.map(|s| (s, s.container()))) {
            (Reason::NeededBy { container }, Some((serves, Some(key)))) => {
                (makes(serves) || matches!(serves.action, Action::StartContainer { .. }))
                    && key.container == *container
                    && priority(&key.workload) > priority(&step.workload)
            }
            _ => false,
        };
        if !justified {
            self.report(
                Some(i),
                "stop",
                "nothing of a higher priority needs it stopped".into(),
            );
        }
    }

    fn surroundings(&mut self, i: usize, step: &Step) {
        let workload = self.desired.workload(&step.workload);
        let workloads = || self.desired.workloads.iter();
        let containers = || workloads().flat_map(|w| &w.containers);
        let mounts = |name: &str| {
            let of =
                |m: &crate::spec::Mount| matches!(&m.source, MountSource::Volume { name: n } if n == name);
            containers().any(|c| c.spec.mounts.iter().any(of))
        };
        let (rule, right) = match &step.action {
            Action::PullImage { container, image } => {
                let key = ContainerKey::new(step.workload.clone(), container.clone());
                (
                    "pull",
                    self.container(&key).is_some_and(|(_, c)| c.spec.image == *image),
                )
            }
            Action::CreateNetwork { name } => (
                "needless",
                workload.is_some_and(|w| w.networks.iter().any(|n| n.name == *name))
                    && !self.observed.networks.contains(name),
            ),
            Action::CreateVolume { name } => (
                "needless",
                workload.is_some_and(|w| w.volumes.iter().any(|v| v.name == *name))
                    && self.observed.volumes.iter().all(|v| v.name != *name),
            ),
            Action::RemoveNetwork { name } => (
                "removal",
                workloads().all(|w| w.networks.iter().all(|n| n.name != *name))
                    && containers().all(|c| !c.config.networks.contains(name)),
            ),
            Action::RemoveVolume { name } => {
                let of = |v: &&crate::observed::OwnedVolume| v.name == *name;
                let delete = self
                    .observed
                    .volumes
                    .iter()
                    .filter(of)
                    .any(|v| v.reclaim == ReclaimPolicy::Delete);
                let named = workloads().any(|w| w.volumes.iter().any(|v| v.name == *name));
                (
                    "removal",
                    self.removed(&step.workload) && delete && !named && !mounts(name),
                )
            }
            _ => return,
        };
        if !right {
            self.report(Some(i), rule, format!("no cause for {:?}", step.action));
        }
    }

    fn silent(&mut self) {
        let mut silent = Vec::new();
        for workload in &self.desired.workloads {
            for container in &workload.containers {
                let key = workload.key(container);
                let there = self.observed.containers.iter().any(|c| c.key == key);
                let completed = self.observed.applied.iter().any(|a| a.key == key && a.completed);
                let told = self.plan.held.iter().any(|h| h.key == key)
                    || self
                        .plan
                        .steps
                        .iter()
                        .any(|s| s.container().as_ref() == Some(&key));
                if !there && !completed && !told {
                    silent.push(key);
                }
            }
        }
        for key in silent {
            self.report(None, "silent", format!("{key} is missing, and nothing says why"));
        }
    }
}
