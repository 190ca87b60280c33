//! No report makes it panic, and none makes it say more than was reported.

use proptest::prelude::*;

use super::*;
use crate::fixtures::arbitrary::{desired, observed, one_each};

fn cases() -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2));
    let refused = prop::option::weighted(0.1, ".{0,8}");
    // Half of the time something of it runs as declared.
    let as_declared = any::<bool>();
    (desired("a"), observed(), flags, refused, as_declared).prop_map(
        |(workload, mut observed, (accepted, paused), refused, as_declared)| {
            if as_declared {
                let good = running(std::slice::from_ref(&workload));
                observed.containers.extend(good.containers);
                let applied = good.applied.into_iter().chain(observed.applied).collect();
                observed.applied = one_each(applied);
            }
            Case {
                workload,
                observed,
                accepted,
                paused,
                refused,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn ready_is_said_only_of_what_was_seen_running_healthily_or_done(case in cases()) {
        let state = case.judge();
        prop_assert!(state.ready <= state.desired);
        prop_assert_eq!(state.desired as usize, case.workload.containers.len());
        if state.verdict != Verdict::Ready {
            return Ok(());
        }
        prop_assert!(case.accepted && case.refused.is_none());
        let answers = matches!(case.observed.runtime, RuntimeState::Ready { .. });
        prop_assert!(answers, "{:?}", case.observed.runtime);
        prop_assert_eq!(state.ready, state.desired);
        for container in &case.workload.containers {
            let key = case.workload.key(container);
            let runs = case.observed.containers.iter().any(|o| {
                o.key == key
                    && o.state == ContainerState::Running
                    && o.health == Health::Healthy
                    && (o.hash == container.hash || !o.hash.is_known_version())
            });
            let done = container.config.restart_policy == RestartPolicy::Never
                && case.observed.applied.iter().any(|a| a.key == key && a.completed);
            prop_assert!(runs || done, "{key}");
        }
    }

    #[test]
    fn an_empty_report_claims_nothing(case in cases()) {
        let runtime = case.observed.runtime.clone();
        let empty = case.with(|c| c.observed = Observed { runtime, ..Observed::default() });
        let state = empty.judge();
        prop_assert_ne!(&state.verdict, &Verdict::Ready);
        prop_assert_eq!((state.ready, state.updated, state.drifted), (0, false, false));
        prop_assert_eq!(state.revision, None);
    }

    #[test]
    fn whatever_fails_is_told_with_a_reason_and_words_that_end(case in cases()) {
        let state = case.judge();
        if let Some(trouble) = state.verdict.failure() {
            prop_assert!(!trouble.reason.is_empty());
            prop_assert!(trouble.message.len() < 1000);
        }
        prop_assert!(!state.verdict.word().is_empty());
    }

    #[test]
    fn what_is_on_its_way_is_moved_by_somebody(case in cases()) {
        let desired = DesiredSet { paused: case.paused, ..set(std::slice::from_ref(&case.workload)) };
        let plan = longshore_plan::plan(&desired, &case.observed);
        let answers = matches!(case.observed.runtime, RuntimeState::Ready { .. });
        // Nothing is planned, and no container is between two states: then nothing is on its way.
        let settled = case.observed.containers.iter().all(|o| {
            o.state != ContainerState::Created
                && (o.state != ContainerState::Running || matches!(o.health, Health::Healthy | Health::Unhealthy))
        });
        if plan.steps.is_empty() && case.accepted && answers && settled {
            let verdict = case.judge().verdict;
            prop_assert!(!matches!(verdict, Verdict::Progressing(_)), "{verdict:?} {plan:?}");
        }
    }
}
