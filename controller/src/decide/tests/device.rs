//! The device itself: paused, on its way out, done.

use super::*;

#[test]
fn what_is_left_of_a_device_that_is_being_deleted() {
    let ending = |ending| {
        let mut world = World::new().with(&new()).having(&[last()]).keeping(&last());
        world.device_ending = ending;
        let decision = world.decide();
        (fate(&decision), decision.plan.is_some())
    };
    let decommissioned = "ordered away: Decommissioned".to_owned();
    assert_eq!(ending(Ending::Alive), (NEW.to_owned(), true));
    assert_eq!(
        ending(Ending::Explicit(DeletionPolicy::Delete)),
        (decommissioned, true)
    );
    // Nobody said a word about its containers, or said that they stay: it is not told anything any more.
    for silent in [
        Ending::Explicit(DeletionPolicy::Orphan),
        Ending::Collateral,
        Ending::Unexplained,
    ] {
        assert_eq!(ending(silent), (OUT.to_owned(), false), "{silent:?}");
    }
}

#[test]
fn a_decommissioned_device_is_rid_of_orphans_as_well() {
    let mut world = World::new().having(&[last()]);
    world.device_ending = Ending::Explicit(DeletionPolicy::Delete);
    assert_eq!(fate(&world.decide()), "ordered away: Decommissioned");
}

#[test]
fn the_workloads_of_a_device_that_is_being_deleted_are_told_so() {
    let word = |ending, observed: &[longshore_plan::desired::DesiredWorkload]| {
        let mut world = World::new().with(&new()).having(observed);
        world.device_ending = ending;
        let decision = world.settled().decide();
        let concern = &decision.workloads["hello"];
        assert!(concern.targeted);
        assert_eq!(concern.wanted_revision, None);
        concern.state.verdict.word().to_owned()
    };
    let delete = Ending::Explicit(DeletionPolicy::Delete);
    assert_eq!(word(delete, &[new()]), "Removing");
    assert_eq!(word(delete, &[]), "Removing", "also when nothing of it is left");
    for ending in [
        Ending::Explicit(DeletionPolicy::Orphan),
        Ending::Collateral,
        Ending::Unexplained,
    ] {
        assert_eq!(word(ending, &[new()]), reason::DELETING, "{ending:?}");
    }
}

#[test]
fn a_paused_device_knows_that_it_is_and_nothing_on_it_changes() {
    let mut world = World::new().with(&new()).having(&[last()]);
    world.device.spec.paused = Some(true);
    let decision = world.decide();
    assert!(decision.desired.paused);
    assert_eq!(decision.plan.unwrap().steps, []);
    assert_eq!(
        decision.workloads["hello"].state.verdict.word(),
        reason::DEVICE_PAUSED
    );
}

#[test]
fn a_device_is_bare_once_it_has_nothing_and_knows_that_it_should_not() {
    let mut world = World::new().having(&[last()]);
    world.device_ending = Ending::Explicit(DeletionPolicy::Delete);
    assert!(!world.clone().settled().decide().is_bare(), "it has something");
    *world.observed() = running(&[]);
    assert!(!world.decide().is_bare(), "it was told to remove something");
    let mut world = world.settled();
    assert!(world.decide().is_bare());
    world.report.as_mut().unwrap().busy = true;
    assert!(!world.decide().is_bare(), "it is still at it");
    world.report = None;
    assert!(!world.decide().is_bare(), "nobody knows");
}

#[test]
fn a_device_is_clean_of_a_workload_once_it_neither_has_nor_wants_it() {
    let gone = || World::new().having(&[fixtures::workload("other", &[("x", "i")])]);
    assert!(
        !gone().decide().is_clean_of("hello"),
        "it has not accepted that yet"
    );
    assert!(gone().settled().decide().is_clean_of("hello"));
    assert!(
        !gone().settled().decide().is_clean_of("other"),
        "an orphan is a trace"
    );
    assert!(!gone().with(&new()).settled().decide().is_clean_of("hello"));
    let mut busy = gone().settled();
    busy.report.as_mut().unwrap().busy = true;
    assert!(!busy.decide().is_clean_of("hello"));
}

#[test]
fn a_workload_concerns_its_targets_and_those_that_have_something_of_it() {
    let decision = World::new()
        .with(&new())
        .having(&[fixtures::workload("other", &[("x", "i")])]);
    let decision = decision.decide();
    assert!(decision.concerns("hello"));
    assert!(decision.concerns("other"));
    assert!(!decision.concerns("third"));
}
