//! The embedded API server: Kubernetes' API for our kinds and the few core kinds around them.
//!
//! Real kubectl and `kube` clients talk to it, over TLS ([`ApiServer::serve`]) or in the process
//! ([`ApiServer::client`]). It is honest about being less than a cluster: it runs no pods, has one
//! user (the administrator), no webhooks, and serves only the definitions it was started with.
//!
//! ```text
//! HTTP ─► serve ─► admit + schema/apply/patch ─► store ─► writer ─► redb
//!           ▲      (pure: wanted object)           │
//!           └────────── reads, watches ◄───────────┘ published after the commit
//! ```
//!
//! What it promises: a write that was answered is durable; a read never shows what is not;
//! resourceVersions only grow, over restarts and lost stores; a watch misses nothing between its
//! start and its end, and says so when it cannot go on.

mod admit;
pub(crate) mod apply;
mod clock;
mod depth;
mod events;
mod failure;
mod garbage;
mod kinds;
mod listener;
mod negotiate;
pub(crate) mod patch;
pub(crate) mod protobuf;
mod query;
pub(crate) mod schema;
mod selector;
mod serve;
mod store;
pub mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use clock::{Clock, RandomUids, SystemClock, Uids, suffix_from};
pub use kinds::{Kinds, ServeKindError};
pub use store::{Backing, OpenStoreError};

use admit::Context;
use clock::Sources;
use failure::ApiError;
use kinds::{CRDS, NAMESPACES, Registry};
use store::{Action, Key, Store};

/// The administrator's bearer token. Prints as nothing, so that it cannot reach a log.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// A token with this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever writes it into a kubeconfig.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that tells nothing about where the texts differ.
    fn matches(&self, presented: &str) -> bool {
        let (known, presented) = (self.0.as_bytes(), presented.as_bytes());
        let differing = known.iter().zip(presented).fold(0, |acc, (a, b)| acc | (a ^ b));
        !known.is_empty() && known.len() == presented.len() && differing == 0
    }
}

/// What an API server is made of.
pub struct Config {
    /// The custom kinds to serve. Installed at start, read-only afterwards.
    pub kinds: Kinds,
    /// Where objects are kept.
    pub backing: Backing,
    /// What network clients must present. Without one, only in-process clients get in.
    pub token: Option<Token>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Uids and generated names.
    pub uids: Arc<dyn Uids>,
}

impl Config {
    /// A server for these kinds on the machine's clock, open to in-process clients only.
    pub fn new(kinds: impl Into<Kinds>, backing: Backing) -> Self {
        Self {
            kinds: kinds.into(),
            backing,
            token: None,
            clock: Arc::new(SystemClock),
            uids: Arc::new(RandomUids),
        }
    }
}

/// Why an API server could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("cannot open the API server's store")]
    Store(#[source] OpenStoreError),
    /// A kind.
    #[error("cannot serve a kind")]
    Kind(#[source] ServeKindError),
    /// The objects every server has could not be written.
    #[error("cannot write the first objects of the API server: {why}")]
    Bootstrap {
        /// What the store answered.
        why: String,
    },
}

/// An API server. Cheap to clone; lives until its last clone and client are gone, or [`close`](Self::close).
#[derive(Clone)]
pub struct ApiServer {
    core: Arc<Core>,
}

/// What requests work on.
struct Core {
    store: Store,
    registry: Arc<Registry>,
    sources: Sources,
    token: Option<Token>,
    /// Ends watches and housekeeping.
    stop: CancellationToken,
    openapi: serve::openapi::Documents,
    _stop_on_drop: DropGuard,
}

impl ApiServer {
    /// Opens the store, installs the kinds and the default namespaces, and starts housekeeping
    /// (garbage collection, namespace deletion, expiry of events).
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let Config {
            kinds,
            backing,
            token,
            clock,
            uids,
        } = config;
        let sources = Sources { clock, uids };
        let registry = kinds.registry().map_err(OpenError::Kind)?;
        let seed = u64::try_from(sources.now().as_microsecond()).unwrap_or(1);
        let tables = registry.all().map(|resource| &resource.table);
        let store = Store::open(backing, seed, tables)
            .await
            .map_err(OpenError::Store)?;
        let stop = CancellationToken::new();
        bootstrap(&store, &registry, &sources, kinds.crds())
            .await
            .map_err(|error| OpenError::Bootstrap {
                why: error.to_string(),
            })?;
        tokio::spawn(garbage::run(
            store.clone(),
            registry.clone(),
            sources.clone(),
            stop.clone(),
        ));
        let openapi = serve::openapi::Documents::default();
        let guard = stop.clone().drop_guard();
        Ok(Self {
            core: Arc::new(Core {
                store,
                registry,
                sources,
                token,
                stop,
                openapi,
                _stop_on_drop: guard,
            }),
        })
    }

    /// An in-process client: no socket, no TLS, authenticated as the administrator.
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        let service = tower::service_fn({
            let core = self.core.clone();
            move |request: Request<kube::client::Body>| {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(serve::InProcess);
                let core = core.clone();
                async move { Ok::<_, Infallible>(serve::handle(core, request).await) }
            }
        });
        kube::Client::new(service, default_namespace)
    }

    /// The server as an axum router. Requests must carry the token.
    pub fn router(&self) -> Router {
        let core = self.core.clone();
        Router::new().fallback(move |request: Request<Body>| answer(core.clone(), request))
    }

    /// Serves TLS clients on `listener` until `cancel`: then watches end, requests in flight are
    /// answered, and connections close.
    pub async fn serve(
        &self,
        listener: tokio::net::TcpListener,
        tls: Arc<rustls::ServerConfig>,
        cancel: CancellationToken,
    ) {
        listener::serve(self.core.clone(), listener, tls, cancel).await;
    }

    /// Ends watches and housekeeping, finishes queued writes and lets go of the store's file.
    pub async fn close(self) {
        self.core.stop.cancel();
        self.core.store.close().await;
    }
}

fn answer(core: Arc<Core>, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send {
    serve::handle(core, request)
}

/// Writes what every server has: its namespaces and the definitions it was given.
async fn bootstrap(
    store: &Store,
    registry: &Registry,
    sources: &Sources,
    crds: &[CustomResourceDefinition],
) -> Result<(), ApiError> {
    let namespaces = registry.by_table(NAMESPACES).cloned();
    let definitions = registry.by_table(CRDS).cloned();
    let (Some(namespaces), Some(definitions)) = (namespaces, definitions) else {
        return Err(ApiError::internal("the core kinds are missing"));
    };
    for name in kinds::rules::PROTECTED_NAMESPACES {
        let context = Context::internal(namespaces.clone(), "", sources.now());
        let uid = sources.uids.uid();
        let decide = move |current: Option<&Value>| match current {
            Some(_) => Ok(Action::Keep.into()),
            None => admit::create(&context, name, &uid, &json!({"metadata": {"name": name}})),
        };
        store
            .write(namespaces.clone(), Key::new("", name), Box::new(decide))
            .await?;
    }
    for crd in crds {
        let now = sources.now_seconds().to_string();
        let Some(wanted) = kinds::established(crd, &now) else {
            continue;
        };
        let name = crd.metadata.name.clone().unwrap_or_default();
        let uid = sources.uids.uid();
        let decide = move |current: Option<&Value>| Ok(install(current, wanted.clone(), &uid, &now).into());
        store
            .write(definitions.clone(), Key::new("", &name), Box::new(decide))
            .await?;
    }
    Ok(())
}

/// A definition as stored: as given, with the identity of the one that was there before.
fn install(current: Option<&Value>, mut wanted: Value, uid: &str, now: &str) -> Action {
    wanted["apiVersion"] = "apiextensions.k8s.io/v1".into();
    wanted["kind"] = "CustomResourceDefinition".into();
    let meta = &mut wanted["metadata"];
    let Some(current) = current else {
        meta["uid"] = uid.into();
        meta["creationTimestamp"] = now.into();
        meta["generation"] = 1.into();
        return Action::Put(wanted);
    };
    if current["spec"] == wanted["spec"] {
        return Action::Keep;
    }
    let had = &current["metadata"];
    wanted["metadata"]["uid"] = had["uid"].clone();
    wanted["metadata"]["creationTimestamp"] = had["creationTimestamp"].clone();
    wanted["metadata"]["generation"] = (had["generation"].as_i64().unwrap_or(0) + 1).into();
    Action::Put(wanted)
}

#[cfg(test)]
mod tests;
