//! POST, PUT and DELETE, and what every write has in common.

use std::sync::Arc;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::render::Renderer;
use super::{Reply, Scope};
use crate::apiserver::Core;
use crate::apiserver::admit::{self, Context, DeleteOptions};
use crate::apiserver::apply::{Manager, Operation};
use crate::apiserver::events;
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::query::{self, Query};
use crate::apiserver::selector::Selector;
use crate::apiserver::store::{Action, Decide, Decided, Effect, Key};

/// How often a clash of a generated name is retried.
const GENERATED_NAME_TRIES: usize = 8;
/// Longest prefix of `generateName` that is used; a suffix still fits into a DNS label.
const GENERATED_PREFIX: usize = 58;

/// What a write came to.
pub(super) struct Done {
    effect: Effect,
    /// In its stored form.
    object: Value,
    warnings: Vec<String>,
}

/// The kind of the options in a write's query.
fn options(method: &Method) -> &'static str {
    match *method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        _ => "DeleteOptions",
    }
}

pub(super) fn context(core: &Core, scope: &Scope, query: &Query, parts: &Parts) -> Result<Context, ApiError> {
    let options = options(&parts.method);
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
            let cause = Cause {
                reason: "FieldValueTooLong".into(),
                message: "Too long: may not be more than 128 bytes".into(),
                field: "fieldManager".into(),
            };
            return Err(ApiError::invalid_options(options, &[cause]));
        }
        manager => manager.to_owned(),
    };
    Ok(Context {
        resource: scope.resource.clone(),
        namespace: scope.namespace.clone(),
        status: scope.status,
        validation: query.field_validation(options)?,
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
pub(super) async fn run(scope: &Scope, key: Key, decide: Decide, dry: bool) -> Result<Done, ApiError> {
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

pub(super) fn reply(renderer: &Renderer, done: Done) -> Reply {
    let created = done.effect == Effect::Created;
    let reply = Reply::value(&renderer.value(done.object)).with_warnings(done.warnings);
    if created {
        reply.with_status(StatusCode::CREATED)
    } else {
        reply
    }
}

/// A decision on shown objects as one on stored ones.
pub(super) fn stored(context: &Context, decided: Decided) -> Decided {
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
        scope.store.check_namespace(&scope.resource, &key)?;
        let decide = decide_create(context.clone(), name, core.sources.uids.uid(), sent.clone());
        match run(scope, key, decide, dry).await {
            Err(error) if generated && tries < GENERATED_NAME_TRIES && error.reason() == "AlreadyExists" => {}
            Err(error) => return Err(error),
            Ok(done) => return Ok(reply(renderer, done)),
        }
    }
}

fn decide_create(context: Context, name: String, uid: String, sent: Value) -> Decide {
    let sent = events::bare(&context.resource, sent);
    Box::new(move |current| {
        let created = admit::create(&context, &name, &uid, &sent)?;
        match current {
            Some(current) => {
                let deleting = !current["metadata"]["deletionTimestamp"].is_null();
                Err(ApiError::already_exists(&context.resource, &name, deleting)
                    .with_warnings(created.warnings))
            }
            None => Ok(stored(&context, created)),
        }
    })
}

/// Changes the current object into what `wanted` makes of it.
pub(super) fn decide_update(
    context: Context,
    name: String,
    wanted: impl Fn(&Context, &Value) -> Result<Value, ApiError> + Send + 'static,
) -> Decide {
    Box::new(move |current| {
        let current = current.ok_or_else(|| ApiError::not_found(&context.resource, &name))?;
        let current = events::editable(&context.resource, current.clone());
        let object = events::bare(&context.resource, wanted(&context, &current)?);
        Ok(stored(&context, admit::update(&context, &current, &object)?))
    })
}

pub(super) async fn replace(
    core: &Arc<Core>,
    scope: &Scope,
    query: &Query,
    parts: &Parts,
    renderer: &Renderer,
    sent: Value,
) -> Result<Reply, ApiError> {
    let context = context(core, scope, query, parts)?;
    // Whether or not there is an object to replace. What is no name at all is refused when the body is decoded.
    match &sent["metadata"]["name"] {
        Value::Null if sent.is_object() => return Err(ApiError::unnamed(&scope.name)),
        Value::String(name) if name.is_empty() => return Err(ApiError::unnamed(&scope.name)),
        Value::String(name) if *name != scope.name => return Err(ApiError::misnamed(name, &scope.name)),
        _ => {}
    }
    let decide = decide_update(context, scope.name.clone(), move |_, _| Ok(sent.clone()));
    let done = run(scope, scope.key(), decide, query.dry_run("UpdateOptions")?).await?;
    Ok(reply(renderer, done))
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
