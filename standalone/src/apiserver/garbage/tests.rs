//! What a pass does with what changed after it looked.

use super::*;
use crate::apiserver::clock::{RandomUids, SystemClock};
use crate::apiserver::store::Backing;

/// A collector on a store with one ConfigMap, owned by a ConfigMap that is not there, as a pass found it.
async fn abandoned() -> (Collector, Found) {
    let registry = Arc::new(Registry::new(&[]).unwrap());
    let sources = Sources {
        clock: Arc::new(SystemClock),
        uids: Arc::new(RandomUids),
    };
    let tables = registry.all().map(|resource| &resource.table);
    let store = Store::open(Backing::Memory, 1, tables).await.unwrap();
    let collector = Collector {
        store,
        registry,
        sources,
    };
    put(&collector, "namespaces", Key::new("", "default"), json!({})).await;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "gone"}]);
    let key = Key::new("default", "c");
    let found = put(&collector, "configmaps", key, json!({"ownerReferences": owner})).await;
    (collector, found)
}

async fn put(collector: &Collector, table: &str, key: Key, mut metadata: Value) -> Found {
    let resource = collector.registry.by_table(table).unwrap().clone();
    metadata["uid"] = "u".into();
    metadata["name"] = key.name.to_string().into();
    let object = json!({"metadata": metadata});
    let decide: Decide = Box::new(move |_| Ok(Action::Put(object.clone()).into()));
    let outcome = collector.store.write(resource.clone(), key.clone(), decide).await;
    Found {
        resource,
        key,
        object: outcome.unwrap().object,
    }
}

#[tokio::test]
async fn an_owner_taken_away_after_the_survey_saves_the_object() {
    let (collector, found) = abandoned().await;
    let surveyed = Arc::new(collector.store.survey().owners);
    put(&collector, "configmaps", found.key.clone(), json!({})).await;
    let registry = collector.registry.clone();
    let still = move |current: &Value| is_abandoned(&registry, &Owner::all_of(current), &surveyed);
    collector.delete(&found, Propagation::Background, still).await;
    assert!(collector.store.get("configmaps", &found.key).is_some());
}

#[tokio::test]
async fn what_is_abandoned_still_goes() {
    let (collector, found) = abandoned().await;
    collector.collect().await;
    assert!(collector.store.get("configmaps", &found.key).is_none());
}

#[test]
fn an_owner_the_survey_did_not_look_for_may_exist() {
    let registry = Registry::new(&[]).unwrap();
    let owners = Owner::all_of(&json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "new", "uid": "new"},
    ]}}));
    assert!(!is_abandoned(&registry, &owners, &BTreeMap::new()));
    let gone = BTreeMap::from([("new".to_owned(), false)]);
    assert!(is_abandoned(&registry, &owners, &gone));
}

#[tokio::test]
async fn the_orphan_finalizer_goes_only_when_nothing_names_the_owner_any_more() {
    let (collector, _) = abandoned().await;
    let owner = json!({"finalizers": [ORPHAN], "deletionTimestamp": "2026-01-01T00:00:00Z"});
    let found = put(&collector, "configmaps", Key::new("default", "owner"), owner).await;
    let named = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "u"}]);
    let dependent = Key::new("default", "d");
    put(
        &collector,
        "configmaps",
        dependent,
        json!({"ownerReferences": named}),
    )
    .await;
    let watched = collector.found(collector.store.survey().watched);
    collector.release(&found, &watched).await;
    let held = collector.store.get("configmaps", &found.key).unwrap().value();
    assert_eq!(held["metadata"]["finalizers"], json!([ORPHAN]));
    let watched = collector.found(collector.store.survey().watched);
    collector.release(&found, &watched).await;
    assert!(collector.store.get("configmaps", &found.key).is_none());
}
