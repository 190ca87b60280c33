//! Looking at an engine from the side while something happens to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bollard::Docker;
use bollard::models::{ContainerSummaryStateEnum, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The label that names a container's workload.
pub const WORKLOAD: &str = "longshore.dev/workload";
/// The label that names a container within its workload.
pub const CONTAINER: &str = "longshore.dev/container";
/// The label that names the site a container belongs to.
pub const SITE: &str = "longshore.dev/site";

const SAMPLING: Duration = Duration::from_millis(50);

/// One thing that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `create`, `start`, `kill`, `die`, `stop`, `rename`, `destroy`, …
    pub action: String,
    /// The container's id.
    pub id: String,
    /// Its name at that time.
    pub name: String,
    /// Its image's name.
    pub image: String,
}

/// Every container event of an engine from now on, until the engine ends.
#[derive(Debug)]
pub struct Events {
    seen: watch::Receiver<Vec<Event>>,
    _task: AbortOnDropHandle<()>,
}

impl Events {
    /// Begins to listen. What happens after the call is seen, however long the engine takes to answer.
    pub fn listen(docker: &Docker) -> Result<Self> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?;
        let since = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let filters = HashMap::from([("type", vec!["container"])]);
        let options = EventsOptionsBuilder::default()
            .since(&since)
            .filters(&filters)
            .build();
        let (sender, seen) = watch::channel(Vec::new());
        let docker = docker.clone();
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(docker.events(Some(options)));
            // An error is the end of the engine; what was seen until then stays.
            while let Some(Ok(message)) = events.next().await {
                if let Some(event) = event(message) {
                    sender.send_modify(|seen| seen.push(event));
                }
            }
        });
        Ok(Self {
            seen,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Where the record stands now, to ask for what comes later.
    pub fn mark(&self) -> usize {
        self.seen.borrow().len()
    }

    /// What happened after a mark.
    pub fn after(&self, mark: usize) -> Vec<Event> {
        self.seen.borrow()[mark..].to_vec()
    }

    /// Waits, without polling, for the first event after a mark that `wanted` accepts.
    pub async fn first(
        &self,
        mark: usize,
        what: &str,
        timeout: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let mut seen = self.seen.clone();
        let waiting = seen.wait_for(|events| events[mark..].iter().any(&wanted));
        match tokio::time::timeout(timeout, waiting).await {
            Ok(Ok(events)) => events[mark..]
                .iter()
                .find(|event| wanted(event))
                .cloned()
                .context("an event that went away"),
            Ok(Err(_)) => bail!("{what}: the engine ended; seen: {:?}", self.after(mark)),
            Err(_) => bail!("{what}: not within {timeout:?}; seen: {:?}", self.after(mark)),
        }
    }

    /// Fails as soon as something that `unwanted` accepts happens within `duration` from now.
    pub async fn quiet(&self, duration: Duration, unwanted: impl Fn(&Event) -> bool) -> Result<()> {
        let mark = self.mark();
        let mut seen = self.seen.clone();
        let waiting = seen.wait_for(|events| events[mark..].iter().any(&unwanted));
        match tokio::time::timeout(duration, waiting).await {
            Err(_) => Ok(()),
            Ok(Ok(_)) => bail!("not quiet: {:?}", self.after(mark)),
            Ok(Err(_)) => bail!("the engine ended"),
        }
    }
}

/// Whether an event changes a container; probes by `exec` and attaching do not.
pub fn changes(event: &Event) -> bool {
    const CHANGES: [&str; 12] = [
        "create", "start", "restart", "kill", "die", "stop", "rename", "update", "destroy", "pause",
        "unpause", "oom",
    ];
    CHANGES.contains(&event.action.as_str())
}

fn event(message: EventMessage) -> Option<Event> {
    let actor = message.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    Some(Event {
        action: message.action?,
        id: actor.id?,
        name: attributes.remove("name").unwrap_or_default(),
        image: attributes.remove("image").unwrap_or_default(),
    })
}

/// Looks every 50 ms whether two of one container are up at the same time.
#[derive(Debug)]
pub struct NeverTwo {
    found: Arc<Mutex<Found>>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Found {
    samples: usize,
    images: Vec<String>,
    violations: Vec<String>,
}

impl NeverTwo {
    /// Begins to look at the containers of a workload.
    pub fn watch(docker: &Docker, workload: &str) -> Self {
        let filters = HashMap::from([("label".to_owned(), vec![format!("{WORKLOAD}={workload}")])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let (found, stop) = (Arc::new(Mutex::new(Found::default())), CancellationToken::new());
        let (docker, result, stopped) = (docker.clone(), Arc::clone(&found), stop.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLING);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !stopped.is_cancelled() {
                ticks.tick().await;
                // While the engine is down nothing can be seen, and that is not a sample.
                if let Ok(containers) = docker.list_containers(Some(options.clone())).await {
                    record(
                        &mut result.lock().unwrap_or_else(PoisonError::into_inner),
                        containers,
                    );
                }
            }
        });
        Self {
            found,
            stop,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Ends it: an error if there ever were two, or if there were too few looks to tell. Answers the
    /// images that were seen running, in their order.
    pub async fn finish(self) -> Result<Vec<String>> {
        self.stop.cancel();
        self.task.await.context("the sampler ended early")?;
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(found.violations.is_empty(), "two at once: {:?}", found.violations);
        ensure!(found.samples >= 10, "only {} samples", found.samples);
        Ok(found.images.clone())
    }
}

fn record(found: &mut Found, containers: Vec<bollard::models::ContainerSummary>) {
    use ContainerSummaryStateEnum as State;
    found.samples += 1;
    let mut up: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in containers {
        // A restarting one may be up in the next moment, so it counts.
        if !matches!(
            container.state,
            Some(State::RUNNING | State::PAUSED | State::RESTARTING)
        ) {
            continue;
        }
        let labels = container.labels.unwrap_or_default();
        let image = container.image.unwrap_or_default();
        if found.images.last() != Some(&image) {
            found.images.push(image.clone());
        }
        let which = format!(
            "{image} {:?} {}",
            container.names.unwrap_or_default(),
            container.id.unwrap_or_default()
        );
        up.entry(labels.get(CONTAINER).cloned().unwrap_or_default())
            .or_default()
            .push(which);
    }
    found.violations.extend(
        up.into_values()
            .filter(|up| up.len() > 1)
            .map(|up| up.join(" beside ")),
    );
}
