//! What holds of every plan, whatever the device and whatever is desired.

use proptest::prelude::*;

use crate::arbitrary::{Shape, Situation, situation};
use crate::check::check;
use crate::explain::explain;
use crate::model::ModelDevice;
use crate::plan;
use crate::observed::FailureReason;
use crate::step::{HeldCause, StepOutcome};

fn config() -> ProptestConfig {
    ProptestConfig { cases: cases(2000), failure_persistence: None, ..ProptestConfig::default() }
}

/// `PROPTEST_CASES` for long runs.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn words(situation: &Situation) -> Vec<String> {
    let Situation { desired, observed } = situation;
    explain(&plan(desired, observed), desired, observed)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_plan_breaks_a_rule(it in situation(Shape::Any)) {
        let plan = plan(&it.desired, &it.observed);
        prop_assert_eq!(check(&plan, &it.desired, &it.observed), vec![], "{:#?}", words(&it));
    }

    #[test]
    fn a_paused_device_gets_no_steps(mut it in situation(Shape::Any)) {
        it.desired.paused = true;
        prop_assert!(plan(&it.desired, &it.observed).steps.is_empty());
    }

    /// Invariant 1. What was held for another container's sake may find its way free now.
    #[test]
    fn planning_again_on_the_result_yields_nothing(it in situation(Shape::Any)) {
        let mut device = ModelDevice::new(it.observed.clone());
        let first = plan(&it.desired, &device.observed());
        let outcomes = device.apply(&it.desired, &first);
        prop_assert!(outcomes.iter().all(|o| matches!(o, StepOutcome::Done { .. })), "{outcomes:?}");
        prop_assert_eq!(device.broken(), &[] as &[String]);
        let after = Situation { desired: it.desired, observed: device.observed() };
        let second = plan(&after.desired, &after.observed);
        let in_the_way = |cause: &HeldCause| matches!(
            cause,
            HeldCause::PortConflict { .. }
                | HeldCause::NameConflict { .. }
                | HeldCause::Failed { reason: FailureReason::DependencyNotReady, .. }
        );
        let waiting = |workload| first.held.iter().any(|h| &h.key.workload == workload && in_the_way(&h.cause));
        let unexpected: Vec<_> = second.steps.iter().filter(|s| !waiting(&s.workload)).collect();
        prop_assert!(unexpected.is_empty(), "{unexpected:?} second: {after:?}");
        if second.steps.is_empty() {
            return Ok(());
        }
        let converged = (0..8).any(|_| {
            let again = plan(&after.desired, &device.observed());
            device.apply(&after.desired, &again);
            again.steps.is_empty()
        });
        prop_assert!(converged, "never ends: {after:?}");
    }
}
