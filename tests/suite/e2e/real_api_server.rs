//! The same site on a real kube-apiserver: it keeps our own API server honest.

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::objects::condition;
use longshore_tests::harness::{ApiServer, Kind, Objects, Site, SiteOptions, repository};
use serde_json::Value;

use super::manifests::{first_container, web};

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

    // Nothing is written while nothing happens, and a restart needs no more than to look.
    site.stop().await?;
    site.restart().await?;
    let connected = |device: &Value| match condition(device, "Synced")? {
        synced if synced.status == "True" => Ok(()),
        synced => Err(format!("{synced:?}")),
    };
    objects
        .wait_for(Kind::Device, "dev1", "Synced", connected)
        .await?;

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
    let device = objects
        .get(Kind::Device, "dev1")
        .await?
        .context("the device is gone")?;
    ensure!(device["status"]["orphans"].is_null(), "{}", device["status"]);
    site.stop().await
}
