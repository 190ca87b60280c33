//! A container's life.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use longshore_agent::runtime::{CreateRequest, RuntimeErrorKind};
use longshore_plan::names::EngineId;
use longshore_plan::observed::{ContainerState, HostPort};
use longshore_plan::spec::{Port, Protocol, Resources, RestartPolicy};

use super::lab::{Case, SOON, STUBBORN};

const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn everything_may_be_repeated(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let id = runtime.create(&case.request("a")).await?;
    let made = case.detail(&id).await?;
    ensure!(
        made.state == ContainerState::Created && made.started_at.is_empty() && made.pid == 0,
        "{made:?}"
    );
    runtime.start(&id).await?;
    let running = case.detail(&id).await?;
    ensure!(
        running.state == ContainerState::Running && running.address.is_some(),
        "{running:?}"
    );
    runtime.start(&id).await?;
    runtime.unpause(&id).await?;
    runtime.rename(&id, &case.name("a")).await?;
    ensure!(
        case.detail(&id).await? == running,
        "repeating changed {running:?}"
    );
    runtime.stop(&id, GRACE).await?;
    runtime.stop(&id, GRACE).await?;
    let stopped = case.detail(&id).await?;
    ensure!(
        matches!(stopped.state, ContainerState::Exited { exit_code: 137, .. }),
        "{stopped:?}"
    );
    ensure!(
        stopped.address.is_none() && stopped.started_at == running.started_at,
        "{stopped:?}"
    );
    runtime.remove(&id).await?;
    runtime.remove(&id).await?;
    ensure!(runtime.inspect(&id).await?.is_none());
    ensure!(runtime.list().await?.iter().all(|listed| listed.id != id));
    Ok(())
}

pub(super) async fn a_name_is_taken_once(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let a = runtime.create(&case.request("a")).await?;
    let taken = runtime
        .create(&case.request("a"))
        .await
        .err()
        .context("made twice")?;
    ensure!(taken.kind == RuntimeErrorKind::NameConflict, "{taken:?}");
    let b = runtime.create(&case.request("b")).await?;
    let taken = runtime
        .rename(&b, &case.name("a"))
        .await
        .err()
        .context("renamed onto another")?;
    ensure!(taken.kind == RuntimeErrorKind::NameConflict, "{taken:?}");
    runtime.rename(&a, &case.name("a.prev")).await?;
    runtime.rename(&b, &case.name("a")).await?;
    ensure!(case.detail(&b).await?.name == case.name("a"));
    let listed = runtime.list().await?;
    let listed = listed
        .iter()
        .find(|listed| listed.id == a)
        .context("not listed")?;
    ensure!(listed.name == case.name("a.prev"), "{listed:?}");
    Ok(())
}

fn on_port(request: CreateRequest, port: u16) -> CreateRequest {
    let mut request = request;
    request.env = Vec::new();
    request.spec.ports = vec![Port {
        container_port: 8080,
        host_port: Some(port),
        host_ip: None,
        protocol: Protocol::Tcp,
    }];
    request
}

pub(super) async fn a_host_port_is_taken_once(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let port = case.lab.free_port()?;
    let a = case.run(&on_port(case.request("a"), port)).await?;
    let listed = runtime.list().await?;
    let listed = listed
        .iter()
        .find(|listed| listed.id == a)
        .context("not listed")?;
    ensure!(
        listed.host_ports
            == [HostPort {
                port,
                protocol: Protocol::Tcp
            }],
        "{listed:?}"
    );
    let b = runtime.create(&on_port(case.request("b"), port)).await?;
    let taken = runtime
        .start(&b)
        .await
        .err()
        .context("started on a port that is taken")?;
    ensure!(taken.kind == RuntimeErrorKind::PortConflict, "{taken:?}");
    let refused = case.detail(&b).await?;
    ensure!(!refused.state.is_up() && !refused.error.is_empty(), "{refused:?}");
    runtime.stop(&a, GRACE).await?;
    runtime.start(&b).await?;
    ensure!(case.state(&b).await? == ContainerState::Running);
    runtime.remove(&a).await?;
    runtime.remove(&b).await?;
    Ok(())
}

pub(super) async fn an_unknown_container_is_told_as_such(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let id = EngineId("f".repeat(64));
    ensure!(runtime.inspect(&id).await?.is_none());
    runtime.remove(&id).await?;
    let outcomes = [
        runtime.start(&id).await,
        runtime.stop(&id, GRACE).await,
        runtime.rename(&id, &case.name("x")).await,
        runtime
            .update(&id, RestartPolicy::Never, &Resources::default())
            .await,
        runtime.kill(&id, "SIGHUP").await,
        runtime.exec(&id, &["x".to_owned()], SOON).await.map(drop),
        runtime.log_tail(&id, 1).await.map(drop),
    ];
    for outcome in outcomes {
        let error = outcome.err().context("an unknown container obeyed")?;
        ensure!(error.kind == RuntimeErrorKind::NotFound, "{error:?}");
    }
    let mut request = case.request("a");
    "never-pulled:1".clone_into(&mut request.spec.image);
    let error = runtime
        .create(&request)
        .await
        .err()
        .context("made from no image")?;
    ensure!(error.kind == RuntimeErrorKind::NotFound, "{error:?}");
    Ok(())
}

pub(super) async fn a_process_that_ignores_its_signal_is_killed_after_the_grace_period(
    case: Case<'_>,
) -> Result<()> {
    let mut request = case.request("a");
    STUBBORN.clone_into(&mut request.spec.image);
    let id = case.run(&request).await?;
    let before = tokio::time::Instant::now();
    case.runtime().stop(&id, Duration::from_secs(2)).await?;
    let took = before.elapsed();
    ensure!(took >= Duration::from_secs(2) && took < SOON, "took {took:?}");
    let state = case.state(&id).await?;
    ensure!(
        matches!(state, ContainerState::Exited { exit_code: 137, .. }),
        "{state:?}"
    );
    Ok(())
}

/// Docker takes any signal to a container without a stop signal for a stop by hand.
pub(super) async fn a_signal_that_is_no_stop_does_not_end_the_restarts(case: Case<'_>) -> Result<()> {
    let mut request = case.exiting("a", 3, 3, RestartPolicy::Always);
    STUBBORN.clone_into(&mut request.spec.image);
    let id = case.run(&request).await?;
    case.runtime().kill(&id, "SIGHUP").await?;
    ensure!(case.state(&id).await? == ContainerState::Running);
    case.wait(&id, "restarted", |detail| detail.restarts >= 1).await?;
    case.runtime().remove(&id).await?;
    Ok(())
}

pub(super) async fn a_restart_is_a_stop_and_a_start(case: Case<'_>) -> Result<()> {
    let id = case.run(&case.request("a")).await?;
    let before = case.detail(&id).await?;
    case.runtime().restart(&id, GRACE).await?;
    let after = case
        .wait(&id, "running again", |detail| {
            detail.state == ContainerState::Running
        })
        .await?;
    ensure!(
        after.started_at > before.started_at && after.id == before.id,
        "{before:?} {after:?}"
    );
    case.runtime().stop(&id, GRACE).await?;
    case.runtime().restart(&id, GRACE).await?;
    ensure!(case.state(&id).await? == ContainerState::Running);
    Ok(())
}

pub(super) async fn restart_policies_are_carried_out(case: Case<'_>) -> Result<()> {
    let never = case
        .run(&case.exiting("never", 4, 0, RestartPolicy::Never))
        .await?;
    let twice = case.exiting("twice", 5, 0, RestartPolicy::OnFailure { max_retries: 2 });
    let twice = case.run(&twice).await?;
    let done = case.exiting("done", 0, 0, RestartPolicy::OnFailure { max_retries: 0 });
    let done = case.run(&done).await?;
    let always = case
        .run(&case.exiting("always", 6, 0, RestartPolicy::Always))
        .await?;
    let exited = |code| move |d: &_| is_exited(d, code);
    let detail = case.wait(&never, "exited", exited(4)).await?;
    ensure!(
        detail.restarts == 0 && !detail.started_at.is_empty(),
        "{detail:?}"
    );
    case.wait(&twice, "exited after two restarts", |d| {
        is_exited(d, 5) && d.restarts == 2
    })
    .await?;
    ensure!(case.wait(&done, "exited", exited(0)).await?.restarts == 0);
    case.wait(&always, "restarting", |d| {
        d.restarts >= 3 && d.state == ContainerState::Restarting { exit_code: 6 }
    })
    .await?;
    case.runtime().stop(&always, GRACE).await?;
    let stopped = case.detail(&always).await?;
    ensure!(is_exited(&stopped, 6), "{stopped:?}");
    Ok(())
}

fn is_exited(detail: &longshore_agent::runtime::ContainerDetail, code: i64) -> bool {
    matches!(detail.state, ContainerState::Exited { exit_code, .. } if exit_code == code)
}

pub(super) async fn a_frozen_container_can_be_woken_stopped_and_removed(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let ids = [case.request("wake"), case.request("stop"), case.request("remove")];
    let [wake, stop, remove] = ids;
    let (wake, stop, remove) = (
        case.run(&wake).await?,
        case.run(&stop).await?,
        case.run(&remove).await?,
    );
    for name in ["wake", "stop", "remove"] {
        case.lab.pause(&case.name(name)).await?;
    }
    ensure!(case.state(&wake).await? == ContainerState::Paused);
    let frozen = runtime
        .exec(&wake, &["/webapp".to_owned(), "probe".to_owned()], SOON)
        .await;
    ensure!(
        frozen
            .as_ref()
            .is_err_and(|error| error.kind == RuntimeErrorKind::Conflict),
        "{frozen:?}"
    );
    runtime.unpause(&wake).await?;
    runtime.unpause(&wake).await?;
    ensure!(case.state(&wake).await? == ContainerState::Running);
    runtime.stop(&stop, GRACE).await?;
    ensure!(matches!(case.state(&stop).await?, ContainerState::Exited { .. }));
    runtime.remove(&remove).await?;
    ensure!(runtime.inspect(&remove).await?.is_none());
    Ok(())
}

pub(super) async fn limits_change_in_place_and_some_cannot_be_lifted(case: Case<'_>) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let runtime = case.runtime();
    let mut request = case.request("a");
    request.resources = Resources {
        memory_limit_bytes: Some(32 * MIB),
        pids_limit: Some(50),
        ..Resources::default()
    };
    let id = case.run(&request).await?;
    let before = case.detail(&id).await?;
    ensure!(before.resources == request.resources, "{before:?}");
    // More than twice the memory: above the swap limit Docker chose at creation.
    let more = Resources {
        cpu_limit_millis: Some(500),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0".to_owned()),
        memory_limit_bytes: Some(128 * MIB),
        memory_reservation_bytes: Some(16 * MIB),
        pids_limit: None,
    };
    runtime.update(&id, RestartPolicy::UnlessStopped, &more).await?;
    runtime.update(&id, RestartPolicy::UnlessStopped, &more).await?;
    let after = case.detail(&id).await?;
    ensure!(
        after.resources == more && after.restart_policy == RestartPolicy::UnlessStopped,
        "{after:?}"
    );
    ensure!(
        (&after.started_at, after.pid) == (&before.started_at, before.pid),
        "restarted: {after:?}"
    );
    let less = Resources {
        memory_limit_bytes: Some(64 * MIB),
        ..more.clone()
    };
    runtime.update(&id, RestartPolicy::Never, &less).await?;
    ensure!(case.detail(&id).await?.resources == less);
    for lifted in [
        Resources {
            memory_limit_bytes: None,
            memory_reservation_bytes: None,
            ..less.clone()
        },
        Resources {
            cpu_limit_millis: None,
            ..less.clone()
        },
        Resources {
            cpuset_cpus: None,
            ..less.clone()
        },
        Resources {
            cpu_shares: None,
            ..less.clone()
        },
    ] {
        let refused = runtime
            .update(&id, RestartPolicy::Never, &lifted)
            .await
            .err()
            .context("lifted")?;
        ensure!(refused.kind == RuntimeErrorKind::Unsupported, "{refused:?}");
    }
    let tiny = Resources {
        memory_limit_bytes: Some(MIB),
        ..less
    };
    ensure!(runtime.update(&id, RestartPolicy::Never, &tiny).await.is_err());
    Ok(())
}

pub(super) async fn commands_inside_end_with_their_code(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let mut request = case.request("a");
    request.env = Vec::new();
    let id = case.run(&request).await?;
    let exec = async |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        runtime.exec(&id, &words, SOON).await
    };
    let deadline = tokio::time::Instant::now() + SOON;
    while exec(&["/webapp", "probe"]).await?.exit_code != 0 {
        ensure!(tokio::time::Instant::now() < deadline, "never serves");
    }
    ensure!(exec(&["/webapp", "touch", "/tmp/sick"]).await?.exit_code == 0);
    ensure!(exec(&["/webapp", "probe"]).await?.exit_code == 1);
    ensure!(exec(&["/webapp", "rm", "/tmp/sick"]).await?.exit_code == 0);
    ensure!(exec(&["/webapp", "probe"]).await?.exit_code == 0);
    if case.lab.is_real() {
        let output = exec(&["/webapp", "cat", "/webapp"]).await?.output;
        ensure!(
            output.len() > 2000 && output.len() < 3 * 4096,
            "{} bytes of a long output",
            output.len()
        );
        let missing = exec(&["/nothing"]).await?;
        ensure!(
            missing.exit_code == 126 || missing.exit_code == 127,
            "{missing:?}"
        );
        let before = tokio::time::Instant::now();
        let endless = ["/webapp", "cat", "/dev/zero"].map(str::to_owned);
        let error = runtime.exec(&id, &endless, GRACE).await.err().context("ended")?;
        ensure!(
            error.kind == RuntimeErrorKind::Timeout && before.elapsed() < SOON,
            "{error:?}"
        );
    }
    runtime.stop(&id, GRACE).await?;
    let stopped = exec(&["/webapp", "probe"])
        .await
        .err()
        .context("ran in a stopped container")?;
    ensure!(stopped.kind == RuntimeErrorKind::Conflict, "{stopped:?}");
    runtime.remove(&id).await?;
    Ok(())
}

pub(super) async fn the_log_tells_the_last_lines(case: Case<'_>) -> Result<()> {
    let id = case.run(&case.exiting("a", 7, 0, RestartPolicy::Never)).await?;
    case.wait(&id, "exited", |detail| is_exited(detail, 7)).await?;
    let log = case.runtime().log_tail(&id, 10).await?;
    ensure!(log.lines().count() == 1, "{log:?}");
    ensure!(!case.lab.is_real() || log == "exiting with 7\n", "{log:?}");
    case.runtime().start(&id).await?;
    case.wait(&id, "exited", |detail| is_exited(detail, 7)).await?;
    ensure!(case.runtime().log_tail(&id, 10).await?.lines().count() == 2);
    ensure!(case.runtime().log_tail(&id, 1).await?.lines().count() == 1);
    Ok(())
}

pub(super) async fn events_wake_whoever_subscribed(case: Case<'_>) -> Result<()> {
    let mut events = case.runtime().events().await?;
    // Before the stream is polled for the first time: nothing may be lost.
    let id = case.run(&case.exiting("a", 0, 1, RestartPolicy::Never)).await?;
    let mut missing = vec!["create", "start", "die"];
    while !missing.is_empty() {
        let event = tokio::time::timeout(SOON, events.next())
            .await
            .with_context(|| format!("no {missing:?}"))?;
        let event = event.context("the stream ended")??;
        let ours = event.object == id.0 || event.object == case.name("a");
        missing.retain(|action| !(ours && event.kind == "container" && event.action == *action));
    }
    case.runtime().remove(&id).await?;
    Ok(())
}
