//! What deleting does to an object: remove it, or mark it and wait for its finalizers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, name, released, strings};
use crate::apiserver::clock::whole_seconds;
use crate::apiserver::failure::ApiError;
use crate::apiserver::kinds::NAMESPACES;
use crate::apiserver::kinds::rules::{PROTECTED_NAMESPACES, PROTECTED_SECRET};
use crate::apiserver::store::{Action, Decided};

/// What happens to objects owned by the deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// The body of a DELETE.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DeleteOptions {
    pub(crate) preconditions: Option<Preconditions>,
    /// Read by itself: a value that is none is worded in Kubernetes' way.
    #[serde(skip)]
    pub(crate) propagation_policy: Option<Propagation>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) dry_run: Vec<String>,
}

/// The object must still be this one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Preconditions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

/// The finalizer the garbage collector answers for each policy.
pub(crate) const ORPHAN: &str = "orphan";
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

pub(crate) fn delete(
    context: &Context,
    current: &Value,
    options: &DeleteOptions,
) -> Result<Decided, ApiError> {
    let resource = &context.resource;
    check_preconditions(context, current, options)?;
    if &*resource.table == NAMESPACES && PROTECTED_NAMESPACES.contains(&name(current)) {
        return Err(ApiError::forbidden(
            resource,
            name(current),
            "this namespace may not be deleted",
        ));
    }
    if is_protected_secret(context, current) {
        return Err(ApiError::forbidden(
            resource,
            name(current),
            "it holds this site's identity: under another one every device would refuse this site, and what runs there \
             could not be changed or removed any more",
        ));
    }
    let mut object = current.clone();
    let deleting = !current["metadata"]["deletionTimestamp"].is_null();
    let policy = match (options.propagation_policy, options.orphan_dependents) {
        (Some(policy), _) => policy,
        (None, Some(true)) => Propagation::Orphan,
        (None, _) => Propagation::Background,
    };
    let wait_for = match policy {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    let mut finalizers: Vec<&str> = strings(current, "/metadata/finalizers");
    if let Some(finalizer) = wait_for.filter(|f| !finalizers.contains(f)) {
        finalizers.push(finalizer);
        object["metadata"]["finalizers"] = json!(finalizers);
    }
    if !deleting {
        let meta = &mut object["metadata"];
        meta["deletionTimestamp"] = whole_seconds(context.now).to_string().into();
        if let Some(generation) = current["metadata"]["generation"].as_i64() {
            meta["generation"] = (generation + 1).into();
        }
        if &*resource.table == NAMESPACES {
            object["status"]["phase"] = "Terminating".into();
        } else {
            object["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        }
    }
    Ok(if released(&object) {
        // Gone at once: its last state is the one everybody knew.
        Action::Remove(current.clone())
    } else if object == *current {
        Action::Keep
    } else {
        Action::Put(object)
    }
    .into())
}

fn is_protected_secret(context: &Context, object: &Value) -> bool {
    context.is_secret() && (context.namespace.as_str(), name(object)) == PROTECTED_SECRET
}

fn check_preconditions(context: &Context, current: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let Some(wanted) = &options.preconditions else {
        return Ok(());
    };
    let meta = &current["metadata"];
    let checks = [
        ("UID", &wanted.uid, &meta["uid"], "deleted and then recreated"),
        (
            "ResourceVersion",
            &wanted.resource_version,
            &meta["resourceVersion"],
            "modified",
        ),
    ];
    for (what, wanted, have, happened) in checks {
        let have = have.as_str().unwrap_or_default();
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != have) {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({have}). The object \
                 might have been {happened}"
            );
            return Err(ApiError::precondition(&context.resource, name(current), &why));
        }
    }
    Ok(())
}
