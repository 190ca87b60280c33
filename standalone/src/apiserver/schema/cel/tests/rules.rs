//! Rules, and objects that keep or break them.

use serde_json::{Value, json};

use super::{spec, with_rules};

/// Rules people write, and objects that keep or break them: kube-apiserver 1.36 takes each and answers alike.
#[test]
fn rules_hold_or_not_as_they_say() {
    let table = [
        (
            "self.replicas >= 1 && self.replicas <= 10",
            json!({"replicas": 3}),
            json!({"replicas": 11}),
        ),
        (
            "!has(self.name) || self.name.startsWith('a')",
            json!({}),
            json!({"name": "b"}),
        ),
        (
            "self.name.size() <= 3",
            json!({"name": "abc"}),
            json!({"name": "abcd"}),
        ),
        ("size(self.list) > 0", json!({"list": ["a"]}), json!({"list": []})),
        (
            "self.name.matches('^[a-z]+$')",
            json!({"name": "ab"}),
            json!({"name": "A"}),
        ),
        (
            "self.list.all(x, x.endsWith('z'))",
            json!({"list": ["az", "z"]}),
            json!({"list": ["az", "a"]}),
        ),
        (
            "self.list.exists(x, x == 'a')",
            json!({"list": ["b", "a"]}),
            json!({"list": ["b"]}),
        ),
        (
            "self.list.exists_one(x, x == 'a')",
            json!({"list": ["b", "a"]}),
            json!({"list": ["a", "a"]}),
        ),
        (
            "self.list.map(x, x.size()).filter(n, n > 1).size() == 1",
            json!({"list": ["aa", "b"]}),
            json!({"list": ["a"]}),
        ),
        (
            "self.items.all(i, i.v > 0)",
            json!({"items": [{"k": "a", "v": 1}]}),
            json!({"items": [{"k": "a", "v": 0}]}),
        ),
        (
            "self.items.all(i, self.items.exists_one(j, j.v == i.v))",
            json!({"items": [{"k": "a", "v": 1}]}),
            json!({"items": [{"k": "a", "v": 1}, {"k": "b", "v": 1}]}),
        ),
        (
            "'key' in self.map && self.map['key'] == 'v'",
            json!({"map": {"key": "v"}}),
            json!({"map": {"key": "w"}}),
        ),
        (
            "self.map.all(k, k.contains('/'))",
            json!({"map": {"a/b": "1"}}),
            json!({"map": {"a": "1"}}),
        ),
        (
            "self.name in ['a', 'b']",
            json!({"name": "a"}),
            json!({"name": "c"}),
        ),
        (
            "self.my_field == 'x'",
            json!({"my_field": "x"}),
            json!({"my_field": "y"}),
        ),
        (
            "self.__namespace__ == 'x'",
            json!({"namespace": "x"}),
            json!({"namespace": "y"}),
        ),
        (
            "self.foo__dash__bar == 'x'",
            json!({"foo-bar": "x"}),
            json!({"foo-bar": "y"}),
        ),
        ("self.ratio < 1.0", json!({"ratio": 0}), json!({"ratio": 1})),
        (
            "type(self.either) == int ? self.either < 65536 : self.either.endsWith('%')",
            json!({"either": 80}),
            json!({"either": "80"}),
        ),
        (
            "isQuantity(string(self.memory)) && quantity(string(self.memory)).isGreaterThan(quantity('64Mi'))",
            json!({"memory": "1Gi"}),
            json!({"memory": "1Mi"}),
        ),
        (
            "quantity(self.name).compareTo(quantity('500m')) == 0",
            json!({"name": "0.5"}),
            json!({"name": "1"}),
        ),
        (
            "isURL(self.url) && url(self.url).getScheme() == 'https'",
            json!({"url": "https://a:1/b"}),
            json!({"url": "http://a"}),
        ),
        (
            "self.timeout <= duration('1h')",
            json!({"timeout": "30m"}),
            json!({"timeout": "2h"}),
        ),
        (
            "self.at > timestamp('2024-01-01T00:00:00Z')",
            json!({"at": "2026-01-01T00:00:00Z"}),
            json!({"at": "2020-01-01T00:00:00Z"}),
        ),
        (
            "size(self.blob) == 2",
            json!({"blob": "aGk="}),
            json!({"blob": "aA=="}),
        ),
        (
            "self.name.split('.').size() == 2 && self.name.lowerAscii() == self.name",
            json!({"name": "a.b"}),
            json!({"name": "A.b"}),
        ),
        (
            "self.name.indexOf('b') == 1 && self.name.substring(1) == 'b' && self.name.replace('a', 'c') == 'cb'",
            json!({"name": "ab"}),
            json!({"name": "b"}),
        ),
        (
            "['1', '2'].join('-') == self.name && self.name.trim() == self.name",
            json!({"name": "1-2"}),
            json!({"name": "1"}),
        ),
        (
            "self.name.find('[0-9]+') == '12'",
            json!({"name": "a12b"}),
            json!({"name": "a1b"}),
        ),
        (
            "sets.contains(self.list, ['a'])",
            json!({"list": ["a", "b"]}),
            json!({"list": ["b"]}),
        ),
        (
            "isIP(self.name) && ip(self.name).family() == 4",
            json!({"name": "10.0.0.1"}),
            json!({"name": "::1"}),
        ),
        (
            "cidr('10.0.0.0/8').containsIP(self.name)",
            json!({"name": "10.1.1.1"}),
            json!({"name": "11.0.0.1"}),
        ),
        (
            "!format.dns1123Label().validate(self.name).hasValue()",
            json!({"name": "ok"}),
            json!({"name": "Not"}),
        ),
        (
            "'%s-%d'.format([self.name, self.replicas]) == 'a-1'",
            json!({"name": "a", "replicas": 1}),
            json!({"name": "a", "replicas": 2}),
        ),
        ("self.?name.orValue('d') == 'd'", json!({}), json!({"name": "e"})),
        (
            "type(self.ratio) == double && type(self.list) == list && type(type(self.map)) == type && type(self.either) == string",
            json!({"ratio": 1, "list": [], "map": {}, "either": "x"}),
            json!({"ratio": 1, "list": [], "map": {}, "either": 1}),
        ),
        (
            "self.?map.key.orValue('d') == 'd'",
            json!({}),
            json!({"map": {"key": "e"}}),
        ),
        (
            "self.?map[?'key'].hasValue()",
            json!({"map": {"key": "e"}}),
            json!({"map": {}}),
        ),
    ];
    for (rule, good, bad) in table {
        let schema = with_rules(&spec(), &json!([{"rule": rule, "message": "broken"}]))
            .unwrap_or_else(|error| panic!("{rule}: {error:?}"));
        let check = |spec: &Value| schema.validate(&json!({"spec": spec}), None);
        assert_eq!(check(&good), [], "{rule} on {good}");
        let errors = check(&bad);
        assert_eq!(errors.len(), 1, "{rule} on {bad}");
        assert_eq!(
            (errors[0].path.as_str(), errors[0].detail.as_str()),
            ("spec", "Invalid value: broken"),
            "{rule} on {bad}"
        );
    }
}

/// Each line is one that kube-apiserver 1.36 wrote for the same schema, rule and object.
#[test]
fn rules_are_asked_about_lists_with_duplicates_but_not_without_keys() {
    let rule =
        json!([{"rule": "self.items.all(i, self.items.exists_one(j, j.k == i.k))", "message": "broken"}]);
    let schema = with_rules(&spec(), &rule).expect("a good rule");
    let skipped = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
                   correct the existing errors to complete validation";
    for (items, wanted) in [
        (json!([{"k": "a"}, {"k": "b"}]), vec![]),
        (
            json!([{"k": "a"}, {"k": "a"}]),
            vec![
                "spec.items[1]: Duplicate value: {\"k\":\"a\"}",
                "spec: Invalid value: broken",
            ],
        ),
        (
            json!([{"v": 1}]),
            vec!["spec.items[0].k: Required value", skipped],
        ),
        (
            json!([{"v": 1}, {"v": 1}]),
            vec![
                "spec.items[0].k: Required value",
                "spec.items[1].k: Required value",
                "spec.items[1]: Duplicate value: {}",
                skipped,
            ],
        ),
    ] {
        let errors = schema.validate(&json!({"spec": {"items": items}}), None);
        let found: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.path, error.detail))
            .collect();
        assert_eq!(found, wanted, "{items}");
    }
}
