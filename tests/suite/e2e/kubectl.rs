//! Real kubectl on the embedded API server: everything README promises of it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::process::{Process, wait_until};
use longshore_tests::harness::{Kind, Kubectl, Objects, Site, SiteOptions};
use serde_json::Value;

use super::manifests::web;

const SOON: Duration = Duration::from_secs(30);

/// A site on the simulated runtime, whose users have this kubectl: what is asked here is the API.
async fn site(kubectl: Kubectl) -> Result<Option<(Site, Objects)>> {
    if !kubectl.is_here().await? {
        return Ok(None);
    }
    let mut site = Site::start(SiteOptions::simulated()).await?;
    site.use_kubectl(kubectl);
    let objects = Objects::new(site.client().await?);
    Ok(Some((site, objects)))
}

/// What a command prints holds every one of these words.
fn shows(said: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(said.contains(word), "does not show {word:?}:\n{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_applied_shown_and_deleted() -> Result<()> {
    apply_show_and_delete(Kubectl::Newest).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_applied_shown_and_deleted_by_an_old_kubectl() -> Result<()> {
    apply_show_and_delete(Kubectl::Oldest).await
}

async fn apply_show_and_delete(kubectl: Kubectl) -> Result<()> {
    let Some((site, objects)) = site(kubectl).await? else {
        return Ok(());
    };
    let manifest = web("hello", "hello:1", 8080).to_string();
    let applied = site.kubectl_with(&["apply", "-f", "-"], &manifest).await?;
    shows(&applied, &["workload.longshore.dev/hello created"])?;
    let again = site.kubectl_with(&["apply", "-f", "-"], &manifest).await?;
    shows(&again, &["unchanged"])?;
    let server_side = web("second", "hello:1", 8081).to_string();
    let applied = site
        .kubectl_with(&["apply", "--server-side", "-f", "-"], &server_side)
        .await?;
    shows(&applied, &["workload.longshore.dev/second serverside-applied"])?;
    site.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "wl/hello",
        "wl/second",
        "--timeout=60s",
    ])
    .await?;
    objects.ready("hello").await?;

    shows(
        &site.kubectl(&["get", "workloads"]).await?,
        &["NAME", "READY", "STATUS", "REVISION", "AGE", "1/1"],
    )?;
    shows(
        &site.kubectl(&["get", "wl", "-o", "wide"]).await?,
        &["TARGETS", "MESSAGE"],
    )?;
    shows(
        &site.kubectl(&["get", "dev"]).await?,
        &["CONNECTED", "RUNTIME", "SYNCED", "WORKLOADS", "dev1", "2/2"],
    )?;
    shows(
        &site.kubectl(&["get", "dev", "-o", "wide"]).await?,
        &["AGENT", "VERSION", "OS", "ARCH", "linux"],
    )?;
    shows(
        &site.kubectl(&["get", "longshore"]).await?,
        &["workload.longshore.dev/hello", "device.longshore.dev/dev1"],
    )?;
    shows(
        &site.kubectl(&["get", "wl", "hello", "-o", "yaml"]).await?,
        &["kind: Workload", "image: hello:1"],
    )?;
    let json = site.kubectl(&["get", "wl", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&json)?;
    ensure!(
        list["items"].as_array().is_some_and(|items| items.len() == 2),
        "{json}"
    );
    let names = site.kubectl(&["get", "wl", "-o", "name"]).await?;
    ensure!(
        names == "workload.longshore.dev/hello\nworkload.longshore.dev/second\n",
        "{names}"
    );
    let image = "jsonpath={.spec.template.containers[0].image}";
    let image = site.kubectl(&["get", "wl", "hello", "-o", image]).await?;
    ensure!(image == "hello:1", "{image}");
    shows(
        &site.kubectl(&["describe", "wl", "hello"]).await?,
        &["Name:", "Conditions:", "Events:", "hello"],
    )?;
    let described = wait_until("describe shows an event", SOON, async || {
        let described = site
            .kubectl(&["describe", "wl", "hello"])
            .await
            .map_err(|error| format!("{error:#}"))?;
        let events = described
            .split_once("Events:")
            .map(|(_, events)| events.to_owned())
            .unwrap_or_default();
        if events.contains("<none>") {
            Err(described)
        } else {
            Ok(events)
        }
    })
    .await?;
    shows(&described, &["Type", "Reason", "Message", "Normal"])?;

    let deleted = site.kubectl(&["delete", "wl", "hello", "--timeout=60s"]).await?;
    shows(&deleted, &["deleted"])?;
    let second = site.dir().join("second.json");
    std::fs::write(&second, &server_side)?;
    site.kubectl(&["delete", "-f", &second.display().to_string(), "--wait=false"])
        .await?;
    site.kubectl(&["wait", "--for=delete", "wl/second", "--timeout=60s"])
        .await?;
    let none = site.kubectl(&["get", "wl", "-o", "name"]).await?;
    ensure!(none.is_empty(), "left: {none}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_labelled_patched_edited_and_explained() -> Result<()> {
    label_patch_edit_and_explain(Kubectl::Newest).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_labelled_patched_edited_and_explained_by_an_old_kubectl() -> Result<()> {
    label_patch_edit_and_explain(Kubectl::Oldest).await
}

async fn label_patch_edit_and_explain(kubectl: Kubectl) -> Result<()> {
    let Some((site, objects)) = site(kubectl).await? else {
        return Ok(());
    };
    site.kubectl_with(&["apply", "-f", "-"], &web("hello", "hello:1", 8080).to_string())
        .await?;
    objects.ready("hello").await?;

    site.kubectl(&["label", "wl", "hello", "tier=front"]).await?;
    site.kubectl(&["annotate", "wl", "hello", "example.com/who=me"])
        .await?;
    shows(
        &site.kubectl(&["get", "wl", "-l", "tier=front"]).await?,
        &["hello"],
    )?;
    shows(
        &site
            .kubectl(&["get", "wl", "-l", "tier in (front,back)", "--show-labels"])
            .await?,
        &["tier=front"],
    )?;
    let others = site
        .kubectl(&["get", "wl", "-l", "tier!=front", "-o", "name"])
        .await?;
    ensure!(others.is_empty(), "{others}");
    site.kubectl(&["label", "wl", "hello", "tier-"]).await?;

    let image = async || {
        site.kubectl(&["get", "wl", "hello", "-o", "jsonpath={..image}"])
            .await
    };
    site.kubectl(&[
        "patch",
        "wl",
        "hello",
        "--type=merge",
        "-p",
        r#"{"spec":{"priority":5}}"#,
    ])
    .await?;
    let step = r#"[{"op":"replace","path":"/spec/template/containers/0/image","value":"hello:2"}]"#;
    site.kubectl(&["patch", "wl", "hello", "--type=json", "-p", step])
        .await?;
    ensure!(image().await? == "hello:2");
    let refused = site
        .kubectl(&[
            "patch",
            "wl",
            "hello",
            "--type=merge",
            "-p",
            r#"{"spec":{"targets":[]}}"#,
        ])
        .await;
    ensure!(
        format!("{:?}", refused.err()).contains("spec.targets"),
        "a wrong patch was accepted"
    );

    let mut edit = site.kubectl_command().await?;
    edit.args(["edit", "wl", "hello"])
        .env("KUBE_EDITOR", "sed -i s/hello:2/hello:3/");
    let edited = tokio::process::Command::from(edit)
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(
        edited.status.success(),
        "edit: {}",
        String::from_utf8_lossy(&edited.stderr)
    );
    ensure!(image().await? == "hello:3");
    let stored = objects
        .get(Kind::Workload, "hello")
        .await?
        .context("hello is gone")?;
    ensure!(stored["spec"]["priority"] == 5 && stored["metadata"]["annotations"]["example.com/who"] == "me");

    shows(
        &site.kubectl(&["explain", "workload"]).await?,
        &["KIND:", "Workload", "spec", "DESCRIPTION"],
    )?;
    let field = "workload.spec.template.containers.readinessProbe.httpGet";
    shows(
        &site.kubectl(&["explain", field]).await?,
        &["FIELDS:", "port", "path"],
    )?;
    shows(
        &site.kubectl(&["explain", "dev.spec.paused"]).await?,
        &["paused", "boolean"],
    )?;
    shows(
        &site.kubectl(&["api-resources"]).await?,
        &["workloads", "wl", "devices", "secrets"],
    )?;

    site.kubectl(&["create", "namespace", "green"]).await?;
    site.kubectl(&[
        "create",
        "secret",
        "generic",
        "s",
        "-n",
        "green",
        "--from-literal=token=abc",
    ])
    .await?;
    site.kubectl(&[
        "create",
        "configmap",
        "m",
        "-n",
        "green",
        "--from-literal=motd=hi",
    ])
    .await?;
    let token = site
        .kubectl(&[
            "get",
            "secret",
            "s",
            "-n",
            "green",
            "-o",
            "jsonpath={.data.token}",
        ])
        .await?;
    ensure!(token == "YWJj", "{token}");
    shows(
        &site.kubectl(&["get", "cm,secret", "-n", "green"]).await?,
        &["configmap/m", "secret/s"],
    )?;
    site.kubectl(&["delete", "namespace", "green", "--timeout=60s"])
        .await?;
    let gone = site.kubectl(&["get", "secret", "-A", "-o", "name"]).await?;
    ensure!(
        !gone.contains("secret/s\n"),
        "left behind by its namespace: {gone}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_a_workload_come_and_go() -> Result<()> {
    watch(Kubectl::Newest).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_a_workload_come_and_go_by_an_old_kubectl() -> Result<()> {
    watch(Kubectl::Oldest).await
}

async fn watch(kubectl: Kubectl) -> Result<()> {
    let Some((site, objects)) = site(kubectl).await? else {
        return Ok(());
    };
    let log = site.dir().join("watch.log");
    let mut command = site.kubectl_command().await?;
    command.args([
        "get",
        "wl",
        "-w",
        "-o",
        "custom-columns=E:.type,N:.object.metadata.name,R:.object.status.readyDevices",
    ]);
    command.arg("--output-watch-events");
    let watch = Process::spawn("kubectl get -w", &command, &log)?;
    objects.apply(&web("hello", "hello:1", 8080)).await?;
    objects.ready("hello").await?;
    objects.delete(Kind::Workload, "hello").await?;
    wait_until("the watch tells of it all", SOON, async || {
        let seen = watch.log_tail();
        let all = ["ADDED", "MODIFIED", "1/1", "DELETED"]
            .into_iter()
            .all(|word| seen.contains(word));
        if all { Ok(()) } else { Err(seen) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn longshore_does_the_everyday_things_without_kubectl() -> Result<()> {
    let site = Site::start(SiteOptions::simulated()).await?;
    let objects = Objects::new(site.client().await?);
    let file = site.dir().join("hello.json");
    std::fs::write(&file, web("hello", "hello:1", 8080).to_string())?;
    let file = file.display().to_string();
    shows(
        &site.longshore(&["apply", "-f", &file]).await?,
        &["hello created"],
    )?;
    objects.ready("hello").await?;
    shows(
        &site.longshore(&["apply", "-f", &file]).await?,
        &["hello unchanged"],
    )?;
    site.longshore(&["diff", "-f", &file])
        .await
        .context("nothing would change")?;
    shows(
        &site.longshore(&["get", "wl"]).await?,
        &["NAME", "READY", "hello", "1/1"],
    )?;
    shows(
        &site.longshore(&["get", "devices", "-o", "wide"]).await?,
        &["dev1", "ARCH"],
    )?;
    shows(
        &site.longshore(&["get", "wl", "hello", "-o", "yaml"]).await?,
        &["kind: Workload"],
    )?;
    shows(&site.longshore(&["get", "wl", "-o", "name"]).await?, &["hello"])?;
    shows(
        &site.longshore(&["delete", "-f", &file]).await?,
        &["hello deleted"],
    )?;
    objects.gone(Kind::Workload, "hello").await?;
    shows(
        &site.longshore(&["delete", "-f", &file]).await?,
        &["hello not found"],
    )?;
    Ok(())
}
