//! A tap between the agent and its engine: passes everything on, and writes down what is asked for.
//!
//! An engine forgets its events when it is killed, so they cannot tell how often something was made
//! across its death. The requests can.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::Dockerd;

/// A request line without its version, such as `POST /v1.41/containers/create?name=a`.
pub type Request = String;

/// What is kept of an unfinished line: more than any request line, less than a body may have.
const LONGEST: usize = 64 * 1024;

/// A socket that leads to an engine.
#[derive(Debug)]
pub struct Tap {
    requests: Arc<Mutex<Vec<Request>>>,
    socket: PathBuf,
    _directory: TempDir,
    _task: AbortOnDropHandle<()>,
}

impl Tap {
    /// Opens it. While the engine is down it refuses, as the engine does.
    pub fn open(engine: &Dockerd) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("lst")
            .tempdir_in("/tmp")
            .context("making a directory")?;
        let socket = directory.path().join("tap.sock");
        let listener = UnixListener::bind(&socket).context("listening")?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (upstream, seen) = (engine.socket().to_owned(), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, upstream.clone(), Arc::clone(&seen)));
            }
        });
        Ok(Self {
            requests,
            socket,
            _directory: directory,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Its URL, for the agent.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// How many requests there were, to ask for what comes later.
    pub fn mark(&self) -> usize {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The creates of containers after a mark.
    pub fn creates(&self, mark: usize) -> Vec<Request> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let creates = requests[mark..]
            .iter()
            .filter(|request| request.starts_with("POST ") && request.contains("/containers/create"));
        creates.cloned().collect()
    }
}

async fn pass_on(client: UnixStream, upstream: PathBuf, seen: Arc<Mutex<Vec<Request>>>) {
    // Dropping the client's end is the refusal.
    let Ok(engine) = UnixStream::connect(&upstream).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let mut lines = Lines::default();
    tokio::join!(
        copy(from_client, to_engine, |bytes| lines.read(bytes, &seen)),
        copy(from_engine, to_client, |_| {}),
    );
}

/// Copies until either side ends, then closes the other side's writing half: streams of the engine are
/// half-closed on purpose.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        look(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    to.shutdown().await.ok();
}

/// Finds request lines in the bytes of a connection. A body without a line's end stands before the next
/// request on the same line, so a line is searched and not only its beginning looked at.
#[derive(Debug, Default)]
struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    fn read(&mut self, bytes: &[u8], seen: &Mutex<Vec<Request>>) {
        for byte in bytes {
            if *byte != b'\n' {
                self.unfinished.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.unfinished);
            if let Some(request) = request(&line) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            }
            self.unfinished.clear();
        }
        let surplus = self.unfinished.len().saturating_sub(LONGEST);
        self.unfinished.drain(..surplus);
    }
}

fn request(line: &str) -> Option<Request> {
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?;
    let start = ["GET /", "POST /", "PUT /", "DELETE /", "HEAD /"]
        .iter()
        .filter_map(|verb| line.rfind(verb))
        .max()?;
    Some(line[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_behind_bodies_and_across_reads() {
        let seen = Mutex::new(Vec::new());
        let mut lines = Lines::default();
        let bytes =
            b"POST /containers/create?name=a HTTP/1.1\r\nHost: x\r\n\r\n{\"POST\":1}GET /_ping HTTP/1.1\r\n";
        for chunk in bytes.chunks(7) {
            lines.read(chunk, &seen);
        }
        assert_eq!(
            *seen.lock().unwrap(),
            ["POST /containers/create?name=a", "GET /_ping"]
        );
    }
}
