//! What a plan's steps do to the objects, as far as the rules ask.

use std::collections::BTreeSet;

use crate::desired::DesiredWorkload;
use crate::names::{ContainerKey, DnsLabel, EngineId};
use crate::observed::{ContainerState, Observed};
use crate::step::{Action, Precondition, Step};

/// The objects as they are before the next step.
pub(super) struct Replay {
    objects: Vec<Object>,
}

struct Object {
    key: ContainerKey,
    /// Absent for one the plan itself makes.
    id: Option<EngineId>,
    up: bool,
    dead: bool,
}

impl Replay {
    pub(super) fn new(observed: &Observed) -> Self {
        let object = |c: &crate::observed::ObservedContainer| Object {
            key: c.key.clone(),
            id: Some(c.id.clone()),
            up: c.state.is_up(),
            dead: c.state == ContainerState::Dead,
        };
        let mut seen = BTreeSet::new();
        let once = observed
            .containers
            .iter()
            .filter(|c| seen.insert((&c.key, &c.id)));
        Self {
            objects: once.map(object).collect(),
        }
    }

    /// How many objects of a container there are.
    pub(super) fn objects(&self, key: &ContainerKey) -> usize {
        self.objects.iter().filter(|o| &o.key == key).count()
    }

    pub(super) fn is_there(&self, id: &EngineId) -> bool {
        self.find(id).is_some()
    }

    pub(super) fn is_up(&self, id: &EngineId) -> bool {
        self.find(id).is_some_and(|o| o.up)
    }

    pub(super) fn is_dead(&self, id: &EngineId) -> bool {
        self.find(id).is_some_and(|o| o.dead)
    }

    fn find(&self, id: &EngineId) -> Option<&Object> {
        self.objects.iter().find(|o| o.id.as_ref() == Some(id))
    }

    pub(super) fn apply(&mut self, step: &Step) {
        let Some(key) = step.container() else { return };
        let target = match &step.precondition {
            Precondition::Is { id } => Some(id.clone()),
            Precondition::Absent | Precondition::None => None,
        };
        let is_target = |o: &Object| o.key == key && o.id == target && target.is_some();
        match &step.action {
            Action::RemoveContainer { .. } => self.objects.retain(|o| !is_target(o)),
            Action::CreateContainer { .. } => self.objects.push(Object {
                key,
                id: None,
                up: true,
                dead: false,
            }),
            Action::ReplaceContainer { .. } => {
                self.objects.retain(|o| !is_target(o));
                self.objects.push(Object {
                    key,
                    id: None,
                    up: true,
                    dead: false,
                });
            }
            Action::StopContainer { .. } | Action::StartContainer { .. } => {
                let up = matches!(step.action, Action::StartContainer { .. });
                for object in self.objects.iter_mut().filter(|o| is_target(o)) {
                    object.up = up;
                }
            }
            Action::PullImage { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::CreateVolume { .. }
            | Action::RemoveVolume { .. }
            | Action::UnpauseContainer { .. }
            | Action::RenameContainer { .. }
            | Action::UpdateContainer { .. } => {}
        }
    }
}

/// Everything a container waits for, directly or not; itself if it does so in a circle.
pub(super) fn transitive_dependencies(workload: &DesiredWorkload, of: &DnsLabel) -> BTreeSet<DnsLabel> {
    let mut found = BTreeSet::new();
    let mut open = vec![of.clone()];
    while let Some(name) = open.pop() {
        let Some(place) = workload.containers.iter().position(|c| c.name == name) else {
            continue;
        };
        let own = &workload.containers[place];
        let earlier = &workload.containers[..if own.init {
            place
        } else {
            workload.containers.len()
        }];
        let inits = earlier
            .iter()
            .filter(|c| c.init && c.name != name)
            .map(|c| c.name.clone());
        let declared = own.behaviour.depends_on.iter().map(|d| d.container.clone());
        for name in inits.chain(declared) {
            if found.insert(name.clone()) {
                open.push(name);
            }
        }
    }
    found
}
