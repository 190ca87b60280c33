//! Ports and names that two want.

use super::{acts, empty, failure, held, planned, set};
use crate::arbitrary::{applied, container, key, object, publish, workload};
use crate::desired::{DesiredContainer, DesiredSet, Removal, RemovalReason};
use crate::hash::spec_hash;
use crate::model::ModelDevice;
use crate::observed::{ContainerState, FailureReason, HostPort, Observed, Retry, Unmanaged};
use crate::spec::Protocol;
use crate::step::HeldCause;

fn on_port(workload: &str, name: &str, port: u16) -> DesiredContainer {
    let mut made = container(workload, name, "i:1");
    publish(&mut made, port);
    made
}

/// Workloads `aa` and `bb`, each with a container `x` on port 80.
fn two() -> DesiredSet {
    set(vec![
        workload("aa", vec![on_port("aa", "x", 80)]),
        workload("bb", vec![on_port("bb", "x", 80)]),
    ])
}

fn conflict(with: &str) -> Vec<HeldCause> {
    vec![HeldCause::PortConflict {
        port: 80,
        with: with.into(),
    }]
}

fn running(desired: &DesiredSet, workload: usize) -> Observed {
    let of = &desired.workloads[workload];
    let made = &of.containers[0];
    Observed {
        containers: vec![object(of.name.as_str(), made, "id1")],
        applied: vec![applied(of.name.as_str(), made)],
        ..empty()
    }
}

#[test]
fn a_port_of_a_stranger_is_never_fought_for() {
    let desired = set(vec![workload("aa", vec![on_port("aa", "x", 80)])]);
    let host_ports = vec![HostPort {
        port: 80,
        protocol: Protocol::Tcp,
    }];
    let mut observed = Observed {
        unmanaged: vec![Unmanaged {
            name: "nginx".into(),
            host_ports,
        }],
        ..empty()
    };
    assert_eq!(held(&desired, &observed, &key("aa", "x")), conflict("nginx"));
    observed.unmanaged[0].host_ports[0].protocol = Protocol::Udp;
    assert_eq!(acts(&desired, &observed).len(), 2);
}

#[test]
fn among_equals_the_holder_keeps_the_port_and_else_the_name_decides() {
    let desired = two();
    assert_eq!(held(&desired, &empty(), &key("bb", "x")), conflict("aa.x"));
    let observed = running(&desired, 1);
    assert_eq!(held(&desired, &observed, &key("aa", "x")), conflict("bb.x"));
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
}

#[test]
fn a_strictly_higher_priority_has_the_holder_stopped_right_before() {
    let mut desired = two();
    desired.workloads[0].priority = 1;
    let observed = running(&desired, 1);
    assert_eq!(
        acts(&desired, &observed),
        ["pull i:1 for aa.x", "stop bb.x", "create aa.x"]
    );
    assert_eq!(held(&desired, &observed, &key("bb", "x")), conflict("aa.x"));

    // And that is the end of it.
    let mut device = ModelDevice::new(observed, &desired);
    device.apply(&desired, &planned(&desired, &device.observed()).0);
    assert_eq!(acts(&desired, &device.observed()), Vec::<String>::new());
}

#[test]
fn nobody_is_stopped_for_one_that_cannot_come() {
    let mut desired = two();
    desired.workloads[0].priority = 1;
    let mut observed = running(&desired, 1);
    let newcomer = desired.workloads[0].containers[0].clone();
    observed.failures = vec![failure(
        "aa",
        &newcomer,
        FailureReason::ImageNotFound,
        Retry::Waiting,
    )];
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    // One that was stopped for it comes back.
    observed.containers[0].state = ContainerState::Exited {
        exit_code: 143,
        oom_killed: false,
    };
    assert_eq!(acts(&desired, &observed), ["start bb.x"]);
}

#[test]
fn nobody_is_stopped_for_one_whose_pull_fails_in_the_same_plan() {
    let mut desired = two();
    desired.workloads[0].priority = 1;
    let mut device = ModelDevice::new(running(&desired, 1), &desired);
    let newcomer = &desired.workloads[0].containers[0];
    device.inject(key("aa", "x"), newcomer.hash.clone(), crate::model::Micro::Pull);
    device.apply(&desired, &planned(&desired, &device.observed()).0);
    assert!(device.observed().containers[0].state.is_up());
}

#[test]
fn one_that_cannot_be_stopped_keeps_its_port() {
    let mut desired = two();
    desired.workloads[0].priority = 1;
    let mut observed = running(&desired, 1);
    let loser = desired.workloads[1].containers[0].clone();
    observed.failures = vec![failure("bb", &loser, FailureReason::RemoveFailed, Retry::Waiting)];
    assert_eq!(acts(&desired, &observed), Vec::<String>::new());
    assert_eq!(held(&desired, &observed, &key("aa", "x")), conflict("bb.x"));
}

#[test]
fn different_addresses_of_the_host_do_not_clash() {
    let mut desired = two();
    for (i, workload) in desired.workloads.iter_mut().enumerate() {
        let made = &mut workload.containers[0];
        made.spec.ports[0].host_ip = Some(format!("10.0.0.{i}").parse().unwrap());
        made.hash = spec_hash(&made.spec);
    }
    assert_eq!(acts(&desired, &empty()).len(), 4);
    desired.workloads[0].containers[0].spec.ports[0].host_ip = Some("0.0.0.0".parse().unwrap());
    assert_eq!(held(&desired, &empty(), &key("bb", "x")), conflict("aa.x"));
}

#[test]
fn what_is_given_up_counts_as_free_and_goes_first() {
    // bb.x moves from 80 to 81, and aa.x comes to 80.
    let mut desired = two();
    let before = running(&desired, 1);
    desired.workloads[1].containers[0] = on_port("bb", "x", 81);
    assert_eq!(
        acts(&desired, &before),
        [
            "pull i:1 for bb.x",
            "pull i:1 for aa.x",
            "replace bb.x",
            "create aa.x"
        ]
    );
    // Or bb goes altogether.
    let mut desired = two();
    desired.workloads.pop();
    let removal = Removal {
        workload: crate::arbitrary::label("bb"),
        reason: RemovalReason::Deleted,
    };
    desired.removals.push(removal);
    assert_eq!(
        acts(&desired, &before),
        [
            "pull i:1 for aa.x",
            "remove bb.x (id1) with its anonymous volumes",
            "create aa.x"
        ]
    );
}

#[test]
fn two_that_would_swap_ports_keep_what_they_have() {
    let before = set(vec![
        workload("aa", vec![on_port("aa", "x", 80)]),
        workload("bb", vec![on_port("bb", "x", 81)]),
    ]);
    let mut observed = running(&before, 0);
    observed
        .containers
        .push(object("bb", &before.workloads[1].containers[0], "id2"));
    let after = set(vec![
        workload("aa", vec![on_port("aa", "x", 81)]),
        workload("bb", vec![on_port("bb", "x", 80)]),
    ]);
    assert_eq!(acts(&after, &observed), Vec::<String>::new());
    assert_eq!(held(&after, &observed, &key("bb", "x")), conflict("aa.x"));
}

#[test]
fn a_port_of_a_suspended_or_orphaned_container_is_taken() {
    let mut desired = two();
    desired.workloads[0].priority = 9;
    let observed = running(&desired, 1);
    desired.workloads[1].suspend = true;
    assert_eq!(held(&desired, &observed, &key("aa", "x")), conflict("bb.x"));
    desired.workloads.pop();
    assert_eq!(held(&desired, &observed, &key("aa", "x")), conflict("bb.x"));
}

#[test]
fn a_name_is_never_taken_from_one_that_exists() {
    let mut desired = set(vec![
        workload("aa", vec![container("aa", "x", "i:1")]),
        workload("bb", vec![container("bb", "x", "i:1")]),
    ]);
    for workload in &mut desired.workloads {
        workload.containers[0].engine_name = "shared".into();
    }
    let conflict = |with: &str| {
        vec![HeldCause::NameConflict {
            name: "shared".into(),
            with: with.into(),
        }]
    };
    assert_eq!(held(&desired, &empty(), &key("bb", "x")), conflict("aa.x"));
    desired.workloads[0].priority = 1;
    assert_eq!(
        held(&desired, &running(&desired, 1), &key("aa", "x")),
        conflict("bb.x")
    );
    let unmanaged = vec![Unmanaged {
        name: "shared".into(),
        host_ports: Vec::new(),
    }];
    let observed = Observed { unmanaged, ..empty() };
    assert_eq!(held(&desired, &observed, &key("aa", "x")), conflict("shared"));
}

#[test]
fn a_name_that_is_given_up_is_free_behind_it() {
    let mut desired = set(vec![
        workload("aa", vec![container("aa", "x", "i:1")]),
        workload("bb", vec![container("bb", "x", "i:1")]),
    ]);
    desired.workloads[0].containers[0].engine_name = "web".into();
    desired.workloads[1].containers[0].engine_name = "web".into();
    let observed = running(&desired, 1);
    desired.workloads[1].containers[0].engine_name = "other".into();
    assert_eq!(
        acts(&desired, &observed),
        ["pull i:1 for aa.x", "rename bb.x", "create aa.x"]
    );
}
