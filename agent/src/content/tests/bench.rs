//! The agent's content, and the other side of the bus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_bus::envelope::{ContentRequest, ContentResponse, VERSION};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, MemoryBroker, MemoryBus};
use longshore_bus::topic::CONTROLLER_FILTER;
use longshore_bus::{Bus as _, Topic, codec};
use longshore_plan::spec::ContainerSpec;

use super::{digest_of, hash};
use crate::content::{Content, Files};
use crate::fixtures::{device, key};
use crate::storage::{MemoryStorage, Storage};

/// What an honest answer is turned into.
pub(super) type Twist = fn(&mut ContentResponse);

/// What the other side does with the requests of a device.
#[derive(Clone, Default)]
pub(super) struct Source {
    pub(super) values: BTreeMap<String, Vec<u8>>,
    pub(super) asked: Arc<Mutex<Vec<(String, u64)>>>,
    /// Requests that are lost first.
    pub(super) lose: usize,
    pub(super) twist: Option<Twist>,
}

impl Source {
    pub(super) fn asked(&self) -> Vec<(String, u64)> {
        self.asked.lock().unwrap().clone()
    }

    fn answer(&self, request: &ContentRequest) -> Option<ContentResponse> {
        let mut asked = self.asked.lock().unwrap();
        asked.push((request.digest.0.clone(), request.offset));
        if asked.len() <= self.lose {
            return None;
        }
        let value = self.values.get(&request.digest.0);
        let from = usize::try_from(request.offset).unwrap();
        let piece = value.map(|v| &v[from.min(v.len())..(from + ContentResponse::CHUNK).min(v.len())]);
        let mut answer = ContentResponse {
            version: VERSION,
            digest: request.digest.clone(),
            offset: request.offset,
            total: value.map(|v| v.len() as u64),
            data: STANDARD.encode(piece.unwrap_or_default()),
        };
        if let Some(twist) = self.twist {
            twist(&mut answer);
        }
        Some(answer)
    }
}

pub(super) struct Bench {
    pub(super) disk: MemoryStorage,
    pub(super) content: Arc<Content>,
    pub(super) bus: Arc<MemoryBus>,
    pub(super) broker: MemoryBroker,
    pub(super) source: Source,
}

impl Bench {
    pub(super) async fn new(source: Source) -> Self {
        Self::on(MemoryStorage::new(), source).await
    }

    pub(super) async fn on(disk: MemoryStorage, source: Source) -> Self {
        let broker = MemoryBroker::new(BrokerConfig::default());
        let connect = |id: &str, access| {
            broker.connect(ClientOptions {
                client_id: id.to_owned(),
                will: None,
                access,
            })
        };
        let controller = connect("controller", Access::Controller);
        let mut requests = controller.subscribe(&[CONTROLLER_FILTER]).await.unwrap();
        let bus = connect("default.dev1", Access::Device(device()));
        let storage = Storage::Memory(disk.clone());
        let content = Arc::new(Content::open(storage, device(), Arc::clone(&bus) as _).await);
        let (answering, deliver) = (source.clone(), Arc::clone(&content));
        tokio::spawn(async move {
            let _kept = controller;
            while let Some(message) = requests.recv().await {
                assert_eq!(message.topic.parse(), Ok(Topic::ContentRequest(device())));
                let request = codec::decode(&message.payload).unwrap();
                if let Some(answer) = answering.answer(&request) {
                    deliver.deliver(answer);
                }
            }
        });
        Self {
            disk,
            content,
            bus,
            broker,
            source,
        }
    }

    pub(super) async fn value(&self, digest: &str) -> Result<Vec<u8>, String> {
        let value = self.content.value(&digest_of(digest), "it").await;
        value.map(|v| v.bytes().to_vec()).map_err(|e| e.to_string())
    }

    pub(super) async fn lay_out(&self, files: &Files) -> Result<BTreeMap<String, String>, String> {
        let laid = self
            .content
            .lay_out(&key("hello", "web"), &hash(), &ContainerSpec::default(), files)
            .await;
        laid.map_err(|e| e.to_string())
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        let bytes = self.disk.read(&format!("content/hello.web/v1-00/{path}"))?;
        Some(String::from_utf8(bytes).unwrap())
    }
}
