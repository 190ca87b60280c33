//! The everyday life of examples/hello.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::watch::{Events, NeverTwo, changes};
use longshore_tests::harness::{Kind, Kubectl, containers, ports, repository};
use serde_json::json;

use super::manifests::{first_container, web};
use super::stage::{Stage, answers, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_answers_and_follows_its_image_and_goes_with_its_workload() -> Result<()> {
    if !Kubectl::Newest.is_here().await? {
        return Ok(());
    }
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    // As a user does it, but for the port, which somebody may have.
    let example = repository().join("examples/hello");
    let manifest = fs::read_to_string(example.join("workload.yaml"))?;
    let manifest = manifest.replace("hostPort: 8080", &format!("hostPort: {port}"));
    let secret = example.join("secret.yaml").display().to_string();
    stage.site.kubectl(&["apply", "-f", &secret]).await?;
    stage.site.kubectl_with(&["apply", "-f", "-"], &manifest).await?;
    stage.objects.ready("hello").await?;
    answers(port, "/", "hi from v1").await?;
    answers(port, "/env/TOKEN", "not-a-real-secret").await?;
    let old = stage.container("hello.web").await?;

    let sampler = NeverTwo::watch(&stage.docker, "hello");
    stage
        .site
        .kubectl_with(&["apply", "-f", "-"], &manifest.replace("hello:1", "hello:2"))
        .await?;
    stage.objects.ready("hello").await?;
    answers(port, "/", "hi from v2").await?;
    let seen = sampler.finish().await?;
    ensure!(seen == ["hello:1", "hello:2"], "ran in this order: {seen:?}");
    let left = containers::of_workload(&stage.docker, "hello").await?;
    ensure!(left.len() == 1, "more than the new one is left: {left:#?}");
    ensure!(
        containers::find(&stage.docker, &old.id).await?.is_none(),
        "the old one is still there"
    );

    stage
        .site
        .kubectl(&["delete", "workload", "hello", "--timeout=60s"])
        .await?;
    let left = containers::all(&stage.docker).await?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_container_is_back_within_five_seconds() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = stage.hello().await?;
    let old = stage.container("hello.web").await?;

    // Each time, not only the first.
    for round in 0..3 {
        stage.by_hand(&["rm", "-f", "hello.web"]).await?;
        let removed = Instant::now();
        answers(port, "/", "hello from v1").await?;
        let took = removed.elapsed();
        ensure!(
            took < Duration::from_secs(5),
            "round {round}: back only after {took:?}"
        );
    }
    ensure!(
        stage.container("hello.web").await?.id != old.id,
        "the same container after its removal"
    );
    stage.objects.ready("hello").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_and_starting_the_site_touches_no_container() -> Result<()> {
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = stage.hello().await?;
    let before = containers::all(&stage.docker).await?;
    let events = Events::listen(&stage.docker)?;

    stage.site.stop().await?;
    answers(port, "/", "hello from v1").await?;
    stage.site.restart().await?;
    // It says so only of what it has seen since it started.
    let synced = |device: &serde_json::Value| {
        let synced = longshore_tests::harness::objects::condition(device, "Synced")?;
        if synced.status == "True" {
            Ok(())
        } else {
            Err(format!("{synced:?}"))
        }
    };
    stage
        .objects
        .wait_for(Kind::Device, "dev1", "Synced", synced)
        .await?;
    stage.objects.ready("hello").await?;
    events.quiet(Duration::from_secs(3), changes).await?;
    stage.untouched(&events, &before).await?;

    // It has not only looked on: what is declared while it was away is still brought about.
    stage.site.kill9()?;
    stage.site.restart().await?;
    let mut changed = web("hello", "hello:1", port);
    first_container(&mut changed)["env"] = json!([{"name": "GREETING", "value": "moin"}]);
    stage.objects.apply(&changed).await?;
    answers(port, "/", "moin from v1").await?;
    stage.objects.ready("hello").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_declared_runs() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let mut suspended = web("hello", "hello:1", port);
    suspended["spec"]["suspend"] = json!(true);
    stage.objects.apply(&suspended).await?;
    stage.objects.unready("hello", &["Suspended"]).await?;
    ensure!(
        containers::all(&stage.docker).await?.is_empty(),
        "a suspended workload has a container"
    );
    stage.objects.apply(&web("hello", "hello:1", port)).await?;
    stage.objects.ready("hello").await?;

    // Removed from its spec while the workload stays: the container goes, its successor comes.
    let mut renamed = web("hello", "hello:1", port);
    first_container(&mut renamed)["name"] = json!("site");
    stage.objects.apply(&renamed).await?;
    stage.objects.ready("hello").await?;
    let names = eventually(
        "only the new container is there",
        Duration::from_secs(20),
        async || {
            let names: Vec<String> = containers::all(&stage.docker).await?.into_keys().collect();
            (names == ["hello.site"])
                .then_some(names.clone())
                .with_context(|| format!("{names:?}"))
        },
    )
    .await?;
    ensure!(names.len() == 1, "{names:?}");
    Ok(())
}
