//! What a connection is busy with: whether a request has come, and how many are being answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// There was a request.
    begun: bool,
    in_flight: usize,
}

/// Shared by a connection and the requests on it.
#[derive(Clone)]
pub(super) struct Activity(Arc<watch::Sender<State>>);

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Before its first request.
    pub(super) first: Duration,
    /// Between requests.
    pub(super) idle: Duration,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }

    /// A request came. It is being answered until the guard is dropped.
    pub(super) fn begin(&self) -> Busy {
        self.0.send_modify(|state| {
            state.begun = true;
            state.in_flight += 1;
        });
        Busy(self.clone())
    }

    /// Returns when the connection did nothing for too long. An answer that is still being sent, a watch above all,
    /// is something.
    pub(super) async fn over(&self, patience: Patience) {
        let mut state = self.0.subscribe();
        loop {
            let State { begun, in_flight } = *state.borrow_and_update();
            let wait = if begun { patience.idle } else { patience.first };
            // The sender lives in `self`; a change always comes from it.
            if in_flight > 0 {
                state.changed().await.ok();
            } else if timeout(wait, state.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One request being answered.
pub(super) struct Busy(Activity);

impl Busy {
    /// Until the last of the answer's body was sent, or the body dropped.
    pub(super) fn until_sent(self, body: Body) -> Attended {
        Attended { body, _busy: self }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.in_flight -= 1);
    }
}

/// A body whose request counts as being answered.
pub(super) struct Attended {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Attended {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(30),
        idle: Duration::from_mins(3),
    };

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_has_less_time_than_one_that_asked_before() {
        let begin = Instant::now();
        Activity::new().over(PATIENCE).await;
        assert_eq!(begin.elapsed().as_secs(), 30);

        let activity = Activity::new();
        drop(activity.begin());
        let begin = Instant::now();
        activity.over(PATIENCE).await;
        assert_eq!(begin.elapsed().as_secs(), 180);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_being_sent_keeps_its_connection() {
        let activity = Activity::new();
        let body = activity.begin().until_sent(Body::from("watch"));
        let begin = Instant::now();
        let reading = async move {
            sleep(Duration::from_hours(1)).await;
            drop(body);
        };
        tokio::join!(activity.over(PATIENCE), reading);
        assert_eq!(begin.elapsed().as_secs(), 3600 + 180);
    }
}
