//! ConfigMaps and Secrets: by name and key, never by value.

use super::*;

fn secret(name: &str, key: &str, value: &str) -> Secret {
    let mut secret = Secret {
        data: Some([(key.to_owned(), ByteString(value.into()))].into()),
        ..Secret::default()
    };
    secret.metadata.name = Some(name.into());
    secret.metadata.namespace = Some(NS.into());
    secret
}

fn config_map(name: &str, key: &str, value: &str) -> ConfigMap {
    let mut map = ConfigMap {
        data: Some([(key.to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    };
    map.metadata.name = Some(name.into());
    map.metadata.namespace = Some(NS.into());
    map
}

/// `hello` with a variable of a Secret, and a file of a ConfigMap.
fn with_content() -> Workload {
    let template = json!({
        "containers": [{
            "name": "web",
            "image": "hello:1",
            "env": [
                {"name": "PLAIN", "value": "pl4in"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token"}}},
            ],
            "volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}],
        }],
        "volumes": [{"name": "conf", "configMap": {"name": "app"}}],
    });
    workload("hello", &["dev1"], &template)
}

fn objects() -> Objects {
    Objects {
        secrets: vec![secret("creds", "token", "s3cret")],
        config_maps: vec![config_map("app", "app.conf", "c0nfig")],
        ..Objects::new()
    }
}

#[test]
fn what_is_missing_is_a_problem_and_what_runs_is_left_alone() {
    let lines = Objects::new().change(&with_content());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("dev1: hello: ContentMissing: "), "{lines:?}");
    assert!(lines[0].contains("Secret \"creds\" does not exist"), "{lines:?}");
    assert!(lines[0].contains("ConfigMap \"app\" does not exist"), "{lines:?}");
    let mut other_key = objects();
    other_key.secrets = vec![secret("creds", "other", "s3cret")];
    let lines = other_key.change(&with_content());
    assert!(
        lines[0].contains("Secret \"creds\" has no key \"token\""),
        "{lines:?}"
    );
}

#[test]
fn no_value_is_shown_whatever_changes() {
    let mut objects = objects();
    let mut shown = objects.change(&with_content());
    assert_eq!(shown.len(), 2, "{shown:?}");
    objects.workloads = vec![with_content()];
    assert_eq!(objects.preview(None, None), []);
    // A device that has other content than is declared now.
    let before = Objects {
        secrets: vec![secret("creds", "token", "0ld-s3cret")],
        config_maps: vec![config_map("app", "app.conf", "0ld-c0nfig")],
        ..objects.clone()
    };
    let content = index(&before.view(), &ContentKeys::new([0; 32]));
    let has = decision(
        &objects.devices[1],
        &[known(&with_content())],
        &[],
        &Kept::new(),
        &content,
        None,
    );
    objects.observed.insert("dev1".into(), as_declared(&has.desired));
    let differs = lines(&objects.preview(None, None));
    assert!(differs[1].starts_with("dev1: replace hello.web"), "{differs:?}");
    shown.extend(differs);
    let all = shown.join("\n");
    for value in ["s3cret", "c0nfig", "pl4in"] {
        assert!(!all.contains(value), "{all}");
    }
}

#[test]
fn without_the_sites_key_nothing_looks_different_that_is_not() {
    let mut objects = objects();
    objects.workloads = vec![with_content()];
    assert_eq!(objects.preview(Some(&with_content()), None), []);
    let with_site = |key: u8| {
        let mut site = secret("longshore-site", "uid", "0194e2f0-0000-7000-8000-000000000000");
        let data = site.data.as_mut().unwrap();
        data.insert("contentKey".into(), ByteString(vec![key; 32]));
        let site = Some(site);
        preview(&PreviewInput {
            now: objects.view(),
            then: objects.view(),
            deleted: None,
            site: site.as_ref(),
            observed: &objects.observed,
        })
    };
    assert_eq!(with_site(3), []);
    assert_eq!(with_site(4), []);
}

#[test]
fn content_that_would_change_counts_for_what_mounts_it() {
    let mut objects = objects();
    objects.workloads = vec![with_content()];
    let then = Objects {
        secrets: vec![secret("creds", "token", "n3w")],
        ..objects.clone()
    };
    let lines = lines(&objects.preview_of(&then, None));
    assert!(
        lines.iter().any(|l| l.starts_with("dev1: replace hello.web")),
        "{lines:?}"
    );
}

#[test]
fn content_that_comes_with_its_workload_is_not_missing() {
    let then = Objects {
        workloads: vec![with_content()],
        ..objects()
    };
    let lines = lines(&Objects::new().preview_of(&then, None));
    assert!(!lines.iter().any(|l| l.contains("ContentMissing")), "{lines:?}");
}
