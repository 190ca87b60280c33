use proptest::prelude::*;

use longshore_crds::{DeviceSpec, WorkloadSpec};

use super::*;

fn device(namespace: &str, name: &str) -> Device {
    let mut device = Device::new(name, DeviceSpec::default());
    device.metadata.namespace = Some(namespace.into());
    device
}

fn workload(namespace: &str, name: &str, devices: &[&str]) -> Workload {
    let targets = devices
        .iter()
        .map(|device| Target {
            device: (*device).into(),
        })
        .collect();
    let mut workload = Workload::new(
        name,
        WorkloadSpec {
            targets,
            ..WorkloadSpec::default()
        },
    );
    workload.metadata.namespace = Some(namespace.into());
    workload
}

#[test]
fn a_workload_is_placed_on_the_devices_it_names() {
    let devices = [device("a", "dev1"), device("a", "dev2"), device("b", "dev1")];
    let workloads = [
        workload("a", "one", &["dev1"]),
        workload("a", "both", &["dev2", "dev1", "dev2"]),
        workload("b", "other", &["dev1", "dev2"]),
        workload("a", "nowhere", &[]),
    ];
    let placement = place(&workloads, &devices);
    let of = |namespace: &str, name: &str| {
        let device = ObjectKey::new(namespace, name);
        placement
            .workloads_of(&device)
            .map(|w| w.name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("a", "dev1"), ["both", "one"]);
    assert_eq!(of("a", "dev2"), ["both"]);
    assert_eq!(of("b", "dev1"), ["other"]);
    assert_eq!(of("b", "dev2"), [""; 0]);
    let other = placement.targets_of(&ObjectKey::new("b", "other")).unwrap();
    assert_eq!(other.unknown, BTreeSet::from(["dev2".to_owned()]));
    assert_eq!(
        placement.targets_of(&ObjectKey::new("a", "nowhere")),
        Some(&Targets::default())
    );
    assert_eq!(placement.targets_of(&ObjectKey::new("a", "never-seen")), None);
    assert!(placement.contains(&ObjectKey::new("a", "one"), &ObjectKey::new("a", "dev1")));
    assert!(!placement.contains(&ObjectKey::new("a", "one"), &ObjectKey::new("a", "dev2")));
}

proptest! {
    #[test]
    fn both_sides_agree_whatever_the_order(
        named in prop::collection::vec(prop::collection::vec(0..6u8, 0..5), 0..6),
        present in prop::collection::btree_set(0..6u8, 0..6),
    ) {
        let name = |n: u8| format!("dev{n}");
        let mut devices: Vec<_> = present.iter().map(|n| device("t", &name(*n))).collect();
        let mut workloads: Vec<_> = named.iter().enumerate().map(|(i, devices)| {
            let devices: Vec<String> = devices.iter().map(|n| name(*n)).collect();
            let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
            workload("t", &format!("w{i}"), &devices)
        }).collect();
        let placement = place(&workloads, &devices);
        for (i, wanted) in named.iter().enumerate() {
            let key = ObjectKey::new("t", format!("w{i}"));
            for n in 0..6 {
                let device = ObjectKey::new("t", name(n));
                let placed = wanted.contains(&n) && present.contains(&n);
                prop_assert_eq!(placement.contains(&key, &device), placed);
                prop_assert_eq!(placement.workloads_of(&device).any(|w| *w == key), placed);
                let unknown = wanted.contains(&n) && !present.contains(&n);
                prop_assert_eq!(placement.targets_of(&key).unwrap().unknown.contains(&name(n)), unknown);
            }
        }
        devices.reverse();
        workloads.reverse();
        prop_assert_eq!(place(&workloads, &devices), placement);
    }
}
