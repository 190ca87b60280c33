//! The writer on a medium that fails when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde_json::json;

use super::backing::{CommitBatchError, Durable, Persist};
use super::state::State;
use super::*;
use crate::apiserver::kinds::Registry;

/// Works, refuses cleanly, or stores and then claims to have failed.
#[derive(Default)]
struct Faulty {
    mode: Arc<AtomicU8>,
    stored: Arc<AtomicU64>,
}

impl Durable for Faulty {
    fn commit(&mut self, rv: u64, _: &[Persist]) -> Result<(), CommitBatchError> {
        match self.mode.load(Ordering::SeqCst) {
            0 => {
                self.stored.store(rv, Ordering::SeqCst);
                Ok(())
            }
            1 => Err(CommitBatchError::full_for_tests()),
            _ => {
                self.stored.store(rv, Ordering::SeqCst);
                Err(CommitBatchError::full_for_tests())
            }
        }
    }

    fn recover(&mut self) -> Result<u64, CommitBatchError> {
        if self.mode.load(Ordering::SeqCst) == 0 {
            Ok(self.stored.load(Ordering::SeqCst))
        } else {
            Err(CommitBatchError::full_for_tests())
        }
    }
}

fn put(name: &str) -> Decide {
    let object = json!({"metadata": {"name": name, "uid": name}});
    Box::new(move |_| Ok(Action::Put(object.clone()).into()))
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_forgets_nothing_that_was_stored() {
    let registry = Registry::new(&[]).unwrap();
    let resource = registry.by_table("namespaces").unwrap();
    let medium = Faulty::default();
    let (mode, stored) = (medium.mode.clone(), medium.stored.clone());
    stored.store(100, Ordering::SeqCst);
    let store = Store::start(State::new(100), Some(Box::new(medium)));
    let write = |name: &'static str| store.write(resource.clone(), Key::new("", name), put(name));
    let there = |name: &str| store.get("namespaces", &Key::new("", name)).is_some();

    assert_eq!(write("a").await.unwrap().object.rv, 101);
    mode.store(1, Ordering::SeqCst);
    let refused = write("b").await.unwrap_err();
    assert_eq!(refused.code().as_u16(), 507);
    assert!(there("a") && !there("b"));
    mode.store(0, Ordering::SeqCst);
    assert_eq!(write("c").await.unwrap().object.rv, 102);
    assert!(!there("b"));

    mode.store(2, Ordering::SeqCst);
    assert!(write("d").await.is_err());
    assert!(!there("d"), "not shown before it is known to be stored");
    assert!(write("e").await.is_err());
    mode.store(0, Ordering::SeqCst);
    assert_eq!(write("f").await.unwrap().object.rv, 104);
    assert!(
        there("d") && !there("e"),
        "what reached the disk is shown late rather than lost"
    );
}

#[tokio::test]
async fn writes_to_one_object_are_decided_one_after_the_other() {
    let registry = Registry::new(&[]).unwrap();
    let resource = registry.by_table("namespaces").unwrap();
    let store = Store::start(State::new(1), None);
    store
        .write(resource.clone(), Key::new("", "n"), put("n"))
        .await
        .unwrap();
    let increments: Vec<_> = (0..100)
        .map(|_| {
            let (store, resource) = (store.clone(), resource.clone());
            tokio::spawn(async move {
                let decide: Decide = Box::new(|current| {
                    let mut object = current.unwrap().clone();
                    object["count"] = (object["count"].as_u64().unwrap_or(0) + 1).into();
                    Ok(Action::Put(object).into())
                });
                store.write(resource, Key::new("", "n"), decide).await.unwrap();
            })
        })
        .collect();
    for increment in increments {
        increment.await.unwrap();
    }
    assert_eq!(
        store.get("namespaces", &Key::new("", "n")).unwrap().value()["count"],
        100
    );
}
