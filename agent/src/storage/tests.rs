use super::*;

fn both() -> (tempfile::TempDir, [Storage; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let storages = [
        Storage::Dir(dir.path().join("agent")),
        Storage::Memory(MemoryStorage::new()),
    ];
    (dir, storages)
}

#[tokio::test]
async fn a_storage_in_use_is_refused_until_it_is_released() {
    let (_dir, storages) = both();
    for storage in storages {
        let held = storage.lock().await.unwrap();
        assert!(matches!(storage.lock().await, Err(StorageError::InUse { .. })));
        drop(held);
        storage.lock().await.unwrap();
    }
}

#[tokio::test]
async fn an_append_cuts_off_what_a_failed_one_left() {
    let (_dir, storages) = both();
    for storage in storages {
        let _lock = storage.lock().await.unwrap();
        storage.write("log", b"one".to_vec(), 0o600).await.unwrap();
        storage.append("log", 3, b"torn".to_vec()).await.unwrap();
        storage.append("log", 3, b"two".to_vec()).await.unwrap();
        assert_eq!(storage.read("log").await.unwrap().unwrap(), b"onetwo");
    }
}

#[tokio::test]
async fn files_behind_a_link_follow_its_swap() {
    let (_dir, storages) = both();
    for storage in storages {
        let _lock = storage.lock().await.unwrap();
        storage.write("v/..a/key", b"old".to_vec(), 0o644).await.unwrap();
        storage.write("v/..b/key", b"new".to_vec(), 0o644).await.unwrap();
        storage.link("v/key", "..data/key").await.unwrap();
        for (target, expected) in [("..a", "old"), ("..b", "new")] {
            storage.link("v/..data", target).await.unwrap();
            assert_eq!(storage.read("v/key").await.unwrap().unwrap(), expected.as_bytes());
        }
        storage.remove("v/..a").await.unwrap();
        assert_eq!(storage.list("v").await.unwrap(), ["..b", "..data", "key"]);
        assert_eq!(storage.list("absent").await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_append_leaves_no_hole() {
    let (_dir, storages) = both();
    for storage in storages {
        let _lock = storage.lock().await.unwrap();
        storage.write("log", b"one".to_vec(), 0o600).await.unwrap();
        let refused = storage.append("log", 4, b"two".to_vec()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(storage.read("log").await.unwrap().unwrap(), b"one");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_put_in_place_leaves_what_was_there() {
    let (_dir, storages) = both();
    for storage in storages {
        let _lock = storage.lock().await.unwrap();
        storage.write("file", b"old".to_vec(), 0o600).await.unwrap();
        match &storage {
            Storage::Memory(memory) => memory.set_full(true),
            // Its temporary file's name is taken by a directory.
            Storage::Dir(root) => std::fs::create_dir(root.join("file.tmp")).unwrap(),
        }
        let refused = storage.write("file", b"new".to_vec(), 0o600).await;
        assert!(matches!(refused, Err(WriteError::NotDone(_))), "{refused:?}");
        assert_eq!(storage.read("file").await.unwrap().unwrap(), b"old");
        storage.settle("file").await.unwrap();
    }
}
