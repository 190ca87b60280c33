//! A plan is one message, so what one device should have must fit into one. What does not is held back, workload by
//! workload, and the rest goes on.

use longshore_bus::envelope::MAX_ENVELOPE;
use longshore_crds::conditions::reason;
use longshore_plan::desired::{DesiredSet, DesiredWorkload};
use longshore_plan::hash::canonical;

use super::{Draft, Input};
use crate::assess::Trouble;

/// Kept free for the steps and the envelope's own fields. What does not fit of the steps is sent with the next plan.
const STEPS: usize = 32 * 1024;
/// The largest desired set, as JSON in bytes.
pub(crate) const SET_MOST: usize = MAX_ENVELOPE - STEPS;

fn size(workload: &DesiredWorkload) -> usize {
    canonical(workload).len()
}

/// Which workload gives way: not one the device already has so; of the others the least important, then the largest.
fn gives_way(set: &DesiredSet, accepted: Option<&DesiredSet>) -> Option<usize> {
    let is_accepted =
        |workload: &DesiredWorkload| accepted.and_then(|set| set.workload(&workload.name)) == Some(workload);
    let rank = |(_, w): &(usize, &DesiredWorkload)| {
        (
            !is_accepted(w),
            std::cmp::Reverse(w.priority),
            size(w),
            w.name.clone(),
        )
    };
    set.workloads
        .iter()
        .enumerate()
        .max_by_key(rank)
        .map(|(index, _)| index)
}

impl Draft {
    /// Takes workloads out, or back to how they were last rendered, until the set fits. Sorts it, and answers its
    /// canonical JSON.
    pub(super) fn fit(&mut self, input: &Input<'_>) -> String {
        loop {
            self.set.workloads.sort_by(|a, b| a.name.cmp(&b.name));
            let json = canonical(&self.set);
            let all = json.len();
            if all <= SET_MOST {
                return json;
            }
            let Some(index) = gives_way(&self.set, input.accepted) else {
                return json;
            };
            let workload = self.set.workloads.remove(index);
            let name = workload.name.to_string();
            tracing::debug!(workload = %name, bytes = all, "too large for one message to its device");
            self.troubles
                .insert(name.clone(), too_large(&workload, all, input));
            self.targeted.insert(name.clone(), None);
            let uid = self.kept.remove(&name).map(|(uid, _)| uid);
            // Its former self, if that is another one: the same would be taken out again.
            if let Some((former_uid, former)) = input.kept.get(&name)
                && Some(former_uid) == uid.as_ref()
                && former.workload != workload
            {
                self.want(&name, former_uid.clone(), former.clone());
            }
        }
    }
}

fn too_large(workload: &DesiredWorkload, all: usize, input: &Input<'_>) -> Trouble {
    let device = input.device.metadata.name.as_deref().unwrap_or_default();
    Trouble::new(
        reason::TOO_LARGE,
        format!(
            "it takes {} bytes, and with it all that {device} should have would take {all}, more than the {SET_MOST} of \
             one message; shorten its args and env, take them from a ConfigMap, or target another device",
            size(workload)
        ),
    )
}
