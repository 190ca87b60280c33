//! Merge patches: as small as what changed.

use std::sync::Arc;

use serde_json::{Value, json};

/// The object a status is of is not there any more.
#[derive(Debug)]
pub(crate) struct Vanished;

/// The merge patch that brings an object's status to `wanted`; absent if it is that already. It names the
/// object's uid, so that it never lands on another object of the same name.
pub(crate) fn status_patch<K: kube::Resource, S: serde::Serialize + Default>(
    object: Option<&Arc<K>>,
    status: impl Fn(&K) -> Option<&S>,
    wanted: &S,
) -> Result<Option<Value>, Vanished> {
    let object = object.ok_or(Vanished)?;
    let value = |status: &S| serde_json::to_value(status).unwrap_or_default();
    let stored = status(object).map_or_else(|| value(&S::default()), value);
    let patch = difference(&stored, &value(wanted));
    let uid = &object.meta().uid;
    Ok(patch.map(|status| json!({ "metadata": { "uid": uid }, "status": status })))
}

/// RFC 7386's patch from one value to the other; absent if they are the same.
fn difference(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = serde_json::Map::new();
    for (key, value) in to {
        match from.get(key) {
            Some(before) => {
                if let Some(inner) = difference(before, value) {
                    patch.insert(key.clone(), inner);
                }
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use longshore_crds::{Device, DeviceSpec, DeviceStatus};

    use super::*;

    #[test]
    fn a_patch_holds_what_differs_and_nulls_for_what_goes() {
        let from = json!({"a": 1, "b": {"x": 1, "y": 2}, "c": [1, 2], "d": 4});
        let to = json!({"a": 1, "b": {"x": 1, "y": 3}, "c": [1], "e": null});
        let patch = difference(&from, &to);
        assert_eq!(
            patch,
            Some(json!({"b": {"y": 3}, "c": [1], "d": null, "e": null}))
        );
        assert_eq!(difference(&to, &to), None);
    }

    #[test]
    fn a_status_patch_names_the_object_it_is_meant_for() {
        let mut device = Device::new("d", DeviceSpec::default());
        device.metadata.uid = Some("u".into());
        let wanted = DeviceStatus {
            ready_workloads: Some("1/1".into()),
            ..DeviceStatus::default()
        };
        let device = Arc::new(device);
        let patch = status_patch(Some(&device), |d| d.status.as_ref(), &wanted).unwrap();
        assert_eq!(
            patch,
            Some(json!({"metadata": {"uid": "u"}, "status": {"readyWorkloads": "1/1"}}))
        );
        assert!(status_patch(None::<&Arc<Device>>, |d| d.status.as_ref(), &wanted).is_err());
    }
}
