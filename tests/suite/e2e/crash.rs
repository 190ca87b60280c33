//! `kill -9` of the site in the middle of a change.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::watch::{Events, NeverTwo, changes};
use longshore_tests::harness::{containers, ports};
use serde_json::{Value, json};

use super::manifests::{server, workload};
use super::stage::{Stage, answers};

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_the_create_the_stop_or_the_start_of_a_change_the_site_finishes_it() -> Result<()> {
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    stage.objects.apply(&steady_and("hello:1", port)).await?;
    stage.objects.ready("two").await?;
    let steady = stage.container("two.steady").await?;
    let sampler = NeverTwo::watch(&stage.docker, "two");
    let events = Events::listen(&stage.docker)?;

    for (moment, image, version) in [
        ("create", "hello:2", "v2"),
        ("stop", "hello:1", "v1"),
        ("start", "hello:2", "v2"),
    ] {
        let mark = events.mark();
        stage.objects.apply(&steady_and(image, port)).await?;
        let what = format!("the first {moment} of the change to {image}");
        events
            .first(mark, &what, SOON, |event| event.action == moment)
            .await?;
        stage.site.kill9()?;
        stage.site.restart().await?;
        stage
            .objects
            .ready("two")
            .await
            .with_context(|| format!("after a kill at {what}"))?;
        answers(port, "/", &format!("hello from {version}")).await?;

        let happened: Vec<_> = events.after(mark).into_iter().filter(changes).collect();
        let creates = happened.iter().filter(|event| event.action == "create").count();
        ensure!(creates == 1, "kill at {what}: {creates} creates: {happened:?}");
        ensure!(
            happened.iter().all(|event| event.id != steady.id),
            "kill at {what}: {happened:?}"
        );
        let all = containers::all(&stage.docker).await?;
        ensure!(
            all.keys().eq(["two.steady", "two.web"]),
            "kill at {what}: {all:#?}"
        );
        ensure!(
            all["two.steady"] == steady,
            "kill at {what}: the unchanged one was touched"
        );
        ensure!(all["two.web"].image == image, "kill at {what}: {all:#?}");
    }
    sampler.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_removes_the_site_finishes_the_removal() -> Result<()> {
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    stage
        .objects
        .apply(&steady_and("hello:1", ports::free_port()?))
        .await?;
    stage.objects.ready("two").await?;
    let events = Events::listen(&stage.docker)?;
    stage
        .objects
        .delete(longshore_tests::harness::Kind::Workload, "two")
        .await?;
    events
        .first(0, "the first end of a container", SOON, |event| {
            event.action == "die"
        })
        .await?;
    stage.site.kill9()?;
    stage.site.restart().await?;
    stage
        .objects
        .gone(longshore_tests::harness::Kind::Workload, "two")
        .await?;
    let left = containers::all(&stage.docker).await?;
    ensure!(left.is_empty(), "left behind: {left:#?}");
    let creates = events
        .after(0)
        .iter()
        .filter(|event| event.action == "create")
        .count();
    ensure!(
        creates == 0,
        "created while it was removed: {:?}",
        events.after(0)
    );
    Ok(())
}

/// `web` of this image, and a neighbour that no change is about.
pub(super) fn steady_and(image: &str, port: u16) -> Value {
    workload(
        "two",
        &json!({"containers": [server("web", image, Some(port)), server("steady", "hello:1", None)]}),
    )
}
