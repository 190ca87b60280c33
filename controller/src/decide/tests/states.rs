//! How each workload stands on the device.

use super::*;

fn stands(world: &World) -> OnDevice {
    world.decide().workloads["hello"].state.clone()
}

#[test]
fn a_target_without_a_report_waits_and_says_how_much_it_should_have() {
    let mut world = World::new().with(&new());
    world.report = None;
    let state = stands(&world);
    assert!(matches!(state.verdict, Verdict::Progressing(_)));
    assert_eq!((state.desired, state.ready, state.updated), (1, 0, false));
    assert_eq!(
        world.decide().workloads["hello"].wanted_revision,
        Some(new().revision)
    );
}

#[test]
fn it_is_ready_only_once_the_device_has_accepted_it_as_it_is_declared() {
    let mut world = World::new().with(&new()).having(&[new()]);
    let told = Verdict::Progressing("the device is being told".into());
    assert_eq!(stands(&world).verdict, told);
    // Another workload of the device is on its way; this one stands as before.
    world.accepted = Some(fixtures::set(&[new()]));
    assert_eq!(stands(&world).verdict, Verdict::Ready);
    world.accepted = Some(fixtures::set(&[last()]));
    assert_eq!(stands(&world).verdict, told);
    assert_eq!(stands(&world.settled()).verdict, Verdict::Ready);
}

#[test]
fn what_cannot_be_rendered_is_stalled_and_what_runs_is_told_all_the_same() {
    let mut world = World::new().with(&new()).having(&[last()]).keeping(&last());
    world.workloads[0].rendered = Err(missing());
    let kept = stands(&world.clone().settled());
    assert_eq!(kept.verdict, Verdict::Stalled(missing()));
    assert_eq!((kept.desired, kept.ready, kept.updated), (1, 1, false));
    world.kept.clear();
    let forgotten = stands(&world);
    assert_eq!(forgotten.verdict, Verdict::Stalled(missing()));
    assert_eq!((forgotten.desired, forgotten.ready), (0, 0));
}

#[test]
fn what_is_ordered_away_is_being_removed() {
    for row in ROWS
        .iter()
        .filter(|row| row.traced == DELETED || row.traced == MOVED)
    {
        let decision = row.world().having(&[last()]).decide();
        let concern = &decision.workloads["hello"];
        assert_eq!(concern.state.verdict, Verdict::Removing, "{}", row.what);
        assert_eq!(
            concern.targeted,
            row.world().workloads[0].targeted,
            "{}",
            row.what
        );
        assert_eq!(concern.wanted_revision, None, "{}", row.what);
    }
}

#[test]
fn a_refused_plan_stalls_whatever_it_would_have_changed() {
    let mut world = World::new().with(&new());
    world.refused = Some("UnsupportedField: gpu".into());
    let Verdict::Stalled(trouble) = stands(&world).verdict else {
        panic!("not stalled");
    };
    assert_eq!(
        trouble,
        Trouble::new(reason::PLAN_REFUSED, "UnsupportedField: gpu")
    );
}

#[test]
fn of_a_device_that_is_away_only_what_is_wrong_with_the_declaration_is_told() {
    let away = Verdict::Offline("its agent disconnected".into());
    let base = stands(&World::new().with(&new()).having(&[new()]).settled());
    let after = |verdict| {
        let state = OnDevice {
            verdict,
            ..base.clone()
        };
        offline(state, away.clone()).verdict
    };
    for trouble in [missing(), Trouble::new(reason::INVALID_SPEC, "no")] {
        let stalled = Verdict::Stalled(trouble);
        assert_eq!(after(stalled.clone()), stalled);
    }
    for verdict in [
        Verdict::Ready,
        Verdict::Progressing(String::new()),
        Verdict::Retrying(missing()),
        Verdict::Stalled(Trouble::new("RolledBack", "")),
        Verdict::Unhealthy(missing()),
        Verdict::OnHold(missing()),
        Verdict::Removing,
    ] {
        assert_eq!(after(verdict), away);
    }
}
