//! What the API server holds, as the watches last told it: the input of every decision.
//!
//! A store is never emptied by an error: a failed list or watch leaves what was known. Objects that a
//! complete list lacks leave the store, which orders nothing (see `decide`): absence is no instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::Resource;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::runtime::watcher::Event;
use longshore_crds::names::ObjectKey;
use longshore_crds::{Device, Workload};

use crate::content::ContentIndex;
use crate::render::ContentObject;

/// The API objects the controller decides from.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Every Workload.
    pub(crate) workloads: Store<Workload>,
    /// Every Device.
    pub(crate) devices: Store<Device>,
    /// What every ConfigMap and Secret contains, as digests.
    pub(crate) content: ContentIndex,
}

impl Model {
    /// Whether every kind was listed completely at least once. Before that a missing object may only
    /// not have been read yet.
    pub(crate) fn is_complete(&self) -> bool {
        self.workloads.is_listed() && self.devices.is_listed() && self.content.is_listed()
    }

    /// A model in which the site's own Secret does not exist.
    pub(crate) fn without(private: ContentObject) -> Self {
        Self {
            content: ContentIndex::without(private),
            ..Self::default()
        }
    }

    /// The Workloads of a namespace, by name.
    pub(crate) fn workloads_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Workload>> {
        in_namespace(&self.workloads.objects, namespace)
    }

    /// The Devices of a namespace, by name.
    pub(crate) fn devices_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Device>> {
        in_namespace(&self.devices.objects, namespace)
    }
}

fn in_namespace<'a, K>(objects: &'a Objects<K>, namespace: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
    objects
        .range(ObjectKey::new(namespace, "")..)
        .take_while(move |(key, _)| key.namespace == namespace)
        .map(|(_, object)| object)
}

/// What a watch event changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Of which object.
    pub(crate) key: ObjectKey,
    /// More than its status: it came, went, or something of its declaration or metadata differs.
    pub(crate) matters: bool,
}

type Objects<K> = BTreeMap<ObjectKey, Arc<K>>;

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Store<K> {
    objects: Objects<K>,
    /// The list under way, and the objects in it that could not be read.
    listing: Option<(Objects<K>, Vec<ObjectKey>)>,
    listed: bool,
    unreadable: u64,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listing: None,
            listed: false,
            unreadable: 0,
        }
    }
}

impl<K: Resource<DynamicType = ()>> Store<K> {
    /// The object of that name.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<K>> {
        self.objects.get(key)
    }

    /// Every object, by namespace and name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<K>)> {
        self.objects.iter()
    }

    /// Whether a list of all of them was read to its end.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    /// How often an object could not be read.
    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Takes in what a watch says; returns what differs now.
    ///
    /// An object that does not deserialise is there all the same: what was last read of it stands.
    pub(crate) fn apply(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Changed> {
        match event {
            Event::Apply(DeserializeGuard(Ok(object))) => self.upsert(object).into_iter().collect(),
            Event::Delete(object) => {
                let key = ObjectKey::of(&object);
                let removed = key.filter(|key| self.objects.remove(key).is_some());
                removed
                    .map(|key| Changed { key, matters: true })
                    .into_iter()
                    .collect()
            }
            Event::Init => {
                self.listing = Some((BTreeMap::new(), Vec::new()));
                Vec::new()
            }
            Event::InitApply(DeserializeGuard(Ok(object))) => {
                if let (Some((listing, _)), Some(key)) = (&mut self.listing, ObjectKey::of(&object)) {
                    listing.insert(key, Arc::new(prune(object)));
                }
                Vec::new()
            }
            Event::Apply(object) | Event::InitApply(object) => {
                self.unreadable += 1;
                let Some(key) = ObjectKey::of(&object) else {
                    return Vec::new();
                };
                // The parser's words may quote values of the object, so only its name is told.
                tracing::warn!(kind = %K::kind(&()), object = %key, "object cannot be read; what was last read of it stands");
                if let Some((_, unreadable)) = &mut self.listing {
                    unreadable.push(key);
                }
                Vec::new()
            }
            Event::InitDone => self.finish_listing(),
        }
    }

    /// Takes in an object that a write of ours returned, ahead of its watch event.
    ///
    /// The answer may come after the watch told of the object's end, or of another one under its name: it brings
    /// nothing back. Without its last finalizer a deleted object is gone, though the answer still shows it.
    pub(crate) fn on_written(&mut self, object: K) -> Option<Changed> {
        let key = ObjectKey::of(&object)?;
        let known = self.objects.get(&key)?;
        if known.meta().uid != object.meta().uid {
            return None;
        }
        let finalizers = object.meta().finalizers.as_deref().unwrap_or_default();
        if object.meta().deletion_timestamp.is_some() && finalizers.is_empty() {
            self.objects.remove(&key);
            return Some(Changed { key, matters: true });
        }
        self.upsert(object)
    }

    fn upsert(&mut self, object: K) -> Option<Changed> {
        let key = ObjectKey::of(&object)?;
        let known = self.objects.get(&key);
        if known.is_some_and(|known| is_older(&object, known.as_ref())) {
            return None;
        }
        let matters = known.is_none_or(|known| matters(known.as_ref(), &object));
        self.objects.insert(key.clone(), Arc::new(prune(object)));
        Some(Changed { key, matters })
    }

    fn finish_listing(&mut self) -> Vec<Changed> {
        let Some((mut listing, unreadable)) = self.listing.take() else {
            return Vec::new();
        };
        self.listed = true;
        for key in unreadable {
            if let Some(known) = self.objects.get(&key) {
                listing.insert(key, Arc::clone(known));
            }
        }
        let before = std::mem::replace(&mut self.objects, listing);
        let keys: BTreeSet<&ObjectKey> = before.keys().chain(self.objects.keys()).collect();
        keys.into_iter()
            .filter_map(|key| {
                let matters = match (before.get(key), self.objects.get(key)) {
                    (Some(old), Some(new)) if old.meta().resource_version == new.meta().resource_version => {
                        return None;
                    }
                    (Some(old), Some(new)) => matters(old.as_ref(), new.as_ref()),
                    _ => true,
                };
                Some(Changed {
                    key: key.clone(),
                    matters,
                })
            })
            .collect()
    }
}

/// Whether more than the status differs. The generation moves with the spec and with a deletion.
fn matters(old: &impl Resource, new: &impl Resource) -> bool {
    let of = |meta: &ObjectMeta| {
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.clone(),
            meta.labels.clone(),
            meta.annotations.clone(),
            meta.finalizers.clone(),
        )
    };
    of(old.meta()) != of(new.meta())
}

/// Whether `object` is of before `known`. Versions are compared as numbers, which they are on every
/// server we run on; where they are not, nothing is older.
fn is_older(object: &impl Resource, known: &impl Resource) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_ref().and_then(|v| v.parse::<u64>().ok());
    let (new, old) = (version(object.meta()), version(known.meta()));
    object.meta().uid == known.meta().uid && matches!((new, old), (Some(new), Some(old)) if new < old)
}

/// Without what nobody here reads and every object has a lot of.
fn prune<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::core::error_boundary::InvalidObject;

    use super::*;

    fn device(name: &str, version: &str) -> Device {
        let mut device = Device::new(name, longshore_crds::DeviceSpec::default());
        device.metadata.namespace = Some("default".into());
        device.metadata.uid = Some("u".into());
        device.metadata.resource_version = Some(version.into());
        device
    }

    fn ok(device: Device) -> DeserializeGuard<Device> {
        DeserializeGuard(Ok(device))
    }

    fn broken(name: &str) -> DeserializeGuard<Device> {
        DeserializeGuard(Err(InvalidObject {
            error: "no".into(),
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some("default".into()),
                ..ObjectMeta::default()
            },
        }))
    }

    fn listed(devices: &[Device]) -> Store<Device> {
        let mut store = Store::default();
        store.apply(Event::Init);
        for device in devices {
            store.apply(Event::InitApply(ok(device.clone())));
        }
        store.apply(Event::InitDone);
        store
    }

    fn names(store: &Store<Device>) -> Vec<&str> {
        store.iter().map(|(key, _)| key.name.as_str()).collect()
    }

    #[test]
    fn a_relist_that_never_ends_leaves_what_was_known() {
        let mut store = listed(&[device("a", "1")]);
        store.apply(Event::Init);
        assert_eq!(names(&store), ["a"]);
        store.apply(Event::Init);
        store.apply(Event::InitApply(ok(device("b", "2"))));
        assert_eq!(names(&store), ["a"]);
        let changed = store.apply(Event::InitDone);
        assert_eq!(names(&store), ["b"]);
        assert_eq!(changed.len(), 2);
    }

    #[test]
    fn an_object_that_cannot_be_read_keeps_its_last_form() {
        let mut store = listed(&[device("a", "1")]);
        assert!(store.apply(Event::Apply(broken("a"))).is_empty());
        store.apply(Event::Init);
        store.apply(Event::InitApply(broken("a")));
        assert!(store.apply(Event::InitDone).is_empty());
        assert_eq!(names(&store), ["a"]);
        assert_eq!(store.unreadable(), 2);
    }

    #[test]
    fn an_event_that_comes_after_its_successor_changes_nothing() {
        let mut store = listed(&[device("a", "1")]);
        let changed = store.on_written(device("a", "9")).unwrap();
        assert!(!changed.matters, "only its status can differ");
        assert!(store.apply(Event::Apply(ok(device("a", "5")))).is_empty());
        let key = ObjectKey::new("default", "a");
        assert_eq!(
            store.get(&key).unwrap().metadata.resource_version.as_deref(),
            Some("9")
        );
    }

    #[test]
    fn the_answer_to_a_write_brings_nothing_back() {
        let key = ObjectKey::new("default", "a");
        let mut store = listed(&[device("a", "1")]);
        store.apply(Event::Delete(ok(device("a", "2"))));
        assert_eq!(store.on_written(device("a", "2")), None);
        assert!(store.get(&key).is_none());

        let mut another = device("a", "3");
        another.metadata.uid = Some("another".to_owned());
        store.apply(Event::Apply(ok(another.clone())));
        assert_eq!(store.on_written(device("a", "2")), None);
        assert_eq!(store.get(&key).unwrap().metadata.uid, another.metadata.uid);
    }

    #[test]
    fn what_lost_its_last_finalizer_by_a_write_is_gone() {
        let mut store = listed(&[device("a", "1")]);
        let mut ended = device("a", "2");
        ended.metadata.deletion_timestamp = Some(Time("2026-11-25T00:00:00Z".parse().unwrap()));
        let changed = store.on_written(ended).unwrap();
        assert!(changed.matters);
        assert!(names(&store).is_empty());
    }

    #[test]
    fn an_unchanged_relist_changes_nothing() {
        let mut store = listed(&[device("a", "1")]);
        store.apply(Event::Init);
        store.apply(Event::InitApply(ok(device("a", "1"))));
        assert!(store.apply(Event::InitDone).is_empty());
    }
}
