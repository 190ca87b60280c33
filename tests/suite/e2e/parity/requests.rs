//! The requests, in the order in which they are sent.

use serde_json::{Value, json};

/// Whether both servers answer alike.
pub(super) enum Verdict {
    Same,
    /// They do, in other words, for this reason.
    Words(&'static str),
    /// They do not, for this reason.
    Differs(&'static str),
}

/// One request.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) content: Option<&'static str>,
    pub(super) accept: &'static str,
    pub(super) body: String,
    pub(super) verdict: Verdict,
    /// Where the answer tells of the server itself.
    pub(super) code_only: bool,
}

impl Row {
    fn differs(mut self, why: &'static str) -> Self {
        self.verdict = Verdict::Differs(why);
        self
    }

    fn in_other_words(mut self, why: &'static str) -> Self {
        self.verdict = Verdict::Words(why);
        self
    }

    fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    fn content(mut self, content: &'static str) -> Self {
        self.content = Some(content);
        self
    }

    fn code_only(mut self) -> Self {
        self.code_only = true;
        self
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STEPS: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIALS: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

const MAPS: &str = "/api/v1/namespaces/parity/configmaps";
const SECRETS: &str = "/api/v1/namespaces/parity/secrets";
const DEVICES: &str = "/apis/longshore.dev/v1alpha1/namespaces/parity/devices";
const WORKLOADS: &str = "/apis/longshore.dev/v1alpha1/namespaces/parity/workloads";

fn row(method: &'static str, path: impl Into<String>, body: &Value) -> Row {
    let path = path.into();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Row {
        name: format!("{method} {path} {body}"),
        method,
        path,
        content: (!body.is_empty()).then_some(JSON),
        accept: JSON,
        body,
        verdict: Verdict::Same,
        code_only: false,
    }
}

fn get(path: impl Into<String>) -> Row {
    row("GET", path, &Value::Null)
}

/// Who writes is named, because the default is made of the client's own name.
fn by(path: &str, parameters: &str) -> String {
    format!("{path}?fieldManager=parity{parameters}")
}

fn post(path: &str, parameters: &str, body: &Value) -> Row {
    row("POST", by(path, parameters), body)
}

fn put(path: &str, parameters: &str, body: &Value) -> Row {
    row("PUT", by(path, parameters), body)
}

fn patch(kind: &'static str, path: &str, body: &Value) -> Row {
    row("PATCH", by(path, ""), body).content(kind)
}

fn apply(path: &str, manager: &str, parameters: &str, body: &Value) -> Row {
    row(
        "PATCH",
        format!("{path}?fieldManager={manager}{parameters}"),
        body,
    )
    .content(APPLY)
}

fn delete(path: impl Into<String>, body: &Value) -> Row {
    row("DELETE", path, body)
}

fn map(name: &str, more: &Value) -> Value {
    object("v1", "ConfigMap", name, more)
}

fn secret(name: &str, more: &Value) -> Value {
    object("v1", "Secret", name, more)
}

fn device(name: &str, spec: &Value) -> Value {
    object("longshore.dev/v1alpha1", "Device", name, &json!({"spec": spec}))
}

fn workload(name: &str, containers: &Value) -> Value {
    let spec = json!({"targets": [{"device": "d"}], "template": {"containers": containers}});
    object("longshore.dev/v1alpha1", "Workload", name, &json!({"spec": spec}))
}

fn object(version: &str, kind: &str, name: &str, more: &Value) -> Value {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    for (field, value) in more.as_object().into_iter().flatten() {
        if field == "metadata" {
            for (field, value) in value.as_object().into_iter().flatten() {
                object["metadata"][field] = value.clone();
            }
        } else {
            object[field] = value.clone();
        }
    }
    object
}

pub(super) fn rows() -> Vec<Row> {
    let namespace = row(
        "POST",
        by("/api/v1/namespaces", ""),
        &json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "parity"},
        }),
    );
    [
        vec![namespace, get("/api/v1/namespaces/parity")],
        core_writes(),
        core_reads(),
        core_patches(),
        applies(),
        immutables(),
        custom(),
        custom_refusals(),
        deletes(),
        the_server_itself(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn core_writes() -> Vec<Row> {
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

fn core_reads() -> Vec<Row> {
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

fn core_patches() -> Vec<Row> {
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

fn applies() -> Vec<Row> {
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

fn immutables() -> Vec<Row> {
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

fn custom() -> Vec<Row> {
    let (d, status) = (format!("{DEVICES}/d"), format!("{DEVICES}/d/status"));
    let told = json!({"status": {"observedGeneration": 1, "readyWorkloads": "1/1"}});
    let mut forged = device("forged", &json!({}));
    forged["metadata"]["generation"] = json!(7);
    forged["status"] = json!({"readyWorkloads": "9/9"});
    vec![
        post(DEVICES, "", &device("d", &json!({"displayName": "one"}))),
        post(DEVICES, "", &device("d", &json!({"displayName": "one"}))),
        post(DEVICES, "", &forged),
        patch(MERGE, &d, &json!({"spec": {"displayName": "two"}})),
        patch(MERGE, &d, &json!({"spec": {"displayName": "two"}})),
        patch(MERGE, &d, &json!({"metadata": {"labels": {"x": "1"}}})),
        patch(MERGE, &d, &told),
        patch(MERGE, &status, &told),
        patch(MERGE, &status, &told),
        patch(MERGE, &status, &json!({"spec": {"displayName": "three"}})),
        patch(MERGE, &status, &json!({"status": {"unknown": 1}})),
        patch(
            MERGE,
            &status,
            &json!({"status": {"conditions": [{"type": "X"}]}}),
        ),
        get(status.clone()),
        apply(
            &status,
            "agent",
            "",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"status": {"readyWorkloads": "2/2"}}),
            ),
        ),
        apply(
            &status,
            "agent",
            "&force=true",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"status": {"readyWorkloads": "2/2"}}),
            ),
        ),
        patch(
            STEPS,
            &d,
            &json!([{"op": "replace", "path": "/spec/displayName", "value": "four"}]),
        ),
        patch(
            STEPS,
            &d,
            &json!([{"op": "test", "path": "/metadata/finalizers", "value": null}, {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/f"]}]),
        ),
        patch(
            STEPS,
            &d,
            &json!([{"op": "remove", "path": "/metadata/finalizers"}]),
        ),
        put(&d, "", &device("d", &json!({"displayName": "five"}))),
        get(d.clone()),
        put(
            &d,
            "",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"metadata": {"resourceVersion": "$RV"}, "spec": {"displayName": "five"}}),
            ),
        ),
        put(
            &d,
            "",
            &object(
                "longshore.dev/v1alpha1",
                "Device",
                "d",
                &json!({"metadata": {"resourceVersion": "$OLDRV"}, "spec": {"displayName": "six"}}),
            ),
        ),
        apply(&d, "one", "", &device("d", &json!({"paused": true}))),
        apply(&d, "two", "", &device("d", &json!({"paused": false}))),
        apply(&d, "two", "&force=true", &device("d", &json!({"paused": false}))),
        apply(&d, "two", "", &device("d", &json!({}))),
        post(
            WORKLOADS,
            "",
            &workload(
                "w",
                &json!([{"name": "web", "image": "x:1", "env": [{"name": "A", "value": "1"}]}]),
            ),
        ),
        apply(
            &format!("{WORKLOADS}/w"),
            "one",
            "",
            &workload("w", &json!([{"name": "side", "image": "y:1"}])),
        ),
        apply(
            &format!("{WORKLOADS}/w"),
            "two",
            "",
            &workload("w", &json!([{"name": "side", "image": "y:2"}])),
        ),
        apply(
            &format!("{WORKLOADS}/w"),
            "one",
            "",
            &workload(
                "w",
                &json!([{"name": "side", "image": "y:1", "ports": [{"containerPort": 80}]}]),
            ),
        ),
        get(DEVICES),
        get(DEVICES).accept(TABLE),
        get(WORKLOADS).accept(TABLE),
        get(format!("{DEVICES}?limit=1")),
        get(format!("{DEVICES}?limit=1&continue=$CONTINUE")),
        get(format!("{DEVICES}?labelSelector=x%3D1"))
            .accept(PARTIALS)
            .differs("an empty list is empty, not null"),
        get(format!("{DEVICES}?fieldSelector=spec.displayName%3Dfive")),
        get(format!(
            "{DEVICES}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dd"
        )),
        get(format!("{DEVICES}/d/scale")),
        get(format!("{DEVICES}/nobody")),
        get("/apis/longshore.dev/v1alpha1/devices?limit=1"),
        get("/apis/longshore.dev/v1alpha1/nothings").differs("a path nobody knows gets a Status, not a text"),
        get("/apis/longshore.dev/v2/devices").differs("a path nobody knows gets a Status, not a text"),
        get("/apis/longshore.dev/v1alpha1").differs("verbs are sorted, and there is no storageVersionHash"),
        get("/apis/longshore.dev"),
    ]
}

fn custom_refusals() -> Vec<Row> {
    let (d, w) = (format!("{DEVICES}/d"), format!("{WORKLOADS}/w"));
    let web = |more: Value| {
        let mut container = json!({"name": "web", "image": "x:1"});
        for (field, value) in more.as_object().into_iter().flatten() {
            container[field] = value.clone();
        }
        workload("wrong", &json!([container]))
    };
    let mut kind = device("wrong", &json!({}));
    kind["kind"] = json!("Workload");
    let mut version = device("wrong", &json!({}));
    version["apiVersion"] = json!("longshore.dev/v9");
    let mut late = workload("wrong", &json!([{"name": "web", "image": "x:1"}]));
    late["spec"]["rollout"] = json!({"minReadySeconds": 10, "progressDeadlineSeconds": 5});
    vec![
        post(WORKLOADS, "", &web(json!({"image": "Hello World"}))),
        post(WORKLOADS, "", &web(json!({"stopSignal": "NOSIGNAL"}))),
        post(
            WORKLOADS,
            "",
            &web(json!({"image": "Hello World", "stopSignal": "NOSIGNAL", "containerName": "-"})),
        ),
        post(WORKLOADS, "", &web(json!({"env": [{"name": "A"}]}))),
        post(WORKLOADS, "", &web(json!({"env": [{"name": "A", "value": 1}]}))),
        post(
            WORKLOADS,
            "",
            &web(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
        ),
        post(WORKLOADS, "", &web(json!({"imagePullPolicy": "Sometimes"})))
            .differs("no further cause tells that rules were not checked"),
        post(WORKLOADS, "", &web(json!({"ports": [{"containerPort": 70000}]}))),
        post(WORKLOADS, "", &late),
        post(WORKLOADS, "", &workload("wrong", &json!([]))),
        post(WORKLOADS, "", &workload("wrong", &json!([{"name": "web"}]))),
        post(
            WORKLOADS,
            "",
            &workload(
                "wrong",
                &json!([{"name": "web", "image": "x"}, {"name": "web", "image": "y"}]),
            ),
        ),
        post(
            WORKLOADS,
            "",
            &object("longshore.dev/v1alpha1", "Workload", "wrong", &json!({})),
        ),
        post(
            WORKLOADS,
            "",
            &object("longshore.dev/v1alpha1", "Workload", "wrong", &json!({"spec": 5})),
        ),
        post(DEVICES, "", &device("dotted.name", &json!({}))),
        post(
            DEVICES,
            "",
            &device("a-name-that-is-much-longer-than-forty-characters", &json!({})),
        ),
        post(DEVICES, "", &device("Bad_Name", &json!({}))),
        post(DEVICES, "", &kind),
        post(DEVICES, "", &version).differs("the version is refused before unknown fields are looked for"),
        post(DEVICES, "", &json!({"spec": {}})).in_other_words("the body is not quoted"),
        post(
            DEVICES,
            "&fieldValidation=Strict",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        post(
            DEVICES,
            "&fieldValidation=Warn&dryRun=All",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        post(
            DEVICES,
            "&fieldValidation=Ignore&dryRun=All",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        post(
            DEVICES,
            "&dryRun=All",
            &device("typo", &json!({"displaynam": "x"})),
        ),
        patch(STRATEGIC, &d, &json!({"spec": {}})),
        patch(MERGE, &d, &json!({"spec": {"paused": "yes"}})),
        patch(MERGE, &d, &json!({"spec": {"deletionPolicy": "Perhaps"}}))
            .differs("no further cause tells that rules were not checked"),
        patch(
            MERGE,
            &d,
            &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}),
        )
        .differs("the cause is told once, not twice"),
        patch(MERGE, &d, &json!({"kind": "Workload"})),
        patch(MERGE, &w, &json!({"spec": {"targets": []}})),
        patch(MERGE, &w, &json!({"spec": {"template": null}})),
        apply(&d, "two", "", &device("d", &json!({"displaynam": "x"}))),
        apply(
            &format!("{DEVICES}/new"),
            "two",
            "",
            &device("new", &json!({"paused": "yes"})),
        )
        .in_other_words("Go's way to show a value"),
        row("PATCH", d.clone(), &device("d", &json!({}))).content(APPLY),
    ]
}

fn deletes() -> Vec<Row> {
    let (a, d) = (format!("{MAPS}/a"), format!("{DEVICES}/d"));
    let options = |more: Value| {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        for (field, value) in more.as_object().into_iter().flatten() {
            options[field] = value.clone();
        }
        options
    };
    vec![
        delete(format!("{MAPS}/nobody"), &Value::Null),
        delete(format!("{a}?dryRun=All"), &Value::Null),
        delete(
            a.clone(),
            &options(json!({"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}})),
        ),
        delete(
            a.clone(),
            &options(json!({"preconditions": {"resourceVersion": "1"}})),
        )
        .in_other_words("a version is told"),
        delete(format!("{a}?propagationPolicy=Sometimes"), &Value::Null),
        patch(
            MERGE,
            &a,
            &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        ),
        delete(a.clone(), &Value::Null),
        delete(a.clone(), &Value::Null),
        patch(
            MERGE,
            &a,
            &json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}),
        )
        .differs("the cause is told once, not twice"),
        patch(MERGE, &a, &json!({"metadata": {"finalizers": null}}))
            .differs("the object that goes has the version of its end, not of its last state"),
        get(a),
        delete(format!("{MAPS}?labelSelector=x%3D2"), &Value::Null),
        get(format!("{MAPS}?labelSelector=x")),
        patch(
            MERGE,
            &d,
            &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        ),
        delete(d.clone(), &options(json!({"propagationPolicy": "Background"}))),
        patch(MERGE, &d, &json!({"spec": {"paused": true}})),
        patch(
            STEPS,
            &d,
            &json!([{"op": "remove", "path": "/metadata/finalizers"}]),
        )
        .differs("the object that goes has the version of its end, not of its last state"),
        get(d),
        delete(DEVICES, &Value::Null),
        get(DEVICES),
        delete(format!("{WORKLOADS}/w"), &Value::Null),
    ]
}

fn the_server_itself() -> Vec<Row> {
    vec![
        get("/livez"),
        get("/readyz"),
        get("/healthz"),
        get("/livez/ping"),
        get("/version").code_only(),
        get("/api").code_only(),
        get("/apis").code_only(),
        get("/api/v1").code_only(),
        get("/openapi/v3").code_only(),
        get("/openapi/v3/apis/longshore.dev/v1alpha1").code_only(),
        get("/openapi/v2").code_only(),
        get("/apis/nothing.example.com").differs("a path nobody knows gets a Status, not a text"),
        get("/apis/nothing.example.com/v1/things").differs("a path nobody knows gets a Status, not a text"),
        get("/nothing").differs("a path nobody knows gets a Status, not a text"),
        row(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            &json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "devices", "group": "longshore.dev"}},
            }),
        ).differs("there is one user, and the review has no metadata"),
    ]
}
