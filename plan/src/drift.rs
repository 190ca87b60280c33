//! Drift (signature fixed; body under way).
use crate::desired::DesiredSet;
use crate::observed::{Drift, Observed};

/// The differences nobody declared, sorted, at most [`crate::observed::MAX_DRIFT`].
pub fn drift(_desired: &DesiredSet, _observed: &Observed) -> Vec<Drift> {
    Vec::new()
}
