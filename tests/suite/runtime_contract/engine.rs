//! The engine goes away and comes back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use longshore_agent::runtime::{CreateRequest, RuntimeErrorKind};
use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::RestartPolicy;

use super::lab::{Case, SOON};

const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn an_engine_that_is_away_is_unavailable(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let before = runtime.info().await?;
    ensure!(!before.version.is_empty() && before.os == "linux", "{before:?}");
    ensure!(
        before.capabilities.is_sorted() && !before.capabilities.is_empty(),
        "{before:?}"
    );
    case.lab.stop_engine().await?;
    let id = EngineId("f".repeat(64));
    let outcomes = [
        runtime.info().await.map(drop),
        runtime.list().await.map(drop),
        runtime.inspect(&id).await.map(drop),
        runtime.create(&case.request("a")).await.map(drop),
        runtime.start(&id).await,
        runtime.events().await.map(drop),
        runtime
            .pull("a:1", None, tokio::sync::watch::Sender::default())
            .await
            .map(drop),
    ];
    case.lab.start_engine().await?;
    for outcome in outcomes {
        let error = outcome.err().context("answered by an engine that is away")?;
        ensure!(error.kind == RuntimeErrorKind::Unavailable, "{error:?}");
    }
    ensure!(runtime.info().await? == before);
    Ok(())
}

async fn with_policy(case: &Case<'_>, what: &str, restart_policy: RestartPolicy) -> Result<EngineId> {
    case.run(&CreateRequest {
        restart_policy,
        ..case.request(what)
    })
    .await
}

/// Docker's trap first: one that was stopped on purpose is up again beside its replacement.
pub(super) async fn a_restarted_engine_starts_what_its_policies_say(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let policies = [
        ("always", RestartPolicy::Always, [true, true]),
        ("unless", RestartPolicy::UnlessStopped, [false, true]),
        // Killed by the stop, it "failed".
        (
            "failed",
            RestartPolicy::OnFailure { max_retries: 0 },
            [true, true],
        ),
        ("never", RestartPolicy::Never, [false, false]),
    ];
    let mut wanted = Vec::new();
    for (what, policy, [after_stop, after_run]) in policies {
        let stopped = with_policy(&case, &format!("{what}-stopped"), policy).await?;
        runtime.stop(&stopped, GRACE).await?;
        let running = with_policy(&case, &format!("{what}-running"), policy).await?;
        wanted.extend([
            (what, "stopped", stopped, after_stop),
            (what, "running", running, after_run),
        ]);
    }
    let turned = with_policy(&case, "turned", RestartPolicy::Always).await?;
    // What `replace` does with the old one.
    runtime
        .update(
            &turned,
            RestartPolicy::Never,
            &longshore_plan::spec::Resources::default(),
        )
        .await?;
    runtime.stop(&turned, GRACE).await?;
    wanted.push(("turned to never", "stopped", turned, false));
    let made = CreateRequest {
        restart_policy: RestartPolicy::Always,
        ..case.request("made")
    };
    wanted.push(("always", "never started", runtime.create(&made).await?, false));

    case.lab.stop_engine().await?;
    case.lab.start_engine().await?;
    for (policy, before, id, up) in &wanted {
        let detail = case.detail(id).await?;
        ensure!(
            detail.state.is_up() == *up,
            "{policy}, {before} before: {detail:?}"
        );
    }
    for (_, _, id, _) in &wanted {
        runtime.remove(id).await?;
    }
    Ok(())
}

pub(super) async fn a_killed_engine_starts_its_containers_again(case: Case<'_>) -> Result<()> {
    let always = with_policy(&case, "always", RestartPolicy::Always).await?;
    let never = with_policy(&case, "never", RestartPolicy::Never).await?;
    let before = case.detail(&always).await?;
    case.lab.kill_engine().await?;
    case.lab.start_engine().await?;
    let after = case
        .wait(&always, "running", |detail| {
            detail.state == ContainerState::Running
        })
        .await?;
    ensure!(
        after.id == before.id && after.started_at > before.started_at,
        "{before:?} {after:?}"
    );
    let never_after = case.detail(&never).await?;
    ensure!(!never_after.state.is_up(), "{never_after:?}");
    case.runtime().remove(&always).await?;
    case.runtime().remove(&never).await?;
    Ok(())
}

pub(super) async fn event_streams_end_with_the_engine(case: Case<'_>) -> Result<()> {
    let mut events = case.runtime().events().await?;
    case.lab.kill_engine().await?;
    let end = async {
        while let Some(event) = events.next().await {
            if let Err(error) = event {
                return Ok(error);
            }
        }
        anyhow::bail!("ended without an error")
    };
    let error = tokio::time::timeout(SOON, end)
        .await
        .context("a dead engine's stream stays open")??;
    ensure!(error.kind == RuntimeErrorKind::Unavailable, "{error:?}");
    ensure!(events.next().await.is_none());
    case.lab.start_engine().await?;
    drop(case.runtime().events().await?);
    Ok(())
}
