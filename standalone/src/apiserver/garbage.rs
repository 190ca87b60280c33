//! What a cluster's controller manager does for every API server: objects whose owners are gone,
//! deleted namespaces, old events.
//!
//! One task, level-triggered: a wake-up carries no data, each pass looks at everything it needs.
//! Its writes are ordinary ones, so they obey finalizers and lose races gracefully. What a pass saw
//! is old by the time it writes: whether an object goes is decided again on what it is then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::admit::{self, Context, DeleteOptions, FOREGROUND, ORPHAN, Propagation};
use super::clock::Sources;
use super::failure::ApiError;
use super::kinds::{EVENTS, NAMESPACES, Registry, Resource};
use super::store::{Action, Decide, Key, Located, Object, Owner, Store, Survey};

/// Changes are left to settle this long, so that a burst costs one pass.
const SETTLE: Duration = Duration::from_millis(50);
/// How often the age of events is looked at, and what a full disk prevented is tried again.
const EXPIRY_EVERY: Duration = Duration::from_mins(1);
/// How long an event lives after it was last seen, as in a cluster.
const EVENT_TTL_SECONDS: i64 = 3600;

/// Runs until `stop`.
pub(super) async fn run(store: Store, registry: Arc<Registry>, sources: Sources, stop: CancellationToken) {
    let collector = Collector {
        store,
        registry,
        sources,
    };
    let mut changed = collector.store.subscribe_all();
    changed.mark_changed();
    let mut expiry = interval(EXPIRY_EVERY);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Every arm only waits; nothing is lost when another one wins.
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = expiry.tick() => {
                collector.expire_events().await;
                collector.collect().await;
            }
            alive = changed.changed() => {
                if alive.is_err() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = sleep(SETTLE) => {}
                }
                changed.mark_unchanged();
                collector.collect().await;
            }
        }
    }
}

struct Collector {
    store: Store,
    registry: Arc<Registry>,
    sources: Sources,
}

/// An object with the resource to write it through.
struct Found {
    resource: Arc<Resource>,
    key: Key,
    object: Arc<Object>,
}

impl Collector {
    /// With the resource each is written through. Kinds no longer served are left alone.
    fn found(&self, located: Vec<Located>) -> Vec<Found> {
        let find = |(table, key, object): Located| {
            let resource = self.registry.by_table(&table)?.clone();
            Some(Found {
                resource,
                key,
                object,
            })
        };
        located.into_iter().filter_map(find).collect()
    }

    async fn collect(&self) {
        let Survey {
            watched,
            stranded,
            owners,
            incomplete,
        } = self.store.survey();
        let kept: BTreeSet<Key> = stranded
            .iter()
            .map(|(_, key, _)| Key::new("", &key.namespace))
            .collect();
        let (watched, stranded) = (self.found(watched), self.found(stranded));
        for found in stranded.iter().filter(|found| !found.object.deleting) {
            self.delete(found, Propagation::Background, |_| true).await;
        }
        for found in watched.iter().filter(|found| found.object.deleting) {
            if &*found.resource.table != NAMESPACES {
                self.release(found, &watched).await;
            } else if !kept.contains(&found.key) {
                self.drop_namespace(found).await;
            }
        }
        // An owner that could not be read is not one that is gone.
        if incomplete {
            return;
        }
        let owners = Arc::new(owners);
        for found in watched.iter().filter(|found| {
            !found.object.deleting && is_abandoned(&self.registry, &found.object.owners, &owners)
        }) {
            let (registry, owners) = (self.registry.clone(), owners.clone());
            let still = move |current: &Value| is_abandoned(&registry, &Owner::all_of(current), &owners);
            self.delete(found, Propagation::Background, still).await;
        }
    }

    /// Answers the finalizers that deletion policies put on an owner.
    async fn release(&self, found: &Found, watched: &[Found]) {
        let value = found.object.value();
        let finalizers: Vec<&str> = value["metadata"]["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let uid = &*found.object.uid;
        let owned = || {
            watched
                .iter()
                .filter(|other| other.object.owners.iter().any(|owner| owner.uid == uid))
        };
        if finalizers.contains(&ORPHAN) {
            let mut held = false;
            for dependent in owned() {
                held = true;
                self.disown(dependent, uid).await;
            }
            // Only once a pass finds nothing to disown: whatever still names the owner goes when it is gone.
            if !held {
                self.drop_finalizer(found, ORPHAN).await;
            }
        } else if finalizers.contains(&FOREGROUND) {
            let mut blocked = false;
            for dependent in owned() {
                blocked |= dependent
                    .object
                    .owners
                    .iter()
                    .any(|owner| owner.uid == uid && owner.blocks);
                if !dependent.object.deleting {
                    let uid = found.object.uid.clone();
                    let still =
                        move |current: &Value| Owner::all_of(current).iter().any(|owner| *owner.uid == *uid);
                    self.delete(dependent, Propagation::Foreground, still).await;
                }
            }
            if !blocked {
                self.drop_finalizer(found, FOREGROUND).await;
            }
        }
    }

    /// Lets go of a deleted namespace that holds nothing any more. The store checks that again.
    async fn drop_namespace(&self, namespace: &Found) {
        self.change(namespace, |mut object| {
            object["spec"]["finalizers"] = json!([]);
            let held = object["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|f| !f.is_empty());
            if held {
                Action::Put(object)
            } else {
                Action::Remove(object)
            }
        })
        .await;
    }

    async fn expire_events(&self) {
        let Some(resource) = self.registry.by_table(EVENTS).cloned() else {
            return;
        };
        let oldest = self.sources.now().as_second() - EVENT_TTL_SECONDS;
        let is_old = move |event: &Value| last_seen(event).is_some_and(|at| at.as_second() < oldest);
        for (key, object) in self.store.list(EVENTS, None).objects {
            if is_old(&object.value()) {
                self.delete(
                    &Found {
                        resource: resource.clone(),
                        key,
                        object,
                    },
                    Propagation::Background,
                    is_old,
                )
                .await;
            }
        }
    }

    /// Deletes the object, if it `still` is one to delete when it is written.
    async fn delete(
        &self,
        found: &Found,
        policy: Propagation,
        still: impl Fn(&Value) -> bool + Send + 'static,
    ) {
        let context = Context::internal(found.resource.clone(), &found.key.namespace, self.sources.now());
        let options = DeleteOptions {
            propagation_policy: Some(policy),
            ..DeleteOptions::default()
        };
        let uid = found.object.uid.clone();
        let decide = move |current: Option<&Value>| match current {
            Some(current) if current["metadata"]["uid"] == *uid => {
                if still(current) {
                    admit::delete(&context, current, &options)
                } else {
                    Ok(Action::Keep.into())
                }
            }
            // Another object of that name: not the one that was judged.
            _ => Err(ApiError::not_found(&context.resource, "")),
        };
        self.write(found, Box::new(decide)).await;
    }

    async fn disown(&self, found: &Found, owner: &str) {
        let owner = owner.to_owned();
        self.change(found, move |mut object| {
            retain(&mut object, "ownerReferences", |o| o["uid"] != *owner);
            Action::Put(object)
        })
        .await;
    }

    async fn drop_finalizer(&self, found: &Found, finalizer: &'static str) {
        self.change(found, move |mut object| {
            retain(&mut object, "finalizers", |f| f != finalizer);
            if object["metadata"]["finalizers"].is_array() {
                Action::Put(object)
            } else {
                Action::Remove(object)
            }
        })
        .await;
    }

    async fn change(&self, found: &Found, change: impl Fn(Value) -> Action + Send + 'static) {
        let (resource, uid) = (found.resource.clone(), found.object.uid.clone());
        let decide = move |current: Option<&Value>| match current {
            Some(current) if current["metadata"]["uid"] == *uid => Ok(change(current.clone()).into()),
            _ => Err(ApiError::not_found(&resource, "")),
        };
        self.write(found, Box::new(decide)).await;
    }

    async fn write(&self, found: &Found, decide: Decide) {
        match self
            .store
            .write(found.resource.clone(), found.key.clone(), decide)
            .await
        {
            Ok(_) => {}
            // Lost a race; the change that won it wakes the next pass.
            Err(error) if matches!(error.code().as_u16(), 404 | 409) => {}
            Err(error) => {
                tracing::warn!(table = %found.resource.table, name = %found.key.name, %error, "cannot collect garbage");
            }
        }
    }
}

/// Has owners, knows all their kinds, and none of them exists. An owner of a kind that is not served here may well exist
/// elsewhere, and one that the survey did not look for may exist as well.
fn is_abandoned(registry: &Registry, owners: &[Owner], surveyed: &BTreeMap<String, bool>) -> bool {
    let gone = |owner: &Owner| {
        let served = registry.by_kind(&owner.api_version, &owner.kind).is_some();
        served && surveyed.get(&owner.uid) == Some(&false)
    };
    !owners.is_empty() && owners.iter().all(gone)
}

/// Filters a list in `metadata`; an empty one goes, as an absent one is written.
fn retain(object: &mut Value, field: &str, keep: impl Fn(&Value) -> bool) {
    let Some(meta) = object["metadata"].as_object_mut() else {
        return;
    };
    if let Some(list) = meta.get_mut(field).and_then(Value::as_array_mut) {
        list.retain(keep);
        if list.is_empty() {
            meta.remove(field);
        }
    }
}

fn last_seen(event: &Value) -> Option<Timestamp> {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    times
        .iter()
        .filter_map(|p| event.pointer(p)?.as_str()?.parse().ok())
        .max()
}

#[cfg(test)]
mod tests;
