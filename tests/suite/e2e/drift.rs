//! What somebody does to managed containers by hand.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::objects::{SOON, condition, conditions};
use longshore_tests::harness::watch::{Events, changes};
use longshore_tests::harness::{Kind, Kubectl, ports};
use serde_json::{Value, json};

use super::manifests::{first_container, server, workload};
use super::stage::{Stage, answers, eventually};

/// The act by hand, the name the drift has, and what shows that it is undone.
struct Act {
    by_hand: &'static [&'static str],
    field: &'static str,
    shown: &'static str,
}

/// Of the containers of [`pair`]. Each leaves the id as it was.
const ACTS: [Act; 7] = [
    Act {
        by_hand: &["pause", "pair.web"],
        field: "paused",
        shown: "{{.State.Paused}}",
    },
    Act {
        by_hand: &["rename", "pair.web", "stolen"],
        field: "name",
        shown: "{{.Name}}",
    },
    Act {
        by_hand: &["update", "--memory", "96m", "--memory-swap", "192m", "pair.web"],
        field: "resources.memory",
        shown: "{{.HostConfig.Memory}}",
    },
    Act {
        by_hand: &["update", "--cpus", "0.1", "pair.web"],
        field: "resources.cpu",
        shown: "{{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}}",
    },
    Act {
        by_hand: &["update", "--restart", "no", "pair.web"],
        field: "restartPolicy",
        shown: "{{.HostConfig.RestartPolicy.Name}}",
    },
    Act {
        by_hand: &["network", "disconnect", "pair.default", "pair.web"],
        field: "networks",
        shown: "{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{end}}",
    },
    Act {
        by_hand: &["stop", "pair.web"],
        field: "state",
        shown: "{{.State.Status}}",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_named_and_undone() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    stage.objects.apply(&pair(port)).await?;
    stage.objects.ready("pair").await?;
    let web = stage.container("pair.web").await?;
    let side = stage.container("pair.side").await?;
    for Act {
        by_hand,
        field,
        shown,
    } in ACTS
    {
        let state = async || stage.by_hand(&["inspect", "-f", shown, &web.id]).await;
        let declared = state().await?;
        stage.by_hand(by_hand).await?;
        eventually(&format!("{by_hand:?} is undone"), SOON, async || {
            let now = state().await?;
            ensure!(now == declared, "{now}");
            Ok(())
        })
        .await?;
        named(&stage, field)
            .await
            .with_context(|| format!("{by_hand:?}"))?;
        answers(port, "/", "hello from v1")
            .await
            .with_context(|| format!("after {by_hand:?}"))?;
        stage.objects.ready("pair").await?;
    }
    ensure!(
        stage.container("pair.web").await?.id == web.id,
        "drift was undone by another container"
    );
    ensure!(
        stage.container("pair.side").await? == side,
        "its neighbour was touched"
    );
    let settled = |device: &Value| match condition(device, "Drifted")? {
        drifted if drifted.status == "False" => Ok(()),
        _ => Err(format!("{}{}", device["status"]["drift"], conditions(device))),
    };
    stage
        .objects
        .wait_for(Kind::Device, "dev1", "no drift left", settled)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observed_drift_is_told_and_left_until_it_is_enforced() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let mut observed = pair(port);
    observed["spec"]["drift"] = json!("Observe");
    stage.objects.apply(&observed).await?;
    stage.objects.ready("pair").await?;
    let id = stage.container("pair.web").await?.id;

    stage.by_hand(&["update", "--restart", "no", "pair.web"]).await?;
    stage.by_hand(&["pause", "pair.web"]).await?;
    stage.by_hand(&["rm", "-f", "pair.side"]).await?;
    let events = Events::listen(&stage.docker)?;
    let expected = [
        ("side", "existence", "present", "absent"),
        ("web", "paused", "false", "true"),
        ("web", "restartPolicy", "Always", "Never"),
    ];
    let told = |device: &Value| {
        let drift = device["status"]["drift"].as_array().cloned().unwrap_or_default();
        let entry = |(container, field, want, have): (&str, &str, &str, &str)| {
            drift.iter().any(|entry| {
                entry["workload"] == "pair"
                    && entry["container"] == container
                    && entry["field"] == field
                    && entry["want"] == want
                    && entry["have"] == have
            })
        };
        if condition(device, "Drifted")?.status == "True" && expected.into_iter().all(entry) {
            Ok(())
        } else {
            Err(format!("{drift:?}{}", conditions(device)))
        }
    };
    stage
        .objects
        .wait_for(Kind::Device, "dev1", "tells all three", told)
        .await?;
    events.quiet(Duration::from_secs(5), changes).await?;

    stage.objects.apply(&pair(port)).await?;
    stage.objects.ready("pair").await?;
    answers(port, "/", "hello from v1").await?;
    ensure!(
        stage.container("pair.web").await?.id == id,
        "undone by another container"
    );
    ensure!(stage.container("pair.side").await?.state == "running");
    let policy = stage
        .by_hand(&["inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "pair.web"])
        .await?;
    ensure!(policy.trim() == "always", "restart policy {policy}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_device_is_left_as_it_is() -> Result<()> {
    if !Kubectl::Newest.is_here().await? {
        return Ok(());
    }
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    stage.objects.apply(&pair(port)).await?;
    stage.objects.ready("pair").await?;
    stage
        .site
        .kubectl(&[
            "patch",
            "device",
            "dev1",
            "--type=merge",
            "-p",
            r#"{"spec":{"paused":true}}"#,
        ])
        .await?;
    let paused = |device: &Value| {
        let current = device["status"]["observedGeneration"] == device["metadata"]["generation"];
        if current { Ok(()) } else { Err(conditions(device)) }
    };
    stage
        .objects
        .wait_for(Kind::Device, "dev1", "paused", paused)
        .await?;

    stage.by_hand(&["rm", "-f", "pair.side"]).await?;
    let mut changed = pair(port);
    first_container(&mut changed)["image"] = json!("hello:2");
    let events = Events::listen(&stage.docker)?;
    stage.objects.apply(&changed).await?;
    stage.objects.unready("pair", &["DevicePaused"]).await?;
    events.quiet(Duration::from_secs(3), changes).await?;
    answers(port, "/", "hello from v1").await?;

    stage
        .site
        .kubectl(&[
            "patch",
            "device",
            "dev1",
            "--type=merge",
            "-p",
            r#"{"spec":{"paused":null}}"#,
        ])
        .await?;
    stage.objects.ready("pair").await?;
    answers(port, "/", "hello from v2").await?;
    ensure!(stage.container("pair.side").await?.state == "running");
    Ok(())
}

/// A drift that was undone at once is no longer in the status, but an event tells of it.
async fn named(stage: &Stage, field: &str) -> Result<()> {
    let tells = |event: &Value| {
        let message = event["message"]
            .as_str()
            .or(event["note"].as_str())
            .unwrap_or_default();
        message.contains(field) && message.contains("web")
    };
    eventually(&format!("an event names {field}"), SOON, async || {
        let events = stage.objects.list(Kind::Event).await?;
        let told: Vec<String> = events
            .iter()
            .map(|event| format!("{}: {}", event["reason"], event["message"]))
            .collect();
        ensure!(events.iter().any(tells), "{told:?}");
        Ok(())
    })
    .await
}

/// Two containers, and so a network of their own.
fn pair(port: u16) -> Value {
    let mut web = server("web", "hello:1", Some(port));
    web["resources"] = json!({"limits": {"memory": "64Mi", "cpu": "500m"}});
    workload(
        "pair",
        &json!({"containers": [web, server("side", "hello:2", None)]}),
    )
}
