use super::*;

fn env_of(fields: Value) -> Vec<(String, String)> {
    let shown = |source: EnvSource| match source {
        EnvSource::Value(value) => value,
        EnvSource::Content(content) => format!("<{} {}>", content.digest.0, content.secret),
    };
    container(fields)
        .spec
        .env
        .into_iter()
        .map(|var| (var.name, shown(var.source)))
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn variables_are_expanded_as_kubernetes_does() {
    // The cases of Kubernetes' own expansion tests, and what bytes might do to them.
    let table = [
        ("$(A)", "a"),
        ("x$(A)y$(B)z", "xaybz"),
        ("$(A)$(A)", "aa"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a"),
        ("$$$$(A)", "$$(A)"),
        ("$(NONE)", "$(NONE)"),
        ("$(LATER)", "$(LATER)"),
        ("$()", "$()"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$", "$"),
        ("$$", "$"),
        ("a$", "a$"),
        ("$é$(A)é", "$éaé"),
        ("$(DOLLAR)", "$(A)"), // what was expanded once is not expanded again
        ("$($(A))", "$($(A))"),
        ("", ""),
    ];
    for (text, wanted) in table {
        let env = env_of(json!({"env": [
            {"name": "A", "value": "a"},
            {"name": "B", "value": "b"},
            {"name": "DOLLAR", "value": "$$(A)"},
            {"name": "X", "value": text},
            {"name": "LATER", "value": "l"},
        ]}));
        assert_eq!(env[3].1, wanted, "{text}");
    }
}

#[test]
fn arguments_see_every_variable() {
    let found = container(json!({
        "command": ["$(A)", "$(B)"],
        "args": ["$(C)", "$$(A)"],
        "env": [{"name": "A", "value": "a$(B)"}, {"name": "B", "value": "b"}],
    }));
    assert_eq!(found.spec.command, ["a$(B)", "b"]);
    assert_eq!(found.spec.args, ["$(C)", "$(A)"]);
}

#[test]
fn of_one_name_the_later_counts_and_env_comes_after_env_from() {
    let objects = objects()
        .config_map("a", &[("K", "from-a"), ("ONLY", "a")])
        .secret("b", &[("K", "from-b")]);
    let manifest = of_container(json!({
        "env": [{"name": "ONLY", "value": "literal"}, {"name": "P_K", "value": "p"}],
        "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}, {"prefix": "P_", "secretRef": {"name": "b"}}],
    }));
    let workload = try_render(&manifest, &objects).unwrap().workload;
    let env: Vec<_> = workload.containers[0]
        .spec
        .env
        .iter()
        .map(|var| (var.name.as_str(), &var.source))
        .collect();
    assert_eq!(env.len(), 3);
    assert_eq!(env[0].0, "K");
    assert!(
        matches!(env[0].1, EnvSource::Content(content) if content.digest.0 == "Secret/from-b" && content.secret)
    );
    assert_eq!(env[1], ("ONLY", &EnvSource::Value("literal".into())));
    assert_eq!(env[2], ("P_K", &EnvSource::Value("p".into())));
}

#[test]
fn a_value_of_a_secret_or_config_map_is_never_put_into_text() {
    let manifest = of_container(json!({
        "args": ["--password=$(PASSWORD)", "$(COLOUR)"],
        "env": [
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "full", "key": "password"}}},
            {"name": "URL", "value": "http://$(PASSWORD)@host"},
            {"name": "ESCAPED", "value": "$$(PASSWORD)"},
            {"name": "AS_IN_KUBERNETES", "value": "$(COLOUR)"},
        ],
        "envFrom": [{"configMapRef": {"name": "full-env"}}],
    }));
    let says = "comes from a ConfigMap or Secret, and such values never enter a plan";
    assert_eq!(
        problems(&manifest),
        [
            format!("spec.template.containers[0].env[1].value: $(PASSWORD) {says}"),
            format!("spec.template.containers[0].args[0]: $(PASSWORD) {says}"),
            format!("spec.template.containers[0].args[1]: $(COLOUR) {says}"),
        ]
    );
}

#[test]
fn an_optional_variable_that_is_missing_is_left_out() {
    let missing =
        |kind: &str, key: &str, name: &str| json!({kind: {"name": name, "key": key, "optional": true}});
    let env = env_of(json!({"env": [
        {"name": "A", "valueFrom": missing("configMapKeyRef", "no", "full")},
        {"name": "B", "valueFrom": missing("secretKeyRef", "no", "nowhere")},
        {"name": "C", "value": "$(A)"},
    ]}));
    assert_eq!(env, pairs(&[("C", "$(A)")]));
}
