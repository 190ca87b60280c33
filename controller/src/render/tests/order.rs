//! Order is kept where it means something and makes no difference where it does not.

use proptest::prelude::*;

use super::*;

/// Lists without an order, by their pointers.
const UNORDERED: &[&str] = &[
    "/spec/template/volumes",
    "/spec/template/networks",
    "/spec/template/sysctls",
    "/spec/template/containers/0/ports",
    "/spec/template/containers/0/ulimits",
    "/spec/template/containers/0/extraHosts",
    "/spec/template/containers/0/securityContext/capabilities/add",
    "/spec/template/containers/0/securityContext/capabilities/drop",
    "/spec/template/containers/0/securityContext/supplementalGroups",
    "/spec/template/volumes/3/configMap/items",
];

fn long() -> Value {
    let mut manifest = manifest(FULL);
    let mut add = |pointer: &str, items: Value| {
        let list = manifest.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
        list.extend(items.as_array().unwrap().iter().cloned());
    };
    add(
        "/spec/template/networks",
        json!([{"name": "back"}, {"name": "mid"}]),
    );
    add(
        "/spec/template/sysctls",
        json!([{"name": "kernel.sem", "value": "1"}]),
    );
    add(
        "/spec/template/containers/0/ports",
        json!([{"containerPort": 9, "protocol": "UDP"}, {"containerPort": 9}]),
    );
    add(
        "/spec/template/containers/0/ulimits",
        json!([{"name": "core", "soft": 0}, {"name": "nproc", "soft": 9}]),
    );
    add(
        "/spec/template/containers/0/extraHosts",
        json!([{"hostname": "a", "ip": "::1"}]),
    );
    add(
        "/spec/template/containers/0/securityContext/capabilities/add",
        json!(["SYS_TIME", "CHOWN", "NET_ADMIN"]),
    );
    add(
        "/spec/template/containers/0/securityContext/capabilities/drop",
        json!(["ALL"]),
    );
    add(
        "/spec/template/containers/0/securityContext/supplementalGroups",
        json!([7, 6]),
    );
    add(
        "/spec/template/volumes/3/configMap/items",
        json!([{"key": "level", "path": "a"}, {"key": "level", "path": "z"}]),
    );
    manifest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rendering_does_not_depend_on_the_order_of_lists_that_have_none(
        which in prop::sample::select(UNORDERED),
        keys in prop::collection::vec(any::<u32>(), 16),
    ) {
        let original = long();
        let before = try_render(&original, &objects()).unwrap();
        let mut shuffled = original;
        let list = shuffled.pointer_mut(which).unwrap().as_array_mut().unwrap();
        let mut keyed: Vec<_> = keys.into_iter().zip(std::mem::take(list)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        list.extend(keyed.into_iter().map(|(_, item)| item));
        prop_assert_eq!(try_render(&shuffled, &objects()).unwrap(), before);
    }

    #[test]
    fn whatever_is_written_renders_or_is_refused_and_never_panics(
        pointer in prop::sample::select(vec![
            "/spec/template/containers/0/name",
            "/spec/template/containers/0/image",
            "/spec/template/containers/0/env/1/value",
            "/spec/template/containers/0/args/0",
            "/spec/template/containers/0/shmSize",
            "/spec/template/containers/0/ports/0/hostIP",
            "/spec/template/networks/0/subnet",
            "/spec/template/volumes/3/configMap/items/0/path",
            "/spec/template/containers/0/resources/limits/cpu",
            "/spec/template/containers/0/dependsOn/0/container",
        ]),
        text in prop_oneof![".*", "[$()A-Z]{0,12}", "[0-9./:]{0,12}"],
    ) {
        let mut manifest = manifest(FULL);
        *manifest.pointer_mut(pointer).unwrap() = json!(text);
        let once = try_render(&manifest, &objects());
        prop_assert_eq!(try_render(&manifest, &objects()), once);
    }
}

#[test]
fn order_that_means_something_is_kept() {
    let names = |fields: Value| container(fields).spec;
    let env = json!({"env": [{"name": "B", "value": ""}, {"name": "A", "value": ""}]});
    assert_eq!(
        names(env).env.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(),
        ["B", "A"]
    );
    assert_eq!(names(json!({"args": ["b", "a"]})).args, ["b", "a"]);
    let mut manifest = of_container(
        json!({"volumeMounts": [{"name": "t", "mountPath": "/b"}, {"name": "t", "mountPath": "/a"}]}),
    );
    manifest["spec"]["template"]["volumes"] = json!([{"name": "t", "tmpfs": {}}]);
    let mounts = rendered(&manifest).containers.remove(0).spec.mounts;
    assert_eq!(
        mounts.iter().map(|m| m.target.as_str()).collect::<Vec<_>>(),
        ["/b", "/a"]
    );
}
