//! `longshore up`: the only place that wires the parts of a site together.
//!
//! Start: directory → API server → kinds → bus → controller → Device → agent → `ready.json`.
//! Stop, on SIGTERM, Ctrl-C or the end of any part: `ready.json` away → agent → controller → API server.
//! Containers are left running.

mod address;
pub mod directory;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Client, ResourceExt};
use longshore_agent::runtime::Runtime;
use longshore_agent::runtime::docker::DockerRuntime;
use longshore_agent::runtime::probe_network::{HostNetwork, ProbeNetwork};
use longshore_agent::runtime::sim::{Behaviour, SimImage, SimMachine};
use longshore_agent::{Agent, AgentConfig, AgentHandle, Storage};
use longshore_bus::clock::{Clock, IdSource, SystemClock};
use longshore_bus::codec;
use longshore_bus::envelope::{Gone, VERSION};
use longshore_bus::memory::{Access, BrokerConfig, ClientOptions, MemoryBroker};
use longshore_bus::{Bus, DeviceId, Message, Properties, Topic};
use longshore_controller::{Controller, ControllerConfig, ControllerHandle};
use longshore_crds::conditions::{self, ConditionType};
use longshore_crds::device::{Device, DeviceSpec};
use longshore_plan::names::DnsLabel;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::address::{host_name, reachable};
use self::directory::{Ready, SiteDirectory};
use crate::apiserver::{ApiServer, Backing, Config, tls};
use crate::cli::{RuntimeKind, UpArgs};
use crate::descriptors;
use crate::error_chain::error_chain;

/// The namespace of this machine's Device and of everything a user does not place elsewhere.
const TENANT: &str = "default";
/// Where the site keeps its own objects.
pub(crate) const SYSTEM_NAMESPACE: &str = "longshore-system";
/// The Secret with the site's identity, made by the controller.
pub(crate) const SITE_SECRET: &str = "longshore-site";
/// How long all parts together may take to serve.
const READY_DEADLINE: Duration = Duration::from_mins(1);

/// Runs a site until it is told to stop.
pub async fn up(args: UpArgs) -> anyhow::Result<()> {
    descriptors::raise();
    // Signals count from the first moment: a stop in the middle of the start is a stop in order as well.
    let stop = stop_on_signal()?;
    let path = args.dir.clone().unwrap_or_else(SiteDirectory::default_path);
    let directory = SiteDirectory::take(&path)?;

    let start = Box::pin(Site::start(&args, &directory));
    // Dropping a start halfway is as a crash there: what was stored stays, and the next run goes on from it.
    let started = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        started = start => started,
    };
    let site = started.with_context(|| format!("start on {}", directory.path().display()))?;
    announce(&directory, &site.ready);
    if let Some(why) = &site.no_engine {
        warn!(
            "no container engine answers yet: {why}. It is asked again and again; name another \
             with --runtime-endpoint URL, or try Longshore without one with --runtime sim"
        );
    }
    let ended = Box::pin(site.run_until(stop)).await;
    directory.withdraw_ready()?;
    ended
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    // Ends with the process; it owns nothing but the two signal streams.
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => info!("SIGTERM: stopping in order, containers stay"),
            _ = interrupt.recv() => info!("Ctrl-C: stopping in order, containers stay"),
        }
        cancel.cancel();
    });
    Ok(stop)
}

/// Tells whoever looks. The site runs on where that cannot be written: on a full disk, say.
fn announce(directory: &SiteDirectory, ready: &Ready) {
    if let Err(error) = directory.announce_ready(ready) {
        warn!("say that the site is ready: {}", error_chain(&error.into()));
    }
    if let Err(error) = print_ready(ready) {
        warn!("say on standard output that the site is ready: {error}");
    }
}

fn print_ready(ready: &Ready) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let api = ready.api.as_deref().unwrap_or("none");
    let device = ready.device.as_deref().unwrap_or("none");
    writeln!(out, "longshore is ready: API server {api}, device {device}")?;
    if let Some(kubeconfig) = &ready.kubeconfig {
        writeln!(out, "  export KUBECONFIG={kubeconfig}")?;
    }
    out.flush()
}

/// All parts of a running site, in the order they were started.
struct Site {
    api: Option<EmbeddedApi>,
    /// Not a part that ends: it lives as long as its clients.
    _broker: MemoryBroker,
    controller: ControllerHandle,
    agent: Option<AgentHandle>,
    ready: Ready,
    /// Why no container engine answered at the start. It is asked again and again.
    no_engine: Option<String>,
}

/// The embedded API server and the task that serves it.
struct EmbeddedApi {
    server: ApiServer,
    pki: tls::Pki,
    url: String,
    listener: tokio::task::JoinHandle<()>,
    cancel: CancellationToken,
}

impl Site {
    async fn start(args: &UpArgs, directory: &SiteDirectory) -> anyhow::Result<Self> {
        let device = &args.device;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = IdSource::from_entropy(Arc::clone(&clock));
        let mut ready = Ready {
            kubeconfig: None,
            api: None,
            bus: None,
            gateway: None,
            device: None,
            pid: std::process::id(),
        };
        let (api, client) = if let Some(file) = &args.kubeconfig {
            let (client, url) = cluster_client(file).await?;
            ready.api = Some(url);
            ready.kubeconfig = Some(file.canonicalize().context("--kubeconfig")?.display().to_string());
            install_kinds(&client).await?;
            (None, client)
        } else {
            let api = EmbeddedApi::start(args.api_addr, directory).await?;
            ready.api = Some(api.url.clone());
            let client = api.server.client(TENANT);
            (Some(api), client)
        };
        let broker = MemoryBroker::new(BrokerConfig::default());
        let config = ControllerConfig {
            identity: directory.identity()?,
            system_namespace: SYSTEM_NAMESPACE.to_owned(),
            // A cluster keeps its own.
            former_site: api.as_ref().and_then(|_| directory.site()),
            clock: Arc::clone(&clock),
            ids: ids.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let bus: Arc<dyn Bus> = broker.connect(ClientOptions {
            client_id: "controller".to_owned(),
            will: None,
            access: Access::Controller,
        });
        let controller = Controller::start(config, client.clone(), bus)
            .await
            .context("start the controller")?;
        if api.is_some() {
            directory.remember_site(controller.site())?;
        }
        let mut no_engine = None;
        let agent = match args.runtime {
            RuntimeKind::None => None,
            RuntimeKind::Docker | RuntimeKind::Sim => {
                ensure_device(&client, device).await?;
                let agent = start_agent(args, device, directory, &broker, &clock).await?;
                no_engine = wait_until_connected(&client, device).await?;
                ready.device = Some(device.to_string());
                Some(agent)
            }
        };
        if let Some(api) = &api {
            let kubeconfig = directory.path().join("kubeconfig");
            api.pki
                .write_kubeconfig(&kubeconfig, &api.url)
                .context("write the kubeconfig")?;
            ready.kubeconfig = Some(kubeconfig.display().to_string());
        }
        Ok(Self {
            api,
            _broker: broker,
            controller,
            agent,
            ready,
            no_engine,
        })
    }

    /// Serves until `stop`, or until a part ends by itself, which is a failure of the whole: a supervisor
    /// starts it again.
    async fn run_until(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self {
            mut api,
            _broker: broker,
            controller,
            agent,
            ready: _,
            no_engine: _,
        } = self;
        let agent_ended = async {
            match &agent {
                Some(agent) => format!("{:?}", agent.ended().await),
                None => std::future::pending().await,
            }
        };
        let listener_ended = async {
            match &mut api {
                Some(api) => format!("{:?}", (&mut api.listener).await),
                None => std::future::pending().await,
            }
        };
        // Cancel-safe: every arm only waits for an end; nothing is taken out of a queue.
        let failure = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            why = agent_ended => Some(format!("the agent ended: {why}")),
            why = controller.ended() => Some(format!("the controller ended: {why:?}")),
            why = listener_ended => Some(format!("the API server's listener ended: {why}")),
        };
        if let Some(agent) = agent
            && let Err(error) = agent.stop().await
        {
            warn!("stop the agent: {error}");
        }
        if let Err(error) = controller.stop().await {
            warn!("stop the controller: {error}");
        }
        drop(broker);
        if let Some(api) = api {
            api.stop().await;
        }
        match failure {
            None => Ok(()),
            Some(why) => bail!("{why}"),
        }
    }
}

impl EmbeddedApi {
    /// Serves the API on `address`.
    async fn start(address: SocketAddr, directory: &SiteDirectory) -> anyhow::Result<Self> {
        let pki = tls::ensure(
            &directory.path().join("pki"),
            &[address.ip()],
            &host_name().into_iter().collect::<Vec<_>>(),
            jiff::Timestamp::now(),
        )
        .context("prepare the certificates")?;
        let store = Backing::File(directory.path().join("store.redb"));
        let config = Config {
            token: Some(pki.token().clone()),
            ..Config::new(longshore_crds::all(), store)
        };
        let server = ApiServer::open(config).await.context("open the API server")?;
        let listener = bind(address, directory.last_api_port()).await?;
        let bound = listener.local_addr().context("read the API server's address")?;
        // It is for the next start only.
        if let Err(error) = directory.remember_api_port(bound.port()) {
            warn!("remember the API server's port: {}", error_chain(&error.into()));
        }
        let cancel = CancellationToken::new();
        let task = tokio::spawn({
            let (server, tls, cancel) = (server.clone(), pki.server_config(), cancel.clone());
            async move { server.serve(listener, tls, cancel).await }
        });
        Ok(Self {
            server,
            pki,
            url: format!("https://{}", reachable(bound)),
            listener: task,
            cancel,
        })
    }

    async fn stop(self) {
        self.cancel.cancel();
        if let Err(error) = self.listener.await
            && error.is_panic()
        {
            warn!("the API server's listener panicked");
        }
        self.server.close().await;
    }
}

/// Binds; for port 0 the port of the last run first, so that a kubeconfig in use stays right.
async fn bind(address: SocketAddr, last_port: Option<u16>) -> anyhow::Result<TcpListener> {
    if address.port() == 0
        && let Some(port) = last_port
        && let Ok(listener) = TcpListener::bind(SocketAddr::new(address.ip(), port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on --api-addr {address}"))
}

async fn cluster_client(file: &Path) -> anyhow::Result<(Client, String)> {
    let kubeconfig =
        Kubeconfig::read_from(file).with_context(|| format!("read --kubeconfig {}", file.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("use --kubeconfig")?;
    TENANT.clone_into(&mut config.default_namespace);
    let url = config.cluster_url.to_string();
    Ok((
        Client::try_from(config).context("set up the client of --kubeconfig")?,
        url,
    ))
}

/// Installs our kinds and namespace on a cluster that may lack them, and waits until they are served.
async fn install_kinds(client: &Client) -> anyhow::Result<()> {
    let force = PatchParams::apply("longshore").force();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in [TENANT, SYSTEM_NAMESPACE] {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        namespaces
            .patch(name, &force, &Patch::Apply(&namespace))
            .await
            .with_context(|| format!("create namespace {name}"))?;
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in longshore_crds::all() {
        let name = definition.name_any();
        definitions
            .patch(&name, &force, &Patch::Apply(&definition))
            .await
            .with_context(|| format!("install {name}"))?;
        let established = await_condition(definitions.clone(), &name, is_crd_established());
        tokio::time::timeout(READY_DEADLINE, established)
            .await
            .with_context(|| format!("wait until {name} is served"))?
            .with_context(|| format!("watch {name}"))?;
    }
    Ok(())
}

/// Creates this machine's Device unless there is one; an existing one is never changed.
async fn ensure_device(client: &Client, name: &DnsLabel) -> anyhow::Result<()> {
    let devices: Api<Device> = Api::namespaced(client.clone(), TENANT);
    let device = Device::new(name.as_str(), DeviceSpec::default());
    let params = PostParams {
        field_manager: Some("longshore".to_owned()),
        ..PostParams::default()
    };
    match devices.create(&params, &device).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("create device {name}")),
        Ok(_) => Ok(()),
    }
}

async fn start_agent(
    args: &UpArgs,
    device: &DnsLabel,
    directory: &SiteDirectory,
    broker: &MemoryBroker,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<AgentHandle> {
    let tenant = DnsLabel::new(TENANT).context("the namespace")?;
    let id = DeviceId::new(tenant, device.clone()).context("--device")?;
    let (runtime, probes) = container_runtime(args)?;
    let ids = IdSource::from_entropy(Arc::clone(clock));
    let session = ids.uuid();
    let gone = codec::encode(&Gone {
        version: VERSION,
        session,
    })
    .context("encode the will")?;
    let bus: Arc<dyn Bus> = broker.connect(ClientOptions {
        client_id: id.to_string(),
        will: Some(Message {
            topic: Topic::Gone(id.clone()).to_string(),
            payload: gone,
            properties: Properties::default(),
        }),
        access: Access::Device(id.clone()),
    });
    let storage = Storage::Dir(directory.path().join("agent"));
    let config = AgentConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        session: Some(session),
        ..AgentConfig::new(id, storage, Arc::clone(clock), ids)
    };
    Agent::start(config, runtime, probes, bus)
        .await
        .context("start the agent")
}

type RuntimeAndProbes = (Arc<dyn Runtime>, Arc<dyn ProbeNetwork>);

fn container_runtime(args: &UpArgs) -> anyhow::Result<RuntimeAndProbes> {
    match args.runtime {
        RuntimeKind::Docker => {
            let from_environment = || std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
            let endpoint = args.runtime_endpoint.clone().or_else(from_environment);
            let endpoint = endpoint.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
            let runtime = DockerRuntime::new(&endpoint).context("--runtime-endpoint")?;
            Ok((Arc::new(runtime), Arc::new(HostNetwork)))
        }
        RuntimeKind::Sim => {
            // Every image exists, starts, and is well: enough to try manifests and kubectl.
            let machine = SimMachine::new(u64::from(std::process::id()));
            machine.serve_any_image(SimImage::new("any", Behaviour::default()));
            Ok((Arc::new(machine.runtime()), Arc::new(machine.runtime())))
        }
        RuntimeKind::None => bail!("--runtime none has no agent"),
    }
}

/// Waits until the controller has seen the agent and heard of its runtime, ready or not: the last sign that
/// the whole way works. Says why the runtime is not ready.
async fn wait_until_connected(client: &Client, name: &DnsLabel) -> anyhow::Result<Option<String>> {
    let devices: Api<Device> = Api::namespaced(client.clone(), TENANT);
    let connected = |device: Option<&Device>| {
        condition(device, ConditionType::Connected).is_some_and(|c| c.status == "True")
            && condition(device, ConditionType::RuntimeReady).is_some_and(|c| c.status != "Unknown")
    };
    let waiting = await_condition(devices, name.as_str(), connected);
    let device = tokio::time::timeout(READY_DEADLINE, waiting)
        .await
        .context("wait until the agent is connected")?
        .context("watch the device")?;
    let runtime = condition(device.as_ref(), ConditionType::RuntimeReady).filter(|c| c.status == "False");
    Ok(runtime.map(|c| c.message.clone()))
}

fn condition(device: Option<&Device>, kind: ConditionType) -> Option<&Condition> {
    conditions::find(&device?.status.as_ref()?.conditions, kind)
}
