//! What nobody answers for is told, and left as it is.

use super::*;

fn orphans(world: &World) -> Vec<String> {
    world.decide().orphans
}

#[test]
fn containers_of_a_workload_that_is_gone_are_orphans_by_their_engine_names() {
    let mut other = fixtures::workload("other", &[("x", "i")]);
    other.containers[0].engine_name = "called-by-hand".into();
    let world = World::new().having(&[last(), other]);
    assert_eq!(orphans(&world), ["called-by-hand", "hello.web"]);
    assert_eq!(world.decide().plan.unwrap().steps, []);
    assert!(
        world.decide().workloads.is_empty(),
        "and nobody has a status for them"
    );
}

#[test]
fn what_is_desired_or_ordered_away_is_no_orphan() {
    assert_eq!(orphans(&World::new().with(&new()).having(&[last()])), [""; 0]);
    let row = ROWS.iter().find(|row| row.traced == DELETED).unwrap();
    assert_eq!(orphans(&row.world().having(&[last()])), [""; 0]);
}

#[test]
fn a_workload_that_ends_and_leaves_its_containers_makes_orphans_of_them() {
    for ending in [Ending::Explicit(DeletionPolicy::Orphan), Ending::Collateral] {
        let mut world = World::new().with(&new()).having(&[last()]);
        world.workloads[0].ending = ending;
        assert_eq!(orphans(&world), ["hello.web"], "{ending:?}");
    }
}

#[test]
fn containers_of_a_workload_that_exists_are_no_orphans_even_when_it_is_left_out() {
    let exists = |row: &&Row| {
        let world = row.world();
        matches!(world.workloads[0].ending, Ending::Alive | Ending::Unexplained)
    };
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(exists)
        .filter(|row| row.forgotten == OUT)
        .collect();
    assert!(rows.len() > 3);
    for row in rows {
        assert_eq!(orphans(&row.world().having(&[last()])), [""; 0], "{}", row.what);
    }
    // Nor while it is not known yet whether their device's end was meant.
    let mut world = World::new().with(&new()).having(&[last()]);
    world.device_ending = Ending::Unexplained;
    assert_eq!(orphans(&world), [""; 0]);
}

#[test]
fn an_orphan_that_is_declared_again_is_taken_as_it_is() {
    let orphaned = World::new().having(&[new()]);
    assert_eq!(orphans(&orphaned), ["hello.web"]);
    let declared = orphaned.with(&new());
    assert_eq!(orphans(&declared), [""; 0]);
    assert_eq!(
        declared.decide().plan.unwrap().steps,
        [],
        "adopted, not made anew"
    );
}
