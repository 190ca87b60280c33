//! POST, PUT, PATCH and DELETE.

use std::sync::Arc;

use axum::body::Body;
use http::StatusCode;
use http::header::USER_AGENT;
use http::request::Parts;
use serde_json::{Value, json};

use super::render::Renderer;
use super::{Reply, Scope, body};
use crate::apiserver::Core;
use crate::apiserver::admit::{self, Context, DeleteOptions};
use crate::apiserver::apply::{ApplyError, Conflict, Manager, Operation, server_side_apply};
use crate::apiserver::events;
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::patch::{PatchError, json_patch, merge_patch, strategic_merge};
use crate::apiserver::query::{self, Query};
use crate::apiserver::selector::Selector;
use crate::apiserver::store::{Action, Decide, Decided, Effect, Key};

/// How often a clash of a generated name is retried.
const GENERATED_NAME_TRIES: usize = 8;
/// Longest prefix of `generateName` that is used; a suffix still fits into a DNS label.
const GENERATED_PREFIX: usize = 58;

/// What a write came to.
struct Done {
    effect: Effect,
    /// In its stored form.
    object: Value,
    warnings: Vec<String>,
}

fn context(core: &Core, scope: &Scope, query: &Query, parts: &Parts) -> Result<Context, ApiError> {
    let manager = match query.get("fieldManager") {
        "" => {
            let agent = parts
                .headers
                .get(USER_AGENT)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            let product = agent.split('/').next().unwrap_or_default();
            if product.is_empty() { "unknown" } else { product }
                .chars()
                .take(128)
                .collect()
        }
        manager if manager.len() > 128 => {
            return Err(ApiError::bad_request(
                "fieldManager: Too long: may not be more than 128 bytes",
            ));
        }
        manager => manager.to_owned(),
    };
    Ok(Context {
        resource: scope.resource.clone(),
        namespace: scope.namespace.clone(),
        status: scope.status,
        validation: query.field_validation()?,
        patching: false,
        manager: Manager {
            name: manager,
            operation: Operation::Update,
            subresource: if scope.status {
                "status".to_owned()
            } else {
                String::new()
            },
            api_version: scope.resource.api_version(),
        },
        applied: false,
        now: core.sources.now(),
    })
}

/// Decides and, unless it is a dry run, does it.
async fn run(scope: &Scope, key: Key, decide: Decide, dry: bool) -> Result<Done, ApiError> {
    if !dry {
        let outcome = scope.store.write(scope.resource.clone(), key, decide).await?;
        let (effect, warnings) = (outcome.effect, outcome.warnings);
        return Ok(Done {
            effect,
            object: outcome.object.value(),
            warnings,
        });
    }
    let Decided { action, warnings } = scope.store.dry_run(&scope.resource, &key, &decide)?;
    let before = scope.store.get(&scope.resource.table, &key);
    let (effect, object) = match action {
        Action::Keep => (Effect::Unchanged, before.map(|o| o.value()).unwrap_or_default()),
        Action::Put(object) if before.is_some() => (Effect::Updated, object),
        Action::Put(object) => (Effect::Created, object),
        Action::Remove(object) => (Effect::Removed, object),
    };
    Ok(Done {
        effect,
        object,
        warnings,
    })
}

fn reply(renderer: &Renderer, done: Done) -> Reply {
    let created = done.effect == Effect::Created;
    let reply = Reply::value(&renderer.value(done.object)).with_warnings(done.warnings);
    if created {
        reply.with_status(StatusCode::CREATED)
    } else {
        reply
    }
}

/// A decision on shown objects as one on stored ones.
fn stored(context: &Context, decided: Decided) -> Decided {
    let convert = |object| events::stored(&context.resource, object);
    let action = match decided.action {
        Action::Keep => Action::Keep,
        Action::Put(object) => Action::Put(convert(object)),
        Action::Remove(object) => Action::Remove(convert(object)),
    };
    Decided { action, ..decided }
}

pub(super) async fn create(
    core: &Arc<Core>,
    scope: &Scope,
    query: &Query,
    parts: &Parts,
    renderer: &Renderer,
    sent: Value,
) -> Result<Reply, ApiError> {
    if scope.resource.namespaced && scope.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let context = context(core, scope, query, parts)?;
    let dry = query.dry_run("CreateOptions")?;
    let meta = |field: &str| sent["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (given, prefix) = (meta("name"), meta("generateName"));
    let generated = given.is_empty() && !prefix.is_empty();
    let mut tries = 0;
    loop {
        tries += 1;
        let name = if generated {
            let kept: String = prefix.chars().take(GENERATED_PREFIX).collect();
            format!("{kept}{}", core.sources.uids.suffix())
        } else {
            given.clone()
        };
        let key = Key::new(&scope.namespace, &name);
        let decide = decide_create(context.clone(), name, core.sources.uids.uid(), sent.clone());
        match run(scope, key, decide, dry).await {
            Err(error) if generated && tries < GENERATED_NAME_TRIES && error.reason() == "AlreadyExists" => {}
            Err(error) => return Err(error),
            Ok(done) => return Ok(reply(renderer, done)),
        }
    }
}

fn decide_create(context: Context, name: String, uid: String, sent: Value) -> Decide {
    Box::new(move |current| match current {
        Some(_) => Err(ApiError::already_exists(&context.resource, &name)),
        None => Ok(stored(&context, admit::create(&context, &name, &uid, &sent)?)),
    })
}

/// Changes the current object into what `wanted` makes of it.
fn decide_update(
    context: Context,
    name: String,
    wanted: impl Fn(&Context, &Value) -> Result<Value, ApiError> + Send + 'static,
) -> Decide {
    Box::new(move |current| {
        let current = current.ok_or_else(|| ApiError::not_found(&context.resource, &name))?;
        let current = events::shown(&context.resource, current.clone());
        let object = wanted(&context, &current)?;
        Ok(stored(&context, admit::update(&context, &current, &object)?))
    })
}

pub(super) async fn replace(
    core: &Arc<Core>,
    scope: &Scope,
    query: &Query,
    parts: &Parts,
    renderer: &Renderer,
    mut sent: Value,
) -> Result<Reply, ApiError> {
    let context = context(core, scope, query, parts)?;
    if sent["metadata"].is_object() && sent["metadata"]["name"].as_str().unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            scope.name
        )));
    }
    if let Some(map) = sent.as_object_mut() {
        map.entry("metadata").or_insert_with(|| json!({}));
    }
    let decide = decide_update(context, scope.name.clone(), move |_, _| Ok(sent.clone()));
    let done = run(scope, scope.key(), decide, query.dry_run("UpdateOptions")?).await?;
    Ok(reply(renderer, done))
}

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
            let patch = body::json(&bytes)?;
            decide_update(context, name, move |_, current| {
                json_patch(current, &patch).map_err(|e| rejected(&e))
            })
        }
        "application/merge-patch+json" => {
            let patch = body::json(&bytes)?;
            decide_update(context, name, move |_, current| Ok(merge_patch(current, &patch)))
        }
        "application/strategic-merge-patch+json" if !resource.custom => {
            let patch = body::json(&bytes)?;
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
            decide_apply(
                context,
                name,
                core.sources.uids.uid(),
                applied,
                query.flag("force"),
            )?
        }
        _ => return Err(unsupported_patch(resource.custom)),
    };
    let done = run(scope, scope.key(), decide, query.dry_run("PatchOptions")?).await?;
    Ok(reply(renderer, done))
}

fn patch_options(cause: &Cause) -> ApiError {
    ApiError::invalid_options("PatchOptions", std::slice::from_ref(cause))
}

/// A patch that is none, or that does not fit the object.
fn rejected(error: &PatchError) -> ApiError {
    match error {
        _ if error.is_malformed() => ApiError::bad_request(error.to_string()),
        PatchError::UnsupportedKind(_) => unsupported_patch(true),
        _ => ApiError::rejected_patch(&error.to_string()),
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
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if text(&applied["kind"]).is_empty() || text(&applied["apiVersion"]).is_empty() {
        return Err(ApiError::bad_request(
            "Object 'Kind' is missing in the body of the apply patch",
        ));
    }
    if !applied["metadata"].is_object() {
        applied["metadata"] = json!({});
    }
    let asked = text(&applied["metadata"]["name"]);
    if asked.is_empty() {
        applied["metadata"]["name"] = name.as_str().into();
    } else if asked != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({asked}) does not match the name on the URL ({name})"
        )));
    }
    if resource.namespaced && text(&applied["metadata"]["namespace"]).is_empty() {
        applied["metadata"]["namespace"] = context.namespace.as_str().into();
    }
    Ok(Box::new(move |current| {
        let current = current.map(|current| events::shown(&context.resource, current.clone()));
        if current.is_none() && !text(&applied["metadata"]["uid"]).is_empty() {
            let why = "uid mismatch: the provided object specified a uid, and no existing object was found";
            return Err(ApiError::conflict(&context.resource, &name, why));
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
        .map_err(|error| apply_failed(&context, &name, &error))?;
        let decided = match &current {
            Some(current) => admit::update(&context, current, &merged)?,
            None => admit::create(&context, &name, &uid, &merged)?,
        };
        Ok(stored(&context, decided))
    }))
}

fn apply_failed(context: &Context, name: &str, error: &ApplyError) -> ApiError {
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
            "failed to create typed patch object ({}/{name}; {}/{}, Kind={}): {error}",
            context.namespace, context.resource.group, context.resource.version, context.resource.kind
        )),
        ApplyError::Managed(_) => ApiError::internal(error.to_string()),
    }
}

fn decide_delete(context: Context, name: String, options: DeleteOptions) -> Decide {
    Box::new(move |current| {
        let current = current.ok_or_else(|| ApiError::not_found(&context.resource, &name))?;
        admit::delete(&context, current, &options)
    })
}

pub(super) async fn delete(
    core: &Arc<Core>,
    scope: &Scope,
    parts: &Parts,
    query: &Query,
    renderer: &Renderer,
    options: DeleteOptions,
) -> Result<Reply, ApiError> {
    let context = context(core, scope, query, parts)?;
    let dry = query.dry_run("DeleteOptions")?
        || query::dry_run("DeleteOptions", options.dry_run.iter().map(String::as_str))?;
    let decide = decide_delete(context, scope.name.clone(), options);
    let done = run(scope, scope.key(), decide, dry).await?;
    if done.effect != Effect::Removed {
        return Ok(reply(renderer, done));
    }
    let mut details =
        json!({"name": scope.name, "kind": scope.resource.plural, "uid": done.object["metadata"]["uid"]});
    if !scope.resource.group.is_empty() {
        details["group"] = scope.resource.group.as_str().into();
    }
    Ok(Reply::value(&json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })))
}

pub(super) async fn delete_collection(
    core: &Arc<Core>,
    scope: &Scope,
    parts: &Parts,
    query: &Query,
    selector: &Selector,
    renderer: &Renderer,
    options: DeleteOptions,
) -> Result<Reply, ApiError> {
    if scope.resource.namespaced && scope.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let context = context(core, scope, query, parts)?;
    let dry = query.dry_run("DeleteOptions")?
        || query::dry_run("DeleteOptions", options.dry_run.iter().map(String::as_str))?;
    let snapshot = scope.store.list(&scope.resource.table, scope.namespace());
    let mut deleted = Vec::new();
    for (key, object) in snapshot
        .objects
        .iter()
        .filter(|(key, object)| selector.matches(key, object))
    {
        let decide = decide_delete(context.clone(), key.name.to_string(), options.clone());
        match run(scope, key.clone(), decide, dry).await {
            // Gone meanwhile, which is what was asked for.
            Err(error) if error.code() == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
            Ok(_) => deleted.push(object.clone()),
        }
    }
    let meta = json!({"resourceVersion": scope.store.revision().to_string()});
    Ok(Reply::json(renderer.list(deleted.iter(), &meta)))
}
