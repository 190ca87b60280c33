//! The rest of a Workload's status: counts, names, words, generations and times.

use super::*;

#[test]
fn devices_are_counted_by_how_they_stand() {
    let mut facts = Facts::of(&[
        Verdict::Ready,
        Verdict::Unconfirmed { was_ready: true },
        Verdict::Unconfirmed { was_ready: false },
        Verdict::Progressing("on".into()),
        Verdict::Stalled(trouble("RolledBack")),
        Verdict::Retrying(trouble("ImageNotFound")),
        Verdict::Unhealthy(trouble("Unhealthy")),
        Verdict::OnHold(trouble("DevicePaused")),
        offline(),
        Verdict::Removing,
    ]);
    facts.unknown = ["x".to_owned(), "y".to_owned()].into();
    facts.devices[3].1.updated = true;
    facts.devices[3].1.drifted = true;
    let status = facts.status();
    assert_eq!(
        status.desired,
        Some(12),
        "names that no device has are targets all the same"
    );
    assert_eq!(status.ready, Some(2));
    assert_eq!(status.ready_devices.as_deref(), Some("2/12"));
    // Of the one that was ready before our restart its stored status says so.
    assert_eq!(status.updated, Some(3));
    assert_eq!(status.drifted, Some(1));
    assert_eq!(status.offline, Some(1));
    assert_eq!(status.failed, Some(3));
    let failing: Vec<(&str, &str)> = status
        .failing
        .iter()
        .map(|f| (f.device.as_str(), f.reason.as_str()))
        .collect();
    assert_eq!(
        failing,
        [
            ("dev5", "RolledBack"),
            ("dev6", "ImageNotFound"),
            ("dev7", "Unhealthy")
        ]
    );
    assert_eq!(status.failing[0].message.as_deref(), Some("words"));
}

#[test]
fn only_so_many_failing_devices_are_named_and_all_are_counted() {
    let facts = Facts::of(&vec![Verdict::Stalled(trouble("RolledBack")); 30]);
    let status = facts.status();
    assert_eq!(status.failing.len(), WorkloadStatus::MAX_FAILING);
    assert_eq!(status.failed, Some(30));
}

#[test]
fn a_failing_container_is_named() {
    let mut named = trouble("RolledBack");
    named.container = Some("web".into());
    let status = Facts::of(&[Verdict::Stalled(named)]).status();
    assert_eq!(status.failing[0].container.as_deref(), Some("web"));
}

#[test]
fn words_name_the_device_and_say_how_many_are_there() {
    for (facts, wanted) in [
        (Facts::of(&[Verdict::Ready]), "1/1 ready"),
        (Facts::of(&[Verdict::Ready, offline()]), "1/2 ready, 1 offline"),
        (
            Facts::of(&[
                Verdict::Ready,
                Verdict::Progressing("web: is being created".into()),
            ]),
            "1/2 ready; dev2: web: is being created",
        ),
        (
            Facts::of(&[Verdict::Removing]),
            "0/1 ready; dev1: is being taken off",
        ),
        (
            Facts::of(&[Verdict::Unhealthy(trouble("Unhealthy"))]),
            "dev1: words",
        ),
        (
            Facts::of(&[Verdict::Ready, Verdict::Ready]).with(|f| f.devices[1].1.drifted = true),
            "2/2 ready; differs from its declaration on dev2",
        ),
        (
            Facts::of(&[]).with(|f| f.unknown = ('a'..='g').map(String::from).collect()),
            "there is no device a, b, c, d, e and 2 more",
        ),
        (deleting(), "waiting for its devices"),
        (
            deleting().with(|f| f.leaving = vec!["dev1".into(), "dev2".into()]),
            "waiting for dev1, dev2",
        ),
    ] {
        assert_eq!(message(&facts.status(), ConditionType::Ready), wanted);
    }
    let overdue = Facts::of(&[Verdict::Retrying(trouble("ImageNotFound"))]).with(|f| f.overdue = true);
    assert_eq!(
        message(&overdue.status(), ConditionType::Stalled),
        "not there within the progress deadline: dev1: words"
    );
}

#[test]
fn the_observed_generation_is_that_of_the_spec_decided_on_everywhere() {
    for row in rows() {
        let facts = row.facts.with(|f| f.workload.metadata.generation = Some(7));
        let status = facts.status();
        assert_eq!(status.observed_generation, Some(7), "{}", row.what);
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(7), "{}", row.what);
        }
    }
}

#[test]
fn a_status_of_an_older_generation_is_in_progress_to_kstatus_whatever_it_says() {
    let facts = Facts::of(&[Verdict::Ready]);
    let status = facts.status();
    assert_eq!(kstatus(&facts.workload, &status), "Current");
    let newer = facts.with(|f| f.workload.metadata.generation = Some(2));
    assert_eq!(kstatus(&newer.workload, &status), "InProgress");
    assert_eq!(kstatus(&newer.workload, &newer.status()), "Current");
}

#[test]
fn the_same_again_is_the_same_status_and_a_transition_has_its_time() {
    for row in rows() {
        let first = row.facts.status();
        assert_eq!(row.facts.status_after(&first, 99), first, "{}", row.what);
    }
    let ready = Facts::of(&[Verdict::Ready]).status();
    let sick = Facts::of(&[Verdict::Unhealthy(trouble("Unhealthy"))]).status_after(&ready, 50);
    let time = |status: &WorkloadStatus, kind| {
        let condition = conditions::find(&status.conditions, kind).unwrap();
        condition.last_transition_time.clone()
    };
    assert_eq!(time(&sick, ConditionType::Ready), at(50));
    assert_eq!(time(&sick, ConditionType::Stalled), at(1));
}

#[test]
fn the_last_revision_stays_while_nothing_can_be_rendered() {
    let before = Facts::of(&[Verdict::Ready]).status();
    assert_eq!(before.revision.as_deref(), Some("r1"));
    let broken = Facts::of(&[Verdict::Stalled(trouble("ContentMissing"))])
        .with(|f| f.rendered = Err(trouble("ContentMissing")));
    assert_eq!(broken.status_after(&before, 2).revision.as_deref(), Some("r1"));
    assert_eq!(broken.status().revision, None);
}

#[test]
fn the_deletion_policy_is_nobody_elses_business() {
    let orphan = deleting().with(|f| f.workload.spec.deletion_policy = Some(DeletionPolicy::Orphan));
    assert_eq!(orphan.status().conditions, deleting().status().conditions);
}
