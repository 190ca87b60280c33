//! (a) From an accepted apply to the plan at the agent, beside a bare watch of the same object.
//!
//! Both are told by the same write: whoever watches hears of it, and what the controller adds is what
//! lies between that and the plan's bytes on the device's topic. The controller is such a client itself,
//! so it cannot be faster; how much slower it is, is its own work and the bus.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use longshore_plan::spec::EnvSource;
use longshore_tests::harness::Kind;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::fixtures;
use crate::measure::{Arm, Effort, Outcome, Row};
use crate::rig::{Keeping, Rig};
use crate::twin::Twin;

const WORKLOAD: &str = "bench";
const DEVICE: &str = "dev1";
const VARIABLE: &str = "ROUND";
/// How long anything may take before it is an error and no figure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures it.
pub(crate) fn measure(effort: Effort) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let rows = runtime.context("starting a runtime")?.block_on(rounds(effort))?;
    Ok(Outcome::Rows(rows))
}

async fn rounds(effort: Effort) -> Result<Vec<Row>> {
    let rig = Rig::start(Keeping::OnDisk).await?;
    let id = rig.declare_device(DEVICE).await?;
    let twin = Twin::connect(id.clone(), rig.connect(&id)).await?;
    rig.wait_until_connected(DEVICE).await?;
    let mut sights = Sights::open(&rig, twin);
    let mut rows = changes(&rig, &mut sights, effort).await?;
    rows.push(news(&rig, &mut sights, effort).await?);
    // They would try again and again to look at what is gone.
    drop(sights);
    rig.stop().await?;
    Ok(rows)
}

/// A workload that is there gets another variable, again and again.
async fn changes(rig: &Rig, sights: &mut Sights, effort: Effort) -> Result<Vec<Row>> {
    let mut sent = row("a change: apply sent → plan's bytes at the device's topic");
    let mut answered = row("the same change: apply answered → plan's bytes");
    let mut answers = Arm::default();
    for round in 0..=effort.pick(10, 150) {
        let Sighting {
            begun,
            answer,
            event,
            plan,
        } = apply(rig, sights, WORKLOAD, &round.to_string()).await?;
        // The first one is new to the controller, which is another row.
        if round > 0 {
            sent.ours.push(signed(begun, plan));
            sent.baseline.push(signed(begun, event));
            answered.ours.push(signed(answer, plan));
            answered.baseline.push(signed(answer, event));
            answers.push(signed(begun, answer));
        }
    }
    let median = answers.percentile(50);
    sent.notes
        .push(format!("the API's answer came after {median:.2} ms (p50)"));
    answered
        .notes
        .push("less than nothing: it was there before the API's answer was".to_owned());
    Ok(vec![sent, answered])
}

/// A workload that the controller has never seen: it writes its finalizer before it sends anything.
async fn news(rig: &Rig, sights: &mut Sights, effort: Effort) -> Result<Row> {
    let mut row = row("a new workload: apply sent → plan's bytes");
    for round in 0..effort.pick(5, 50) {
        let name = format!("new-{round}");
        let Sighting {
            begun, event, plan, ..
        } = apply(rig, sights, &name, &name).await?;
        row.ours.push(signed(begun, plan));
        row.baseline.push(signed(begun, event));
        rig.objects.delete(Kind::Workload, &name).await?;
        rig.objects.gone(Kind::Workload, &name).await?;
    }
    row.notes
        .push("its finalizer is written before, so the disk is waited for twice".to_owned());
    Ok(row)
}

fn row(what: &str) -> Row {
    Row::new(what, "bare watch client, same object: its event", "ms")
}

/// One apply, and when it was seen where.
struct Sighting {
    begun: Instant,
    answer: Instant,
    event: Instant,
    plan: Instant,
}

/// Applies a workload whose variable has that value, and waits until all came to rest again.
async fn apply(rig: &Rig, sights: &mut Sights, name: &str, value: &str) -> Result<Sighting> {
    let mut workload = fixtures::workload(name, &[DEVICE], "server:1", 1);
    workload["spec"]["template"]["containers"][0]["env"] = json!([{"name": VARIABLE, "value": value}]);
    let begun = Instant::now();
    rig.objects.apply(&workload).await?;
    let answer = Instant::now();
    let event = arrival(&mut sights.events, value)
        .await
        .context("the watch event")?;
    let plan = arrival(&mut sights.plans, value).await.context("the plan")?;
    rig.objects.ready(name).await?;
    Ok(Sighting {
        begun,
        answer,
        event,
        plan,
    })
}

/// Those that look.
struct Sights {
    plans: mpsc::Receiver<Seen>,
    events: mpsc::Receiver<Seen>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// When something was seen, and the values of the variables in it.
type Seen = (Instant, Vec<String>);

impl Sights {
    fn open(rig: &Rig, twin: Twin) -> Self {
        let (tell_plan, plans) = mpsc::channel(64);
        let (tell_event, events) = mpsc::channel(64);
        let tasks = [
            tokio::spawn(follow_plans(twin, tell_plan)),
            tokio::spawn(follow_objects(rig.client.clone(), tell_event)),
        ];
        Self {
            plans,
            events,
            _tasks: tasks.map(AbortOnDropHandle::new),
        }
    }
}

/// Carries out plans, and tells of each.
async fn follow_plans(mut twin: Twin, tell: mpsc::Sender<Seen>) {
    while let Ok(arrival) = twin.next_plan().await {
        let containers = arrival.plan.desired.workloads.iter().flat_map(|w| &w.containers);
        let values = containers
            .flat_map(|c| &c.spec.env)
            .filter_map(|var| match &var.source {
                EnvSource::Value(value) if var.name == VARIABLE => Some(value.clone()),
                _ => None,
            });
        if tell.send((arrival.at, values.collect())).await.is_err() {
            return;
        }
    }
}

/// Watches the workloads and does nothing else.
async fn follow_objects(client: Client, tell: mpsc::Sender<Seen>) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("longshore.dev", "v1alpha1", "Workload"));
    let api: Api<DynamicObject> = Api::default_namespaced_with(client, &kind);
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let at = Instant::now();
        let Ok(watcher::Event::Apply(object)) = event else {
            continue;
        };
        let variable = &object.data["spec"]["template"]["containers"][0]["env"][0]["value"];
        let values = variable.as_str().map(str::to_owned).into_iter().collect();
        if tell.send((at, values)).await.is_err() {
            return;
        }
    }
}

/// When a value was first seen. Later sights of it, and what was declared before, are passed over.
async fn arrival(seen: &mut mpsc::Receiver<Seen>, wanted: &str) -> Result<Instant> {
    let wait = async {
        while let Some((at, values)) = seen.recv().await {
            if values.iter().any(|value| value == wanted) {
                return Ok(at);
            }
        }
        bail!("nobody looks any more")
    };
    timeout(PATIENCE, wait).await.context("nothing came")?
}

/// Milliseconds, also backwards: an event may come before the answer does.
fn signed(from: Instant, to: Instant) -> f64 {
    let forward = to.saturating_duration_since(from).as_secs_f64();
    let backward = from.saturating_duration_since(to).as_secs_f64();
    (forward - backward) * 1e3
}
