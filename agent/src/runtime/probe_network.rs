//! How probes reach containers: plain HTTP and TCP from the agent itself, with the rules of Kubernetes'
//! kubelet (k8s.io/kubernetes/pkg/probe): 200–399 is success, a proxy is never used, a redirect is an
//! answer like another one and is not followed, the body is not read beyond a bound.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use tokio::net::TcpStream;

use super::http_exchange::exchange;

/// So much of an answer is read: kubelet's bound.
const LONGEST_BODY: usize = 10 * 1024;

/// Where probes go out. The real one is [`HostNetwork`]; the simulated machine has its own.
#[async_trait]
pub trait ProbeNetwork: Send + Sync + 'static {
    /// A GET that must answer 200–399 within `timeout`.
    async fn http_get(&self, target: &HttpTarget, timeout: Duration) -> Result<(), ProbeFailure>;

    /// A connection that must be accepted within `timeout`.
    async fn tcp_connect(&self, host: &str, port: u16, timeout: Duration) -> Result<(), ProbeFailure>;
}

/// What an HTTP probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct HttpTarget {
    /// An address or a host name.
    pub host: String,
    pub port: u16,
    /// With a leading slash, and a query if there is one.
    pub path: String,
    /// Sent as they are; `Host` replaces the usual one.
    pub headers: Vec<(String, String)>,
}

/// Why a probe did not succeed, in words for a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// Nobody accepts the connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// An answer that says no.
    #[error("answered with status {0}")]
    Status(u16),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Something that is no HTTP, or broke off.
    #[error("bad answer: {0}")]
    BadAnswer(String),
    /// The probe itself cannot be sent (a bad path or header).
    #[error("invalid probe: {0}")]
    Invalid(String),
}

/// The network of the host the agent runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostNetwork;

#[async_trait]
impl ProbeNetwork for HostNetwork {
    async fn http_get(&self, target: &HttpTarget, timeout: Duration) -> Result<(), ProbeFailure> {
        // Dropping the future at the timeout closes the connection.
        let status = tokio::time::timeout(timeout, get(target))
            .await
            .map_err(|_| ProbeFailure::Timeout)??;
        if (200..400).contains(&status) {
            Ok(())
        } else {
            Err(ProbeFailure::Status(status))
        }
    }

    async fn tcp_connect(&self, host: &str, port: u16, timeout: Duration) -> Result<(), ProbeFailure> {
        let connecting = tokio::time::timeout(timeout, connect(host, port));
        connecting.await.map_err(|_| ProbeFailure::Timeout)?.map(drop)
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, ProbeFailure> {
    TcpStream::connect((host, port))
        .await
        .map_err(|error| ProbeFailure::Connect(error.to_string()))
}

async fn get(target: &HttpTarget) -> Result<u16, ProbeFailure> {
    let request = request(target)?;
    let stream = connect(&target.host, target.port).await?;
    // The body is read to be polite to servers that log a broken pipe; what it says does not matter.
    let answer = exchange(stream, request, LONGEST_BODY).await;
    answer
        .map(|answer| answer.status().as_u16())
        .map_err(|error| ProbeFailure::BadAnswer(error.to_string()))
}

fn request(target: &HttpTarget) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let invalid = |error: &dyn std::fmt::Display| ProbeFailure::Invalid(error.to_string());
    let path = if target.path.starts_with('/') {
        target.path.clone()
    } else {
        format!("/{}", target.path)
    };
    let authority = if target.host.contains(':') {
        format!("[{}]:{}", target.host, target.port)
    } else {
        format!("{}:{}", target.host, target.port)
    };
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("longshore-probe/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| invalid(&error))?;
    for (name, value) in &target.headers {
        let name: HeaderName = name.parse().map_err(|error| invalid(&error))?;
        let value = HeaderValue::from_str(value).map_err(|error| invalid(&error))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
