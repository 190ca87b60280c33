//! The words of a plan (signature fixed; body under way).
use crate::desired::DesiredSet;
use crate::observed::Observed;
use crate::step::Plan;

/// One line a step, then one line a held container. No secrets.
pub fn explain(_plan: &Plan, _desired: &DesiredSet, _observed: &Observed) -> Vec<String> {
    Vec::new()
}
