//! What becomes of an object that is replaced or patched.

use serde_json::{Map, Value};

use super::{Context, finalizers, name, released};
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::kinds::rules;
use crate::apiserver::store::{Action, Decided};

/// Metadata an update carries over whatever the body says, or refuses ([`immutable`]).
const CARRIED: [&str; 5] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
];

/// The object to store, both in the resource's own form. `wanted` is the whole new object.
pub(crate) fn update(context: &Context, current: &Value, wanted: &Value) -> Result<Decided, ApiError> {
    let mut object = wanted.clone();
    context.check_type(&mut object)?;
    check_identity(context, current, &object)?;
    check_version(context, current, &object)?;
    let mut warnings = context.settle_fields(&mut object)?;
    let resource = &context.resource;
    let mut causes = Vec::new();
    if !context.status {
        causes.extend(finalizers::too_late(&object, current));
        causes.extend(immutable(current, &object));
        if resource.custom {
            warnings.extend(finalizers::warnings(&object, current));
        }
    }
    carry_over(current, &mut object);
    if context.status {
        object = with_status_of(current, &object);
    } else {
        if resource.custom && resource.status {
            set(&mut object, "status", current.get("status").cloned());
        }
        if &*resource.table == crate::apiserver::kinds::NAMESPACES {
            set(&mut object, "spec", current.get("spec").cloned());
            set(&mut object, "status", current.get("status").cloned());
        }
        rules::default(resource, &mut object);
    }
    if let Err(error) = context.validate(&object, Some(current), causes) {
        return Err(error.with_warnings(warnings));
    }
    if resource.counts_generations()
        && !context.status
        && meaning(current, resource.status) != meaning(&object, resource.status)
    {
        let generation = current["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        object["metadata"]["generation"] = generation.into();
    }
    context.record(Some(current), &mut object);
    let action = if released(&object) {
        Action::Remove(object)
    } else if same(current, &object) {
        Action::Keep
    } else {
        Action::Put(object)
    };
    Ok(Decided { action, warnings })
}

fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(map) = object.as_object_mut() else { return };
    match value {
        Some(value) => map.insert(field.into(), value),
        None => map.remove(field),
    };
}

fn check_identity(context: &Context, current: &Value, object: &Value) -> Result<(), ApiError> {
    let (wanted, name) = (name(object), name(current));
    if wanted.is_empty() {
        return Err(ApiError::unnamed(name));
    }
    if wanted != name {
        return Err(ApiError::misnamed(wanted, name));
    }
    let uid = |o: &Value| o["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (have, asked) = (uid(current), uid(object));
    // A patch does not mean it as a precondition.
    if !asked.is_empty() && asked != have && !context.patching {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {have}");
        return Err(ApiError::conflict(&context.resource, name, &why));
    }
    Ok(())
}

fn check_version(context: &Context, current: &Value, object: &Value) -> Result<(), ApiError> {
    let version = |o: &Value| {
        o["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (have, asked) = (version(current), version(object));
    if asked.is_empty() || asked == "0" {
        // Patches start from the current object, so only a PUT can come here.
        if context.resource.custom && !context.patching {
            let cause = Cause {
                reason: "FieldValueInvalid".into(),
                message: "Invalid value: 0: must be specified for an update".into(),
                field: "metadata.resourceVersion".into(),
            };
            let resource = &context.resource;
            return Err(ApiError::invalid_named(
                name(object),
                &resource.group,
                &resource.plural,
                &[cause],
            ));
        }
        return Ok(());
    }
    if asked.parse::<u64>().is_err() {
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &asked.as_str().into(),
            "must be an unsigned integer",
        );
        return Err(context.invalid(object, &[cause]));
    }
    if asked == have {
        Ok(())
    } else {
        Err(ApiError::modified(&context.resource, name(current)))
    }
}

/// What was asked for and cannot be: metadata that is the server's alone.
fn immutable(current: &Value, object: &Value) -> Vec<Cause> {
    let (have, asked) = (&current["metadata"], &object["metadata"]);
    let deleting = !have["deletionTimestamp"].is_null();
    let mut causes = Vec::new();
    for field in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = &asked[field];
        // Of an object that is being deleted the time stays what it is.
        let ignored = value.is_null() || value == "" || (deleting && field == "deletionTimestamp");
        if !ignored && *value != have[field] {
            causes.push(Cause::invalid(
                &format!("metadata.{field}"),
                value,
                "field is immutable",
            ));
        }
    }
    causes
}

fn carry_over(current: &Value, object: &mut Value) {
    let Some(meta) = object["metadata"].as_object_mut() else {
        return;
    };
    for field in CARRIED.iter().chain(&["resourceVersion"]) {
        match current["metadata"].get(field) {
            Some(value) => meta.insert((*field).to_owned(), value.clone()),
            None => meta.remove(*field),
        };
    }
}

/// Through `/status` only the status changes, and who manages it.
fn with_status_of(current: &Value, object: &Value) -> Value {
    let mut result = current.clone();
    set(&mut result, "status", object.get("status").cloned());
    if let (Some(fields), Some(meta)) = (
        object["metadata"].get("managedFields"),
        result["metadata"].as_object_mut(),
    ) {
        meta.insert("managedFields".into(), fields.clone());
    }
    result
}

/// What a generation counts: everything but metadata and a status of its own.
fn meaning(object: &Value, has_status: bool) -> Map<String, Value> {
    let mut map = object.as_object().cloned().unwrap_or_default();
    map.remove("metadata");
    if has_status {
        map.remove("status");
    }
    map
}

/// Equal but for the times of `managedFields`: such a write must not bump the resourceVersion.
fn same(current: &Value, object: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        for entry in value
            .pointer_mut("/metadata/managedFields")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            entry.as_object_mut().and_then(|e| e.remove("time"));
        }
        value
    };
    timeless(current) == timeless(object)
}
