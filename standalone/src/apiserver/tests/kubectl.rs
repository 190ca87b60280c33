//! The real kubectl over TLS, where there is one on the PATH.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::toy::config;
use crate::apiserver::{ApiServer, Backing, tls};

struct Kubectl<'p> {
    kubeconfig: &'p Path,
}

impl Kubectl<'_> {
    async fn run(&self, arguments: &str, stdin: &str) -> (bool, String) {
        let mut child = Command::new("kubectl")
            .args(arguments.split(' '))
            .env("KUBECONFIG", self.kubeconfig)
            .env("HOME", self.kubeconfig.parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(stdin.as_bytes())
            .await
            .unwrap();
        let waiting = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output());
        let output = waiting.await.expect("kubectl ended").unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    async fn ok(&self, arguments: &str, stdin: &str, expected: &str) {
        let (success, text) = self.run(arguments, stdin).await;
        assert!(success && text.contains(expected), "kubectl {arguments}: {text}");
    }

    async fn fails(&self, arguments: &str, stdin: &str, expected: &str) {
        let (success, text) = self.run(arguments, stdin).await;
        assert!(!success && text.contains(expected), "kubectl {arguments}: {text}");
    }
}

const HELLO: &str =
    "{apiVersion: longshore.dev/v1alpha1, kind: Workload, metadata: {name: hello}, spec: {image: 'x:1'}}";
const HELLO2: &str =
    "{apiVersion: longshore.dev/v1alpha1, kind: Workload, metadata: {name: hello}, spec: {image: 'x:2'}}";
const TYPO: &str =
    "{apiVersion: longshore.dev/v1alpha1, kind: Workload, metadata: {name: typo}, spec: {image: x, imge: y}}";

const EVENT: &str = "{apiVersion: v1, kind: Event, metadata: {name: told, namespace: default}, reason: Told, \
     message: m, type: Normal, involvedObject: {kind: Workload, name: hello, namespace: default}}";

/// Whether there is a kubectl. Skipping is said past libtest, which keeps what a passing test prints to itself;
/// where nothing may be skipped, its absence fails the test.
async fn kubectl_is_there() -> bool {
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .await;
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let strict = std::env::var_os("LONGSHORE_TESTS_NO_SKIP").is_some_and(|value| value == "1");
    assert!(
        !strict,
        "no kubectl on the PATH, and LONGSHORE_TESTS_NO_SKIP=1 allows no skipping"
    );
    let said = writeln!(
        std::io::stderr(),
        "SKIPPED kubectl_works_over_tls: no kubectl on the PATH"
    );
    said.unwrap();
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_over_tls() {
    if !kubectl_is_there().await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pki = tls::ensure(&folder.path().join("pki"), &[], &[], jiff::Timestamp::now()).unwrap();
    let mut config = config(Backing::Memory).0;
    config.token = Some(pki.token().clone());
    config.clock = std::sync::Arc::new(crate::apiserver::SystemClock);
    let server = ApiServer::open(config).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let kubeconfig = folder.path().join("kubeconfig");
    pki.write_kubeconfig(&kubeconfig, &url).unwrap();
    let cancel = CancellationToken::new();
    let serving = tokio::spawn({
        let (server, tls, cancel) = (server.clone(), pki.server_config(), cancel.clone());
        async move { server.serve(listener, tls, cancel).await }
    });

    let k = Kubectl {
        kubeconfig: &kubeconfig,
    };
    k.ok("version", "", "+longshore").await;
    k.ok("api-resources", "", "workloads").await;
    k.ok("apply -f -", HELLO, "workload.longshore.dev/hello created")
        .await;
    k.ok("apply -f -", HELLO, "workload.longshore.dev/hello unchanged")
        .await;
    k.fails("diff -f -", HELLO2, "x:2").await;
    k.ok("apply --server-side -f -", HELLO2, "serverside-applied")
        .await;
    k.fails(
        "apply -f -",
        TYPO,
        "strict decoding error: unknown field \"spec.imge\"",
    )
    .await;
    k.ok("get wl", "", "READY").await;
    k.ok("get wl -o wide", "", "x:2").await;
    k.ok("get all", "", "hello").await;
    k.ok("get wl hello -o jsonpath={.spec.replicas}", "", "1").await;
    k.ok(
        "get wl --sort-by=.metadata.name -o name",
        "",
        "workload.longshore.dev/hello",
    )
    .await;
    k.ok("label wl hello a=b", "", "labeled").await;
    k.ok("annotate wl hello a=b", "", "annotated").await;
    k.ok("get wl -l a=b", "", "hello").await;
    k.fails(
        "patch wl hello -p {\"spec\":{\"replicas\":2}}",
        "",
        "not supported",
    )
    .await;
    k.ok(
        "patch wl hello --type merge -p {\"spec\":{\"replicas\":2}}",
        "",
        "patched",
    )
    .await;
    k.ok("explain workloads.spec", "", "What should run.").await;
    k.ok("explain configmap.data", "", "map[string]string").await;
    k.ok("auth whoami", "", "longshore-admin").await;
    k.ok("auth can-i create workloads", "", "yes").await;
    k.ok("create namespace team", "", "created").await;
    k.ok(
        "create secret generic s --from-literal=a=b -n team",
        "",
        "created",
    )
    .await;
    k.ok("create configmap c --from-literal=a=b -n team", "", "created")
        .await;
    k.ok("get configmaps,secrets -A", "", "team").await;
    k.ok("describe wl hello", "", "Generation").await;
    k.ok("get events", "", "No resources").await;
    k.ok("create -f -", EVENT, "event/told created").await;
    k.ok("get events --sort-by=.lastTimestamp", "", "Told").await;
    // What was shown as a list goes back as it is: kubectl checks lists on its own side, by /openapi/v2.
    let (_, all) = k.run("get wl,cm,events -A -o yaml", "").await;
    assert!(all.contains("kind: List"), "{all}");
    k.ok("apply -f -", &all, "workload.longshore.dev/hello configured")
        .await;
    let (_, all) = k.run("get wl,cm,events -A -o yaml", "").await;
    k.ok("replace -f -", &all, "workload.longshore.dev/hello replaced")
        .await;
    let list = format!("{{apiVersion: v1, kind: List, items: [{HELLO2}, {TYPO}]}}");
    k.ok(
        "apply --server-side -f -",
        &list.replace("imge: y", "replicas: 2"),
        "typo serverside-applied",
    )
    .await;
    k.fails("apply -f -", &list, "unknown field \"imge\"").await;
    k.ok("delete wl typo", "", "deleted").await;
    k.ok(
        "explain wl.spec --output=plaintext-openapiv2",
        "",
        "What should run.",
    )
    .await;
    k.ok("get crd", "", "workloads.longshore.dev").await;
    let ready = "patch wl hello --subresource=status --type=merge -p {\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}";
    let waiting = k.ok(
        "wait wl/hello --for=condition=Ready --timeout=30s",
        "",
        "condition met",
    );
    tokio::join!(waiting, k.ok(ready, "", "patched"));
    k.ok("delete wl hello", "", "deleted").await;
    k.ok("delete namespace team", "", "deleted").await;
    k.fails("get configmap c -n team", "", "NotFound").await;

    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving)
        .await
        .expect("the listener drained")
        .unwrap();
    server.close().await;
}
