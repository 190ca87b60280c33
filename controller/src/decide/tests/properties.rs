//! What holds whatever the workloads, the device and its report are.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::fixtures::arbitrary::{WORKLOADS, desired, reports};

fn endings() -> impl Strategy<Value = Ending> {
    let rest = select(vec![
        Ending::Unexplained,
        Ending::Collateral,
        Ending::Explicit(DeletionPolicy::Delete),
        Ending::Explicit(DeletionPolicy::Orphan),
    ]);
    prop_oneof![2 => Just(Ending::Alive), 1 => rest]
}

fn known(name: &'static str) -> impl Strategy<Value = Known> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (desired(name), endings(), flags).prop_map(
        move |(workload, ending, (targeted, renders, finalizer, suspend))| {
            let mut object = workload_object(name);
            object.spec.suspend = Some(suspend);
            if !finalizer {
                object.metadata.finalizers = None;
            }
            Known {
                object,
                ending,
                targeted,
                rendered: if renders {
                    Ok(rendered(&workload))
                } else {
                    Err(missing())
                },
            }
        },
    )
}

fn worlds() -> impl Strategy<Value = World> {
    let each = |strategy: fn(&'static str) -> BoxedStrategy<Known>| {
        WORKLOADS.map(|name| prop::option::weighted(0.7, strategy(name)))
    };
    let workloads = each(|name| known(name).boxed());
    let kept = WORKLOADS.map(|name| prop::option::of((desired(name), any::<bool>())));
    let pending = vec(select(vec!["a", "b", "no name", "z"]), 0..3);
    let device = (
        prop_oneof![3 => Just(Ending::Alive), 1 => endings()],
        any::<bool>(),
        pending,
    );
    let report = prop::option::weighted(0.9, reports());
    (workloads, kept, device, report, any::<bool>()).prop_map(
        |(workloads, kept, (device_ending, paused, pending), report, settled)| {
            let mut world = World::new();
            world.workloads = workloads.into_iter().flatten().collect();
            world.kept = kept
                .into_iter()
                .flatten()
                .map(|(workload, same)| {
                    let name = workload.name.to_string();
                    let uid = if same {
                        format!("uid-{name}")
                    } else {
                        "other".into()
                    };
                    (name, (uid, rendered(&workload)))
                })
                .collect();
            world.device_ending = device_ending;
            world.device.spec.paused = Some(paused);
            let pending = pending.join(",");
            world.device.metadata.annotations = Some([(finalizer::PENDING.into(), pending)].into());
            world.report = report;
            if settled { world.settled() } else { world }
        },
    )
}

/// Whether somebody said that the workload shall go from this device.
fn is_ordered(world: &World, removal: &Removal) -> bool {
    let name = removal.workload.as_str();
    let known = world
        .workloads
        .iter()
        .find(|k| k.object.metadata.name.as_deref() == Some(name));
    match (removal.reason, known) {
        (RemovalReason::Decommissioned, _) => world.device_ending == Ending::Explicit(DeletionPolicy::Delete),
        (RemovalReason::Deleted, Some(known)) => known.ending == Ending::Explicit(DeletionPolicy::Delete),
        (RemovalReason::Deleted, None) => finalizer::pending(&world.device).contains(name),
        (RemovalReason::MovedAway, Some(known)) => {
            known.ending == Ending::Alive && !known.targeted && known.object.spec.suspend != Some(true)
        }
        (RemovalReason::MovedAway, None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_ordered_away_that_nobody_ordered_away(world in worlds()) {
        let decision = world.decide();
        let set = &decision.desired;
        for removal in &set.removals {
            prop_assert!(is_ordered(&world, removal), "{removal:?}");
            prop_assert!(set.workload(&removal.workload).is_none(), "{removal:?} and desired");
            prop_assert!(decision.traces.contains(&removal.workload), "{removal:?} of nothing");
        }
        prop_assert!(set.workloads.is_sorted_by(|a, b| a.name < b.name));
        prop_assert!(set.removals.is_sorted_by(|a, b| a.workload < b.workload));
    }

    #[test]
    fn a_plan_touches_only_what_is_desired_or_ordered_away(world in worlds()) {
        let decision = world.decide();
        for step in decision.plan.iter().flat_map(|plan| &plan.steps) {
            let desired = decision.desired.workload(&step.workload).is_some();
            let ordered = decision.desired.removals.iter().any(|r| r.workload == step.workload);
            prop_assert!(desired || ordered, "{step}");
        }
        // There is a plan exactly when there is a report, and somebody who may be told.
        let told = matches!(
            world.device_ending,
            Ending::Alive | Ending::Explicit(DeletionPolicy::Delete)
        );
        prop_assert_eq!(decision.plan.is_some(), told && world.report.is_some());
    }

    #[test]
    fn that_workloads_are_missing_removes_nothing(world in worlds()) {
        let mut empty = world.clone();
        empty.workloads.clear();
        empty.device_ending = Ending::Alive;
        empty.device.metadata.annotations = None;
        let decision = empty.decide();
        prop_assert!(decision.desired.removals.is_empty());
        let steps = decision.plan.map(|plan| plan.steps).unwrap_or_default();
        prop_assert!(steps.is_empty(), "{steps:?}");
    }

    #[test]
    fn what_nobody_answers_for_is_an_orphan_and_nothing_else_is(world in worlds()) {
        let decision = world.decide();
        let Some(report) = &world.report else { return Ok(()) };
        for container in &report.observed.containers {
            let name = &container.key.workload;
            let orphan = decision.orphans.contains(&container.engine_name);
            let desired = decision.desired.workload(name).is_some();
            let ordered = decision.desired.removals.iter().any(|r| &r.workload == name);
            let answers = |known: &Known| {
                known.object.metadata.name.as_deref() == Some(name.as_str())
                    && matches!(known.ending, Ending::Alive | Ending::Unexplained)
            };
            let answered = world.workloads.iter().any(answers);
            prop_assert!(desired || ordered || orphan || answered, "{}", container.key);
            prop_assert!(!(orphan && answered), "{}", container.key);
        }
    }

    #[test]
    fn deciding_again_on_the_same_changes_nothing(world in worlds()) {
        let once = world.decide();
        prop_assert_eq!(&world.decide(), &once);
        let mut next = world;
        next.kept.clone_from(&once.kept);
        prop_assert_eq!(next.decide(), once);
    }

    #[test]
    fn a_workload_is_ready_only_if_that_was_observed(world in worlds()) {
        let decision = world.decide();
        for (name, concern) in &decision.workloads {
            let state = &concern.state;
            prop_assert!(state.ready <= state.desired, "{name}: {state:?}");
            if state.verdict == Verdict::Ready {
                prop_assert!(world.report.is_some());
                prop_assert!(concern.targeted && state.updated, "{name}: {state:?}");
                prop_assert_eq!(state.ready, state.desired);
                prop_assert!(decision.desired.workloads.iter().any(|w| w.name.as_str() == name));
            }
        }
        if world.report.is_none() {
            prop_assert!(decision.workloads.values().all(|c| c.state.ready == 0 && !c.state.updated));
        }
    }
}
