//! The way to the engine: its endpoint, a lazy connection, the API version agreed on, and a bound on
//! every call.
//!
//! bollard never sends the version prefix, so an engine would answer in whatever its newest version says;
//! here every request is rewritten to the version agreed on. It is agreed on again after the engine was
//! away, because another one may be there then.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use http::header::HOST;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use super::error::{own, refusal, timed_out};
use super::secrets::Secrets;
use crate::runtime::http_exchange::exchange;
use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// The newest API version this code was tried with (Docker 28).
const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 51 };
/// bollard's own timeout covers response headers only; ours cover whole calls, so its must not be first.
const BOLLARD_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;
/// No answer of the engine is read beyond this; a thousand containers make about 2 MB.
const LONGEST_ANSWER: usize = 64 << 20;
/// How long an engine may take for a call that only looks.
pub(super) const LOOKING: Duration = Duration::from_secs(30);
/// How long an engine may take to change something (a busy disk makes minutes of a creation).
pub(super) const CHANGING: Duration = Duration::from_mins(2);

/// A version of Docker's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion {
    pub(super) major: u16,
    pub(super) minor: u16,
}

impl ApiVersion {
    pub(super) const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Version {
    api_version: String,
    #[serde(rename = "MinAPIVersion")]
    min_api_version: String,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Unix(String),
    Http(String),
}

impl Endpoint {
    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text
            .strip_prefix("unix://")
            .or_else(|| text.starts_with('/').then_some(text))
        {
            return path.starts_with('/').then(|| Self::Unix(path.to_owned()));
        }
        let address = text
            .strip_prefix("tcp://")
            .or_else(|| text.strip_prefix("http://"))?;
        let address = address.trim_end_matches('/');
        let plain = !address.is_empty() && !address.contains(['/', '@', '?']);
        plain.then(|| Self::Http(address.to_owned()))
    }
}

/// A connection that need not exist yet.
pub(super) struct Connection {
    endpoint: Endpoint,
    docker: OnceLock<Docker>,
    /// `major << 16 | minor`; 0 while nothing is agreed on.
    version: Arc<AtomicU32>,
}

impl Connection {
    pub(super) fn new(endpoint: &str) -> Result<Self, RuntimeError> {
        let parsed = Endpoint::parse(endpoint).ok_or_else(|| RuntimeError {
            operation: "connect".to_owned(),
            kind: RuntimeErrorKind::Invalid,
            message: format!("{endpoint:?} is none of unix:///path, tcp://host:port, http://host:port"),
        })?;
        Ok(Self {
            endpoint: parsed,
            docker: OnceLock::new(),
            version: Arc::new(AtomicU32::new(0)),
        })
    }

    /// Whether the engine shares this host's files.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.endpoint, Endpoint::Unix(_))
    }

    /// A client that speaks the agreed version; agrees on one if need be.
    pub(super) async fn docker(&self, operation: &str) -> Result<(Docker, ApiVersion), RuntimeError> {
        let docker = self
            .client()
            .map_err(|error| refusal(operation, &error, &Secrets::none()))?;
        let packed = self.version.load(Ordering::Acquire);
        if packed != 0 {
            return Ok((docker, unpack(packed)));
        }
        let theirs: Version = self.get_unversioned(operation, "/version").await?;
        let newest = ApiVersion::parse(&theirs.api_version).unwrap_or(ApiVersion::new(1, 24));
        let oldest = ApiVersion::parse(&theirs.min_api_version).unwrap_or(newest);
        if oldest > NEWEST {
            return Err(RuntimeError {
                operation: operation.to_owned(),
                kind: RuntimeErrorKind::Unsupported,
                message: format!("the engine wants API {oldest} at least, this agent speaks up to {NEWEST}"),
            });
        }
        let agreed = newest.min(NEWEST);
        self.version.store(pack(agreed), Ordering::Release);
        Ok((docker, agreed))
    }

    /// One call, bounded in time, its refusal in our terms.
    pub(super) async fn call<T, F>(
        &self,
        operation: &str,
        limit: Duration,
        act: impl FnOnce(Docker) -> F,
    ) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.call_with(&Secrets::none(), operation, limit, act).await
    }

    /// The same with a request that holds secrets, which the engine's words may repeat.
    pub(super) async fn call_with<T, F>(
        &self,
        secrets: &Secrets,
        operation: &str,
        limit: Duration,
        act: impl FnOnce(Docker) -> F,
    ) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (docker, _) = self.docker(operation).await?;
        match tokio::time::timeout(limit, act(docker)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.refused(operation, &error, secrets)),
            Err(_) => Err(timed_out(operation)),
        }
    }

    /// A GET whose answer is read by a structure of ours: bollard's are strict, and one foreign object with
    /// a word they do not know (a volume driver's own status) would hide all others.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
    ) -> Result<T, RuntimeError> {
        let (_, version) = self.docker(operation).await?;
        self.get_unversioned(operation, &format!("/v{version}{path}"))
            .await
    }

    async fn get_unversioned<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
    ) -> Result<T, RuntimeError> {
        let unavailable = |words: String| {
            self.forget_version();
            own(operation, RuntimeErrorKind::Unavailable, words)
        };
        let request = Request::builder()
            .uri(path)
            .header(HOST, "docker")
            .body(Empty::<Bytes>::new());
        let request =
            request.map_err(|error| own(operation, RuntimeErrorKind::Invalid, error.to_string()))?;
        let answer = async {
            match &self.endpoint {
                Endpoint::Unix(socket) => {
                    let stream = UnixStream::connect(socket).await;
                    let stream = stream.map_err(|error| unavailable(format!("{socket}: {error}")))?;
                    Ok(exchange(stream, request, LONGEST_ANSWER).await)
                }
                Endpoint::Http(address) => {
                    let stream = TcpStream::connect(address).await;
                    let stream = stream.map_err(|error| unavailable(format!("{address}: {error}")))?;
                    Ok(exchange(stream, request, LONGEST_ANSWER).await)
                }
            }
        };
        let answer = tokio::time::timeout(LOOKING, answer)
            .await
            .map_err(|_| timed_out(operation))??;
        let answer = answer.map_err(|error| unavailable(error.to_string()))?;
        let status = answer.status();
        let Some(body) = answer.into_body() else {
            return Err(unavailable("the answer broke off or is too long".to_owned()));
        };
        if !status.is_success() {
            let words = serde_json::from_slice::<Refused>(&body).map(|refused| refused.message);
            let words = words.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned());
            let error = Error::DockerResponseServerError {
                status_code: status.as_u16(),
                message: words,
            };
            return Err(self.refused(operation, &error, &Secrets::none()));
        }
        serde_json::from_slice(&body).map_err(|error| {
            // Not serde's words: they may quote a value.
            let (line, column) = (error.line(), error.column());
            let words = format!("the engine's answer is not understood (line {line}, column {column})");
            own(operation, RuntimeErrorKind::Other, words)
        })
    }

    /// Our terms for an error of the engine; notes when it was away.
    pub(super) fn refused(&self, operation: &str, error: &Error, secrets: &Secrets) -> RuntimeError {
        let error = refusal(operation, error, secrets);
        if error.kind == RuntimeErrorKind::Unavailable {
            self.forget_version();
        }
        error
    }

    /// Another engine may answer the next call.
    pub(super) fn forget_version(&self) {
        self.version.store(0, Ordering::Release);
    }

    /// bollard wants the socket to exist when its client is made.
    fn client(&self) -> Result<Docker, Error> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker.clone());
        }
        let docker = match &self.endpoint {
            Endpoint::Unix(path) => {
                Docker::connect_with_unix(path, BOLLARD_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            }
            Endpoint::Http(address) => {
                Docker::connect_with_http(address, BOLLARD_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            }
        }?;
        let version = Arc::clone(&self.version);
        let docker = docker.with_request_modifier(move |request| {
            rewrite(
                request,
                Some(version.load(Ordering::Acquire))
                    .filter(|v| *v != 0)
                    .map(unpack),
            )
        });
        Ok(self.docker.get_or_init(|| docker).clone())
    }
}

fn pack(version: ApiVersion) -> u32 {
    u32::from(version.major) << 16 | u32::from(version.minor)
}

fn unpack(packed: u32) -> ApiVersion {
    let [a, b, c, d] = packed.to_be_bytes();
    ApiVersion {
        major: u16::from_be_bytes([a, b]),
        minor: u16::from_be_bytes([c, d]),
    }
}

/// Puts the version into the path, and the credentials into the alphabet Docker reads: it decodes
/// X-Registry-Auth as URL-safe base64, and bollard sends the standard one.
fn rewrite(mut request: BollardRequest, version: Option<ApiVersion>) -> BollardRequest {
    if let Some(auth) = request
        .headers()
        .get("X-Registry-Auth")
        .and_then(|value| value.to_str().ok())
    {
        let safe = auth.replace('+', "-").replace('/', "_");
        if let Ok(mut value) = HeaderValue::from_str(&safe) {
            value.set_sensitive(true);
            request.headers_mut().insert("X-Registry-Auth", value);
        }
    }
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    if let Some(version) = version.filter(|_| path != "/version" && path != "/_ping") {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("/v{version}{path}").parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use bollard::body_full;

    use super::*;

    #[test]
    fn endpoints_are_read_and_others_refused() {
        let unix = Some(Endpoint::Unix("/run/docker.sock".to_owned()));
        assert_eq!(Endpoint::parse("unix:///run/docker.sock"), unix);
        assert_eq!(Endpoint::parse("/run/docker.sock"), unix);
        let http = Some(Endpoint::Http("10.0.0.1:2375".to_owned()));
        assert_eq!(Endpoint::parse("tcp://10.0.0.1:2375"), http);
        assert_eq!(Endpoint::parse("http://10.0.0.1:2375/"), http);
        for bad in [
            "",
            "unix://relative",
            "https://a:1",
            "ssh://a",
            "npipe:////./pipe/x",
            "http://u:p@a:1",
        ] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn requests_carry_the_version_and_url_safe_credentials() {
        let request = |uri: &str| {
            Request::builder()
                .uri(uri)
                .header("X-Registry-Auth", "ab+/c==")
                .body(body_full(Bytes::new()))
                .unwrap()
        };
        let version = Some(ApiVersion::new(1, 41));
        let sent = rewrite(request("unix://2f72/images/create?fromImage=a"), version);
        assert_eq!(
            sent.uri().to_string(),
            "unix://2f72/v1.41/images/create?fromImage=a"
        );
        assert_eq!(sent.headers()["X-Registry-Auth"], "ab-_c==");
        assert_eq!(
            rewrite(request("http://h:1/version"), version).uri().path(),
            "/version"
        );
        assert_eq!(rewrite(request("http://h:1/info"), None).uri().path(), "/info");
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(ApiVersion::parse("1.9").unwrap() < ApiVersion::parse("1.41").unwrap());
        assert_eq!(unpack(pack(NEWEST)), NEWEST);
        assert_eq!(ApiVersion::parse("latest"), None);
    }
}
