//! Several containers of one workload: order, names on their network, and what is done once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::ports;
use longshore_tests::harness::watch::{Event, Events, changes};
use serde_json::{Value, json};

use super::manifests::{first_container, server, workload};
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_start_in_order_and_reach_each_other_by_name() -> Result<()> {
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let events = Events::listen(&stage.docker)?;
    stage.objects.apply(&shop(port)).await?;
    stage.objects.ready("shop").await?;
    answers(port, "/", "hello from v2").await?;

    let happened = events.after(0);
    let first = |action: &str, name: &str| {
        let at = happened
            .iter()
            .position(|event| event.action == action && event.name == name);
        at.with_context(|| format!("no {action} of {name}: {happened:?}"))
    };
    // One init container after the other, each to its end, then the rest by their dependencies.
    let order = [
        first("start", "shop.one")?,
        first("die", "shop.one")?,
        first("start", "shop.two")?,
        first("die", "shop.two")?,
        first("start", "shop.db")?,
        first("start", "shop.web")?,
    ];
    ensure!(order.is_sorted(), "order {order:?} of {happened:?}");
    // `web` waits for more than `db` being there: its first answer must have been seen.
    let log = stage.by_hand(&["logs", "shop.db"]).await?;
    ensure!(log.contains("GET /healthz"), "db was never asked: {log}");

    for (from, to, version) in [("shop.web", "db", "v1"), ("shop.db", "web", "v2")] {
        let answer = stage
            .by_hand(&["exec", from, "/webapp", "get", to, "8080", "/"])
            .await?;
        ensure!(
            answer.contains(&format!("hello from {version}")),
            "{from} → {to}: {answer}"
        );
    }

    // Done once: neither a restart of the site nor a change beside them runs the init containers again.
    let mark = events.mark();
    stage.site.kill9()?;
    stage.site.restart().await?;
    stage.objects.ready("shop").await?;
    events.quiet(Duration::from_secs(3), changes).await?;
    ensure!(
        events.after(mark).iter().filter(|e| changes(e)).count() == 0,
        "{:?}",
        events.after(mark)
    );

    let db = stage.container("shop.db").await?;
    let mut changed = shop(port);
    first_container(&mut changed)["env"] = json!([{"name": "GREETING", "value": "good day"}]);
    stage.objects.apply(&changed).await?;
    stage.objects.ready("shop").await?;
    answers(port, "/", "good day from v2").await?;
    ensure!(
        stage.container("shop.db").await? == db,
        "a change of web touched db"
    );
    let reruns = |event: &Event| event.action == "start" && ["shop.one", "shop.two"].contains(&&*event.name);
    ensure!(
        !events.after(mark).iter().any(reruns),
        "init containers ran again: {:?}",
        events.after(mark)
    );
    // The alias moved to the new one.
    let answer = stage
        .by_hand(&["exec", "shop.db", "/webapp", "get", "web", "8080", "/"])
        .await?;
    ensure!(answer.contains("good day from v2"), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_init_container_holds_the_others_back_and_is_told() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let mut broken = shop(ports::free_port()?);
    broken["spec"]["template"]["initContainers"][0]["env"] =
        json!([{"name": "MODE", "value": "exit"}, {"name": "CODE", "value": "3"}]);
    broken["spec"]["rollout"] = json!({"minReadySeconds": 1, "progressDeadlineSeconds": 20});
    let events = Events::listen(&stage.docker)?;
    stage.objects.apply(&broken).await?;
    let told = stage
        .objects
        .unready("shop", &["CrashLoopBackOff", "Unhealthy", "DependencyNotReady"])
        .await?;
    ensure!(told.message.contains("one"), "does not name it: {told:?}");
    let started = |event: &Event| event.action == "start" && event.name != "shop.one";
    ensure!(
        !events.after(0).iter().any(started),
        "started too early: {:?}",
        events.after(0)
    );

    stage.objects.apply(&shop(ports::free_port()?)).await?;
    stage.objects.ready("shop").await?;
    Ok(())
}

/// Two init containers, a `db`, and a `web` that waits until it is healthy.
fn shop(port: u16) -> Value {
    let once =
        |name: &str| json!({"name": name, "image": "hello:1", "env": [{"name": "MODE", "value": "exit"}]});
    let mut web = server("web", "hello:2", Some(port));
    web["dependsOn"] = json!([{"container": "db", "condition": "healthy"}]);
    workload(
        "shop",
        &json!({
            "containers": [web, server("db", "hello:1", None)],
            "initContainers": [once("one"), once("two")],
        }),
    )
}
