//! What survives what.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use http::StatusCode;
use serde_json::json;

use super::toy::{CONFIG_MAPS, WORKLOADS, config, config_map, get, merge, post, workload};
use crate::apiserver::{ApiServer, Backing, OpenError, OpenStoreError};

async fn open(path: &Path) -> Result<ApiServer, OpenError> {
    ApiServer::open(config(Backing::File(path.to_owned())).0).await
}

#[tokio::test]
async fn everything_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let server = open(&path).await.unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    post(&server, WORKLOADS, &workload("w", "a")).await;
    let writes: Vec<_> = (0..200)
        .map(|n| {
            let server = server.clone();
            tokio::spawn(async move {
                post(&server, CONFIG_MAPS, &config_map(&format!("c{n}"), "a"))
                    .await
                    .0
            })
        })
        .collect();
    for write in writes {
        assert_eq!(write.await.unwrap(), StatusCode::CREATED);
    }
    let (_, before) = get(&server, CONFIG_MAPS).await;
    server.close().await;
    let server = open(&path).await.unwrap();
    let (_, after) = get(&server, CONFIG_MAPS).await;
    assert_eq!(before, after);
    assert_eq!(
        get(&server, &format!("{WORKLOADS}/w")).await.1["spec"]["image"],
        "a"
    );
    let (_, next) = merge(
        &server,
        &format!("{CONFIG_MAPS}/c0"),
        &json!({"data": {"k": "w"}}),
    )
    .await;
    let version = |v: &serde_json::Value| {
        v["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert!(version(&next) > version(&before));
}

#[tokio::test]
async fn a_store_is_opened_by_one_process_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _server = open(&path).await.unwrap();
    let Err(OpenError::Store(OpenStoreError::InUse { .. })) = open(&path).await else {
        panic!("opened twice")
    };
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, vec![7u8; 100_000]).unwrap();
    let Err(OpenError::Store(error)) = open(&garbage).await else {
        panic!("opened garbage")
    };
    assert!(
        error.to_string().contains("garbage") && error.to_string().contains("move it away"),
        "{error}"
    );
    assert_eq!(std::fs::read(&garbage).unwrap(), vec![7u8; 100_000]);

    let foreign = folder.path().join("foreign");
    let db = redb::Database::create(&foreign).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u64, u64>::new("theirs"))
        .unwrap()
        .insert(1, 1)
        .unwrap();
    txn.commit().unwrap();
    drop(db);
    let Err(OpenError::Store(OpenStoreError::Foreign { .. })) = open(&foreign).await else {
        panic!("opened theirs")
    };

    let nowhere = folder.path().join("no/such/folder/store");
    let Err(OpenError::Store(OpenStoreError::Io { .. })) = open(&nowhere).await else {
        panic!("opened nowhere")
    };
}

#[tokio::test]
async fn a_torn_file_is_damage_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let server = open(&path).await.unwrap();
    for n in 0..50 {
        post(&server, CONFIG_MAPS, &config_map(&format!("c{n}"), "a")).await;
    }
    server.close().await;
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = Vec::new();
    for (at, length) in [(4096, 4096), (8192, 40_960), (whole.len() / 2, 4096)] {
        let mut torn = whole.clone();
        let end = (at + length).min(torn.len());
        torn[at..end].fill(0xa5);
        let copy = folder.path().join(format!("torn{at}"));
        std::fs::write(&copy, torn).unwrap();
        // Damage outside what is in use is none.
        if let Err(error) = open(&copy).await {
            assert!(
                matches!(
                    error,
                    OpenError::Store(OpenStoreError::Damaged { .. } | OpenStoreError::Aborted { .. })
                ),
                "{error:?}"
            );
            damaged
                .extend(matches!(error, OpenError::Store(OpenStoreError::Damaged { .. })).then_some(error));
        }
    }
    // The site's uid is kept beside the store: an empty store is enough, and nothing else is to be moved.
    let OpenError::Store(words) = damaged.first().unwrap() else {
        panic!("{damaged:?}")
    };
    for needed in ["restore a backup", "only it", "apply your manifests again"] {
        assert!(words.to_string().contains(needed), "{words}");
    }
}
