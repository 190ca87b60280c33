//! What most tests begin with: an engine that has the test images, and a site on it.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use longshore_tests::harness::containers::{self, Container};
use longshore_tests::harness::objects::SOON;
use longshore_tests::harness::process::wait_until;
use longshore_tests::harness::watch::{Events, changes};
use longshore_tests::harness::{Dockerd, Objects, Site, SiteOptions, http, ports, webapp};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::manifests::web;

/// An engine, a site on it, and the eyes on both.
pub(super) struct Stage {
    // In the order of dying: the site first, so that its log ends with what the test did.
    pub(super) site: Site,
    pub(super) objects: Objects,
    pub(super) docker: Docker,
    pub(super) engine: Dockerd,
    _turn: SemaphorePermit<'static>,
}

impl Stage {
    /// Sets it up with `hello:1` and `hello:2`, which answer `v1` and `v2`, and `hello:sick`, which never
    /// gets healthy; `None` where there is no Docker.
    pub(super) async fn set() -> Result<Option<Self>> {
        let Some((engine, turn)) = engine(&json!({})).await? else {
            return Ok(None);
        };
        let docker = engine.bollard()?;
        load_images(&docker).await?;
        let site = Site::start(SiteOptions::docker(&engine)).await?;
        let objects = Objects::new(site.client().await?);
        Ok(Some(Self {
            site,
            objects,
            docker,
            engine,
            _turn: turn,
        }))
    }

    /// Has the Workload `hello` of `hello:1` ready on a port of the device, which is answered.
    pub(super) async fn hello(&self) -> Result<u16> {
        let port = ports::free_port()?;
        self.objects.apply(&web("hello", "hello:1", port)).await?;
        self.objects.ready("hello").await?;
        Ok(port)
    }

    /// Whether the containers are the same, in the same run, and nothing was done to them in between.
    pub(super) async fn untouched(
        &self,
        events: &Events,
        before: &BTreeMap<String, Container>,
    ) -> Result<()> {
        let happened: Vec<_> = events.after(0).into_iter().filter(changes).collect();
        ensure!(happened.is_empty(), "in between: {happened:?}");
        let after = containers::all(&self.docker).await?;
        ensure!(after == *before, "before {before:#?}, after {after:#?}");
        Ok(())
    }

    /// The container of that name.
    pub(super) async fn container(&self, name: &str) -> Result<Container> {
        containers::get(&self.docker, name).await
    }

    /// The docker CLI: what somebody does by hand.
    pub(super) async fn by_hand(&self, arguments: &[&str]) -> Result<String> {
        self.engine.docker(arguments).await
    }
}

/// An engine with these settings of its own, once it is this test's turn; `None` where there is no Docker.
pub(super) async fn engine(settings: &Value) -> Result<Option<(Dockerd, SemaphorePermit<'static>)>> {
    let turn = turns().await.acquire().await.context("waiting for a turn")?;
    Ok(Dockerd::start_with(settings).await?.map(|engine| (engine, turn)))
}

/// As many engines at once as there are cores, and at least two: most of the time they wait.
async fn turns() -> &'static Semaphore {
    static TURNS: OnceCell<Semaphore> = OnceCell::const_new();
    let set = async || Semaphore::new(thread::available_parallelism().map_or(2, |cores| cores.get().max(2)));
    TURNS.get_or_init(set).await
}

/// Loads the three images.
pub(super) async fn load_images(docker: &Docker) -> Result<()> {
    for (reference, version) in [("hello:1", "v1"), ("hello:2", "v2")] {
        webapp(reference, version)?.build().load(docker).await?;
    }
    webapp("hello:sick", "v3")?
        .env("HEALTH", "fail")
        .build()
        .load(docker)
        .await
}

/// Waits until a published port answers this on `path`.
pub(super) async fn answers(port: u16, path: &str, expected: &str) -> Result<()> {
    let what = format!("port {port} answers {expected:?} on {path}");
    wait_until(&what, SOON, async || match http::get(port, path).await {
        Ok((200, body)) if body.trim_end() == expected => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// Waits until the engine's containers are as `check` wants them.
pub(super) async fn eventually<T>(
    what: &str,
    timeout: Duration,
    mut check: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    wait_until(what, timeout, async || {
        check().await.map_err(|error| format!("{error:#}"))
    })
    .await
}
