//! What a case needs of an engine beside [`Runtime`]: images, a person's hands, and a way to take the
//! engine down.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bollard::Docker;
use longshore_agent::runtime::docker::DockerRuntime;
use longshore_agent::runtime::sim::{Behaviour, Crash, SimImage, SimMachine, SimRuntime};
use longshore_agent::runtime::{ContainerDetail, CreateRequest, RegistryAuth, Runtime};
use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::{ContainerSpec, Resources, RestartPolicy};
use longshore_tests::harness::{Dockerd, ImageBuilder, Registry, ports, webapp};
use tokio::sync::Mutex;

/// Long enough for a loaded machine; no test waits so long when all is well.
pub(super) const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// The test application; killed at once when stopped (exit code 137).
pub(super) const APP: &str = "app:1";
/// The same without a stop signal, so that it gets SIGTERM, and ignores it.
pub(super) const STUBBORN: &str = "stubborn:1";
/// A shell, on a real engine.
pub(super) const SHELL: &str = "shell:1";

/// References of a registry for every outcome of a pull.
pub(super) struct PullReferences {
    pub(super) good: String,
    pub(super) no_such_tag: String,
    pub(super) no_such_repository: String,
    pub(super) unreachable: String,
    pub(super) auth: RegistryAuth,
}

/// An engine on the operating table.
#[async_trait(?Send)]
pub(super) trait Lab: Send + Sync {
    fn runtime(&self) -> &dyn Runtime;
    /// Real files, processes and networks.
    fn is_real(&self) -> bool;
    /// `None` where there is no registry to test with.
    fn pulls(&self) -> Option<PullReferences>;
    /// `docker pause`
    async fn pause(&self, name: &str) -> Result<()>;
    /// `docker network create`
    async fn create_network(&self, name: &str) -> Result<()>;
    async fn stop_engine(&self) -> Result<()>;
    async fn kill_engine(&self) -> Result<()>;
    async fn start_engine(&self) -> Result<()>;
    /// Raw `docker inspect`, on a real engine.
    async fn inspect_raw(&self, id: &EngineId) -> Result<serde_json::Value>;
    /// A host port nobody uses.
    fn free_port(&self) -> Result<u16>;
    /// What to show where a case fails.
    fn evidence(&self) -> String;
}

/// One case: a lab, and names nobody else uses.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) lab: &'a dyn Lab,
    name: &'static str,
}

impl<'a> Case<'a> {
    pub(super) fn new(lab: &'a dyn Lab, name: &'static str) -> Self {
        Self { lab, name }
    }

    pub(super) fn runtime(&self) -> &'a dyn Runtime {
        self.lab.runtime()
    }

    /// A name of this case, `<case>.<what>`.
    pub(super) fn name(&self, what: &str) -> String {
        let short: String = self
            .name
            .split('_')
            .filter_map(|word| word.get(..word.len().min(4)))
            .collect();
        format!("{short}.{what}")
    }

    /// A container that idles.
    pub(super) fn request(&self, what: &str) -> CreateRequest {
        CreateRequest {
            name: self.name(what),
            spec: ContainerSpec {
                image: APP.to_owned(),
                ..ContainerSpec::default()
            },
            env: vec!["MODE=sleep".to_owned()],
            content_dirs: BTreeMap::new(),
            restart_policy: RestartPolicy::Never,
            resources: Resources::default(),
            networks: Vec::new(),
            alias: what.to_owned(),
            labels: BTreeMap::from([("longshore.dev/container".to_owned(), what.to_owned())]),
            stop_grace_period: Duration::from_secs(1),
        }
    }

    /// One that exits with a code after so many seconds.
    pub(super) fn exiting(&self, what: &str, code: u8, after: u8, policy: RestartPolicy) -> CreateRequest {
        let env = vec![
            "MODE=exit".to_owned(),
            format!("CODE={code}"),
            format!("AFTER={after}"),
        ];
        CreateRequest {
            env,
            restart_policy: policy,
            ..self.request(what)
        }
    }

    pub(super) async fn run(&self, request: &CreateRequest) -> Result<EngineId> {
        let id = self.runtime().create(request).await?;
        self.runtime().start(&id).await?;
        Ok(id)
    }

    pub(super) async fn detail(&self, id: &EngineId) -> Result<ContainerDetail> {
        self.runtime().inspect(id).await?.context("the container is gone")
    }

    pub(super) async fn state(&self, id: &EngineId) -> Result<ContainerState> {
        Ok(self.detail(id).await?.state)
    }

    /// Waits until the container is as it should be.
    pub(super) async fn wait(
        &self,
        id: &EngineId,
        what: &str,
        reached: impl Fn(&ContainerDetail) -> bool + Send,
    ) -> Result<ContainerDetail> {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let detail = self.detail(id).await?;
            if reached(&detail) {
                return Ok(detail);
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "{what}: not in time, but {detail:?}"
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The simulated machine.
pub(super) struct SimLab {
    machine: SimMachine,
    runtime: SimRuntime,
    next_port: std::sync::atomic::AtomicU16,
}

impl SimLab {
    pub(super) fn new() -> Self {
        let machine = SimMachine::new(20_260_101);
        let app = Behaviour {
            stop_exit_code: 137,
            ..Behaviour::default()
        };
        machine.load(APP, SimImage::new("app", app.clone()));
        machine.load(STUBBORN, SimImage::new("stubborn", Behaviour::stubborn()));
        machine.publish("r.example/app:1", SimImage::new("pulled", app));
        machine.protect("r.example/app:1", "robot", "let-me-in");
        machine.set_registry_reachable("gone.example", false);
        let runtime = machine.runtime();
        Self {
            machine,
            runtime,
            next_port: 20_000.into(),
        }
    }
}

#[async_trait(?Send)]
impl Lab for SimLab {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn is_real(&self) -> bool {
        false
    }

    fn pulls(&self) -> Option<PullReferences> {
        Some(PullReferences {
            good: "r.example/app:1".to_owned(),
            no_such_tag: "r.example/app:9".to_owned(),
            no_such_repository: "r.example/nothing:1".to_owned(),
            unreachable: "gone.example/app:1".to_owned(),
            auth: auth("r.example", "let-me-in"),
        })
    }

    async fn pause(&self, name: &str) -> Result<()> {
        Ok(self.machine.pause_by_hand(name)?)
    }

    async fn create_network(&self, name: &str) -> Result<()> {
        Ok(self.machine.create_network_by_hand(name, None)?)
    }

    async fn stop_engine(&self) -> Result<()> {
        self.machine.stop_engine();
        Ok(())
    }

    async fn kill_engine(&self) -> Result<()> {
        self.machine.crash_engine(Crash::ContainersLiveOn);
        Ok(())
    }

    async fn start_engine(&self) -> Result<()> {
        self.machine.start_engine();
        Ok(())
    }

    async fn inspect_raw(&self, _id: &EngineId) -> Result<serde_json::Value> {
        anyhow::bail!("only on a real engine")
    }

    fn free_port(&self) -> Result<u16> {
        Ok(self.next_port.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    fn evidence(&self) -> String {
        self.machine.journal().transcript()
    }
}

/// A dockerd of our own, and a registry where one is installed.
pub(super) struct DockerLab {
    engine: Mutex<Dockerd>,
    docker: Docker,
    runtime: DockerRuntime,
    registry: Option<(Registry, String)>,
}

impl DockerLab {
    pub(super) async fn start() -> Result<Option<Self>> {
        let Some(engine) = Dockerd::start().await? else {
            return Ok(None);
        };
        let docker = engine.bollard()?;
        webapp(APP, "v1")?
            .label("made.by", "image")
            .build()
            .load(&docker)
            .await?;
        webapp(STUBBORN, "v1")?
            .stop_signal("")
            .build()
            .load(&docker)
            .await?;
        let busybox = std::fs::read("/bin/busybox").context("reading /bin/busybox")?;
        let shell = ImageBuilder::new(SHELL)
            .directory("/bin", 0o755)
            .file("/bin/busybox", 0o755, busybox);
        shell
            .cmd(&["/bin/busybox", "sleep", "1000"])
            .stop_signal("SIGKILL")
            .build()
            .load(&docker)
            .await?;
        let registry = match Registry::start().await? {
            Some(registry) => {
                // A layer of its own: one that is there already comes without any progress.
                let payload = (0..1 << 20_u32).map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]);
                let pulled = webapp("pulled:1", "v2")?.file("/payload", 0o644, payload.collect());
                pulled.build().load(&docker).await?;
                let reference = registry.push(&docker, "pulled:1").await?;
                let none = None::<bollard::query_parameters::RemoveImageOptions>;
                docker.remove_image("pulled:1", none, None).await?;
                Some((registry, reference))
            }
            None => None,
        };
        let runtime = DockerRuntime::new(&engine.host())?;
        Ok(Some(Self {
            engine: Mutex::new(engine),
            docker,
            runtime,
            registry,
        }))
    }
}

/// Its encoding holds `+` and `/` in the standard alphabet, so it arrives only if the URL-safe one is sent.
fn auth(server: &str, password: &str) -> RegistryAuth {
    RegistryAuth {
        server: format!("{server}/?????~~~~~"),
        username: "robot".to_owned(),
        password: password.to_owned(),
    }
}

#[async_trait(?Send)]
impl Lab for DockerLab {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn is_real(&self) -> bool {
        true
    }

    fn pulls(&self) -> Option<PullReferences> {
        let (registry, good) = self.registry.as_ref()?;
        let password = registry.credentials().password.unwrap_or_default();
        Some(PullReferences {
            good: good.clone(),
            no_such_tag: registry.reference("pulled:9"),
            no_such_repository: registry.reference("nothing:1"),
            unreachable: "127.0.0.1:1/app:1".to_owned(),
            auth: auth(&registry.address(), &password),
        })
    }

    async fn pause(&self, name: &str) -> Result<()> {
        Ok(self.docker.pause_container(name).await?)
    }

    async fn create_network(&self, name: &str) -> Result<()> {
        self.engine
            .lock()
            .await
            .docker(&["network", "create", name])
            .await
            .map(drop)
    }

    async fn stop_engine(&self) -> Result<()> {
        self.engine.lock().await.stop()
    }

    async fn kill_engine(&self) -> Result<()> {
        self.engine.lock().await.kill9()
    }

    async fn start_engine(&self) -> Result<()> {
        self.engine.lock().await.restart().await
    }

    async fn inspect_raw(&self, id: &EngineId) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(
            self.docker.inspect_container(&id.0, None).await?,
        )?)
    }

    fn free_port(&self) -> Result<u16> {
        ports::free_port()
    }

    fn evidence(&self) -> String {
        self.engine
            .try_lock()
            .map(|engine| engine.log_tail())
            .unwrap_or_default()
    }
}
