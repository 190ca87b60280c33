//! A new image that does not get healthy.

use std::time::Duration;

use anyhow::{Result, ensure};
use longshore_tests::harness::watch::{Events, NeverTwo};
use longshore_tests::harness::{containers, ports};
use serde_json::json;

use super::manifests::{first_container, web};
use super::stage::{Stage, answers};

/// Longer than the agent's back-off between tries of other failures (10 s, 20 s).
const QUIET: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sick_image_is_taken_back_and_not_tried_again() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = stage.hello().await?;
    let old = stage.container("hello.web").await?;

    let sampler = NeverTwo::watch(&stage.docker, "hello");
    let events = Events::listen(&stage.docker)?;
    let mut sick = web("hello", "hello:sick", port);
    sick["spec"]["rollout"]["progressDeadlineSeconds"] = json!(5);
    stage.objects.apply(&sick).await?;
    let told = stage.objects.unready("hello", &["RolledBack"]).await?;
    for word in ["web", "hello:sick"] {
        ensure!(told.message.contains(word), "does not name {word}: {told:?}");
    }
    let seen = sampler.finish().await?;
    ensure!(
        seen == ["hello:1", "hello:sick", "hello:1"],
        "ran in this order: {seen:?}"
    );
    answers(port, "/", "hello from v1").await?;
    let now = stage.container("hello.web").await?;
    ensure!(now.id == old.id, "another container runs than before: {now:#?}");
    let left = containers::all(&stage.docker).await?;
    ensure!(left.len() == 1, "the failed one is left behind: {left:#?}");
    let creates = events
        .after(0)
        .iter()
        .filter(|event| event.action == "create")
        .count();
    ensure!(creates == 1, "{creates} creates: {:?}", events.after(0));

    events
        .quiet(QUIET, |event| event.action == "create" || event.action == "stop")
        .await?;
    ensure!(
        stage.container("hello.web").await? == now,
        "it was touched in the quiet time"
    );
    let told_now = stage.objects.unready("hello", &["RolledBack"]).await?;
    ensure!(
        told_now.message == told.message,
        "the condition ticks: {told:?}, {told_now:?}"
    );

    // Blocked is that hash alone.
    let mut good = web("hello", "hello:2", port);
    first_container(&mut good)["env"] = json!([{"name": "GREETING", "value": "well"}]);
    stage.objects.apply(&good).await?;
    stage.objects.ready("hello").await?;
    answers(port, "/", "well from v2").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_workload_that_never_gets_healthy_says_so() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let mut sick = web("hello", "hello:sick", ports::free_port()?);
    sick["spec"]["rollout"]["progressDeadlineSeconds"] = json!(4);
    stage.objects.apply(&sick).await?;
    // There is nothing to go back to, so it stays, and is told apart from one on its way.
    let told = stage.objects.unready("hello", &["Unhealthy"]).await?;
    ensure!(
        told.message.contains("web"),
        "does not name the container: {told:?}"
    );
    let sick = stage.container("hello.web").await?;
    ensure!(sick.state == "running", "{sick:?}");

    // One that exits is started again, over and over, and that is told as well.
    let mut crashing = web("crash", "hello:1", ports::free_port()?);
    let container = first_container(&mut crashing);
    container["env"] = json!([{"name": "MODE", "value": "exit"}, {"name": "CODE", "value": "7"}]);
    stage.objects.apply(&crashing).await?;
    let told = stage.objects.unready("crash", &["CrashLoopBackOff"]).await?;
    ensure!(told.message.contains("code 7"), "{told:?}");
    Ok(())
}
