//! Requests for core kinds: writes, reads, patches, applies, and what cannot be changed.

use super::*;

pub(super) fn core_writes() -> Vec<Row> {
    let a = map(
        "a",
        &json!({"metadata": {"labels": {"x": "1"}}, "data": {"k": "v"}}),
    );
    vec![
        post(MAPS, "", &a),
        post(MAPS, "", &a),
        post(MAPS, "", &map("b", &json!({"metadata": {"labels": {"x": "2"}}}))),
        post(MAPS, "", &map("c", &json!({"binaryData": {"k": "AAE="}}))),
        post(MAPS, "", &map("Bad_Name", &json!({}))),
        post(
            MAPS,
            "",
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
        ),
        post(
            MAPS,
            "&dryRun=All",
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}),
        ),
        post(MAPS, "", &secret("kind", &json!({}))).in_other_words("Go's word for it"),
        post(
            MAPS,
            "",
            &json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "version"}}),
        )
        .in_other_words("a line of Go's source is quoted"),
        post(MAPS, "", &json!({"metadata": {"name": "neither"}})),
        post(
            MAPS,
            "",
            &map("elsewhere", &json!({"metadata": {"namespace": "default"}})),
        ),
        post(MAPS, "", &map("key", &json!({"data": {"bad key": "v"}}))),
        post(
            MAPS,
            "",
            &map("twice", &json!({"data": {"k": "v"}, "binaryData": {"k": "AAE="}})),
        ),
        post(MAPS, "", &map("number", &json!({"data": {"k": 1}}))),
        post(
            MAPS,
            "",
            &map("label", &json!({"metadata": {"labels": {"x": "not valid!"}}})),
        ),
        post(
            MAPS,
            "&fieldValidation=Strict",
            &map("strict", &json!({"dat": {"k": "v"}})),
        ),
        post(
            MAPS,
            "&fieldValidation=Warn&dryRun=All",
            &map("warn", &json!({"dat": {"k": "v"}})),
        ),
        post(
            MAPS,
            "&fieldValidation=Ignore&dryRun=All",
            &map("ignore", &json!({"dat": {"k": "v"}})),
        ),
        post(MAPS, "&fieldValidation=Perhaps", &map("perhaps", &json!({}))),
        post(MAPS, "&dryRun=All", &map("dry", &json!({}))),
        post(MAPS, "&dryRun=Some", &map("dry", &json!({}))),
        get(format!("{MAPS}/dry")),
        post("/api/v1/namespaces/nowhere/configmaps", "", &map("a", &json!({}))),
        Row {
            body: "{\"not\": json".to_owned(),
            ..post(MAPS, "", &json!({"": ""}))
        }
        .in_other_words("the parser's words, and ours does not quote the body"),
        post(MAPS, "", &map("xml", &json!({}))).content("application/xml"),
        put(&format!("{MAPS}/a"), "", &map("a", &json!({"data": {"k": "w"}}))),
        put(&format!("{MAPS}/a"), "", &map("a", &json!({"data": {"k": "w"}}))),
        put(
            &format!("{MAPS}/a"),
            "",
            &map("a", &json!({"metadata": {"resourceVersion": "1"}})),
        ),
        put(
            &format!("{MAPS}/a"),
            "",
            &map(
                "a",
                &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}),
            ),
        )
        .in_other_words("the store is not quoted"),
        put(&format!("{MAPS}/a"), "", &map("other", &json!({}))),
        put(
            &format!("{MAPS}/nobody"),
            "",
            &map("nobody", &json!({"metadata": {"resourceVersion": "1"}})),
        ),
        put(
            &format!("{MAPS}/a"),
            "&dryRun=All",
            &map("a", &json!({"data": {"k": "dry"}})),
        ),
        get(format!("{MAPS}/a")),
        put(
            &format!("{MAPS}/a"),
            "",
            &map(
                "a",
                &json!({"metadata": {"labels": {"x": "1"}, "resourceVersion": "$RV"}, "data": {"k": "v"}}),
            ),
        ),
        row("PUT", MAPS, &map("a", &json!({}))),
        row("POST", format!("{MAPS}/a"), &map("a", &json!({}))),
    ]
}

pub(super) fn core_reads() -> Vec<Row> {
    let list = |parameters: &str| get(format!("{MAPS}?{parameters}"));
    vec![
        get(MAPS),
        get(format!("{MAPS}/nobody")),
        list("labelSelector=x%3D1"),
        list("labelSelector=x%20in%20(1,2)"),
        list("labelSelector=!x"),
        list("labelSelector=x%3D%3D%3D1").in_other_words("the parser's words"),
        list("fieldSelector=metadata.name%3Da"),
        list("fieldSelector=metadata.name!%3Da"),
        list("fieldSelector=data.k%3Dv").in_other_words("one message for all kinds"),
        list("limit=2"),
        list("limit=2&continue=$CONTINUE"),
        list("limit=1&continue=nonsense").in_other_words("what Go's decoder found"),
        list("limit=-1").differs("a negative limit is refused, not ignored"),
        list("resourceVersion=nonsense").in_other_words("Go's words"),
        list("resourceVersion=0&resourceVersionMatch=Exact").in_other_words("the value is quoted as it was sent"),
        list("resourceVersionMatch=Exact"),
        get(format!("{MAPS}/a")).accept(TABLE),
        get(MAPS).accept(TABLE),
        list("includeObject=Object&labelSelector=x%3D1").accept(TABLE),
        list("includeObject=None").accept(TABLE).differs("a row without its object has no null"),
        get(format!("{MAPS}/a")).accept(PARTIAL),
        get(MAPS).accept(PARTIALS),
        get(MAPS).accept("application/json;as=Nothing;v=v1;g=meta.k8s.io").in_other_words("other media types"),
        get(MAPS).accept("text/html").in_other_words("other media types"),
        get(MAPS).accept("*/*"),
        get(format!("{MAPS}/a")),
        list("watch=1&resourceVersion=$RV&timeoutSeconds=1&fieldSelector=metadata.name%3Da"),
        list("watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Da"),
        list("watch=1&timeoutSeconds=1&labelSelector=x%3D1").accept(TABLE),
        list("watch=1&timeoutSeconds=1&resourceVersion=1").differs("versions start at the time of day here, so 1 is long ago"),
        list(
            "watch=1&timeoutSeconds=1&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&allowWatchBookmarks=true",
        ).differs("the bookmark has a null creationTimestamp"),
        list("watch=1&timeoutSeconds=1&sendInitialEvents=true"),
        get("/api/v1/configmaps?fieldSelector=metadata.namespace%3Dparity,metadata.name%3Da"),
        get(format!("{SECRETS}?fieldSelector=type%3DOpaque")),
    ]
}

pub(super) fn core_patches() -> Vec<Row> {
    let (a, nobody) = (format!("{MAPS}/a"), format!("{MAPS}/nobody"));
    // Owners that exist, because ours also collects garbage, which there another program does.
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "$UID"});
    vec![
        patch(MERGE, &a, &json!({"data": {"m": "1"}})),
        patch(MERGE, &a, &json!({"data": {"m": "1"}})),
        patch(MERGE, &a, &json!({"data": {"m": null}})),
        patch(MERGE, &a, &json!({"metadata": {"name": "other"}})),
        patch(
            MERGE,
            &a,
            &json!({"metadata": {"resourceVersion": "1"}, "data": {"m": "2"}}),
        ),
        patch(MERGE, &a, &json!({"data": 5}))
            .in_other_words("the object quoted has its fields in another order"),
        patch(MERGE, &nobody, &json!({"data": {"m": "1"}})),
        patch(
            STEPS,
            &a,
            &json!([{"op": "add", "path": "/data/j", "value": "1"}]),
        ),
        patch(
            STEPS,
            &a,
            &json!([{"op": "test", "path": "/data/j", "value": "2"}]),
        ),
        patch(
            STEPS,
            &a,
            &json!([{"op": "test", "path": "/data/none", "value": null}]),
        ),
        patch(STEPS, &a, &json!([{"op": "remove", "path": "/data/none"}])),
        patch(
            STEPS,
            &a,
            &json!([{"op": "replace", "path": "/data/none", "value": "1"}]),
        ),
        patch(
            STEPS,
            &a,
            &json!([{"op": "move", "from": "/data/j", "path": "/data/n"}]),
        ),
        patch(STEPS, &a, &json!([{"op": "leap", "path": "/data/j"}])),
        patch(STEPS, &a, &json!({"op": "remove"})),
        patch(STEPS, &a, &json!([{"op": "remove", "path": "/data/n"}])),
        patch(
            STRATEGIC,
            &a,
            &json!({"metadata": {"finalizers": ["example.com/one"]}}),
        ),
        patch(
            STRATEGIC,
            &a,
            &json!({"metadata": {"finalizers": ["example.com/two"]}}),
        ),
        patch(
            STRATEGIC,
            &a,
            &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/one", "example.com/two"]}}),
        ),
        get(format!("{MAPS}/b")),
        patch(
            STRATEGIC,
            &a,
            &json!({"metadata": {"ownerReferences": [owner("b")]}}),
        ),
        get(format!("{MAPS}/c")),
        patch(
            STRATEGIC,
            &a,
            &json!({"metadata": {"ownerReferences": [owner("c")]}}),
        ),
        get(format!("{MAPS}/b")),
        patch(
            STRATEGIC,
            &a,
            &json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "$UID"}]}}),
        ),
        patch(STRATEGIC, &a, &json!({"metadata": {"ownerReferences": null}})),
        patch(
            STRATEGIC,
            &a,
            &json!({"data": {"$patch": "replace", "only": "1"}}),
        ),
        patch(STRATEGIC, &a, &json!({"data": {"k": "v", "only": null}})),
        patch("application/x-patch", &a, &json!({})).in_other_words("the accepted types are listed"),
        patch(JSON, &a, &json!({})).in_other_words("the accepted types are listed"),
        row("PATCH", by(&a, "&dryRun=All"), &json!({"data": {"k": "dry"}})).content(MERGE),
        row(
            "PATCH",
            by(&a, "&fieldValidation=Strict"),
            &json!({"dat": {"k": "v"}}),
        )
        .content(MERGE)
        .in_other_words("the object quoted has its fields in another order"),
        row(
            "PATCH",
            by(&a, "&fieldValidation=Warn"),
            &json!({"dat": {"k": "v"}}),
        )
        .content(MERGE),
        row("PATCH", by(&a, "&force=true"), &json!({"data": {"k": "v"}})).content(MERGE),
    ]
}

pub(super) fn applies() -> Vec<Row> {
    let path = format!("{MAPS}/applied");
    let with = |data: Value| map("applied", &json!({"data": data}));
    vec![
        apply(&path, "one", "", &with(json!({"k": "1", "mine": "1"}))),
        apply(&path, "one", "", &with(json!({"k": "1", "mine": "1"}))),
        apply(&path, "two", "", &with(json!({"k": "2"}))),
        apply(&path, "two", "&dryRun=All&force=true", &with(json!({"k": "2"}))),
        apply(&path, "two", "&force=true", &with(json!({"k": "2"}))),
        apply(&path, "one", "", &with(json!({"mine": "1"}))),
        apply(&path, "one", "", &with(json!({}))),
        patch(MERGE, &path, &json!({"data": {"k": "3"}})),
        apply(&path, "two", "", &with(json!({"k": "2"}))),
        apply(&path, "two", "", &with(json!({"k": "3"}))),
        row("PATCH", path.clone(), &with(json!({}))).content(APPLY),
        apply(&path, "two", "", &map("other", &json!({}))),
        apply(&path, "two", "", &json!({"metadata": {"name": "applied"}})),
        apply(&path, "two", "", &map("applied", &json!({"dat": {}}))),
        apply(
            &path,
            "two",
            "",
            &map(
                "applied",
                &json!({"metadata": {"managedFields": [{"manager": "x"}]}}),
            ),
        ),
        apply(
            &path,
            "two",
            "",
            &map(
                "applied",
                &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}),
            ),
        )
        .differs("the cause is told once, not twice"),
        apply(
            &path,
            "two",
            "&force=perhaps&dryRun=All",
            &with(json!({"k": "4"})),
        )
        .differs("what is not true is not true; there everything but false and 0 is"),
        get(path.clone()),
    ]
}

pub(super) fn immutables() -> Vec<Row> {
    let (fixed, s) = (format!("{MAPS}/fixed"), format!("{SECRETS}/s"));
    vec![
        post(
            MAPS,
            "",
            &map("fixed", &json!({"immutable": true, "data": {"k": "v"}})),
        ),
        patch(MERGE, &fixed, &json!({"data": {"k": "w"}})),
        patch(MERGE, &fixed, &json!({"immutable": false})),
        patch(MERGE, &fixed, &json!({"metadata": {"labels": {"y": "1"}}})),
        post(
            SECRETS,
            "",
            &secret("s", &json!({"stringData": {"k": "v"}, "data": {"b": "AAE="}})),
        ),
        patch(MERGE, &s, &json!({"type": "other"})),
        patch(STRATEGIC, &s, &json!({"stringData": {"k": "w"}})),
        post(SECRETS, "", &secret("bad", &json!({"data": {"k": "no base64!"}}))),
        post(
            SECRETS,
            "",
            &secret(
                "docker",
                &json!({"type": "kubernetes.io/dockerconfigjson", "data": {}}),
            ),
        ),
        post(SECRETS, "", &secret("tls", &json!({"type": "kubernetes.io/tls"}))),
        post(
            SECRETS,
            "&dryRun=All",
            &secret("basic", &json!({"type": "kubernetes.io/basic-auth", "data": {}})),
        )
        .differs("only the types that Longshore reads are checked"),
        get(SECRETS).accept(TABLE),
    ]
}
