use longshore_plan::desired::{DesiredSet, Removal, RemovalReason};
use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, RuntimeState};
use longshore_plan::step::Reason;

use super::*;
use crate::fixtures::{hello, label, observed_from};

fn step(action: Action, id: Option<&str>) -> Step {
    Step {
        workload: label("hello"),
        action,
        precondition: id.map_or(Precondition::Absent, |id| Precondition::Is {
            id: EngineId(id.to_owned()),
        }),
        reason: Reason::Changed,
    }
}

fn web() -> longshore_plan::names::DnsLabel {
    label("web")
}

#[test]
fn a_step_nobody_ran_counts_as_done_only_if_what_it_was_for_is_there() {
    let mut network = hello("hello:1");
    network.workloads[0]
        .networks
        .push(longshore_plan::desired::DesiredNetwork {
            name: "hello.net".to_owned(),
            driver: None,
            subnet: None,
            internal: false,
            options: BTreeMap::new(),
        });
    let mut removed = DesiredSet::default();
    removed.removals.push(Removal {
        workload: label("hello"),
        reason: RemovalReason::Deleted,
    });
    let running = observed_from(&hello("hello:1"));
    let mut empty = running.clone();
    empty.containers.clear();
    empty.applied.clear();
    let mut paused = hello("hello:1");
    paused.paused = true;
    let mut stopped = running.clone();
    stopped.containers[0].state = ContainerState::Exited {
        exit_code: 0,
        oom_killed: false,
    };
    let mut away = running.clone();
    away.runtime = RuntimeState::Unavailable {
        message: "gone".to_owned(),
    };
    let create = || step(Action::CreateContainer { container: web() }, None);
    let replace = || step(Action::ReplaceContainer { container: web() }, Some("old"));
    let remove = |id| step(Action::RemoveContainer { container: web() }, Some(id));
    let stop = || step(Action::StopContainer { container: web() }, Some("id-hello.web"));
    let pull = || {
        let image = "hello:1".to_owned();
        step(
            Action::PullImage {
                container: web(),
                image,
            },
            None,
        )
    };
    let make_network = || {
        step(
            Action::CreateNetwork {
                name: "hello.net".to_owned(),
            },
            None,
        )
    };
    let wanted = hello("hello:1");
    for (what, step, desired, observed, done) in [
        ("it is there", create(), &wanted, &running, true),
        (
            "its image was needed for what is there",
            pull(),
            &wanted,
            &running,
            true,
        ),
        ("another way led there", replace(), &wanted, &running, true),
        ("it is still to be made", create(), &wanted, &empty, false),
        (
            "something else is to be done first",
            replace(),
            &wanted,
            &empty,
            false,
        ),
        ("the device is paused", create(), &paused, &empty, false),
        ("what is held needs its image", pull(), &paused, &empty, false),
        ("nobody can tell", replace(), &hello("hello:2"), &away, false),
        ("that one is gone", remove("another"), &removed, &running, true),
        (
            "that one is there",
            remove("id-hello.web"),
            &removed,
            &running,
            false,
        ),
        ("it does not run", stop(), &wanted, &stopped, true),
        ("it still runs", stop(), &wanted, &running, false),
        (
            "it is made for nobody else",
            make_network(),
            &network,
            &running,
            false,
        ),
    ] {
        let now = longshore_plan::plan(desired, observed);
        let why = undone(&step, observed, &now);
        assert_eq!(why.is_none(), done, "{what}: {why:?}");
    }
}
