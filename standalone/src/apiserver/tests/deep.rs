//! Objects that nest too deep to be read back.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::toy::{CONFIG_MAPS, config, config_map, delete, get, post, send, server};
use crate::apiserver::depth::{self, is_within};
use crate::apiserver::{ApiServer, Backing};

const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({"a": inner}))
}

fn revision(data: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 1, "data": data})
}

async fn json_patch(server: &ApiServer, patch: &Value) -> (StatusCode, Value) {
    let path = format!("{REVISIONS}/r");
    send(server, Method::PATCH, &path, "application/json-patch+json", patch).await
}

#[tokio::test]
async fn no_patch_stores_what_the_next_start_could_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = || async {
        let backing = Backing::File(folder.path().join("store.redb"));
        ApiServer::open(config(backing).0).await.unwrap()
    };
    let server = open().await;
    let (made, answer) = post(&server, REVISIONS, &revision(&nested(60))).await;
    assert_eq!(made, StatusCode::CREATED, "{answer}");
    let inmost = format!("/data{}/b", "/a".repeat(59));
    let (status, answer) = json_patch(
        &server,
        &json!([{"op": "add", "path": inmost, "value": nested(90)}]),
    )
    .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(
        answer["message"].as_str().unwrap().contains("deeper than 100"),
        "{answer}"
    );
    // Not by a body of its own, nor by the managed fields it names, either.
    let mut deep = revision(&nested(120));
    deep["metadata"]["name"] = "deep".into();
    assert_eq!(post(&server, REVISIONS, &deep).await.0, StatusCode::BAD_REQUEST);
    let fields = (0..110).fold(json!({}), |inner, _| json!({"f:a": inner}));
    let managed = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": fields}]);
    let path = format!("{CONFIG_MAPS}/c");
    post(&server, CONFIG_MAPS, &config_map("c", "a")).await;
    let patch = json!({"metadata": {"managedFields": managed}});
    send(
        &server,
        Method::PATCH,
        &path,
        "application/merge-patch+json",
        &patch,
    )
    .await;
    let (_, stored) = get(&server, &path).await;
    assert!(is_within(&stored, depth::LIMIT), "{stored}");
    server.close().await;
    let (status, read) = get(&open().await, &format!("{REVISIONS}/r")).await;
    assert_eq!((status, &read["data"]), (StatusCode::OK, &nested(60)));
}

/// Sixteen doublings are 65,000 levels; a stack holds far fewer.
#[tokio::test]
async fn a_value_copied_into_itself_is_stopped_before_it_overflows_the_stack() {
    let server = server().await;
    post(&server, REVISIONS, &revision(&json!({"a": {}}))).await;
    let mut path = "/data/a".to_owned();
    let mut operations = Vec::new();
    for _ in 0..17 {
        operations.push(json!({"op": "copy", "from": "/data", "path": format!("{path}/b")}));
        path = format!("{path}/b{}", &path["/data".len()..]);
    }
    let (status, answer) = json_patch(&server, &Value::Array(operations)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");

    // And what is moved is as deep as what is copied: it goes down ten levels at a time.
    let mut operations = vec![json!({"op": "add", "path": "/data/x", "value": nested(30)})];
    for n in 0..9 {
        operations.push(json!({"op": "add", "path": format!("/data/y{n}"), "value": nested(10)}));
        let held = if n == 0 {
            "x".to_owned()
        } else {
            format!("y{}", n - 1)
        };
        let inside = format!("/data/y{n}{}/b", "/a".repeat(9));
        operations.push(json!({"op": "move", "from": format!("/data/{held}"), "path": inside}));
    }
    let (status, answer) = json_patch(&server, &Value::Array(operations)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn one_unreadable_object_is_set_aside_and_its_name_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let open = || async {
        ApiServer::open(config(Backing::File(path.clone())).0)
            .await
            .unwrap()
    };
    let server = open().await;
    for name in ["bad", "good"] {
        post(&server, CONFIG_MAPS, &config_map(name, "a")).await;
    }
    server.close().await;
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<&[u8], &[u8]>::new("objects"))
        .unwrap()
        .insert("configmaps\0default\0bad".as_bytes(), "[".repeat(200).as_bytes())
        .unwrap();
    txn.commit().unwrap();
    drop(db);

    let server = open().await;
    let at = |name: &str| format!("{CONFIG_MAPS}/{name}");
    assert_eq!(get(&server, &at("good")).await.0, StatusCode::OK);
    assert_eq!(get(&server, &at("bad")).await.0, StatusCode::NOT_FOUND);
    let (status, answer) = post(&server, CONFIG_MAPS, &config_map("bad", "a")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(
        answer["message"].as_str().unwrap().contains("cannot be read"),
        "{answer}"
    );
    assert_eq!(delete(&server, &at("bad")).await.0, StatusCode::NOT_FOUND);
    server.close().await;
    let db = redb::Database::open(&path).unwrap();
    let kept = redb::ReadableDatabase::begin_read(&db).unwrap();
    let objects = kept
        .open_table(redb::TableDefinition::<&[u8], &[u8]>::new("objects"))
        .unwrap();
    assert!(
        objects
            .get("configmaps\0default\0bad".as_bytes())
            .unwrap()
            .is_some()
    );
}
