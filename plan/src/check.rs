//! The invariants of a plan (signature fixed; body under way).
use crate::desired::DesiredSet;
use crate::observed::Observed;
use crate::step::Plan;

/// One broken invariant of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The step concerned, by its place in the plan, if it is one.
    pub step: Option<usize>,
    /// Which rule.
    pub rule: &'static str,
    /// In words.
    pub message: String,
}

/// Every invariant `plan` breaks; empty for every plan [`crate::plan`] makes.
pub fn check(_plan: &Plan, _desired: &DesiredSet, _observed: &Observed) -> Vec<Violation> {
    Vec::new()
}
