//! The API server of the rig: objects, their finalizers and versions, and what a watch tells of them.

use std::collections::BTreeMap;

use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use longshore_crds::names::ObjectKey;
use longshore_crds::{Device, Workload};
use serde_json::{Value, json};

use super::{NS, Rig};
use crate::effects::{Done, Written};
use crate::watch::WatchEvent;
use crate::writes::{Kind, Outcome, Part, Target};

impl Rig {
    /// `kubectl apply`: the spec, on a new object or an old one.
    pub(in crate::mind::tests) fn apply(&mut self, kind: Kind, name: &str, spec: Value) {
        let key = ObjectKey::new(NS, name);
        self.version += 1;
        let version = self.version;
        let objects = self.objects(kind);
        let object = objects.entry(key.clone()).or_insert_with(|| {
            json!({
                "apiVersion": "longshore.dev/v1alpha1",
                "kind": format!("{kind:?}"),
                "metadata": {"name": name, "namespace": NS, "uid": format!("uid-{version}"), "generation": 0},
            })
        });
        if object["spec"] != spec {
            object["spec"] = spec;
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
        }
        self.touched(kind, &key);
    }

    pub(in crate::mind::tests) fn workload(&mut self, name: &str, image: &str, devices: &[&str]) {
        self.apply(Kind::Workload, name, spec(image, devices));
    }

    /// `kubectl delete`: gone at once without finalizers.
    pub(in crate::mind::tests) fn delete(&mut self, kind: Kind, name: &str) {
        let key = ObjectKey::new(NS, name);
        let object = self.objects(kind).get_mut(&key).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = json!(generation + 1);
        self.touched(kind, &key);
    }

    /// Another controller adds a finalizer of its own.
    pub(in crate::mind::tests) fn add_finalizer(&mut self, kind: Kind, name: &str, finalizer: &str) {
        let key = ObjectKey::new(NS, name);
        let object = self.objects(kind).get_mut(&key).unwrap();
        object["metadata"]["finalizers"]
            .as_array_mut()
            .unwrap()
            .push(json!(finalizer));
        self.touched(kind, &key);
    }

    /// Somebody removes all finalizers: the object vanishes without us having a say.
    pub(in crate::mind::tests) fn vanish(&mut self, kind: Kind, name: &str) {
        let key = ObjectKey::new(NS, name);
        let object = self.objects(kind).remove(&key).unwrap();
        self.tell_gone(kind, object);
    }

    pub(super) fn objects(&mut self, kind: Kind) -> &mut BTreeMap<ObjectKey, Value> {
        match kind {
            Kind::Workload => &mut self.workloads,
            Kind::Device => &mut self.devices,
        }
    }

    /// An object changed: a new version, its end if it may end, and the watch event.
    pub(super) fn touched(&mut self, kind: Kind, key: &ObjectKey) {
        self.version += 1;
        let version = self.version.to_string();
        let objects = self.objects(kind);
        let object = objects.get_mut(key).unwrap();
        object["metadata"]["resourceVersion"] = json!(version);
        let free = object["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
        let ends = object["metadata"]["deletionTimestamp"].is_string() && free;
        let object = object.clone();
        if ends {
            objects.remove(key);
            self.tell_gone(kind, object);
            return;
        }
        self.watch(match kind {
            Kind::Workload => WatchEvent::Workload(Event::Apply(DeserializeGuard(Ok(read(object))))),
            Kind::Device => WatchEvent::Device(Event::Apply(DeserializeGuard(Ok(read(object))))),
        });
    }

    pub(super) fn tell_gone(&mut self, kind: Kind, object: Value) {
        self.watch(match kind {
            Kind::Workload => WatchEvent::Workload(Event::Delete(DeserializeGuard(Ok(read(object))))),
            Kind::Device => WatchEvent::Device(Event::Delete(DeserializeGuard(Ok(read(object))))),
        });
    }

    pub(super) fn write(&mut self, target: Target, patch: &Value) -> Done {
        self.writes.push((target.clone(), patch.clone()));
        let Some(object) = self.objects(target.kind).get_mut(&target.key) else {
            return Done::Written(target, Outcome::Gone, None);
        };
        for precondition in ["uid", "resourceVersion"] {
            let wanted = &patch["metadata"][precondition];
            if !wanted.is_null() && *wanted != object["metadata"][precondition] {
                return Done::Written(target, Outcome::Conflict, None);
            }
        }
        match target.part {
            Part::Status => merge(&mut object["status"], &patch["status"]),
            Part::Metadata => {
                for field in ["finalizers", "annotations"] {
                    if let Some(value) = patch["metadata"].get(field) {
                        merge(&mut object["metadata"][field], value);
                    }
                }
            }
        }
        // The answer is on its way while the watch tells of what it did, and even shows what it ended.
        let next = self.version + 1;
        let mut answer = self.objects(target.kind)[&target.key].clone();
        answer["metadata"]["resourceVersion"] = json!(next.to_string());
        self.touched(target.kind, &target.key);
        let written = match target.kind {
            Kind::Device => Written::Device(Box::new(read(answer))),
            Kind::Workload => Written::Workload(Box::new(read(answer))),
        };
        Done::Written(target, Outcome::Done, Some(written))
    }

    pub(in crate::mind::tests) fn get_workload(&self, name: &str) -> Option<Workload> {
        self.workloads.get(&ObjectKey::new(NS, name)).cloned().map(read)
    }

    pub(in crate::mind::tests) fn get_device(&self, name: &str) -> Device {
        read(self.devices[&ObjectKey::new(NS, name)].clone())
    }

    pub(in crate::mind::tests) fn exists(&self, kind: Kind, name: &str) -> bool {
        let key = ObjectKey::new(NS, name);
        match kind {
            Kind::Workload => self.workloads.contains_key(&key),
            Kind::Device => self.devices.contains_key(&key),
        }
    }

    /// `status reason` of a condition.
    pub(in crate::mind::tests) fn condition(&self, kind: Kind, name: &str, condition: &str) -> String {
        let key = ObjectKey::new(NS, name);
        let object = match kind {
            Kind::Workload => &self.workloads[&key],
            Kind::Device => &self.devices[&key],
        };
        let conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions.iter().find(|c| c["type"] == condition);
        found.map_or_else(
            || "absent".to_owned(),
            |c| {
                format!(
                    "{} {}",
                    c["status"].as_str().unwrap(),
                    c["reason"].as_str().unwrap()
                )
            },
        )
    }
}

pub(in crate::mind::tests) fn spec(image: &str, devices: &[&str]) -> Value {
    json!({
        "targets": devices.iter().map(|d| json!({"device": d})).collect::<Vec<_>>(),
        "template": {"containers": [{"name": "web", "image": image}]},
    })
}

pub(super) fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}
