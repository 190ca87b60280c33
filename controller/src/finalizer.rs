//! Finalizers, and how the deletion of an object is to be read. Pure.
//!
//! A Workload gets ours before anything of it reaches a device, so that its end is seen even if it comes
//! while nobody watches. When its CRD is being deleted (or is gone, or that cannot be told), the objects
//! vanish as a by-product of something else, and nothing is removed from a device for that.

use std::collections::BTreeSet;

use kube::Resource;
use longshore_crds::workload::DeletionPolicy;
use longshore_crds::{Device, Workload};
use serde_json::{Value, json};

/// On every Workload.
pub(crate) const WORKLOAD: &str = "longshore.dev/workload";
/// On every Device.
pub(crate) const DEVICE: &str = "longshore.dev/device";
/// On a Device: the workloads whose removal it owes, separated by commas.
pub(crate) const PENDING: &str = "longshore.dev/pending-removals";

/// How the deletion of an object is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is not being deleted.
    Alive,
    /// It is, and nobody has looked yet whether it was meant.
    Unexplained,
    /// Somebody deleted it, and this is to become of its containers.
    Explicit(DeletionPolicy),
    /// Its CRD is being deleted; nobody said a word about its containers.
    Collateral,
}

/// What is known of the CRD of an object that is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrdState {
    /// It stays: the object's deletion was meant.
    Stays,
    /// It is being deleted, or gone.
    Goes,
}

/// Reads a deletion. `crd` is what was found out after the object was seen being deleted.
pub(crate) fn ending(
    object: &impl Resource,
    policy: Option<DeletionPolicy>,
    crd: Option<CrdState>,
) -> Ending {
    if object.meta().deletion_timestamp.is_none() {
        return Ending::Alive;
    }
    match crd {
        None => Ending::Unexplained,
        Some(CrdState::Goes) => Ending::Collateral,
        Some(CrdState::Stays) => Ending::Explicit(policy.unwrap_or(DeletionPolicy::Delete)),
    }
}

/// Whether `object` carries the finalizer.
pub(crate) fn has(object: &impl Resource, finalizer: &str) -> bool {
    object.meta().finalizers.iter().flatten().any(|f| f == finalizer)
}

/// The removals `device` owes.
pub(crate) fn pending(device: &Device) -> BTreeSet<String> {
    let annotation = device.metadata.annotations.as_ref().and_then(|a| a.get(PENDING));
    let names = annotation.iter().flat_map(|names| names.split(','));
    names
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The merge patch that brings a Workload's finalizer to what is wanted; absent if it is so.
///
/// It carries the version it was made from: a list in a merge patch replaces the whole list.
pub(crate) fn workload_patch(workload: &Workload, wanted: bool) -> Option<Value> {
    patch(workload, WORKLOAD, wanted, None)
}

/// The merge patch that brings a Device's finalizer and debts to what is wanted; absent if they are so.
pub(crate) fn device_patch(device: &Device, wanted: bool, owed: &BTreeSet<String>) -> Option<Value> {
    let annotation = (pending(device) != *owed).then(|| {
        if owed.is_empty() {
            Value::Null
        } else {
            Value::from(owed.iter().map(String::as_str).collect::<Vec<_>>().join(","))
        }
    });
    patch(device, DEVICE, wanted, annotation)
}

fn patch(object: &impl Resource, finalizer: &str, wanted: bool, annotation: Option<Value>) -> Option<Value> {
    let meta = object.meta();
    let deleting = meta.deletion_timestamp.is_some();
    // A finalizer cannot be added to what is being deleted.
    let flips = has(object, finalizer) != wanted && !(wanted && deleting);
    if !flips && annotation.is_none() {
        return None;
    }
    let mut metadata = json!({
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
    });
    if flips {
        let others = meta.finalizers.iter().flatten().filter(|f| *f != finalizer);
        let mut finalizers: Vec<&str> = others.map(String::as_str).collect();
        if wanted {
            finalizers.push(finalizer);
        }
        metadata["finalizers"] = json!(finalizers);
    }
    if let Some(annotation) = annotation {
        metadata["annotations"] = json!({ PENDING: annotation });
    }
    Some(json!({ "metadata": metadata }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn workload() -> Workload {
        let mut workload = Workload::new("w", longshore_crds::WorkloadSpec::default());
        workload.metadata.resource_version = Some("7".into());
        workload
    }

    fn device(pending: &str) -> Device {
        let mut device = Device::new("d", longshore_crds::DeviceSpec::default());
        device.metadata.finalizers = Some(vec![DEVICE.to_owned()]);
        device.metadata.annotations = Some([(PENDING.to_owned(), pending.to_owned())].into());
        device
    }

    #[test]
    fn a_deletion_is_meant_only_when_the_crd_is_known_to_stay() {
        let mut w = workload();
        assert_eq!(ending(&w, None, Some(CrdState::Goes)), Ending::Alive);
        w.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        for (policy, crd, expected) in [
            (None, None, Ending::Unexplained),
            (
                Some(DeletionPolicy::Delete),
                Some(CrdState::Goes),
                Ending::Collateral,
            ),
            (
                None,
                Some(CrdState::Stays),
                Ending::Explicit(DeletionPolicy::Delete),
            ),
            (
                Some(DeletionPolicy::Orphan),
                Some(CrdState::Stays),
                Ending::Explicit(DeletionPolicy::Orphan),
            ),
        ] {
            assert_eq!(ending(&w, policy, crd), expected);
        }
    }

    #[test]
    fn a_patch_keeps_the_finalizers_of_others_and_names_its_version() {
        let mut w = workload();
        w.metadata.finalizers = Some(vec!["other/one".into()]);
        let patch = workload_patch(&w, true).unwrap();
        assert_eq!(patch["metadata"]["finalizers"], json!(["other/one", WORKLOAD]));
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        w.metadata.finalizers = Some(vec!["other/one".into(), WORKLOAD.into()]);
        assert_eq!(workload_patch(&w, true), None);
        let patch = workload_patch(&w, false).unwrap();
        assert_eq!(patch["metadata"]["finalizers"], json!(["other/one"]));
    }

    #[test]
    fn nothing_is_added_to_what_is_being_deleted() {
        let mut w = workload();
        w.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(workload_patch(&w, true), None);
    }

    #[test]
    fn debts_read_back_and_are_dropped_when_paid() {
        let owed = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(pending(&device("b, a,,")), owed);
        assert_eq!(device_patch(&device("a,b"), true, &owed), None);
        let patch = device_patch(&device(""), true, &owed).unwrap();
        assert_eq!(patch["metadata"]["annotations"][PENDING], "a,b");
        assert!(patch["metadata"].get("finalizers").is_none());
        let patch = device_patch(&device("a,b"), true, &BTreeSet::new()).unwrap();
        assert_eq!(patch["metadata"]["annotations"][PENDING], Value::Null);
    }
}
