//! ConfigMaps and Secrets in containers: missing ones, changed ones, and what a change does.

use anyhow::{Result, ensure};
use longshore_tests::harness::watch::Events;
use longshore_tests::harness::{containers, ports};
use serde_json::{Value, json};

use super::manifests::{content, first_container, server, web, workload};
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_content_is_named_and_heals_when_it_appears() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    stage.objects.apply(&reader(port)).await?;
    let told = stage.objects.unready("reader", &["ContentMissing"]).await?;
    ensure!(
        told.message.contains("late-secret"),
        "does not name the Secret: {told:?}"
    );
    ensure!(
        containers::all(&stage.docker).await?.is_empty(),
        "made without its content"
    );

    // The object alone is not enough.
    stage
        .objects
        .apply(&content("Secret", "late-secret", &json!({"other": "x"})))
        .await?;
    stage
        .objects
        .apply(&content("ConfigMap", "late-map", &json!({"motd": "one"})))
        .await?;
    stage.objects.unready("reader", &["ContentMissing"]).await?;
    stage
        .objects
        .apply(&content(
            "Secret",
            "late-secret",
            &json!({"token": "t-1", "other": "x"}),
        ))
        .await?;
    stage.objects.ready("reader").await?;
    for (path, expected) in [
        ("/env/TOKEN", "t-1"),
        ("/file/keys/token", "t-1"),
        ("/file/config/motd", "one"),
    ] {
        answers(port, path, expected).await?;
    }

    // What is gone again is no reason to touch what runs with it.
    let running = stage.container("reader.web").await?;
    stage
        .objects
        .delete(longshore_tests::harness::Kind::Secret, "late-secret")
        .await?;
    stage.objects.unready("reader", &["ContentMissing"]).await?;
    ensure!(
        stage.container("reader.web").await? == running,
        "touched because its Secret is gone"
    );
    stage
        .objects
        .apply(&content("Secret", "late-secret", &json!({"token": "t-1"})))
        .await?;
    stage.objects.ready("reader").await?;
    ensure!(
        stage.container("reader.web").await? == running,
        "touched although its Secret is the same"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_change_in_place_and_variables_replace() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let secret = |token: &str| content("Secret", "late-secret", &json!({"token": token}));
    stage.objects.apply(&secret("t-1")).await?;
    stage
        .objects
        .apply(&content("ConfigMap", "late-map", &json!({"motd": "one"})))
        .await?;
    stage.objects.apply(&reader(port)).await?;
    stage.objects.ready("reader").await?;
    answers(port, "/file/config/motd", "one").await?;
    let first = stage.container("reader.web").await?;

    stage
        .objects
        .apply(&content(
            "ConfigMap",
            "late-map",
            &json!({"motd": "two", "more": "x"}),
        ))
        .await?;
    answers(port, "/file/config/motd", "two").await?;
    answers(port, "/file/config/more", "x").await?;
    stage.objects.ready("reader").await?;
    ensure!(
        stage.container("reader.web").await? == first,
        "a file's change did more than that"
    );

    // The token is both a file and a variable, and a process cannot be given another variable.
    stage.objects.apply(&secret("t-2")).await?;
    answers(port, "/env/TOKEN", "t-2").await?;
    answers(port, "/file/keys/token", "t-2").await?;
    stage.objects.ready("reader").await?;
    let second = stage.container("reader.web").await?;
    ensure!(second.id != first.id, "the same container with another variable");

    let mut limited = reader(port);
    first_container(&mut limited)["resources"] = json!({"limits": {"memory": "96Mi", "cpu": "500m"}});
    first_container(&mut limited)["restartPolicy"] = json!("UnlessStopped");
    stage.objects.apply(&limited).await?;
    stage.objects.ready("reader").await?;
    ensure!(
        stage.container("reader.web").await? == second,
        "limits change without a restart"
    );
    let shown = stage
        .by_hand(&["inspect", "-f", "{{json .HostConfig}}", "reader.web"])
        .await?;
    let host: Value = serde_json::from_str(&shown)?;
    ensure!(host["Memory"] == 96 * 1024 * 1024, "memory is {}", host["Memory"]);
    ensure!(
        host["RestartPolicy"]["Name"] == "unless-stopped",
        "{}",
        host["RestartPolicy"]
    );

    first_container(&mut limited)["env"] = json!([{"name": "GREETING", "value": "changed"}]);
    stage.objects.apply(&limited).await?;
    stage.objects.ready("reader").await?;
    answers(port, "/", "changed from v1").await?;
    ensure!(stage.container("reader.web").await?.id != second.id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applying_the_same_again_does_nothing() -> Result<()> {
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let manifest = web("hello", "hello:1", port);
    stage.objects.apply(&manifest).await?;
    let stored = stage.objects.ready("hello").await?;
    let running = stage.container("hello.web").await?;
    let events = Events::listen(&stage.docker)?;

    let again = stage.objects.apply(&manifest).await?;
    ensure!(
        again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"],
        "a no-op was written"
    );
    // A rollout field is no part of what runs.
    let mut patient = manifest.clone();
    patient["spec"]["rollout"]["progressDeadlineSeconds"] = json!(300);
    patient["metadata"]["labels"] = json!({"tier": "front"});
    stage.objects.apply(&patient).await?;
    stage.objects.ready("hello").await?;
    ensure!(
        stage.container("hello.web").await? == running,
        "touched by a rollout field"
    );
    let done: Vec<_> = events
        .after(0)
        .into_iter()
        .filter(longshore_tests::harness::watch::changes)
        .collect();
    ensure!(done.is_empty(), "{done:?}");
    Ok(())
}

/// Reads a Secret as a variable and a file, and a ConfigMap as files.
fn reader(port: u16) -> Value {
    let mut container = server("web", "hello:1", Some(port));
    container["env"] = json!([
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "late-secret", "key": "token"}}},
    ]);
    container["volumeMounts"] = json!([
        {"name": "keys", "mountPath": "/keys"},
        {"name": "config", "mountPath": "/config"},
    ]);
    workload(
        "reader",
        &json!({
            "containers": [container],
            "volumes": [
                {"name": "keys", "secret": {"secretName": "late-secret", "items": [{"key": "token", "path": "token"}]}},
                {"name": "config", "configMap": {"name": "late-map"}},
            ],
        }),
    )
}
