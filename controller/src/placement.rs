//! Placement: which devices each workload targets. Pure; the answer depends on the objects alone.
//!
//! Targets name devices in the workload's own namespace. Groups and selectors are further arms of
//! `DeviceIndex::resolve` and further fields of a `Target`; nothing else here has to know of them.
//!
//! A workload that is being deleted is placed like any other: what it still owes its devices is for
//! the caller to say.

use std::collections::{BTreeMap, BTreeSet};

use longshore_crds::names::ObjectKey;
use longshore_crds::workload::Target;
use longshore_crds::{Device, Workload};

#[cfg(test)]
mod tests;

/// Which workload runs where, from both sides, and what could not be placed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    by_device: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    by_workload: BTreeMap<ObjectKey, Targets>,
}

/// The devices of one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Those that exist.
    pub devices: BTreeSet<ObjectKey>,
    /// Names in its targets that no device of its namespace has.
    pub unknown: BTreeSet<String>,
}

impl Placement {
    /// The workloads that target `device`, by name.
    pub fn workloads_of(&self, device: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.by_device.get(device).into_iter().flatten()
    }

    /// The targets of `workload`; none for one that was not placed.
    pub fn targets_of(&self, workload: &ObjectKey) -> Option<&Targets> {
        self.by_workload.get(workload)
    }

    /// Whether `workload` targets `device`.
    pub fn contains(&self, workload: &ObjectKey, device: &ObjectKey) -> bool {
        self.targets_of(workload)
            .is_some_and(|targets| targets.devices.contains(device))
    }
}

/// Places every workload on the devices there are. The order of both makes no difference.
pub fn place<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
    devices: impl IntoIterator<Item = &'a Device>,
) -> Placement {
    let index = DeviceIndex::new(devices);
    let mut placement = Placement::default();
    for workload in workloads {
        let Some(key) = ObjectKey::of(workload) else {
            continue;
        };
        let targets = index.targets(&key.namespace, &workload.spec.targets);
        for device in &targets.devices {
            placement
                .by_device
                .entry(device.clone())
                .or_default()
                .insert(key.clone());
        }
        placement.by_workload.insert(key, targets);
    }
    placement
}

/// The devices by everything a target can ask for.
#[derive(Debug, Default)]
struct DeviceIndex {
    names: BTreeSet<ObjectKey>,
}

impl DeviceIndex {
    fn new<'a>(devices: impl IntoIterator<Item = &'a Device>) -> Self {
        Self {
            names: devices.into_iter().filter_map(ObjectKey::of).collect(),
        }
    }

    /// The union of all targets.
    fn targets(&self, namespace: &str, targets: &[Target]) -> Targets {
        let mut found = Targets::default();
        for target in targets {
            self.resolve(namespace, target, &mut found);
        }
        found
    }

    fn resolve(&self, namespace: &str, target: &Target, found: &mut Targets) {
        let Target { device } = target;
        let key = ObjectKey::new(namespace, device);
        if self.names.contains(&key) {
            found.devices.insert(key);
        } else {
            found.unknown.insert(device.clone());
        }
    }
}
