//! PATCH in its four types.

use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use serde_json::{Value, json};

use super::render::Renderer;
use super::write::{context, decide_update, reply, run, stored};
use super::{Reply, Scope, body};
use crate::apiserver::Core;
use crate::apiserver::admit::{self, Context};
use crate::apiserver::apply::{ApplyError, Conflict, Operation, server_side_apply};
use crate::apiserver::events;
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::patch::{PatchError, check_merge_patch, json_patch, merge_patch, strategic_merge};
use crate::apiserver::query::Query;
use crate::apiserver::store::Decide;

pub(super) async fn patch(
    core: &Arc<Core>,
    scope: &Scope,
    query: &Query,
    parts: &Parts,
    renderer: &Renderer,
    body: Body,
) -> Result<Reply, ApiError> {
    let resource = &scope.resource;
    let mut context = context(core, scope, query, parts)?;
    context.patching = true;
    let bytes = body::bytes(body).await?;
    let name = scope.name.clone();
    let media = body::media_type(&parts.headers);
    if media != "application/apply-patch+yaml" && !query.get("force").is_empty() {
        return Err(patch_options(&Cause::forbidden(
            "force",
            "may not be specified for non-apply patch",
        )));
    }
    let decide: Decide = match media {
        "application/json-patch+json" => {
            let patch = document(&bytes)?;
            decide_update(context, name, move |_, current| {
                json_patch(current, &patch).map_err(|e| rejected(&e))
            })
        }
        "application/merge-patch+json" => {
            let patch = document(&bytes)?;
            check_merge_patch(&patch).map_err(|error| rejected(&error))?;
            decide_update(context, name, move |_, current| Ok(merge_patch(current, &patch)))
        }
        "application/strategic-merge-patch+json" if !resource.custom => {
            let patch = document(&bytes)?;
            let kind = resource.kind.clone();
            decide_update(context, name, move |_, current| {
                strategic_merge(&kind, current, &patch).map_err(|e| rejected(&e))
            })
        }
        "application/apply-patch+yaml" => {
            if query.get("fieldManager").is_empty() {
                return Err(patch_options(&Cause::required(
                    "fieldManager",
                    "is required for apply patch",
                )));
            }
            context.manager.operation = Operation::Apply;
            context.applied = true;
            let applied = body::yaml(&bytes)?;
            let key = scope.key();
            if !scope.status && scope.store.get(&resource.table, &key).is_none() {
                scope.store.check_namespace(resource, &key)?;
            }
            let uid = core.sources.uids.uid();
            decide_apply(context, name, uid, applied, query.flag("force"))?
        }
        _ => return Err(unsupported_patch(resource.custom)),
    };
    let done = run(scope, scope.key(), decide, query.dry_run("PatchOptions")?).await?;
    Ok(reply(renderer, done))
}

/// A patch in JSON.
fn document(bytes: &[u8]) -> Result<Value, ApiError> {
    body::parse(bytes).map_err(|why| ApiError::bad_request(format!("error decoding patch: {why}")))
}

fn patch_options(cause: &Cause) -> ApiError {
    ApiError::invalid_options("PatchOptions", std::slice::from_ref(cause))
}

/// A patch that is none, or that does not fit the object.
fn rejected(error: &PatchError) -> ApiError {
    match error {
        _ if error.is_malformed() => ApiError::bad_request(error.to_string()),
        PatchError::UnsupportedKind(_) => unsupported_patch(true),
        PatchError::TooManyOperations { .. } => ApiError::too_large(&error.to_string()),
        _ => {
            tracing::debug!(%error, "a patch does not fit its object");
            ApiError::rejected_patch()
        }
    }
}

fn unsupported_patch(custom: bool) -> ApiError {
    let strategic = if custom {
        ""
    } else {
        ", application/strategic-merge-patch+json"
    };
    ApiError::unsupported_media_type(&format!(
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml{strategic}"
    ))
}

/// `namespace/name` of a configuration as it came, and of what kind it is: how a refusal names it.
#[derive(Clone)]
struct Named {
    namespace: String,
    name: String,
    /// `group/version, Kind=kind`.
    kind: String,
}

impl Named {
    fn of(applied: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let api_version = text(&applied["apiVersion"]);
        let slash = if api_version.contains('/') { "" } else { "/" };
        Self {
            namespace: text(&applied["metadata"]["namespace"]),
            name: text(&applied["metadata"]["name"]),
            kind: format!("{slash}{api_version}, Kind={}", text(&applied["kind"])),
        }
    }
}

fn decide_apply(
    context: Context,
    name: String,
    uid: String,
    mut applied: Value,
    force: bool,
) -> Result<Decide, ApiError> {
    let resource = context.resource.clone();
    if !applied.is_object() {
        return Err(ApiError::bad_request("the body of an apply patch is an object"));
    }
    let named = Named::of(&applied);
    if applied["kind"] != resource.kind || applied["apiVersion"] != resource.api_version() {
        return Err(ApiError::bad_request(format!(
            "invalid object type: {}",
            named.kind
        )));
    }
    if !applied["metadata"].is_object() {
        applied["metadata"] = json!({});
    }
    if named.name.is_empty() {
        applied["metadata"]["name"] = name.as_str().into();
    } else if named.name != name {
        return Err(ApiError::misnamed(&named.name, &name));
    }
    if resource.namespaced && named.namespace.is_empty() {
        applied["metadata"]["namespace"] = context.namespace.as_str().into();
    }
    Ok(Box::new(move |current| {
        let current = current.map(|current| events::editable(&context.resource, current.clone()));
        let asked = applied["metadata"]["uid"].as_str().unwrap_or_default();
        if current.is_none() && !asked.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {asked}, and no existing object was found"
            );
            return Err(ApiError::conflict(&context.resource, &name, &why));
        }
        if current.is_none() && context.status {
            return Err(ApiError::not_found(&context.resource, &name));
        }
        let merged = server_side_apply(
            current.as_ref(),
            &applied,
            &context.manager,
            force,
            &context.resource.merge,
            context.now,
        )
        .map_err(|error| apply_failed(&named, &error))?;
        let decided = match &current {
            Some(current) => admit::update(&context, current, &merged)?,
            None => admit::create(&context, &name, &uid, &merged)?,
        };
        Ok(stored(&context, decided))
    }))
}

fn apply_failed(named: &Named, error: &ApplyError) -> ApiError {
    match error {
        ApplyError::Conflict(conflicts) => {
            let cause = |conflict: &Conflict| Cause {
                reason: "FieldManagerConflict".into(),
                message: format!("conflict with {}", conflict.manager),
                field: conflict.path.clone(),
            };
            ApiError::apply_conflict(
                error.to_string(),
                &conflicts.iter().map(cause).collect::<Vec<_>>(),
            )
        }
        ApplyError::ManagedFieldsGiven => ApiError::bad_request(error.to_string()),
        ApplyError::Typed { .. } => ApiError::unknown(format!(
            "failed to create typed patch object ({}/{}; {}): {error}",
            named.namespace, named.name, named.kind
        )),
        ApplyError::Managed(_) => ApiError::internal(error.to_string()),
    }
}
