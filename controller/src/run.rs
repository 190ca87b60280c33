//! The one task of a site: waits for what happens, tells the mind, does what it wants.
//!
//! Every arm of its `select!` is cancel-safe: streams and receivers lose nothing when another arm wins.
//! Effects are tasks of their own, owned by the loop: they end with it, and a panic in one ends it.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use longshore_bus::LinkState;
use longshore_bus::port::Subscription;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::effects::{Done, Effect, World};
use crate::mind::Mind;
use crate::site::lease::LeaseError;
use crate::timers::Uptime;
use crate::watch::Watches;

/// How many messages and watch events are taken in before the mind acts on them.
const BATCH: usize = 256;
/// The longest sleep; a wake-up more costs nothing.
const NAP: Duration = Duration::from_mins(1);
/// How long a stop waits for what was decided to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Why a run ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else leads, or a newer run of ours does.
    #[error("lead the site")]
    Lead {
        /// How it was lost.
        #[source]
        source: LeaseError,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    BusClosed,
    /// A task of its own panicked.
    #[error("run a task")]
    Task {
        /// How.
        #[source]
        source: tokio::task::JoinError,
    },
    /// The run was aborted.
    #[error("aborted")]
    Aborted,
}

/// Everything a run needs.
pub(crate) struct Run {
    pub(crate) mind: Mind,
    pub(crate) world: World,
    pub(crate) watches: Watches,
    pub(crate) messages: Subscription,
    pub(crate) link: watch::Receiver<LinkState>,
    pub(crate) cancel: CancellationToken,
}

impl Run {
    /// Runs until it is cancelled or cannot go on.
    pub(crate) async fn until_cancelled(mut self) -> Result<(), RunError> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        let state = *self.link.borrow_and_update();
        self.mind.on_link(state, Uptime::ZERO);
        loop {
            let now = start.elapsed();
            self.perform(&mut tasks, now);
            let wake = start + self.mind.next_wake().min(now + NAP);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                Some(done) = tasks.join_next(), if !tasks.is_empty() => self.done(done, start.elapsed())?,
                changed = self.link.changed() => {
                    changed.map_err(|_| RunError::BusClosed)?;
                    let state = *self.link.borrow_and_update();
                    self.mind.on_link(state, start.elapsed());
                }
                message = self.messages.recv() => {
                    let message = message.ok_or(RunError::BusClosed)?;
                    self.mind.on_message(&message, start.elapsed());
                }
                Some(event) = self.watches.next() => self.mind.on_watch(event, start.elapsed()),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.take_batch(&mut tasks, start)?;
        }
        self.flush(&mut tasks, start).await;
        if let Err(error) = self.world.lease.release().await {
            tracing::debug!(error = %crate::effects::chain(&error), "the Lease was not released; it runs out");
        }
        Ok(())
    }

    /// Takes in what else is there already, some of each, so that none starves another.
    fn take_batch(&mut self, tasks: &mut JoinSet<Done>, start: Instant) -> Result<(), RunError> {
        let now = start.elapsed();
        while let Some(done) = tasks.try_join_next() {
            self.done(done, now)?;
        }
        for _ in 0..BATCH {
            match self.messages.recv().now_or_never() {
                Some(message) => self.mind.on_message(&message.ok_or(RunError::BusClosed)?, now),
                None => break,
            }
        }
        for _ in 0..BATCH {
            match self.watches.next().now_or_never() {
                Some(Some(event)) => self.mind.on_watch(event, now),
                Some(None) | None => break,
            }
        }
        Ok(())
    }

    fn perform(&mut self, tasks: &mut JoinSet<Done>, now: Uptime) {
        for effect in self.mind.act(now) {
            tasks.spawn(self.world.clone().perform(effect));
        }
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>, now: Uptime) -> Result<(), RunError> {
        let done = done.map_err(|source| RunError::Task { source })?;
        self.mind
            .on_done(done, now)
            .map_err(|source| RunError::Lead { source })
    }

    /// Writes down what was decided, and no more: plans are the devices' to finish.
    async fn flush(&mut self, tasks: &mut JoinSet<Done>, start: Instant) {
        let deadline = Instant::now() + FLUSH;
        loop {
            let now = start.elapsed();
            for effect in self.mind.act(now) {
                if matches!(effect, Effect::Write { .. } | Effect::Tell { .. }) {
                    tasks.spawn(self.world.clone().perform(effect));
                }
            }
            // Asked after acting, which may have found the last of it already written.
            if self.mind.is_flushed() {
                return;
            }
            let wake = (start + self.mind.next_wake().max(now + Duration::from_millis(1))).min(deadline);
            tokio::select! {
                biased;
                Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                    if self.done(done, start.elapsed()).is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= deadline {
                        tracing::warn!("stopped before everything was written; the next run writes it");
                        return;
                    }
                }
            }
        }
    }
}
