//! The inputs in one order, with one object per container chosen to stay.
//!
//! Whatever order lists come in and whatever occurs twice, the same content makes the same index: every
//! list is sorted by content, and of two entries for one thing the same one wins always.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::desired::{DesiredContainer, DesiredSet, DesiredWorkload, DriftMode, Removal};
use crate::hash::{SpecHash, config_digest};
use crate::names::{ContainerKey, DnsLabel};
use crate::observed::{Applied, ContainerState, Failure, Observed, ObservedContainer};
use crate::spec::RestartPolicy;

/// Both inputs, indexed.
pub(crate) struct Index<'a> {
    /// Desired workloads by name. One that is ordered away as well is desired: the milder reading.
    pub(crate) workloads: BTreeMap<&'a DnsLabel, &'a DesiredWorkload>,
    /// What is ordered away and not desired.
    pub(crate) removals: BTreeMap<&'a DnsLabel, &'a Removal>,
    /// All our objects by key.
    pub(crate) objects: BTreeMap<&'a ContainerKey, Vec<&'a ObservedContainer>>,
    applied: BTreeMap<&'a ContainerKey, &'a Applied>,
    failures: BTreeMap<&'a ContainerKey, Vec<&'a Failure>>,
}

/// One desired container with everything known about it.
pub(crate) struct Item<'a> {
    pub(crate) key: ContainerKey,
    pub(crate) workload: &'a DesiredWorkload,
    pub(crate) desired: &'a DesiredContainer,
    /// [`config_digest`] of the desired configuration.
    pub(crate) config_digest: String,
    /// The object that stays, if there is any.
    pub(crate) keeper: Option<&'a ObservedContainer>,
    /// The objects of the same container that are one too many.
    pub(crate) extras: Vec<&'a ObservedContainer>,
    pub(crate) applied: Option<&'a Applied>,
    pub(crate) failures: Vec<&'a Failure>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(desired: &'a DesiredSet, observed: &'a Observed) -> Self {
        let mut workloads: BTreeMap<&DnsLabel, &DesiredWorkload> = BTreeMap::new();
        for workload in &desired.workloads {
            workloads
                .entry(&workload.name)
                .and_modify(|kept| *kept = first_by_words(kept, workload))
                .or_insert(workload);
        }
        let mut removals: BTreeMap<&DnsLabel, &Removal> = BTreeMap::new();
        for removal in desired
            .removals
            .iter()
            .filter(|r| !workloads.contains_key(&r.workload))
        {
            removals
                .entry(&removal.workload)
                .and_modify(|kept| *kept = first_by_words(kept, removal))
                .or_insert(removal);
        }
        let mut objects: BTreeMap<&ContainerKey, Vec<&ObservedContainer>> = BTreeMap::new();
        for container in &observed.containers {
            objects.entry(&container.key).or_default().push(container);
        }
        for of_key in objects.values_mut() {
            of_key.sort_by_cached_key(|c| (c.id.clone(), words(*c)));
            of_key.dedup_by(|a, b| a.id == b.id);
        }
        let mut applied: BTreeMap<&ContainerKey, &Applied> = BTreeMap::new();
        for entry in &observed.applied {
            applied
                .entry(&entry.key)
                .and_modify(|kept| *kept = first_by_words(kept, entry))
                .or_insert(entry);
        }
        let mut failures: BTreeMap<&ContainerKey, Vec<&Failure>> = BTreeMap::new();
        for failure in &observed.failures {
            failures.entry(&failure.key).or_default().push(failure);
        }
        for of_key in failures.values_mut() {
            of_key.sort_by_cached_key(|f| words(*f));
        }
        Self {
            workloads,
            removals,
            objects,
            applied,
            failures,
        }
    }

    /// Every desired container, by workload name and then in declared order.
    pub(crate) fn items(&self) -> Vec<Item<'a>> {
        let mut items = Vec::new();
        for workload in self.workloads.values().copied() {
            let mut seen = BTreeSet::new();
            for desired in workload.containers.iter().filter(|c| seen.insert(&c.name)) {
                items.push(self.item(workload, desired));
            }
        }
        items
    }

    fn item(&self, workload: &'a DesiredWorkload, desired: &'a DesiredContainer) -> Item<'a> {
        let key = workload.key(desired);
        let mut extras = self.objects.get(&key).cloned().unwrap_or_default();
        // Stable: objects lie sorted by id.
        extras.sort_by_key(|c| keeper_rank(desired, c));
        let keeper = if extras.is_empty() {
            None
        } else {
            Some(extras.remove(0))
        };
        Item {
            config_digest: config_digest(&desired.config),
            applied: self.applied.get(&key).copied(),
            failures: self.failures(&key),
            key,
            workload,
            desired,
            keeper,
            extras,
        }
    }

    /// The failures noted for a container, whatever was tried.
    pub(crate) fn failures(&self, key: &ContainerKey) -> Vec<&'a Failure> {
        self.failures.get(key).cloned().unwrap_or_default()
    }

    /// Our objects that are not of any desired container.
    pub(crate) fn strays(&self) -> Vec<&'a ObservedContainer> {
        let wanted = |key: &ContainerKey| {
            self.workloads
                .get(&key.workload)
                .is_some_and(|w| w.containers.iter().any(|c| c.name == key.container))
        };
        self.objects
            .iter()
            .filter(|(key, _)| !wanted(key))
            .flat_map(|(_, objects)| objects.iter().copied())
            .collect()
    }
}

impl Item<'_> {
    /// Whether `container` was made from the desired spec. A hash of a version this code does not know
    /// says nothing, so the container is adopted as it is: no upgrade of ours restarts anything.
    pub(crate) fn same_spec(&self, container: &ObservedContainer) -> bool {
        same_hash(&self.desired.hash, &container.hash)
    }

    /// Whether what is desired now has been brought about before, so that a difference is drift.
    pub(crate) fn applied_matches(&self) -> bool {
        self.applied
            .is_some_and(|a| same_hash(&self.desired.hash, &a.hash) && a.config_digest == self.config_digest)
    }

    /// Whether it ran to its end under this hash and rests for good.
    pub(crate) fn completed(&self) -> bool {
        self.applied
            .is_some_and(|a| a.completed && same_hash(&self.desired.hash, &a.hash))
            && matches!(
                self.desired.config.restart_policy,
                RestartPolicy::Never | RestartPolicy::OnFailure { .. }
            )
    }

    /// Whether a container bears the name it has without a `containerName`. If another one is desired, it
    /// has been declared since: `containerName` enters neither hash nor digest, so nothing else tells.
    pub(crate) fn has_default_name(&self, container: &ObservedContainer) -> bool {
        container.engine_name == self.key.to_string()
    }

    /// Whether differences that are drift are reported only.
    pub(crate) fn observes(&self) -> bool {
        self.workload.drift == DriftMode::Observe
    }
}

/// Whether one spec stands behind both hashes, as far as this code can tell.
fn same_hash(a: &SpecHash, b: &SpecHash) -> bool {
    a == b || !a.is_known_version() || !b.is_known_version()
}

/// Whether an engine name is one that an interrupted replacement of `desired_name` leaves behind. A
/// container that is *called* `x.prev` by declaration is none.
pub(crate) fn is_leftover(engine_name: &str, desired_name: &str) -> bool {
    let suffix = engine_name.rsplit_once('.').map(|(_, suffix)| suffix);
    engine_name != desired_name && matches!(suffix, Some("prev" | "next"))
}

/// Whether an exited container stays exited under `policy`: it ran to its end by itself, or the engine has
/// tried as often as it was allowed to.
pub(crate) fn rests(container: &ObservedContainer, policy: RestartPolicy) -> bool {
    let ContainerState::Exited { exit_code, .. } = container.state else {
        return false;
    };
    if container.interrupted {
        return false;
    }
    match policy {
        RestartPolicy::Never => true,
        RestartPolicy::OnFailure { max_retries } => {
            exit_code == 0 || (max_retries > 0 && container.restarts >= max_retries)
        }
        RestartPolicy::Always | RestartPolicy::UnlessStopped => false,
    }
}

/// Orders the objects of one container, the one to keep first.
///
/// What runs outranks what does not, even if the latter is the newer one: should the newer one fail to
/// start there would be nothing left, while a running old one can still be replaced in the safe way.
fn keeper_rank(desired: &DesiredContainer, container: &ObservedContainer) -> impl Ord + use<> {
    let wrong = container.hash != desired.hash;
    let class = match (container.state.is_up(), wrong) {
        (true, false) => 0,
        (true, true) => 1,
        (false, false) => 2,
        (false, true) => 3,
    };
    let state = match container.state {
        ContainerState::Running => 0,
        ContainerState::Paused => 1,
        ContainerState::Restarting { .. } => 2,
        ContainerState::Exited { .. } => 3,
        ContainerState::Created => 4,
        ContainerState::Dead => 5,
    };
    let leftover = is_leftover(&container.engine_name, &desired.engine_name);
    let misnamed = container.engine_name != desired.engine_name;
    (class, leftover, misnamed, state)
}

fn words(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// Of two entries for one thing, the one whose words sort first: arbitrary, and always the same.
fn first_by_words<'a, T: Debug>(a: &'a T, b: &'a T) -> &'a T {
    if words(a) <= words(b) { a } else { b }
}
