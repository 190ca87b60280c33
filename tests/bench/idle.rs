//! (d) What an idle fleet writes to the API.
//!
//! Every write makes the API server's resourceVersion grow by one, so its growth counts them all, and a
//! watch of every kind tells whose they are. The baseline is a controller without any device: it renews
//! its Lease and that is all, and a fleet that adds anything to it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::runtime::{WatchStreamExt as _, watcher};
use longshore_agent::runtime::sim::{Behaviour, SimImage, SimMachine};
use tokio_util::task::AbortOnDropHandle;

use crate::fixtures;
use crate::measure::{Effort, Outcome, Row};
use crate::rig::{Keeping, Rig};

/// Each workload runs on every device.
const WORKLOADS: usize = 4;
const CONTAINERS_OF_A_WORKLOAD: usize = 3;

/// Measures it.
pub(crate) fn measure(effort: Effort) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let row = runtime.context("starting a runtime")?.block_on(minutes(effort))?;
    Ok(Outcome::Rows(vec![row]))
}

async fn minutes(effort: Effort) -> Result<Row> {
    let devices = effort.pick(3, 20);
    let (settling, window, windows) = effort.pick((5, 10, 2), (30, 60, 5));
    let empty = Rig::start(Keeping::OnDisk).await?;
    let fleet = fleet(devices).await?;
    tokio::time::sleep(Duration::from_secs(settling)).await;

    let (mut ours, mut baseline) = (Ledger::open(&fleet).await?, Ledger::open(&empty).await?);
    let (messages, asked) = (fleet.published(), api_writes(&fleet));
    let containers = devices * WORKLOADS * CONTAINERS_OF_A_WORKLOAD;
    let mut row = Row::new(
        format!("API writes in {window} s: {devices} devices, {containers} containers"),
        "a controller that has no devices",
        "writes",
    );
    for _ in 0..windows {
        tokio::time::sleep(Duration::from_secs(window)).await;
        row.ours.push(ours.since_last().await?);
        row.baseline.push(baseline.since_last().await?);
    }
    let (messages, asked) = (fleet.published() - messages, api_writes(&fleet) - asked);
    row.notes.push(format!(
        "by kind in all {windows}: {}; without devices: {}",
        ours.by_kind().await,
        baseline.by_kind().await
    ));
    row.notes.push(format!(
        "writes its controller asked for beside Lease and Events: {asked}; messages on its bus: {messages}"
    ));
    fleet.stop().await?;
    empty.stop().await?;
    Ok(row)
}

/// The writes that a controller asked for, its Lease and Events not counted. One that changed nothing is
/// among them, and no resourceVersion tells of it.
fn api_writes(rig: &Rig) -> u64 {
    rig.controller.counters().api_writes.get()
}

/// Devices with real agents on a simulated engine, all of whose workloads are ready.
async fn fleet(devices: usize) -> Result<Rig> {
    let mut rig = Rig::start(Keeping::OnDisk).await?;
    let names: Vec<String> = (0..devices).map(|number| format!("dev{number}")).collect();
    for (name, seed) in names.iter().zip(0..) {
        let machine = SimMachine::new(seed);
        machine.serve_any_image(SimImage::new("bench", Behaviour::default()));
        rig.add_agent(name, Arc::new(machine.runtime()), Arc::new(machine.runtime()))
            .await?;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let workloads: Vec<String> = (0..WORKLOADS)
        .map(|number| format!("workload-{number}"))
        .collect();
    for name in &workloads {
        let workload = fixtures::workload(name, &names, "server:1", CONTAINERS_OF_A_WORKLOAD);
        rig.objects.apply(&workload).await?;
    }
    for name in &workloads {
        rig.objects.ready(name).await?;
    }
    Ok(rig)
}

/// The writes of one API server since it was opened.
struct Ledger {
    client: Client,
    opened: u64,
    counted: u64,
    /// The versions of each kind's objects that a watch told of. A kind that is served in two groups
    /// (Events) has one set.
    seen: Arc<Mutex<BTreeMap<String, BTreeSet<u64>>>>,
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl Ledger {
    async fn open(rig: &Rig) -> Result<Self> {
        let client = rig.client.clone();
        let discovery = Discovery::new(client.clone())
            .run()
            .await
            .context("asking for the kinds")?;
        let seen = Arc::default();
        let watches = discovery
            .groups()
            .flat_map(kube::discovery::ApiGroup::recommended_resources)
            .filter(|(_, capabilities)| capabilities.supports_operation(verbs::WATCH))
            .map(|(kind, _)| tokio::spawn(follow(client.clone(), kind, Arc::clone(&seen))))
            .map(AbortOnDropHandle::new)
            .collect();
        // Their first lists are no writes, but must be over before the counting begins.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let opened = revision(&client).await?;
        Ok(Self {
            client,
            opened,
            counted: opened,
            seen,
            _watches: watches,
        })
    }

    /// How many there were since this was last asked.
    async fn since_last(&mut self) -> Result<f64> {
        let now = revision(&self.client).await?;
        let writes = now.saturating_sub(self.counted);
        self.counted = now;
        Ok(f64::from(u32::try_from(writes).context("counting writes")?))
    }

    /// What all of those counted were.
    async fn by_kind(&self) -> String {
        // What was just written is still on its way to the watches.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds: Vec<String> = seen
            .iter()
            .map(|(kind, versions)| (kind, versions.range(self.opened + 1..=self.counted).count()))
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        if kinds.is_empty() {
            "none".to_owned()
        } else {
            kinds.join(", ")
        }
    }
}

/// The resourceVersion of the whole store.
async fn revision(client: &Client) -> Result<u64> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let list = namespaces
        .list(&ListParams::default().limit(1))
        .await
        .context("listing")?;
    let version = list
        .metadata
        .resource_version
        .context("a list without a version")?;
    version.parse().context("a version that is no number")
}

/// Notes the versions of everything that changes.
async fn follow(client: Client, kind: ApiResource, seen: Arc<Mutex<BTreeMap<String, BTreeSet<u64>>>>) {
    let api: Api<DynamicObject> = Api::all_with(client, &kind);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) = event else {
            continue;
        };
        if let Some(version) = object
            .metadata
            .resource_version
            .and_then(|version| version.parse().ok())
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.entry(kind.kind.clone()).or_default().insert(version);
        }
    }
}
