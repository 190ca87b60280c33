//! Whatever is declared and reported: a preview is made, and says no secret.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::fixtures::arbitrary::observed;

fn templates() -> impl Strategy<Value = Value> {
    let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let containers = select(vec![
        json!([{"name": "x", "image": "i:1"}]),
        json!([{"name": "x", "image": "i:2", "restartPolicy": "Never"}, {"name": "y", "image": "i:1"}]),
        json!([{"name": "x", "image": "i:1", "env": [{"name": "P", "value": "pl4in"}]}]),
        json!([{"name": "x", "image": "i:1", "env": [secret]}]),
        json!([{"name": "x", "image": "i:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]),
        json!([]),
    ]);
    containers.prop_map(|containers| json!({ "containers": containers }))
}

fn workloads(name: &'static str) -> impl Strategy<Value = Workload> {
    let devices = select(vec![vec![], vec!["dev1"], vec!["dev1", "dev2"], vec!["dev9"]]);
    (devices, templates()).prop_map(move |(devices, template)| workload(name, &devices, &template))
}

fn objects() -> impl Strategy<Value = Objects> {
    (
        workloads("a"),
        workloads("b"),
        prop::option::of(observed()),
        any::<bool>(),
    )
        .prop_map(|(a, b, observed, has_secret)| {
            let mut objects = Objects {
                workloads: vec![a, b],
                ..Objects::new()
            };
            objects.observed.extend(observed.map(|o| ("dev1".to_owned(), o)));
            if has_secret {
                let mut secret = Secret {
                    data: Some([("k".to_owned(), ByteString(b"s3cret".to_vec()))].into()),
                    ..Secret::default()
                };
                secret.metadata.name = Some("s".into());
                secret.metadata.namespace = Some(NS.into());
                objects.secrets.push(secret);
            }
            objects
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_preview_is_made_of_anything_in_order_and_without_values(
        objects in objects(),
        changed in prop::option::of(workloads("a")),
        deleted in select(vec![None, Some("a"), Some("b"), Some("z")]),
    ) {
        let previews = objects.preview(changed.as_ref(), deleted);
        prop_assert!(previews.is_sorted_by(|a, b| a.device < b.device));
        for preview in &previews {
            prop_assert_eq!(preview.assumed, !objects.observed.contains_key(&preview.device));
        }
        let all = lines(&previews).join("\n");
        prop_assert!(!all.contains("s3cret") && !all.contains("pl4in"), "{all}");
        prop_assert!(!all.contains('\r'));
    }

    #[test]
    fn a_device_of_which_nothing_is_assumed_otherwise_needs_nothing(mut objects in objects()) {
        objects.observed.clear();
        for preview in objects.preview(None, None) {
            // What cannot be rendered stays a problem; two that want one port a clash.
            let acts = preview.steps.iter().filter(|line| !line.starts_with("hold "));
            prop_assert_eq!(acts.collect::<Vec<_>>(), Vec::<&String>::new());
        }
    }

    #[test]
    fn no_change_of_one_workload_removes_another(objects in objects(), changed in workloads("a")) {
        let mut objects = objects;
        objects.observed.clear();
        for preview in objects.preview(Some(&changed), None) {
            for line in &preview.steps {
                prop_assert!(!line.starts_with("remove b."), "{line}");
            }
        }
    }
}
