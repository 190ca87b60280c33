//! The labels by which we recognise our own objects. They prove nothing alone; see [`crate::ownership`].

use std::collections::BTreeMap;

use longshore_bus::DeviceId;
use longshore_plan::hash::SpecHash;
use longshore_plan::names::{ContainerKey, DnsLabel};

/// The site's uid.
pub const SITE: &str = "longshore.dev/site";
/// The device's id, `{tenant}.{device}`.
pub const DEVICE: &str = "longshore.dev/device";
/// The workload's name.
pub const WORKLOAD: &str = "longshore.dev/workload";
/// The container's name in its workload.
pub const CONTAINER: &str = "longshore.dev/container";
/// The revision it was made from.
pub const REVISION: &str = "longshore.dev/revision";
/// The hash of the spec it was made from.
pub const SPEC_HASH: &str = "longshore.dev/spec-hash";

/// The labels of a network or volume.
pub(crate) fn of_object(site: &str, device: &DeviceId, workload: &DnsLabel) -> BTreeMap<String, String> {
    [
        (SITE, site.to_owned()),
        (DEVICE, device.to_string()),
        (WORKLOAD, workload.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The labels of a container.
pub(crate) fn of_container(
    site: &str,
    device: &DeviceId,
    key: &ContainerKey,
    revision: &str,
    hash: &SpecHash,
) -> BTreeMap<String, String> {
    let mut labels = of_object(site, device, &key.workload);
    labels.insert(CONTAINER.to_owned(), key.container.to_string());
    labels.insert(REVISION.to_owned(), revision.to_owned());
    labels.insert(SPEC_HASH.to_owned(), hash.to_string());
    labels
}

/// Whether the labels name this site and device.
pub(crate) fn are_of(labels: &BTreeMap<String, String>, site: &str, device: &DeviceId) -> bool {
    labels.get(SITE).is_some_and(|s| s == site)
        && labels.get(DEVICE).is_some_and(|d| *d == device.to_string())
}

/// The container the labels name, if they are whole.
pub(crate) fn key(labels: &BTreeMap<String, String>) -> Option<ContainerKey> {
    Some(ContainerKey::new(
        labels.get(WORKLOAD)?.parse().ok()?,
        labels.get(CONTAINER)?.parse().ok()?,
    ))
}

/// The spec hash the labels name.
pub(crate) fn hash(labels: &BTreeMap<String, String>) -> Option<SpecHash> {
    labels.get(SPEC_HASH).cloned().map(SpecHash)
}
