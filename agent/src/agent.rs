//! Starting and stopping the agent as a whole.
//!
//! ```text
//! observer ─► view ─► executor ─► runtime        link ─► ledger ─► executor
//!               ├──► probes ──► executor           ├──► content
//!               └──► reporter ─► bus               └──► supervised? ─► executor
//! ```
//!
//! A task that panics, or ends unasked, ends the whole agent: its supervisor starts it again from the
//! ledger, which is a state it must be able to start from anyway.

use std::sync::Arc;
use std::time::Duration;

use longshore_bus::clock::{Clock, IdSource};
use longshore_bus::topic::device_filters;
use longshore_bus::{Bus, DeviceId, SubscribeError};
use longshore_plan::observed::{Drift, Observed};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answers::Answers;
use crate::content::Content;
use crate::counters::{CounterValues, Counters};
use crate::executor::{Cancellations, Executor, Inputs, Tools};
use crate::ledger::{Ledger, LedgerError};
use crate::link::Link;
use crate::observer::View;
use crate::probes::{self, Probing};
use crate::reporter::{self, ReportRequests, Reporter};
use crate::runtime::Runtime;
use crate::runtime::probe_network::ProbeNetwork;
use crate::storage::{Storage, StorageError};
use crate::subnet::InvalidCidr;

/// How long an orderly stop waits for the step under way. A step cut short is finished at the next start.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// How an agent is made.
#[derive(Clone)]
pub struct AgentConfig {
    /// Whose agent it is.
    pub device: DeviceId,
    /// Where it keeps its ledger and content.
    pub storage: Storage,
    /// IPv4 ranges that its networks take their subnets from, in CIDR form. See
    /// [`AgentConfig::DEFAULT_NETWORK_POOL`].
    pub network_pool: Vec<String>,
    /// The wall clock, for people.
    pub clock: Arc<dyn Clock>,
    /// Ids and jitter.
    pub ids: IdSource,
    /// The version its birth tells.
    pub version: String,
    /// The session that the bus client's will names; absent makes one at each connection.
    pub session: Option<Uuid>,
}

impl AgentConfig {
    /// The pool where nothing else is configured.
    pub const DEFAULT_NETWORK_POOL: &'static str = "10.201.0.0/16";

    /// A configuration with every default.
    pub fn new(device: DeviceId, storage: Storage, clock: Arc<dyn Clock>, ids: IdSource) -> Self {
        Self {
            device,
            storage,
            network_pool: vec![Self::DEFAULT_NETWORK_POOL.to_owned()],
            clock,
            ids,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: None,
        }
    }
}

/// Why an agent did not start. An engine or a bus that does not answer is no reason: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The storage cannot be used.
    #[error("use the agent's storage")]
    Storage(#[source] StorageError),
    /// The ledger can be neither read nor made.
    #[error("open the agent's ledger")]
    Ledger(#[source] LedgerError),
    /// The network pool is wrong.
    #[error("read the network pool")]
    NetworkPool(#[source] InvalidCidr),
    /// The bus refuses the device's own topics.
    #[error("subscribe to the device's topics")]
    Subscribe(#[source] SubscribeError),
}

/// Why an agent ended that nobody had stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentFailed {
    /// One of its tasks panicked.
    #[error("the agent's task {task} panicked")]
    Panicked {
        /// Which.
        task: &'static str,
    },
    /// One of its tasks ended.
    #[error("the agent's task {task} ended unasked")]
    Ended {
        /// Which.
        task: &'static str,
    },
    /// [`AgentHandle::abort`].
    #[error("the agent was aborted")]
    Aborted,
}

/// The agent.
#[derive(Debug, Clone, Copy)]
pub struct Agent;

/// A running agent. Dropping it aborts the agent, as [`AgentHandle::abort`] does.
#[derive(Debug)]
pub struct AgentHandle {
    stop: CancellationToken,
    tasks: Vec<AbortHandle>,
    ended: watch::Receiver<Option<Result<(), AgentFailed>>>,
    look: Look,
}

/// What a snapshot is made from.
struct Look {
    view: Arc<View>,
    ledger: Arc<Ledger>,
    counters: Arc<Counters>,
    supervised: watch::Receiver<bool>,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}

/// An agent at one moment, for status and tests.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSnapshot {
    /// What is there.
    pub observed: Observed,
    /// What nobody declared.
    pub drift: Vec<Drift>,
    /// The digest of the last desired set accepted; empty if none.
    pub desired_digest: String,
    /// A plan is being carried out.
    pub busy: bool,
    /// Whether a live controller is in charge.
    pub supervised: bool,
    /// What was counted.
    pub counters: CounterValues,
}

impl Agent {
    /// Starts an agent. What an earlier life left unfinished is finished first, as soon as the engine
    /// answers.
    pub async fn start(
        config: AgentConfig,
        runtime: Arc<dyn Runtime>,
        probes: Arc<dyn ProbeNetwork>,
        bus: Arc<dyn Bus>,
    ) -> Result<AgentHandle, StartError> {
        let AgentConfig {
            device,
            storage,
            network_pool,
            clock,
            ids,
            version,
            session: fixed_session,
        } = config;
        let pool: Result<Vec<_>, _> = network_pool.iter().map(|range| range.parse()).collect();
        let network_pool = pool.map_err(StartError::NetworkPool)?;
        let lock = storage.lock().await.map_err(StartError::Storage)?;
        let opened = Ledger::open(storage.clone(), &clock.now_rfc3339()).await;
        let (ledger, _) = opened.map_err(StartError::Ledger)?;
        let ledger = Arc::new(ledger);
        let [own, all] = device_filters(&device);
        let subscription = bus
            .subscribe(&[&own, &all])
            .await
            .map_err(StartError::Subscribe)?;

        let counters = Arc::new(Counters::default());
        let content = Arc::new(Content::open(storage.clone(), device.clone(), Arc::clone(&bus)).await);
        let view = Arc::new(View::new(
            device.clone(),
            Arc::clone(&runtime),
            Arc::clone(&ledger),
            Arc::clone(&content),
            Arc::clone(&clock),
            Arc::clone(&counters),
        ));
        let (answers, outbox) = Answers::new(device.clone(), Arc::clone(&clock), Arc::clone(&counters));
        let answers = Arc::new(answers);
        let cancellations = Arc::new(Cancellations::default());
        let (restarts, restart_requests) = mpsc::channel(probes::REQUESTS);
        let (reports, report_requests) = ReportRequests::channel();
        let (session, session_now) = watch::channel(None);
        // In charge until the link knows better: nothing is planned here in the first moments.
        let (supervised, supervised_now) = watch::channel(true);

        let work = CancellationToken::new();
        let rest = CancellationToken::new();
        let mut tasks = Tasks::default();
        tasks.add(
            "observer",
            crate::observer::observe(Arc::clone(&view), ids.clone(), rest.clone()),
        );
        let probing = Arc::new(Probing {
            view: Arc::clone(&view),
            ledger: Arc::clone(&ledger),
            runtime: Arc::clone(&runtime),
            network: probes,
            restarts,
        });
        tasks.add("probes", probes::probe(probing, rest.clone()));
        let executor = Executor::new(
            Tools {
                device: device.clone(),
                runtime,
                ledger: Arc::clone(&ledger),
                view: Arc::clone(&view),
                content: Arc::clone(&content),
                answers: Arc::clone(&answers),
                cancellations: Arc::clone(&cancellations),
                clock: Arc::clone(&clock),
                counters: Arc::clone(&counters),
                network_pool,
                storage,
            },
            Inputs {
                restarts: restart_requests,
                supervised: supervised_now.clone(),
                stop: work.clone(),
            },
        );
        tasks.add(EXECUTOR, executor.run());
        let reporter = Reporter {
            device: device.clone(),
            bus: Arc::clone(&bus),
            view: Arc::clone(&view),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            ids: ids.clone(),
            counters: Arc::clone(&counters),
            session: session_now,
            requests: report_requests,
            sent: Arc::default(),
        };
        tasks.add("reporter", reporter.run(rest.clone()));
        tasks.add(
            "answers",
            crate::link::post(Arc::clone(&bus), outbox, Arc::clone(&counters), rest.clone()),
        );
        let link = Link {
            device,
            bus,
            ledger: Arc::clone(&ledger),
            view: Arc::clone(&view),
            content,
            answers,
            cancellations,
            reports,
            clock,
            ids,
            counters: Arc::clone(&counters),
            version,
            fixed_session,
            session,
            supervised,
        };
        tasks.add("link", link.run(subscription, rest.clone()));

        let stop = CancellationToken::new();
        let (tell_end, ended) = watch::channel(None);
        let handles = tasks.handles();
        let stopping = stop.clone();
        tokio::spawn(async move {
            let result = supervise(tasks, stopping, work, rest).await;
            if let Err(error) = &result {
                tracing::error!(%error, "the agent ended");
            }
            // Another agent may use the storage from here on.
            drop(lock);
            tell_end.send_replace(Some(result));
        });
        Ok(AgentHandle {
            stop,
            tasks: handles,
            ended,
            look: Look {
                view,
                ledger,
                counters,
                supervised: supervised_now,
            },
        })
    }
}

impl AgentHandle {
    /// Stops the agent in order; containers are left running. A step under way is finished or left at a
    /// journaled point that the next start goes on from.
    pub async fn stop(self) -> Result<(), AgentFailed> {
        self.stop.cancel();
        self.ended().await
    }

    /// Ends the agent as `kill -9` does: no task runs another line. See [`AgentHandle::ended`].
    pub fn abort(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    /// Waits for the agent's end, whatever its cause. After it the storage is free.
    pub async fn ended(&self) -> Result<(), AgentFailed> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(AgentFailed::Aborted),
        }
    }

    /// The agent at this moment.
    pub fn snapshot(&self) -> AgentSnapshot {
        let snapshot = self.look.view.now();
        let reporter::Content {
            fence: _,
            desired_digest,
            busy,
            observed,
            drift,
        } = reporter::content(&self.look.ledger.state(), &snapshot.observed);
        AgentSnapshot {
            observed,
            drift,
            desired_digest,
            busy,
            supervised: *self.look.supervised.borrow(),
            counters: self.look.counters.values(),
        }
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.abort();
        }
    }
}

const EXECUTOR: &str = "executor";

#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    names: Vec<(tokio::task::Id, &'static str)>,
    handles: Vec<AbortHandle>,
}

impl Tasks {
    fn add(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(task);
        self.names.push((handle.id(), name));
        self.handles.push(handle);
    }

    fn handles(&self) -> Vec<AbortHandle> {
        self.handles.clone()
    }

    /// The next task that ended, and how.
    async fn next(&mut self) -> Option<(&'static str, Result<(), JoinError>)> {
        let joined = self.set.join_next_with_id().await?;
        let (id, result) = match joined {
            Ok((id, ())) => (id, Ok(())),
            Err(error) => (error.id(), Err(error)),
        };
        let name = self
            .names
            .iter()
            .find(|(of, _)| *of == id)
            .map_or("unknown", |(_, name)| name);
        Some((name, result))
    }
}

/// Watches the tasks. On `stop` the executor comes to a journaled point first, then its answers go out.
async fn supervise(
    mut tasks: Tasks,
    stop: CancellationToken,
    work: CancellationToken,
    rest: CancellationToken,
) -> Result<(), AgentFailed> {
    // Cancel-safe: `join_next` keeps what it has not returned.
    let first = tokio::select! {
        biased;
        ended = tasks.next() => ended,
        () = stop.cancelled() => None,
    };
    if let Some((task, result)) = first {
        tasks.set.shutdown().await;
        return Err(match result {
            Ok(()) => AgentFailed::Ended { task },
            Err(error) if error.is_cancelled() => AgentFailed::Aborted,
            Err(_) => AgentFailed::Panicked { task },
        });
    }
    work.cancel();
    let executor_done = async {
        while let Some((task, _)) = tasks.next().await {
            if task == EXECUTOR {
                return;
            }
        }
    };
    if tokio::time::timeout(STOP_WAIT, executor_done).await.is_err() {
        tracing::warn!("the step under way did not come to its end in time; the next start finishes it");
    }
    rest.cancel();
    let all_done = async { while tasks.next().await.is_some() {} };
    if tokio::time::timeout(STOP_WAIT, all_done).await.is_err() {
        tracing::warn!("not every task of the agent ended in time");
    }
    tasks.set.shutdown().await;
    Ok(())
}
