//! The TLS listener: HTTP/1.1 and HTTP/2 clients from the network.
//!
//! Whoever reaches the port gets a connection, with or without a token. So connections are few enough to leave file
//! descriptors for the rest of the process, and one that does nothing is closed.

mod activity;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::serve::{self, Drain};
use activity::{Activity, Patience};

/// Connections at a time, where file descriptors are plenty. When all are taken, new ones wait in the kernel's backlog.
const CONNECTIONS: usize = 512;
/// The share of the process's file descriptors that connections may take.
const SHARE: u64 = 4;
/// A peer that does not finish its handshake is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longer than clients keep a connection they do not use (90 s in Go): they are to close it first.
const PATIENCE: Patience = Patience {
    first: Duration::from_secs(30),
    idle: Duration::from_mins(3),
};
/// How long an idle connection may take to close.
const CLOSING: Duration = Duration::from_secs(5);
/// A peer that does not finish its request's headers is dropped. Not enough by itself: it counts only once the peer
/// has shown which HTTP it speaks.
const HEADERS: Duration = Duration::from_secs(30);
/// Dead HTTP/2 peers are found by pings.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long connections may take to close after the cancel.
const DRAIN: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptors left, mostly).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Failed accepts come in crowds; they are told of this often.
const ACCEPT_WARNING: Duration = Duration::from_mins(1);

/// How many connections a process with so many file descriptors can spare.
fn connections(descriptors: Option<u64>) -> usize {
    let share = descriptors.map_or(u64::MAX, |all| (all / SHARE).max(1));
    usize::try_from(share).map_or(CONNECTIONS, |share| share.min(CONNECTIONS))
}

pub(super) async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    cancel: CancellationToken,
) {
    serve_patiently(core, listener, tls, cancel, PATIENCE).await;
}

async fn serve_patiently(
    core: Arc<Core>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    cancel: CancellationToken,
    patience: Patience,
) {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(self::connections(descriptors)));
    let mut connections = JoinSet::new();
    let mut warned: Option<Instant> = None;
    loop {
        // Only waits. The semaphore lives as long as this function and is never closed.
        let slot = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot,
        };
        let Ok(slot) = slot else { break };
        // Every arm only waits; an accepted socket is handed on before the next round.
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = connection(core.clone(), acceptor.clone(), socket, cancel.clone(), patience);
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                if warned.is_none_or(|at| at.elapsed() >= ACCEPT_WARNING) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    drop(listener);
    let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::debug!(left = connections.len(), "connections cut at shutdown");
        connections.shutdown().await;
    }
}

async fn connection(
    core: Arc<Core>,
    acceptor: TlsAcceptor,
    socket: TcpStream,
    cancel: CancellationToken,
    patience: Patience,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = match timeout(HANDSHAKE, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake timed out"),
    };
    let drain = cancel.clone();
    let activity = Activity::new();
    let requests = activity.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = requests.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Drain(drain.clone()));
        let core = core.clone();
        async move {
            let response = serve::handle(core, request).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| busy.until_sent(body)))
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(250);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    // The connection future is polled on in both arms; nothing of it is lost.
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = cancel.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = activity.over(patience) => {
            serving.as_mut().graceful_shutdown();
            match timeout(CLOSING, serving).await {
                Ok(result) => result,
                Err(_) => return tracing::debug!("an idle connection was cut"),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::apiserver::{ApiServer, Backing, Config, tls};

    #[test]
    fn connections_leave_most_file_descriptors_to_the_rest() {
        for (descriptors, expected) in [
            (Some(1024), 256),
            (Some(1_048_576), 512),
            (Some(2), 1),
            (None, 512),
        ] {
            assert_eq!(connections(descriptors), expected);
        }
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_after_its_handshake_is_cut_and_one_that_asks_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let pki = tls::ensure(&folder.path().join("pki"), &[], &[], jiff::Timestamp::now()).unwrap();
        let server = ApiServer::open(Config::new(longshore_crds::all(), Backing::Memory))
            .await
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let connect = async || {
            let socket = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            connector.connect(name, socket).await.unwrap()
        };
        let patience = Patience {
            first: Duration::from_millis(200),
            idle: Duration::from_millis(200),
        };
        let cancel = CancellationToken::new();
        let core = server.core.clone();
        let serving = tokio::spawn(serve_patiently(
            core,
            listener,
            pki.server_config(),
            cancel.clone(),
            patience,
        ));

        let limit = Duration::from_secs(20);
        let mut read = Vec::new();
        let mut silent = connect().await;
        timeout(limit, silent.read_to_end(&mut read))
            .await
            .expect("cut")
            .ok();
        assert!(read.is_empty());

        let mut asking = connect().await;
        asking
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        timeout(limit, asking.read_to_end(&mut read))
            .await
            .expect("closed when idle")
            .ok();
        assert!(
            String::from_utf8_lossy(&read).starts_with("HTTP/1.1 200"),
            "{read:?}"
        );
        cancel.cancel();
        serving.await.unwrap();
    }
}
