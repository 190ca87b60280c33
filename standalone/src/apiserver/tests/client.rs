//! The machinery of `kube` and `kube-runtime` against the server, in the process, on paused time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent};
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalize, finalizer};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::toy::{server, workload};

fn workloads(client: kube::Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("longshore.dev", "v1alpha1", "Workload");
    Api::default_namespaced_with(client, &ApiResource::from_gvk(&kind))
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": "v"}})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn discovery_finds_every_kind() {
    let client = server().await.client("default");
    let found = kube::discovery::Discovery::new(client).run().await.unwrap();
    let kinds: BTreeSet<String> = found
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
        .map(|(r, _)| r.kind)
        .collect();
    for kind in [
        "ConfigMap",
        "Secret",
        "Namespace",
        "Event",
        "Lease",
        "ControllerRevision",
        "CustomResourceDefinition",
        "Workload",
    ] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn applies_of_two_managers_meet_in_a_conflict() {
    let api = workloads(server().await.client("default"));
    let one = PatchParams::apply("one");
    let two = PatchParams::apply("two");
    let made = api
        .patch("w", &one, &Patch::Apply(workload("w", "a")))
        .await
        .unwrap();
    let again = api
        .patch("w", &one, &Patch::Apply(workload("w", "a")))
        .await
        .unwrap();
    assert_eq!(made.resource_version(), again.resource_version());
    let refused = api
        .patch("w", &two, &Patch::Apply(workload("w", "b")))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            409,
            "Apply failed with 1 conflict: conflict with \"one\": .spec.image"
        )
    );
    let forced = api
        .patch("w", &two.clone().force(), &Patch::Apply(workload("w", "b")))
        .await
        .unwrap();
    assert_eq!(forced.data["spec"]["image"], "b");
    let managers: Vec<_> = forced
        .managed_fields()
        .iter()
        .filter_map(|f| f.manager.clone())
        .collect();
    assert_eq!(managers, ["two"]);
    let status = json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Workload", "status": {"observedGeneration": 2}});
    let shown = api.patch_status("w", &one, &Patch::Apply(status)).await.unwrap();
    assert_eq!(shown.data["status"]["observedGeneration"], 2);
    assert_eq!(shown.data["spec"]["image"], "b");
}

#[tokio::test(start_paused = true)]
async fn the_finalizer_helper_adds_and_removes_its_finalizer() {
    let api: Api<ConfigMap> = Api::default_namespaced(server().await.client("default"));
    api.create(&PostParams::default(), &config_map("c"))
        .await
        .unwrap();
    let step = async |api: &Api<ConfigMap>| {
        let object = Arc::new(api.get("c").await.unwrap());
        finalizer(api, "longshore.dev/test", object, |event| async move {
            match event {
                Finalize::Apply(_) => {
                    Ok::<_, std::io::Error>(kube::runtime::controller::Action::await_change())
                }
                Finalize::Cleanup(_) => Ok(kube::runtime::controller::Action::await_change()),
            }
        })
        .await
        .unwrap();
    };
    step(&api).await;
    assert_eq!(api.get("c").await.unwrap().finalizers(), ["longshore.dev/test"]);
    api.delete("c", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    assert!(api.get("c").await.unwrap().meta().deletion_timestamp.is_some());
    step(&api).await;
    assert!(api.get_opt("c").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_recorder_patches_its_series_and_describe_finds_it() {
    let client = server().await.client("default");
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let object = api
        .create(&PostParams::default(), &config_map("c"))
        .await
        .unwrap();
    let reporter = Reporter {
        controller: "longshore".into(),
        instance: Some("test".into()),
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let event = Event {
        type_: EventType::Warning,
        reason: "Failed".into(),
        note: Some("it failed".into()),
        action: "Starting".into(),
        secondary: None,
    };
    for _ in 0..3 {
        recorder.publish(&event, &object.object_ref(&())).await.unwrap();
    }
    let events: Api<CoreEvent> = Api::default_namespaced(client);
    let selector = format!(
        "involvedObject.uid={},involvedObject.kind=ConfigMap",
        object.uid().unwrap()
    );
    let found = events
        .list(&ListParams::default().fields(&selector))
        .await
        .unwrap();
    assert_eq!(found.items.len(), 1);
    let seen = &found.items[0];
    assert_eq!(seen.message.as_deref(), Some("it failed"));
    assert_eq!(seen.series.as_ref().and_then(|s| s.count), Some(3));
}

async fn reflect(config: watcher::Config) {
    let server = server().await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client("default"));
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name))
            .await
            .unwrap();
    }
    let (reader, writer) = reflector::store();
    let mut stream = watcher(api.clone(), config)
        .reflect(writer)
        .default_backoff()
        .touched_objects()
        .boxed();
    for _ in 0..3 {
        stream.try_next().await.unwrap();
    }
    api.create(&PostParams::default(), &config_map("d"))
        .await
        .unwrap();
    api.delete("a", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let settled = async {
        loop {
            stream.try_next().await.unwrap();
            let names: BTreeSet<String> = reader.state().iter().map(|o| o.name_any()).collect();
            if names == ["b", "c", "d"].map(str::to_owned).into() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled)
        .await
        .expect("the reflector caught up");
}

#[tokio::test(start_paused = true)]
async fn reflectors_follow_by_list_and_watch() {
    reflect(watcher::Config::default().page_size(2)).await;
}

#[tokio::test(start_paused = true)]
async fn reflectors_follow_by_streaming_lists() {
    reflect(watcher::Config::default().streaming_lists()).await;
}

#[tokio::test(start_paused = true)]
async fn metadata_can_be_read_alone() {
    let client = server().await.client("default");
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    api.create(&PostParams::default(), &config_map("c"))
        .await
        .unwrap();
    let list = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.items[0].name_any(), "c");
    let one = api.get_metadata("c").await.unwrap();
    assert!(one.uid().is_some());
}
