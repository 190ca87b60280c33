use super::*;

#[test]
fn what_is_missing_is_named_and_heals() {
    let manifest = of_template(json!({
        "imagePullSecrets": [{"name": "r"}],
        "containers": [{
            "name": "c", "image": "i",
            "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "full", "key": "b"}}},
            ],
            "envFrom": [{"secretRef": {"name": "e"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }],
        "volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}}],
    }));
    assert_eq!(
        problems(&manifest),
        [
            "spec.template.volumes[0].secret.items[0]: Secret \"s\" does not exist",
            "spec.template.containers[0].envFrom[0]: Secret \"e\" does not exist",
            "spec.template.containers[0].env[0].valueFrom: ConfigMap \"m\" does not exist",
            "spec.template.containers[0].env[1].valueFrom: Secret \"full\" has no key \"b\"",
            "spec.template.imagePullSecrets[0]: Secret \"r\" does not exist",
        ]
    );
    let all_missing = try_render(&manifest, &objects()).unwrap_err();
    assert!(
        all_missing
            .iter()
            .all(|problem| problem.reason() == "ContentMissing")
    );
    let healed = objects()
        .config_map("m", &[("a", "1")])
        .secret("full", &[("b", "2")])
        .secret("e", &[])
        .secret("s", &[("k", "3")])
        .secret("r", &[(".dockerconfigjson", "4")]);
    assert!(try_render(&manifest, &healed).is_ok());
}

#[test]
fn every_digest_of_the_desired_set_has_its_source_and_no_other_has() {
    let found = try_render(&manifest(FULL), &objects()).unwrap();
    let mut used = BTreeSet::new();
    collect(&serde_json::to_value(&found.workload).unwrap(), &mut used);
    assert_eq!(
        found
            .content
            .keys()
            .map(|digest| digest.0.clone())
            .collect::<BTreeSet<_>>(),
        used
    );
    for (digest, source) in &found.content {
        let known = objects();
        assert_eq!(
            known.digests(&source.object).unwrap().get(&source.key),
            Some(digest)
        );
    }
    assert!(used.len() >= 7);
}

fn collect(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            used.extend(object.get("digest").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect(value, used));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, used)),
        _ => {}
    }
}

#[test]
fn references_name_every_object_existing_or_not() {
    let workload: Workload = serde_json::from_value(manifest(FULL)).unwrap();
    let (config_map, secret) = (ContentKind::ConfigMap, ContentKind::Secret);
    let wanted = [
        object(config_map, "full"),
        object(config_map, "full-env"),
        object(secret, "full"),
        object(secret, "full-env"),
        object(secret, "registry"),
    ];
    assert_eq!(references(&workload), BTreeSet::from(wanted));
}

/// A container with a file of the ConfigMap `f`.
fn with_file(on_config_change: &str) -> Value {
    of_template(json!({
        "containers": [{
            "name": "c", "image": "i",
            "onConfigChange": on_config_change,
            "volumeMounts": [{"name": "f", "mountPath": "/f", "readOnly": false}],
        }],
        "volumes": [{"name": "f", "configMap": {"name": "f", "defaultMode": 0o600}}],
    }))
}

#[test]
fn a_change_of_files_replaces_only_where_it_was_asked_for() {
    let files = |value| objects().config_map("f", &[("b", value), ("a", "same")]);
    for (on_config_change, replaces) in [("Replace", true), ("Update", false), ("Signal", false)] {
        let manifest = with_file(on_config_change);
        let before = try_render(&manifest, &files("1")).unwrap().workload;
        let after = try_render(&manifest, &files("2")).unwrap().workload;
        assert_eq!(
            before.containers[0].hash != after.containers[0].hash,
            replaces,
            "{on_config_change}"
        );
        assert_eq!(
            before.containers[0].config != after.containers[0].config,
            !replaces,
            "{on_config_change}"
        );
        assert_ne!(before.revision, after.revision);

        let container = &after.containers[0];
        let mount = &container.spec.mounts[0];
        assert!(mount.read_only, "files are never the container's to write");
        let MountSource::Content { name, files } = &mount.source else {
            unreachable!("{mount:?}")
        };
        let files = if replaces {
            files
        } else {
            &container.config.content[name]
        };
        let shown: Vec<_> = files
            .iter()
            .map(|f| (f.path.as_str(), f.content.digest.0.as_str(), f.mode))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", "ConfigMap/same", Some(0o600)),
                ("b", "ConfigMap/2", Some(0o600))
            ]
        );
    }
}

#[test]
fn a_change_of_a_variable_always_replaces() {
    let manifest =
        of_container(json!({"onConfigChange": "Update", "envFrom": [{"configMapRef": {"name": "f"}}]}));
    let hash = |value| {
        let objects = objects().config_map("f", &[("A", value)]);
        try_render(&manifest, &objects)
            .unwrap()
            .workload
            .containers
            .remove(0)
            .hash
    };
    assert_ne!(hash("1"), hash("2"));
    assert_eq!(hash("1"), hash("1"));
}

#[test]
fn what_is_optional_may_be_missing_in_part_or_whole() {
    let manifest = |items: Value| {
        of_template(json!({
            "containers": [{
                "name": "c", "image": "i",
                "envFrom": [{"configMapRef": {"name": "nowhere", "optional": true}}],
                "volumeMounts": [{"name": "f", "mountPath": "/f"}],
            }],
            "volumes": [{"name": "f", "configMap": {"name": "full", "optional": true, "items": items}}],
        }))
    };
    let some = rendered(&manifest(
        json!([{"key": "level", "path": "x"}, {"key": "no", "path": "y"}]),
    ));
    assert_eq!(some.containers[0].config.content["f"].len(), 1);
    let none = try_render(&manifest(json!([])), &Objects::default())
        .unwrap()
        .workload;
    assert_eq!(none.containers[0].config.content["f"].len(), 0);
    assert_eq!(none.containers[0].spec.mounts.len(), 1);
}

#[test]
fn the_default_mode_of_a_file_is_absent() {
    let mut manifest = with_file("Update");
    manifest["spec"]["template"]["volumes"][0]["configMap"]["defaultMode"] = json!(0o644);
    let found = try_render(&manifest, &objects().config_map("f", &[("a", "1")]))
        .unwrap()
        .workload;
    assert_eq!(found.containers[0].config.content["f"][0].mode, None);
}
