//! The same site on a real kube-apiserver: what it relies on is not only our own API server's kindness.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::objects::condition;
use longshore_tests::harness::process::wait_until;
use longshore_tests::harness::{ApiServer, Kind, Objects, Site, SiteOptions, repository};
use serde_json::{Value, json};

use super::manifests::{first_container, web};

/// The leader renews its Lease every 20 s; this is time for three renewals on a busy machine.
const QUIET_SOON: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_happy_path_holds_on_a_real_kube_apiserver() -> Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let mut site = Site::start(SiteOptions::simulated().on_cluster(&server.kubeconfig())).await?;
    let objects = Objects::new(server.client().await?);

    let example = repository().join("examples/hello").display().to_string();
    server.kubectl(&["apply", "-f", &example]).await?;
    server
        .kubectl(&["wait", "--for=condition=Ready", "workload/hello", "--timeout=60s"])
        .await?;
    let first = objects.ready("hello").await?;
    let columns = server.kubectl(&["get", "wl,dev", "-o", "wide"]).await?;
    ensure!(columns.contains("1/1") && columns.contains("dev1"), "{columns}");

    server
        .kubectl(&[
            "patch",
            "wl",
            "hello",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/template/containers/0/image","value":"hello:2"}]"#,
        ])
        .await?;
    let second = objects.ready("hello").await?;
    ensure!(
        first["status"]["revision"] != second["status"]["revision"],
        "the same revision: {second}"
    );

    comes_to_rest(&server).await?;

    // The simulated containers die with the site, so it has to make them anew; the declaration stays.
    site.stop().await?;
    site.restart().await?;
    let synced = |device: &Value| match condition(device, "Synced")? {
        synced if synced.status == "True" => workloads_are(device, &json!([["hello", 1, 1]])),
        synced => Err(format!("{synced:?}")),
    };
    objects
        .wait_for(Kind::Device, "dev1", "Synced with what runs", synced)
        .await?;
    let third = objects.ready("hello").await?;
    ensure!(
        third["status"]["revision"] == second["status"]["revision"]
            && third["metadata"]["generation"] == second["metadata"]["generation"],
        "a restart changed {second} to {third}"
    );

    let mut wrong = web("wrong", "hello:1", 8080);
    first_container(&mut wrong)["image"] = "Hello World".into();
    let refused = objects
        .apply(&wrong)
        .await
        .err()
        .context("a bad image was accepted")?;
    ensure!(
        format!("{refused:#}").contains("spec.template.containers[0].image"),
        "{refused:#}"
    );

    server
        .kubectl(&["delete", "workload", "hello", "--timeout=60s"])
        .await?;
    objects.gone(Kind::Workload, "hello").await?;
    // What the agent reports is all there is to see of simulated containers.
    let nothing_left = |device: &Value| {
        let status = &device["status"];
        if !status["orphans"].is_null() || !status["pendingRemovals"].is_null() {
            return Err(format!("left: {status}"));
        }
        workloads_are(device, &json!([]))
    };
    objects
        .wait_for(Kind::Device, "dev1", "without any container", nothing_left)
        .await?;
    site.stop().await
}

/// Waits until the leader has renewed its Lease and no other object was written since the renewal before.
async fn comes_to_rest(server: &ApiServer) -> Result<()> {
    let (mut renewed, mut before) = (lease(server).await?, versions(server).await?);
    ensure!(
        before.keys().any(|key| key.starts_with("Workload/default/hello")),
        "not all is seen: {before:?}"
    );
    wait_until(
        "nothing is written while nothing happens",
        QUIET_SOON,
        async || {
            let now = lease(server).await.map_err(|error| format!("{error:#}"))?;
            if now == renewed {
                return Err(format!("the Lease of {now} was not renewed"));
            }
            let after = versions(server).await.map_err(|error| format!("{error:#}"))?;
            renewed = now;
            if after == before {
                return Ok(());
            }
            let last = std::mem::replace(&mut before, after);
            Err(format!("written: {last:?} became {before:?}"))
        },
    )
    .await
}

/// When the leader last renewed its Lease.
async fn lease(server: &ApiServer) -> Result<String> {
    let renewed = ["get", "lease", "-n", "longshore-system", "-o"];
    let renewed = server
        .kubectl(&[&renewed[..], &["jsonpath={.items[*].spec.renewTime}"]].concat())
        .await?;
    ensure!(!renewed.is_empty(), "there is no Lease");
    Ok(renewed)
}

/// The resourceVersion of every object that a site could write, but its Lease.
async fn versions(server: &ApiServer) -> Result<BTreeMap<String, String>> {
    const KINDS: &str = "longshore,events,secrets,configmaps,controllerrevisions,namespaces,crds";
    const SHOWN: &str = "jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} \
                         {.metadata.resourceVersion}{'\\n'}{end}";
    let listed = server.kubectl(&["get", KINDS, "-A", "-o", SHOWN]).await?;
    let pairs = listed.lines().map(|line| {
        let (name, version) = line.split_once(' ').context("an object without a version")?;
        Ok((name.to_owned(), version.to_owned()))
    });
    pairs.collect()
}

/// Whether the device reports these workloads, each with how many containers are desired and ready.
fn workloads_are(device: &Value, expected: &Value) -> Result<(), String> {
    let told = device["status"]["workloads"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let seen: Vec<Value> = told
        .iter()
        .map(|workload| json!([workload["name"], workload["desired"], workload["ready"]]))
        .collect();
    if json!(seen) == *expected {
        Ok(())
    } else {
        Err(format!("workloads: {told:?}"))
    }
}
