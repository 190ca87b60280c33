//! The watches: four endless streams of what the API server holds. Lists, relists, back-off and expired
//! watches are kube-runtime's; ConfigMaps and Secrets become digests before anything else sees them.

use std::time::Duration;

use futures::stream::{BoxStream, SelectAll, StreamExt as _, select_all};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use longshore_bus::clock::IdSource;
use longshore_crds::{Device, Workload};

use crate::content::{ContentEvent, ContentKeys, ContentState};
use crate::render::ContentKind;

/// What a watch says.
#[derive(Debug)]
pub(crate) enum WatchEvent {
    /// Of Workloads.
    Workload(Event<DeserializeGuard<Workload>>),
    /// Of Devices.
    Device(Event<DeserializeGuard<Device>>),
    /// Of ConfigMaps or Secrets.
    Content(ContentEvent),
    /// A list or watch failed and is tried again. What was known stands.
    Failed {
        /// Of which kind.
        kind: &'static str,
        /// Why.
        error: watcher::Error,
    },
}

/// All of them.
pub(crate) type Watches = SelectAll<BoxStream<'static, WatchEvent>>;

/// Opens them; nothing is asked before they are polled.
pub(crate) fn open(client: &Client, keys: &ContentKeys, ids: &IdSource) -> Watches {
    let (of_config_maps, of_secrets) = (keys.clone(), keys.clone());
    let content = |kind, event| WatchEvent::Content((kind, event));
    select_all([
        stream::<DeserializeGuard<Workload>>(client, ids, "Workload", WatchEvent::Workload),
        stream::<DeserializeGuard<Device>>(client, ids, "Device", WatchEvent::Device),
        stream::<ConfigMap>(client, ids, "ConfigMap", move |event| {
            let digests = map(event, |object| {
                ContentState::of_config_map(object, &of_config_maps)
            });
            content(ContentKind::ConfigMap, digests)
        }),
        stream::<Secret>(client, ids, "Secret", move |event| {
            let digests = map(event, |object| ContentState::of_secret(object, &of_secrets));
            content(ContentKind::Secret, digests)
        }),
    ])
}

fn stream<K>(
    client: &Client,
    ids: &IdSource,
    kind: &'static str,
    event: impl Fn(Event<K>) -> WatchEvent + Send + 'static,
) -> BoxStream<'static, WatchEvent>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .backoff(Jittered::new(ids.clone()))
        .map(move |result| match result {
            Ok(told) => event(told),
            Err(error) => WatchEvent::Failed { kind, error },
        })
        .boxed()
}

fn map<K, T>(event: Event<K>, f: impl Fn(&K) -> T) -> Event<T> {
    match event {
        Event::Apply(object) => Event::Apply(f(&object)),
        Event::Delete(object) => Event::Delete(f(&object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(f(&object)),
        Event::InitDone => Event::InitDone,
    }
}

/// 0.5 s to 30 s, doubling, with up to half as much again drawn from our own random source, so that a
/// simulation can repeat it.
struct Jittered {
    ids: IdSource,
    next: Duration,
}

impl Jittered {
    const FIRST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(30);

    fn new(ids: IdSource) -> Self {
        Self {
            ids,
            next: Self::FIRST,
        }
    }
}

impl Iterator for Jittered {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let base = self.next;
        self.next = (base * 2).min(Self::MOST);
        let half = u64::try_from(base.as_millis() / 2).unwrap_or(0);
        Some(base + Duration::from_millis(self.ids.below(half)))
    }
}

impl Backoff for Jittered {
    fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}
