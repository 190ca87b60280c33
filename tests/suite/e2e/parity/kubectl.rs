//! What the real kubectl does with both servers.

use super::requests::Verdict::{self, Differs, Same};

/// One call. `$SAID` in its input is what the call before it printed.
pub(super) struct Row {
    pub(super) arguments: &'static str,
    pub(super) input: &'static str,
    pub(super) verdict: Verdict,
}

const MAP: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"k": "v"}}"#;
const MAP2: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"l": "w"}}"#;
const LIST: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "in-list"}, "data": {"k": "v"}},
    {"apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "metadata": {"name": "in-list"},
     "spec": {"targets": [{"device": "d"}], "template": {"containers": [{"name": "web", "image": "x:1"}]}}}]}"#;
const DEVICE: &str = r#"{"apiVersion": "longshore.dev/v1alpha1", "kind": "Device", "metadata": {"name": "d"}, "spec": {"displayName": "one"}}"#;
const TYPO: &str = r#"{"apiVersion": "longshore.dev/v1alpha1", "kind": "Device", "metadata": {"name": "e"}, "spec": {"displaynam": "one"}}"#;
const EVENTS: &str = r#"
{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "second"}, "reason": "Second", "type": "Normal", "message": "two",
 "involvedObject": {"kind": "ConfigMap", "name": "a", "namespace": "default"}, "source": {"component": "tests"},
 "firstTimestamp": "2024-01-02T00:00:00Z", "lastTimestamp": "2024-01-02T00:00:00Z", "count": 1}
---
{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "first"}, "reason": "First", "type": "Normal", "message": "one",
 "involvedObject": {"kind": "ConfigMap", "name": "a", "namespace": "default"}, "source": {"component": "tests"},
 "firstTimestamp": "2024-01-01T00:00:00Z", "lastTimestamp": "2024-01-01T00:00:00Z", "count": 1}
---
{"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "recorded"}, "reason": "Recorded", "type": "Normal", "note": "three",
 "regarding": {"kind": "ConfigMap", "name": "a", "namespace": "default"}, "reportingController": "tests", "reportingInstance": "tests",
 "action": "Testing", "eventTime": "2024-01-03T00:00:00.000000Z"}"#;

pub(super) fn rows() -> Vec<Row> {
    let row = |arguments, input, verdict| Row {
        arguments,
        input,
        verdict,
    };
    vec![
        row("apply -f -", MAP, Same),
        row("apply -f -", MAP, Same),
        row("apply -f -", MAP2, Same),
        row("get cm a -o jsonpath={.data}", "", Same),
        row("get cm a -o yaml", "", Same),
        row("apply -f -", "$SAID", Same),
        row("apply --server-side -f -", MAP, Same),
        row("apply --server-side --force-conflicts -f -", MAP, Same),
        row("diff -f -", MAP2, Same),
        row("replace -f -", MAP2, Same),
        row("create -f -", MAP, Same),
        row("apply -f -", LIST, Same),
        row("get wl in-list -o jsonpath={.spec}", "", Same),
        row("get cm,wl -l !x -o yaml", "", Same),
        row("apply -f -", "$SAID", Same),
        row("apply -f -", DEVICE, Same),
        row("apply --dry-run=server -f -", DEVICE, Same),
        row("apply -f -", TYPO, Same),
        row("apply --validate=ignore -f -", TYPO, Same),
        row("get dev", "", Same),
        row("get dev d -o wide", "", Same),
        row("get dev,cm -l x=1 --show-labels", "", Same),
        row("get dev --field-selector metadata.name=d -o name", "", Same),
        row("get dev --field-selector spec.displayName=one", "", Same),
        row("get nothing", "", Same),
        row("get dev nobody", "", Same),
        row("label dev d y=2", "", Same),
        row("label dev d y=3", "", Same),
        row("label --overwrite dev d y=3", "", Same),
        row("annotate dev d example.com/z=4", "", Same),
        row(
            "patch dev d --type=merge -p {\"spec\":{\"paused\":true}}",
            "",
            Same,
        ),
        row(
            "patch dev d --type=merge -p {\"spec\":{\"paused\":true}}",
            "",
            Same,
        ),
        row("patch dev d -p {\"spec\":{\"paused\":true}}", "", Same),
        row(
            "patch dev d --type=merge -p {\"spec\":{\"paused\":\"x\"}}",
            "",
            Same,
        ),
        row("describe dev d", "", Same),
        row("explain dev.spec", "", Same),
        row("explain workload.spec.template.containers.resources", "", Same),
        row("create -f -", EVENTS, Same),
        row("get events --sort-by=.lastTimestamp", "", Same),
        row("get events --sort-by=.metadata.name -o name", "", Same),
        row("get events -o yaml", "", Same),
        row("get events.events.k8s.io recorded -o yaml", "", Same),
        row("events --for configmap/a", "", Same),
        row("create namespace green", "", Same),
        row("create secret generic s -n green --from-literal=k=v", "", Same),
        row("get secret -n green", "", Same),
        row("create configmap m -n green --from-literal=k=v", "", Same),
        row("get cm m -n green -o yaml --show-managed-fields", "", Same),
        row("create secret generic s -n nowhere --from-literal=k=v", "", Same),
        row("auth can-i delete workloads", "", Same),
        row(
            "api-resources --api-group=longshore.dev -o wide",
            "",
            Differs("verbs are in the order of the alphabet"),
        ),
        row("delete dev d", "", Same),
        row("delete dev d", "", Same),
        row("delete dev d --ignore-not-found", "", Same),
        row("delete cm -l x=1", "", Same),
        row("wait --for=delete cm/a --timeout=5s", "", Same),
    ]
}
