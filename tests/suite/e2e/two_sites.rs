//! Sites beside each other, and one directory's only holder.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::{Kind, Objects, Site, SiteOptions, containers, ports};

use super::manifests::web;
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_share_an_engine_and_leave_each_other_alone() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let other = Site::start(SiteOptions::docker(&stage.engine)).await?;
    let others = Objects::new(other.client().await?);
    let [left, right] = [ports::free_port()?, ports::free_port()?];
    stage.objects.apply(&web("left", "hello:1", left)).await?;
    others.apply(&web("right", "hello:2", right)).await?;
    stage.objects.ready("left").await?;
    others.ready("right").await?;
    answers(left, "/", "hello from v1").await?;
    answers(right, "/", "hello from v2").await?;

    // Both devices are named dev1, so the labels differ in the site alone. The name is the engine's.
    let before = stage.container("left.web").await?;
    others.apply(&web("left", "hello:2", ports::free_port()?)).await?;
    let clash = others.unready("left", &["NameConflict"]).await?;
    ensure!(
        clash.message.contains("left.web"),
        "does not name the other side: {clash:?}"
    );
    ensure!(
        stage.container("left.web").await? == before,
        "the other site changed it"
    );
    others.delete(Kind::Workload, "left").await?;
    others.gone(Kind::Workload, "left").await?;
    ensure!(
        stage.container("left.web").await? == before,
        "the other site's delete changed it"
    );

    let before = stage.container("right.web").await?;
    stage.objects.delete(Kind::Workload, "left").await?;
    stage.objects.gone(Kind::Workload, "left").await?;
    let left = containers::all(&stage.docker).await?;
    ensure!(left.keys().eq(["right.web"]), "left: {left:#?}");
    ensure!(
        left["right.web"] == before,
        "the other site's container was touched"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_up_on_the_same_directory_is_refused_with_the_pid_of_the_first() -> Result<()> {
    let mut site = Site::start(SiteOptions::without_runtime()).await?;
    let ready = site.ready()?;
    ensure!(
        ready["device"].is_null() && ready["bus"].is_null() && ready["gateway"].is_null(),
        "{ready}"
    );

    let mut second = tokio::process::Command::from(site.up_command()?);
    let refused = second
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("a second up")?;
    let words = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(3), "{}: {words}", refused.status);
    ensure!(
        words.contains(&format!("pid {}", site.pid()?)),
        "does not name the first: {words}"
    );
    ensure!(site.ready()? == ready, "the second one touched ready.json");
    site.longshore(&["get", "workloads"]).await?;

    // A killed one holds nothing.
    site.kill9()?;
    site.restart().await?;
    ensure!(
        site.ready()?["api"] == ready["api"],
        "another port than before: {}",
        site.ready()?
    );
    site.stop().await
}
