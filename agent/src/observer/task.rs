//! The task that keeps the view fresh.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use longshore_bus::clock::IdSource;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{DEBOUNCE, View};
use crate::backoff;
use crate::runtime::RuntimeError;

/// The base: so often everything is looked at again, whatever events said.
const PERIOD: Duration = Duration::from_mins(1);
/// Added at random, so that a fleet does not move in step.
const JITTER_MILLIS: u64 = 6_000;
const FIRST_RECONNECT: Duration = Duration::from_millis(250);
const LONGEST_RECONNECT: Duration = Duration::from_secs(10);

/// Keeps the view fresh until `stop`. Owns the subscription to the engine's events.
pub(crate) async fn observe(view: Arc<View>, ids: IdSource, stop: CancellationToken) {
    let mut attempts = 0;
    loop {
        // Cancel-safe: a dropped connection is made again, nothing is kept of it.
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ended = connected(&view, &ids) => ended,
        };
        attempts = if ended.answered { 1 } else { attempts + 1 };
        if let Some(error) = &ended.error {
            view.runtime_lost(error);
        }
        let delay = backoff::doubled(FIRST_RECONNECT, attempts, LONGEST_RECONNECT);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(delay) => {}
        }
    }
}

/// How a connection to the engine ended.
struct Ended {
    /// It had worked before.
    answered: bool,
    error: Option<RuntimeError>,
}

async fn connected(view: &Arc<View>, ids: &IdSource) -> Ended {
    let failed = |error| Ended {
        answered: false,
        error: Some(error),
    };
    // Events first: what happens between them and the listing is seen twice rather than not at all.
    let mut events = match view.runtime.events().await {
        Ok(events) => events,
        Err(error) => return failed(error),
    };
    match view.runtime.info().await {
        Ok(info) => view.runtime_found(info),
        Err(error) => return failed(error),
    }
    if view.relist().await.is_err() {
        return Ended {
            answered: false,
            error: None,
        };
    }
    let period = || Instant::now() + PERIOD + Duration::from_millis(ids.below(JITTER_MILLIS));
    let mut next_pass = period();
    let mut due: Option<Instant> = None;
    loop {
        let retry = view.next_retry();
        // Cancel-safe: a stream's `next`, timers, and notifications that keep their permit.
        tokio::select! {
            biased;
            () = view.lost.notified() => {
                return Ended { answered: true, error: None };
            }
            event = events.next() => match event {
                Some(Ok(event)) => {
                    tracing::trace!(kind = %event.kind, action = %event.action, object = %event.object, "event");
                    due.get_or_insert(Instant::now() + DEBOUNCE);
                }
                Some(Err(error)) => return Ended { answered: true, error: Some(error) },
                None => return Ended { answered: true, error: None },
            },
            () = until(due) => {
                due = None;
                if view.relist().await.is_err() {
                    return Ended { answered: true, error: None };
                }
            }
            // Nothing but another look at when to wake.
            () = view.rescheduled.notified() => {}
            () = until(retry) => view.compose(),
            () = sleep_until(next_pass) => {
                next_pass = period();
                let before = view.listing();
                if view.relist().await.is_err() {
                    return Ended { answered: true, error: None };
                }
                if due.is_none() && view.listing() != before {
                    view.counters.missed_by_events.add();
                    tracing::info!("the periodic pass found a change that no event had announced");
                }
            }
        }
    }
}

/// Waits for an instant, or for ever.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
