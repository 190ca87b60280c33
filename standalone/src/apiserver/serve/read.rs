//! GET of objects and lists.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::render::Renderer;
use super::{Reply, Scope};
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::query::{MATCH, Match, Query};
use crate::apiserver::selector::Selector;
use crate::apiserver::store::{Expired, Key, Object, Snapshot, Store};

/// How long a list waits for a resourceVersion that is not there yet.
const FUTURE_WAIT: Duration = Duration::from_secs(3);

/// What a `continue` token holds: the snapshot and where in it to go on.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    rv: u64,
    namespace: String,
    after: String,
}

impl Continue {
    fn encode(&self) -> String {
        BASE64.encode(json!(self).to_string())
    }

    fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
    }
}

pub(super) fn get(scope: &Scope, renderer: &Renderer) -> Result<Reply, ApiError> {
    let object = scope.store.get(&scope.resource.table, &scope.key());
    let object = object.ok_or_else(|| ApiError::not_found(&scope.resource, &scope.name))?;
    Ok(Reply::json(renderer.object(&object)))
}

pub(super) async fn list(
    scope: &Scope,
    query: &Query,
    selector: &Selector,
    renderer: &Renderer,
) -> Result<Reply, ApiError> {
    let continued = match query.get("continue") {
        "" => None,
        text => {
            Some(Continue::decode(text).ok_or_else(|| ApiError::bad_request("continue key is not valid"))?)
        }
    };
    if continued.is_some() && query.resource_version()?.is_some_and(|rv| rv != 0) {
        return Err(ApiError::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let snapshot = match &continued {
        Some(token) => scope.store.list_at(&scope.resource.table, scope.namespace(), token.rv).map_err(|_| {
            ApiError::expired(
                "The provided continue parameter is too old to display a consistent list result. You must start a new \
                 list without the continue parameter.",
            )
        })?,
        None => snapshot(&scope.store, scope, query).await?,
    };
    let start = continued.map(|token| Key::new(&token.namespace, &token.after));
    let mut matching = snapshot
        .objects
        .iter()
        .filter(|(key, _)| start.as_ref().is_none_or(|start| key > start))
        .filter(|(key, object)| selector.matches(key, object));
    let limit = query.limit()?.unwrap_or(usize::MAX);
    let page: Vec<&(Key, Arc<Object>)> = matching.by_ref().take(limit).collect();
    let mut meta = json!({"resourceVersion": snapshot.rv.to_string()});
    let left = matching.count();
    if let (Some((last, _)), true) = (page.last(), left > 0) {
        let token = Continue {
            rv: snapshot.rv,
            namespace: last.namespace.to_string(),
            after: last.name.to_string(),
        };
        meta["continue"] = token.encode().into();
        if selector.is_empty() {
            meta["remainingItemCount"] = left.into();
        }
    }
    Ok(Reply::json(
        renderer.list(page.into_iter().map(|(_, object)| object), &meta),
    ))
}

/// The list at the resourceVersion the query means.
async fn snapshot(store: &Store, scope: &Scope, query: &Query) -> Result<Snapshot, ApiError> {
    let table = &scope.resource.table;
    let wanted = query.resource_version()?.filter(|&rv| rv > 0);
    let matching = query.version_match()?;
    let exact = matching == Some(Match::Exact);
    if !query.get("sendInitialEvents").is_empty() {
        return Err(forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    match wanted {
        None if matching.is_some() && query.get("resourceVersion").is_empty() => Err(forbidden(
            MATCH,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        None if exact => Err(forbidden(
            MATCH,
            "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        )),
        None => Ok(store.list(table, scope.namespace())),
        Some(rv) => {
            wait_for(store, rv).await?;
            if exact {
                store
                    .list_at(table, scope.namespace(), rv)
                    .map_err(|e| too_old(rv, e))
            } else {
                Ok(store.list(table, scope.namespace()))
            }
        }
    }
}

/// Options that do not go together.
pub(super) fn forbidden(field: &str, why: &str) -> ApiError {
    ApiError::invalid_options("ListOptions", &[Cause::forbidden(field, why)])
}

pub(super) fn too_old(rv: u64, expired: Expired) -> ApiError {
    ApiError::expired(format!("too old resource version: {rv} ({})", expired.oldest))
}

/// Waits a little for a resourceVersion from the future, then refuses it: a client may hold one
/// from a store that was lost.
pub(super) async fn wait_for(store: &Store, rv: u64) -> Result<(), ApiError> {
    let mut revision = store.subscribe_all();
    let reached = tokio::time::timeout(FUTURE_WAIT, revision.wait_for(|&now| now >= rv)).await;
    match reached {
        Ok(Ok(_)) => Ok(()),
        _ => Err(ApiError::future_version(rv, store.revision())),
    }
}
