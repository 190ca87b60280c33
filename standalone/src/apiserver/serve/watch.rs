//! Watches: a cursor into a table's history, turned into lines of JSON as the client reads them.
//!
//! There is no queue per watcher. A watcher that reads slowly just stays behind; once the history
//! no longer reaches back to its cursor it is ended with `410 Expired`, and must list again. One that
//! does not read at all costs one piece of text and some pointers, and no more than its time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::poll_fn;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Scope;
use super::read::{forbidden, too_old};
use super::render::Renderer;
use crate::apiserver::clock::Sources;
use crate::apiserver::failure::ApiError;
use crate::apiserver::query::{MATCH, Match, Query};
use crate::apiserver::selector::Selector;
use crate::apiserver::store::{After, Change, Key, Object, Store};

/// Changes taken from the history at a time.
const BATCH: usize = 64;
/// Bytes of lines made at a time, and at most one object more: all the text a watcher buffers.
const PIECE: usize = 1 << 20;
/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// How often an idle watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long before its timeout a watch gets its last bookmark.
const BOOKMARK_LAST: Duration = Duration::from_secs(2);

struct Watch {
    store: Store,
    table: Arc<str>,
    namespace: Option<String>,
    selector: Selector,
    renderer: Renderer,
    sources: Sources,
    cursor: u64,
    /// What is still to be made into lines; `cursor` is past it.
    pending: VecDeque<Pending>,
    lines: Vec<u8>,
    changed: Receiver<u64>,
    ends_at: Instant,
    bookmarks: bool,
    bookmark_at: Instant,
    stop: [CancellationToken; 2],
    ended: bool,
}

/// What a watcher is yet to be told of. Shared with the store, so that waiting costs next to nothing.
enum Pending {
    Added(Arc<Object>),
    Change(Change),
    InitialEnd,
}

/// Starts a watch. Errors found now are HTTP errors; later ones are lines of the stream.
pub(super) fn watch(
    scope: &Scope,
    query: &Query,
    selector: Selector,
    renderer: Renderer,
    sources: Sources,
    stop: [CancellationToken; 2],
) -> Result<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + use<>, ApiError> {
    let initial = start(query)?;
    let table = scope.resource.table.clone();
    let namespace = scope.namespace().map(str::to_owned);
    let mut changed = scope.store.subscribe(&table);
    changed.mark_unchanged();
    let now = Instant::now();
    let ends_at = now + query.timeout()?.unwrap_or(DEFAULT_TIMEOUT);
    let bookmarks = query.flag("allowWatchBookmarks");
    let mut watch = Watch {
        store: scope.store.clone(),
        cursor: 0,
        pending: VecDeque::new(),
        lines: Vec::new(),
        changed,
        ends_at,
        bookmarks,
        bookmark_at: next_bookmark(now, ends_at),
        stop,
        ended: false,
        table,
        namespace,
        selector,
        renderer,
        sources,
    };
    match initial {
        Start::After(rv) if rv > watch.store.revision() => {
            // From a store that was lost. What it has seen means nothing here.
            watch.fail(&ApiError::expired(format!(
                "too old resource version: {rv} ({})",
                watch.store.revision()
            )));
        }
        Start::After(rv) => watch.cursor = rv,
        Start::Everything { close_with_bookmark } => watch.send_everything(close_with_bookmark),
    }
    let (pieces, mut read) = mpsc::channel(1);
    // A task of its own: a body nobody reads is never polled, and would know no deadline. It ends with the
    // watch's time, with the server, or with the reader, and owns nothing else.
    tokio::spawn(watch.run(pieces));
    Ok(poll_fn(move |context| {
        read.poll_recv(context).map(|piece| piece.map(Ok))
    }))
}

enum Start {
    After(u64),
    Everything { close_with_bookmark: bool },
}

fn start(query: &Query) -> Result<Start, ApiError> {
    let rv = query.resource_version()?;
    let not_older = query.version_match()? == Some(Match::NotOlderThan);
    match query.get("sendInitialEvents") {
        "" if query.version_match()?.is_some() => Err(forbidden(
            MATCH,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        "true" | "1" if not_older => Ok(Start::Everything {
            close_with_bookmark: query.flag("allowWatchBookmarks"),
        }),
        "false" | "0" if not_older => Ok(rv.filter(|&rv| rv > 0).map_or(
            Start::Everything {
                close_with_bookmark: false,
            },
            Start::After,
        )),
        "" => Ok(match rv {
            None | Some(0) => Start::Everything {
                close_with_bookmark: false,
            },
            Some(rv) => Start::After(rv),
        }),
        _ => Err(forbidden(
            MATCH,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
    }
}

/// The regular time, unless the last one before the end comes first.
fn next_bookmark(now: Instant, ends_at: Instant) -> Instant {
    let regular = now + BOOKMARK_EVERY;
    let last = ends_at.checked_sub(BOOKMARK_LAST).unwrap_or(ends_at);
    if last > now { regular.min(last) } else { regular }
}

impl Watch {
    /// Makes a piece whenever the last one was taken.
    async fn run(mut self, pieces: mpsc::Sender<Bytes>) {
        loop {
            let [server_stops, listener_stops] = self.stop.clone();
            // Every arm only waits. A reader who keeps up is told of everything up to the end.
            let place = tokio::select! {
                biased;
                place = pieces.reserve() => place,
                () = tokio::time::sleep_until(self.ends_at) => return,
                () = server_stops.cancelled() => return,
                () = listener_stops.cancelled() => return,
            };
            let Ok(place) = place else { return };
            // The reader is gone when the channel is closed, and with it the need for what `next` was about.
            let piece = tokio::select! {
                biased;
                () = pieces.closed() => return,
                piece = self.next() => piece,
            };
            match piece {
                Some(piece) => place.send(piece),
                None => return,
            }
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.render();
            if !self.lines.is_empty() {
                return Some(std::mem::take(&mut self.lines).into());
            }
            if self.ended {
                return None;
            }
            // Marked as seen before reading, so that a change in between wakes us again.
            self.changed.mark_unchanged();
            if self.read_changes() {
                continue;
            }
            let [server_stops, listener_stops] = &self.stop;
            // Every arm only waits; nothing is lost when another one wins.
            tokio::select! {
                biased;
                () = server_stops.cancelled() => self.ended = true,
                () = listener_stops.cancelled() => self.ended = true,
                changed = self.changed.changed() => self.ended = changed.is_err(),
                () = tokio::time::sleep_until(self.ends_at) => self.ended = true,
                () = tokio::time::sleep_until(self.bookmark_at), if self.bookmarks => {
                    self.bookmark_at = next_bookmark(Instant::now(), self.ends_at);
                    self.bookmark(false);
                }
            }
        }
    }

    /// Makes the next lines, as many as fit into a piece.
    fn render(&mut self) {
        while self.lines.len() < PIECE
            && let Some(next) = self.pending.pop_front()
        {
            match next {
                Pending::Added(object) => self.send("ADDED", &object),
                Pending::Change(change) => self.take_change(&change),
                Pending::InitialEnd => self.bookmark(true),
            }
        }
    }

    /// Takes in what happened since; true if the cursor moved over changes.
    fn read_changes(&mut self) -> bool {
        match self.store.changes(&self.table, self.cursor, BATCH) {
            Err(expired) => {
                self.fail(&too_old(self.cursor, expired));
                true
            }
            Ok((changes, upto)) => {
                self.cursor = upto;
                self.renderer.now = self.sources.now();
                self.pending.extend(changes.into_iter().map(Pending::Change));
                !self.pending.is_empty()
            }
        }
    }

    fn take_change(&mut self, change: &Change) {
        if self
            .namespace
            .as_deref()
            .is_some_and(|ns| *ns != *change.key.namespace)
        {
            return;
        }
        let before = change
            .before
            .as_ref()
            .filter(|object| self.selector.matches(&change.key, object));
        match &change.after {
            After::Gone(last) => {
                if before.is_some() {
                    self.send("DELETED", last);
                }
            }
            After::Live(object) => match (before, self.selector.matches(&change.key, object)) {
                (None, true) => self.send("ADDED", object),
                (Some(_), true) => self.send("MODIFIED", object),
                // It stopped matching: gone, as far as this watcher is concerned.
                (Some(before), false) => {
                    let last = Object::freeze(before.value(), change.rv);
                    self.send("DELETED", &last);
                }
                (None, false) => {}
            },
        }
    }

    fn send_everything(&mut self, close_with_bookmark: bool) {
        let snapshot = self.store.list(&self.table, self.namespace.as_deref());
        self.cursor = snapshot.rv;
        let chosen = |(key, object): &(Key, Arc<Object>)| self.selector.matches(key, object);
        let objects = snapshot.objects.into_iter().filter(chosen);
        let added = objects.map(|(_, object)| Pending::Added(object));
        self.pending
            .extend(added.chain(close_with_bookmark.then_some(Pending::InitialEnd)));
    }

    fn send(&mut self, kind: &str, object: &Object) {
        let body = self.renderer.object(object);
        let line = &mut self.lines;
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(kind.as_bytes());
        line.extend_from_slice(b"\",\"object\":");
        line.extend_from_slice(&body);
        line.extend_from_slice(b"}\n");
    }

    fn bookmark(&mut self, initial_end: bool) {
        let object = self.renderer.bookmark(self.cursor, initial_end);
        self.push(&json!({"type": "BOOKMARK", "object": object}));
    }

    fn fail(&mut self, error: &ApiError) {
        self.push(&json!({"type": "ERROR", "object": error.to_status()}));
        self.ended = true;
    }

    fn push(&mut self, event: &Value) {
        self.lines.extend_from_slice(format!("{event}\n").as_bytes());
    }
}
