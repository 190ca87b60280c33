//! What a new object looks like.

use serde_json::Value;

use super::{Context, finalizers};
use crate::apiserver::clock::whole_seconds;
use crate::apiserver::failure::{ApiError, Cause};
use crate::apiserver::kinds::rules;
use crate::apiserver::store::{Action, Decided};

/// Metadata a client cannot set.
const SERVER_SET: [&str; 6] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// The object to store, in the resource's own form. `name` is given or generated already.
pub(crate) fn create(context: &Context, name: &str, uid: &str, body: &Value) -> Result<Decided, ApiError> {
    let mut object = body.clone();
    context.check_type(&mut object)?;
    let resource = &context.resource;
    // An apply that creates does not care.
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != "0" && !context.applied {
        // 500 without a reason is what Kubernetes answers.
        return Err(ApiError::unknown(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if name.is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(context.invalid(&object, &[cause]));
    }
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.retain(|key, _| !SERVER_SET.contains(&key.as_str()));
        meta.insert("name".into(), name.into());
        meta.insert("uid".into(), uid.into());
        meta.insert(
            "creationTimestamp".into(),
            whole_seconds(context.now).to_string().into(),
        );
        if resource.counts_generations() {
            meta.insert("generation".into(), 1.into());
        }
    }
    if resource.custom && resource.status && !context.status {
        object.as_object_mut().and_then(|o| o.remove("status"));
    }
    let mut warnings = context.settle_fields(&mut object)?;
    rules::default(resource, &mut object);
    if let Err(error) =
        check_event_namespace(context, &object).and_then(|()| context.validate(&object, None, Vec::new()))
    {
        return Err(error.with_warnings(warnings));
    }
    if resource.custom {
        warnings.extend(finalizers::warnings(&object, &Value::Null));
    }
    context.record(None, &mut object);
    rules::prepare(resource, &mut object);
    Ok(Decided {
        action: Action::Put(object),
        warnings,
    })
}

/// An event lives beside what it is about; events on cluster-scoped objects live in `default`.
fn check_event_namespace(context: &Context, object: &Value) -> Result<(), ApiError> {
    if !context.resource.holds_events() {
        return Ok(());
    }
    let about = ["involvedObject", "regarding"]
        .iter()
        .find_map(|f| object[*f]["namespace"].as_str());
    let wanted = about.filter(|ns| !ns.is_empty()).unwrap_or("default");
    let lenient = about.is_none() && object["metadata"]["namespace"] == "longshore-system";
    if object["metadata"]["namespace"] == wanted || lenient {
        return Ok(());
    }
    let cause = Cause::invalid(
        "involvedObject.namespace",
        &about.unwrap_or_default().into(),
        "does not match event.namespace",
    );
    Err(context.invalid(object, &[cause]))
}

#[cfg(test)]
mod tests {
    use super::SERVER_SET;

    #[test]
    fn the_list_of_server_fields_keeps_what_clients_own() {
        for field in [
            "labels",
            "annotations",
            "finalizers",
            "ownerReferences",
            "managedFields",
            "generateName",
        ] {
            assert!(!SERVER_SET.contains(&field));
        }
    }
}
