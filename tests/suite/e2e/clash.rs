//! Ports and names that somebody else has.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::{containers, ports};
use serde_json::json;

use super::manifests::web;
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_or_name_is_told_with_who_has_it_and_heals() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let publish = format!("{port}:8080");
    stage
        .by_hand(&["run", "-d", "--name", "squatter", "-p", &publish, "hello:2"])
        .await?;
    let squatter = stage.container("squatter").await?;
    stage.objects.apply(&web("hello", "hello:1", port)).await?;
    let told = stage.objects.unready("hello", &["PortConflict"]).await?;
    for word in ["squatter", &port.to_string()] {
        ensure!(told.message.contains(word), "does not name {word}: {told:?}");
    }
    ensure!(
        stage.container("squatter").await? == squatter,
        "the other side was touched"
    );
    stage.by_hand(&["rm", "-f", "squatter"]).await?;
    stage.objects.ready("hello").await?;
    answers(port, "/", "hello from v1").await?;

    stage
        .by_hand(&["create", "--name", "named.web", "hello:2"])
        .await?;
    let holder = stage.container("named.web").await?;
    stage
        .objects
        .apply(&web("named", "hello:1", ports::free_port()?))
        .await?;
    let told = stage.objects.unready("named", &["NameConflict"]).await?;
    ensure!(told.message.contains("named.web"), "does not name it: {told:?}");
    ensure!(
        stage.container("named.web").await? == holder,
        "the other side was touched"
    );
    stage.by_hand(&["rm", "named.web"]).await?;
    stage.objects.ready("named").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_another_program_or_workload_leaves_what_runs() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let [port, taken] = [ports::free_port()?, ports::free_port()?];
    stage.objects.apply(&web("hello", "hello:1", port)).await?;
    stage.objects.ready("hello").await?;
    let running = stage.container("hello.web").await?;

    // Not a container's, so nobody knows before the engine tries.
    let program = TcpListener::bind(("0.0.0.0", taken)).context("taking a port")?;
    stage.objects.apply(&web("hello", "hello:2", taken)).await?;
    let told = stage.objects.unready("hello", &["PortConflict"]).await?;
    ensure!(
        told.message.contains(&taken.to_string()),
        "does not name the port: {told:?}"
    );
    ensure!(
        stage.container("hello.web").await?.id == running.id,
        "what ran does not run any more"
    );
    answers(port, "/", "hello from v1").await?;
    drop(program);
    stage.objects.ready("hello").await?;
    answers(taken, "/", "hello from v2").await?;

    // Between workloads the holder keeps it, unless the other one is worth more.
    let mut rival = web("rival", "hello:1", taken);
    stage.objects.apply(&rival).await?;
    let told = stage.objects.unready("rival", &["PortConflict"]).await?;
    ensure!(
        told.message.contains("hello"),
        "does not name the other workload: {told:?}"
    );
    ensure!(
        containers::find(&stage.docker, "rival.web")
            .await?
            .is_none_or(|c| c.state != "running")
    );
    rival["spec"]["priority"] = json!(10);
    stage.objects.apply(&rival).await?;
    stage.objects.ready("rival").await?;
    answers(taken, "/", "hello from v1").await?;
    stage.objects.unready("hello", &["PortConflict"]).await?;
    Ok(())
}
