//! Deleting, and everything on the engine that is not ours.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::containers::{self, Container};
use longshore_tests::harness::watch::{Events, changes};
use longshore_tests::harness::{Dockerd, Kind, Objects, Site, SiteOptions, ports, webapp};
use serde_json::json;

use super::manifests::{first_container, server, web, workload};
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_takes_what_is_ours_and_nothing_else() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    // Another site's container, on the same engine and for a device of the same name.
    let foreign = Site::start(SiteOptions::docker(&stage.engine)).await?;
    let foreigners = Objects::new(foreign.client().await?);
    foreigners
        .apply(&web("foreign", "hello:2", ports::free_port()?))
        .await?;
    foreigners.ready("foreign").await?;

    let port = ports::free_port()?;
    stage.objects.apply(&stateful(port, "hello:1")).await?;
    stage.objects.ready("hello").await?;
    let others = others(&stage).await?;
    let images = images(&stage.engine).await?;
    let events = Events::listen(&stage.docker)?;

    // A change, drift undone, a restart of the site, and the delete.
    stage.objects.apply(&stateful(port, "hello:2")).await?;
    answers(port, "/", "hello from v2").await?;
    stage.objects.ready("hello").await?;
    stage.by_hand(&["rm", "-f", "hello.web"]).await?;
    answers(port, "/", "hello from v2").await?;
    let mut site = stage.site;
    site.kill9()?;
    site.restart().await?;
    stage.objects.ready("hello").await?;
    stage.objects.delete(Kind::Workload, "hello").await?;
    stage.objects.gone(Kind::Workload, "hello").await?;

    let left = containers::all(&stage.docker).await?;
    ensure!(left == others, "the others {others:#?}, left {left:#?}");
    let left = self::images(&stage.engine).await?;
    ensure!(left == images, "images before {images:#?}, now {left:#?}");
    let touched: Vec<_> = events
        .after(0)
        .into_iter()
        .filter(|event| changes(event) && others.values().any(|other| other.id == event.id))
        .collect();
    ensure!(touched.is_empty(), "touched in between: {touched:?}");

    let volumes = containers::volumes(&stage.docker).await?;
    ensure!(volumes == ["by-hand", "hello.data"], "volumes: {volumes:?}");
    let networks = stage
        .engine
        .docker(&["network", "ls", "--format", "{{.Name}}"])
        .await?;
    ensure!(networks.contains("net-by-hand"), "networks: {networks}");
    ensure!(!networks.contains("hello."), "networks: {networks}");

    // The volume is found again by the next one of that name, with what is in it.
    stage.objects.apply(&stateful(port, "hello:1")).await?;
    stage.objects.ready("hello").await?;
    let file = ["exec", "hello.db", "/webapp", "cat", "/data/kept"];
    stage
        .engine
        .docker(&file)
        .await
        .context("what the volume held before")?;
    drop(site);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphaned_containers_and_absent_workloads_are_left_running() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let mut kept = web("kept", "hello:1", port);
    kept["spec"]["deletionPolicy"] = json!("Orphan");
    stage.objects.apply(&kept).await?;
    stage.objects.ready("kept").await?;
    let before = stage.container("kept.web").await?;
    stage.objects.delete(Kind::Workload, "kept").await?;
    stage.objects.gone(Kind::Workload, "kept").await?;
    let told = |device: &serde_json::Value| {
        let orphans = &device["status"]["orphans"];
        if *orphans == json!(["kept.web"]) {
            Ok(())
        } else {
            Err(format!("orphans: {orphans}"))
        }
    };
    stage
        .objects
        .wait_for(Kind::Device, "dev1", "tells of the orphan", told)
        .await?;
    ensure!(
        stage.container("kept.web").await? == before,
        "the orphan was touched"
    );
    answers(port, "/", "hello from v1").await?;

    // Declared again, it is the same container.
    stage.objects.apply(&web("kept", "hello:1", port)).await?;
    stage.objects.ready("kept").await?;
    ensure!(
        stage.container("kept.web").await? == before,
        "another container for the same declaration"
    );
    Ok(())
}

/// Two containers, one of them with a volume that it leaves a file in.
fn stateful(port: u16, image: &str) -> serde_json::Value {
    let mut db = server("db", "hello:1", None);
    db["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let mut template = json!({
        "containers": [server("web", image, Some(port)), db],
        "initContainers": [{
            "name": "fill",
            "image": "hello:sick", // used by nobody else, and not brought by us
            "command": ["/webapp", "touch", "/data/kept"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }],
    });
    template["volumes"] = json!([{"name": "data", "namedVolume": {}}]);
    let mut stateful = workload("hello", &template);
    first_container(&mut stateful)["dependsOn"] = json!([{"container": "db", "condition": "healthy"}]);
    stateful
}

/// Every image with its names, none of which Longshore brought.
async fn images(engine: &Dockerd) -> Result<BTreeSet<String>> {
    let listed = engine
        .docker(&[
            "image",
            "ls",
            "--all",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.Repository}}:{{.Tag}}",
        ])
        .await?;
    let images: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    for name in ["hello:1", "hello:2", "hello:sick", "copy:1", "imitation:1"] {
        ensure!(
            images.iter().any(|image| image.ends_with(name)),
            "no {name}: {images:?}"
        );
    }
    Ok(images)
}

/// Puts on the engine what could be mistaken for ours, and answers all that is not `hello`'s.
async fn others(stage: &Stage) -> Result<BTreeMap<String, Container>> {
    let ours = stage.container("hello.web").await?;
    // An image's labels become its containers'.
    let mut imitation = webapp("imitation:1", "v0")?;
    for (name, value) in &ours.labels {
        imitation = imitation.label(name, value);
    }
    imitation.build().load(&stage.docker).await?;
    stage
        .by_hand(&["run", "-d", "--name", "imitation", "imitation:1"])
        .await?;
    stage
        .by_hand(&["create", "--name", "hello.web.old", "imitation:1"])
        .await?;
    stage.by_hand(&["commit", "hello.web", "copy:1"]).await?;
    stage.by_hand(&["run", "-d", "--name", "copy", "copy:1"]).await?;
    stage
        .by_hand(&["run", "-d", "--name", "plain", "hello:1"])
        .await?;
    stage.by_hand(&["volume", "create", "by-hand"]).await?;
    stage.by_hand(&["network", "create", "net-by-hand"]).await?;
    let mut all = containers::all(&stage.docker).await?;
    all.retain(|name, _| !["hello.web", "hello.db", "hello.fill"].contains(&name.as_str()));
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let expected = ["copy", "foreign.web", "hello.web.old", "imitation", "plain"];
    ensure!(names == expected, "others: {names:?}");
    Ok(all)
}
