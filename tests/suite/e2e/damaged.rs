//! What the site keeps on disk is damaged while it is stopped: it says what, and what runs goes on.

use std::fs;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::watch::Events;
use longshore_tests::harness::{Kind, containers};
use serde_json::{Value, json};

use super::manifests::web;
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_named_and_without_it_what_runs_is_kept_and_taken_up_again() -> Result<()> {
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = stage.hello().await?;
    let before = containers::all(&stage.docker).await?;
    let events = Events::listen(&stage.docker)?;

    stage.site.stop().await?;
    let store = stage.site.dir().join("store.redb");
    let mut bytes = fs::read(&store)?;
    bytes[..512].fill(0x55);
    fs::write(&store, bytes)?;
    let refused = stage
        .site
        .restart()
        .await
        .err()
        .context("a damaged store was taken")?;
    let words = format!("{refused:#}");
    for word in [&*store.display().to_string(), "is damaged"] {
        ensure!(words.contains(word), "does not say {word:?}: {words}");
    }
    answers(port, "/", "hello from v1").await?;

    // Without that file all is forgotten but who the site is, and that is no order to remove anything.
    fs::rename(&store, store.with_extension("damaged"))?;
    stage.site.restart().await?;
    let orphan = |device: &Value| match &device["status"]["orphans"] {
        orphans if *orphans == json!(["hello.web"]) => Ok(()),
        orphans => Err(format!("orphans: {orphans}")),
    };
    stage
        .objects
        .wait_for(Kind::Device, "dev1", "tells of the orphan", orphan)
        .await?;
    stage.objects.apply(&web("hello", "hello:1", port)).await?;
    stage.objects.ready("hello").await?;
    stage.untouched(&events, &before).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_ledger_is_named_and_what_runs_is_taken_up_without_a_restart() -> Result<()> {
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = stage.hello().await?;
    let before = containers::all(&stage.docker).await?;
    let events = Events::listen(&stage.docker)?;

    stage.site.stop().await?;
    let agent = stage.site.dir().join("agent");
    let mut bytes = fs::read(agent.join("ledger"))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(agent.join("ledger"), bytes)?;
    stage.site.restart().await?;
    stage.objects.ready("hello").await?;
    stage.untouched(&events, &before).await?;
    let aside = fs::read_dir(&agent)?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .find(|name| name.starts_with("ledger.corrupt-"))
        .context("the damaged ledger was not moved aside")?;
    let log = fs::read_to_string(stage.site.log_file())?;
    let told = log
        .lines()
        .any(|line| line.contains("the ledger is corrupt") && line.contains(&aside));
    ensure!(told, "the log does not tell of {aside}");

    // It is ours as before: what is declared is still brought about.
    stage.objects.apply(&web("hello", "hello:2", port)).await?;
    stage.objects.ready("hello").await?;
    answers(port, "/", "hello from v2").await
}
