//! `kill -9` of dockerd and containerd in the middle of a change.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::watch::{Events, NeverTwo};
use longshore_tests::harness::{Kind, Objects, Site, SiteOptions, Tap, containers, ports};
use serde_json::{Value, json};

use super::crash::steady_and;
use super::stage::{answers, engine, load_images};

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_killed_at_the_create_the_stop_or_the_start_of_a_change_gets_there() -> Result<()> {
    // Without live-restore the engine itself restarts every container when it comes back, and nobody
    // could tell whether we did.
    let Some((mut engine, _turn)) = engine(&json!({"live-restore": true})).await? else {
        return Ok(());
    };
    let docker = engine.bollard()?;
    load_images(&docker).await?;
    let tap = Tap::open(&engine)?;
    let site = Site::start(SiteOptions::docker_at(tap.host())).await?;
    let objects = Objects::new(site.client().await?);
    let port = ports::free_port()?;
    objects.apply(&steady_and("hello:1", port)).await?;
    objects.ready("two").await?;
    let steady = containers::get(&docker, "two.steady").await?;
    let sampler = NeverTwo::watch(&docker, "two");

    for (moment, image, version) in [
        ("create", "hello:2", "v2"),
        ("stop", "hello:1", "v1"),
        ("start", "hello:2", "v2"),
    ] {
        let (mark, events) = (tap.mark(), Events::listen(&docker)?);
        objects.apply(&steady_and(image, port)).await?;
        let what = format!("the first {moment} of the change to {image}");
        events
            .first(0, &what, SOON, |event| event.action == moment)
            .await?;
        engine.kill9()?;
        objects
            .wait_for(
                Kind::Device,
                "dev1",
                "says that its runtime is away",
                runtime_is("False"),
            )
            .await?;
        engine.restart().await?;
        objects
            .wait_for(
                Kind::Device,
                "dev1",
                "says that its runtime is back",
                runtime_is("True"),
            )
            .await?;
        objects
            .ready("two")
            .await
            .with_context(|| format!("after a kill at {what}"))?;
        answers(port, "/", &format!("hello from {version}")).await?;

        let creates = tap.creates(mark);
        ensure!(creates.len() == 1, "kill at {what}: {creates:?}");
        let all = containers::all(&docker).await?;
        ensure!(
            all.keys().eq(["two.steady", "two.web"]),
            "kill at {what}: {all:#?}"
        );
        ensure!(
            all["two.steady"] == steady,
            "kill at {what}: {steady:#?} became {:#?}",
            all["two.steady"]
        );
        ensure!(all["two.web"].image == image, "kill at {what}: {all:#?}");
    }
    sampler.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_engine_the_device_says_why_and_comes_back() -> Result<()> {
    let Some((mut engine, _turn)) = engine(&json!({})).await? else {
        return Ok(());
    };
    load_images(&engine.bollard()?).await?;
    engine.kill9()?;
    // It starts all the same: the API serves, and what is missing is told.
    let site = Site::start(SiteOptions::docker(&engine)).await?;
    let objects = Objects::new(site.client().await?);
    objects
        .wait_for(
            Kind::Device,
            "dev1",
            "says that it has no runtime",
            runtime_is("False"),
        )
        .await?;
    let port = ports::free_port()?;
    objects.apply(&steady_and("hello:1", port)).await?;
    objects.unready("two", &["RuntimeUnavailable"]).await?;
    engine.restart().await?;
    objects.ready("two").await?;
    answers(port, "/", "hello from v1").await?;

    // The engine restarts its containers itself, by the policy that they were made with.
    let docker = engine.bollard()?;
    let before = containers::get(&docker, "two.web").await?;
    engine.kill9()?;
    objects.unready("two", &["RuntimeUnavailable"]).await?;
    engine.restart().await?;
    objects.ready("two").await?;
    answers(port, "/", "hello from v1").await?;
    ensure!(
        containers::get(&docker, "two.web").await?.id == before.id,
        "another container than before"
    );
    Ok(())
}

fn runtime_is(status: &'static str) -> impl Fn(&Value) -> Result<(), String> {
    move |device| {
        let conditions = device["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions
            .into_iter()
            .find(|condition| condition["type"] == json!("RuntimeReady"));
        match found {
            Some(condition) if condition["status"] == status => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}
