//! Which containers are ours. Pure.
//!
//! Labels alone prove nothing: an image's labels become its containers', and `docker commit` copies them.
//! A container is ours if its labels name our site and device and its engine id is in the ledger. One
//! that is not in the ledger (we died between making it and writing it down, or the ledger was lost) is
//! adopted only if its name and hash are what we would have made. Everything else is left alone.

use longshore_bus::DeviceId;

use crate::labels;
use crate::ledger::{LedgerState, OwnedContainer, ReplacePhase};
use crate::runtime::ContainerSummary;

/// What a container is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// In the ledger.
    Ours(OwnedContainer),
    /// Not in the ledger, and what we would have made.
    Adopt(OwnedContainer),
    /// Not ours.
    Unmanaged,
}

/// Judges one container.
pub(crate) fn judge(container: &ContainerSummary, device: &DeviceId, ledger: &LedgerState) -> Verdict {
    let Some(site) = &ledger.site else {
        return Verdict::Unmanaged;
    };
    if !labels::are_of(&container.labels, site, device) {
        return Verdict::Unmanaged;
    }
    if let Some(owned) = ledger.containers.get(&container.id) {
        return Verdict::Ours(owned.clone());
    }
    let (Some(key), Some(hash)) = (labels::key(&container.labels), labels::hash(&container.labels)) else {
        return Verdict::Unmanaged;
    };
    let declared = ledger
        .sets()
        .filter_map(|set| set.container(&key))
        .any(|(_, wanted)| wanted.hash == hash && wanted.engine_name == container.name);
    let half_made = ledger.replace.as_ref().is_some_and(|journal| {
        journal.key == key
            && journal.phase == ReplacePhase::Creating
            && journal
                .desired()
                .is_some_and(|wanted| wanted.hash == hash && container.name == next_name(&wanted.engine_name))
    });
    if declared || half_made {
        Verdict::Adopt(OwnedContainer { key, hash })
    } else {
        Verdict::Unmanaged
    }
}

/// The name of a replacement before it takes over.
pub(crate) fn next_name(engine_name: &str) -> String {
    format!("{engine_name}.next")
}

/// The name of a replaced one until its replacement is healthy.
pub(crate) fn previous_name(engine_name: &str) -> String {
    format!("{engine_name}.prev")
}

#[cfg(test)]
mod tests;
