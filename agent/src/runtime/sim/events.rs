//! The engine's event stream, as one agent sees it: from now on, bounded, and broken by an engine restart,
//! by lagging, or on request.

use futures::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::client::SimRuntime;
use super::state::{Refusal, State};
use crate::runtime::{RuntimeErrorKind, RuntimeEvent};

pub(super) struct Subscription {
    runtime: SimRuntime,
    changed: watch::Receiver<u64>,
    next: u64,
    incarnation: u64,
    breaks: u64,
}

impl Subscription {
    /// From now on.
    pub(super) fn new(runtime: SimRuntime, changed: watch::Receiver<u64>, state: &State) -> Self {
        let next = state.first_event + state.events.len() as u64;
        Self {
            runtime,
            changed,
            next,
            incarnation: state.incarnation,
            breaks: state.stream_breaks,
        }
    }

    /// Ends after the first error.
    pub(super) fn stream(self) -> impl Stream<Item = Result<RuntimeEvent, Refusal>> + Send {
        stream::unfold(Some(self), |subscription| async move {
            let mut subscription = subscription?;
            match subscription.next().await {
                Ok(event) => Some((Ok(event), Some(subscription))),
                Err(refusal) => Some((Err(refusal), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<RuntimeEvent, Refusal> {
        loop {
            self.runtime.live().await;
            self.changed.mark_unchanged();
            let (event, due) = self.runtime.machine.act(|state, _| {
                if state.frozen {
                    return Ok((None, None));
                }
                state.check_engine(self.incarnation)?;
                if state.stream_breaks != self.breaks || self.next < state.first_event {
                    let words = "the event stream ended";
                    return Err(Refusal::new(RuntimeErrorKind::Unavailable, words));
                }
                let at = usize::try_from(self.next - state.first_event).unwrap_or(usize::MAX);
                Ok((state.events.get(at).cloned(), state.next_due()))
            })?;
            if let Some(event) = event {
                self.next += 1;
                return Ok(event);
            }
            match due {
                // Both arms only wait; the state is looked at again.
                Some(due) => tokio::select! {
                    changed = self.changed.changed() => if changed.is_err() { return Err(Refusal::engine_down()) },
                    () = sleep_until(due) => {}
                },
                None if self.changed.changed().await.is_err() => return Err(Refusal::engine_down()),
                None => {}
            }
        }
    }
}
