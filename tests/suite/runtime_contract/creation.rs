//! What is asked for at creation, read back and seen from inside.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use longshore_agent::runtime::{CreateRequest, RuntimeErrorKind};
use longshore_plan::names::EngineId;
use longshore_plan::spec::{
    ContainerSpec, DeviceNode, Dns, Logging, Mount, MountSource, Port, Propagation, Protocol, Resources,
    RestartPolicy, SecurityContext, Ulimit,
};

use super::lab::{Case, SHELL, SOON};

fn spec(change: impl FnOnce(&mut ContainerSpec)) -> impl FnOnce(&mut CreateRequest) {
    move |request| change(&mut request.spec)
}

/// Can be asked for everywhere, and started only where the host shares its mounts (systemd does).
const SLAVE_MOUNT: &str = "slave-mount";

type Change = (&'static str, Box<dyn FnOnce(&mut CreateRequest) + Send>);

/// One entry for every field, and some together.
fn changes() -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    let mut add = |name, change: Box<dyn FnOnce(&mut CreateRequest) + Send>| all.push((name, change));
    add("nothing", Box::new(|_| {}));
    for (name, policy) in [
        ("always", RestartPolicy::Always),
        ("unless-stopped", RestartPolicy::UnlessStopped),
        ("on-failure", RestartPolicy::OnFailure { max_retries: 0 }),
        ("on-failure-3", RestartPolicy::OnFailure { max_retries: 3 }),
    ] {
        add(name, Box::new(move |request| request.restart_policy = policy));
    }
    add(
        "all-limits",
        Box::new(|request| {
            request.resources = Resources {
                cpu_limit_millis: Some(250),
                cpu_shares: Some(2),
                cpuset_cpus: Some("0".to_owned()),
                memory_limit_bytes: Some(64 << 20),
                memory_reservation_bytes: Some(32 << 20),
                pids_limit: Some(100),
            };
        }),
    );
    add(
        "the-least-cpu",
        Box::new(|request| request.resources.cpu_limit_millis = Some(10)),
    );
    add(
        "labels",
        Box::new(|request| {
            request.spec.labels = BTreeMap::from([("a".to_owned(), "b=c d".to_owned())]);
        }),
    );
    add("host-network", Box::new(spec(|spec| spec.host_network = true)));
    add(
        "host-namespaces",
        Box::new(spec(|spec| (spec.host_pid, spec.host_ipc) = (true, true))),
    );
    add(
        "process",
        Box::new(spec(|spec| {
            spec.command = vec!["/webapp".to_owned()];
            spec.args = vec!["cat".to_owned(), "/webapp".to_owned()];
            spec.working_dir = Some("/tmp".to_owned());
            spec.stop_signal = Some("SIGINT".to_owned());
            (spec.tty, spec.stdin, spec.init) = (true, true, true);
            spec.hostname = Some("box".to_owned());
        })),
    );
    add(
        "ports",
        Box::new(spec(|spec| {
            let port = |container_port, host_port, host_ip: Option<IpAddr>, protocol| Port {
                container_port,
                host_port,
                host_ip,
                protocol,
            };
            spec.ports = vec![
                port(80, None, None, Protocol::Tcp),
                port(81, Some(1), Some([127, 0, 0, 1].into()), Protocol::Udp),
                port(81, Some(2), None, Protocol::Udp),
            ];
        })),
    );
    add(
        "security",
        Box::new(spec(|spec| {
            spec.security = SecurityContext {
                privileged: false,
                cap_add: vec!["NET_ADMIN".to_owned()],
                cap_drop: vec!["ALL".to_owned()],
                run_as_user: Some("1000".to_owned()),
                run_as_group: Some(1001),
                supplemental_groups: vec![5, 6],
                read_only_root_filesystem: true,
                no_new_privileges: true,
                seccomp: Some("unconfined".to_owned()),
            };
        })),
    );
    add(
        "privileged",
        Box::new(spec(|spec| spec.security.privileged = true)),
    );
    add(
        "group-alone",
        Box::new(spec(|spec| spec.security.run_as_group = Some(7))),
    );
    add(
        "rest",
        Box::new(spec(|spec| {
            spec.devices = vec![DeviceNode {
                host_path: "/dev/null".to_owned(),
                container_path: "/dev/nothing".to_owned(),
                permissions: "rw".to_owned(),
            }];
            spec.ulimits = vec![Ulimit {
                name: "nofile".to_owned(),
                soft: 512,
                hard: 1024,
            }];
            spec.shm_size_bytes = Some(8 << 20);
            spec.extra_hosts = BTreeMap::from([("db".to_owned(), "10.0.0.9".to_owned())]);
            spec.dns = Some(Dns {
                nameservers: vec![[10, 0, 0, 1].into()],
                searches: vec!["example.org".to_owned()],
                options: vec!["ndots:1".to_owned()],
            });
            spec.sysctls =
                BTreeMap::from([("net.ipv4.ip_local_port_range".to_owned(), "2000 3000".to_owned())]);
            spec.logging = Some(Logging {
                driver: "json-file".to_owned(),
                options: BTreeMap::from([("max-size".to_owned(), "1m".to_owned())]),
            });
            spec.runtime_handler = Some("runc".to_owned());
        })),
    );
    add(
        "mounts",
        Box::new(spec(|spec| {
            let mount = |target: &str, source| Mount {
                target: target.to_owned(),
                source,
                read_only: false,
                propagation: None,
            };
            let host = MountSource::HostPath {
                path: "/tmp".to_owned(),
                create: false,
            };
            spec.mounts = vec![
                Mount {
                    read_only: true,
                    ..mount("/host", host)
                },
                mount(
                    "/memory",
                    MountSource::Tmpfs {
                        size_bytes: Some(1 << 20),
                    },
                ),
                mount("/more", MountSource::Tmpfs { size_bytes: None }),
            ];
        })),
    );
    add(
        SLAVE_MOUNT,
        Box::new(spec(|spec| {
            spec.mounts.push(Mount {
                target: "/slave".to_owned(),
                source: MountSource::HostPath {
                    path: "/tmp".to_owned(),
                    create: false,
                },
                read_only: false,
                propagation: Some(Propagation::Rslave),
            });
        })),
    );
    all
}

pub(super) async fn what_was_asked_for_is_what_is_read_back(case: Case<'_>) -> Result<()> {
    for (name, change) in changes() {
        let mut request = case.request(name);
        change(&mut request);
        let id = case
            .runtime()
            .create(&request)
            .await
            .with_context(|| name.to_owned())?;
        let made = case.detail(&id).await?;
        ensure!(
            made.name == request.name && made.image == request.spec.image,
            "{name}: {made:?}"
        );
        ensure!(made.restart_policy == request.restart_policy, "{name}: {made:?}");
        ensure!(made.resources == request.resources, "{name}: {made:?}");
        ensure!(
            made.networks.is_empty() && made.address.is_none(),
            "{name}: {made:?}"
        );
        let mut labels = request.spec.labels.clone();
        labels.extend(request.labels.clone());
        let mut read = made.labels.clone();
        read.remove("made.by"); // the image's
        ensure!(read == labels, "{name}: {read:?}");
        let startable = !["ports", "process", "privileged", SLAVE_MOUNT].contains(&name);
        if case.lab.is_real() {
            check_raw(&case, name, &id).await?;
            if startable {
                case.runtime().start(&id).await.with_context(|| name.to_owned())?;
                let running = case.detail(&id).await?;
                ensure!(running.resources == request.resources, "{name}: {running:?}");
                ensure!(
                    running.networks.is_empty() && running.address.is_some(),
                    "{name}: {running:?}"
                );
            }
        }
        case.runtime().remove(&id).await?;
    }
    Ok(())
}

/// What the model does not read back, in the engine's own words.
async fn check_raw(case: &Case<'_>, name: &str, id: &EngineId) -> Result<()> {
    let raw = case.lab.inspect_raw(id).await?;
    let (config, host) = (&raw["Config"], &raw["HostConfig"]);
    let is = |what: &serde_json::Value, wanted: serde_json::Value| {
        ensure!(*what == wanted, "{name}: {what} is not {wanted}");
        Ok(())
    };
    match name {
        "nothing" => {
            is(&host["LogConfig"]["Type"], "json-file".into())?;
            is(
                &host["LogConfig"]["Config"],
                serde_json::json!({"max-size": "10m", "max-file": "3"}),
            )?;
            is(&config["StopSignal"], "SIGKILL".into())?; // the image's
            is(&config["StopTimeout"], 1.into())
        }
        "process" => {
            is(&config["Entrypoint"], serde_json::json!(["/webapp"]))?;
            is(&config["Cmd"], serde_json::json!(["cat", "/webapp"]))?;
            is(&config["WorkingDir"], "/tmp".into())?;
            is(&config["StopSignal"], "SIGINT".into())?;
            is(&config["Tty"], true.into())?;
            is(&config["OpenStdin"], true.into())?;
            is(&config["Hostname"], "box".into())?;
            is(&host["Init"], true.into())
        }
        "security" => {
            is(&config["User"], "1000:1001".into())?;
            is(&host["GroupAdd"], serde_json::json!(["5", "6"]))?;
            is(&host["ReadonlyRootfs"], true.into())?;
            is(
                &host["SecurityOpt"],
                serde_json::json!(["no-new-privileges", "seccomp=unconfined"]),
            )
        }
        "group-alone" => is(&config["User"], "0:7".into()),
        "host-network" => is(&host["NetworkMode"], "host".into()),
        "host-namespaces" => {
            is(&host["PidMode"], "host".into())?;
            is(&host["IpcMode"], "host".into())
        }
        "ports" => {
            let local = serde_json::json!({"HostIp": "127.0.0.1", "HostPort": "1"});
            let open = serde_json::json!({"HostIp": "", "HostPort": "2"});
            is(
                &host["PortBindings"],
                serde_json::json!({"81/udp": [local, open]}),
            )?;
            ensure!(
                config["ExposedPorts"].to_string().contains("80/tcp"),
                "{}",
                config["ExposedPorts"]
            );
            Ok(())
        }
        "rest" => {
            is(&host["ShmSize"], (8 << 20).into())?;
            is(&host["ExtraHosts"], serde_json::json!(["db:10.0.0.9"]))?;
            is(&host["Dns"], serde_json::json!(["10.0.0.1"]))?;
            is(
                &host["Sysctls"]["net.ipv4.ip_local_port_range"],
                "2000 3000".into(),
            )?;
            is(
                &host["LogConfig"]["Config"],
                serde_json::json!({"max-size": "1m"}),
            )?;
            is(
                &host["Ulimits"],
                serde_json::json!([{"Name": "nofile", "Soft": 512, "Hard": 1024}]),
            )?;
            is(&host["Devices"][0]["PathInContainer"], "/dev/nothing".into())
        }
        "mounts" => {
            ensure!(host["Binds"].is_null(), "never binds: {}", host["Binds"]);
            is(&host["Mounts"][0]["ReadOnly"], true.into())?;
            is(&host["Mounts"][1]["TmpfsOptions"]["SizeBytes"], (1 << 20).into())
        }
        SLAVE_MOUNT => is(&host["Mounts"][0]["BindOptions"]["Propagation"], "rslave".into()),
        _ => Ok(()),
    }
}

async fn cat(case: &Case<'_>, id: &EngineId, file: &str) -> Result<String> {
    let command = ["/bin/busybox", "cat", file].map(ToOwned::to_owned);
    let done = case.runtime().exec(id, &command, SOON).await?;
    ensure!(done.exit_code == 0, "{file}: {done:?}");
    Ok(done.output)
}

pub(super) async fn environment_arguments_and_files_arrive(case: Case<'_>) -> Result<()> {
    if !case.lab.is_real() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let content = directory.path().join("content");
    fs::create_dir(&content)?;
    fs::write(content.join("app.conf"), "from content")?;
    let made = directory.path().join("made/by/create");
    let mount = |target: &str, source| Mount {
        target: target.to_owned(),
        source,
        read_only: false,
        propagation: None,
    };
    let mut request = case.request("a");
    SHELL.clone_into(&mut request.spec.image);
    request.spec.args = ["/bin/busybox", "sleep", "999"].map(ToOwned::to_owned).to_vec();
    request.env = vec![
        "PLAIN=x".to_owned(),
        "ODD=a=b \"c\" é".to_owned(),
        "EMPTY=".to_owned(),
    ];
    request.content_dirs = BTreeMap::from([("conf".to_owned(), content.display().to_string())]);
    let volume = MountSource::Volume {
        name: case.name("data"),
    };
    request.spec.mounts = vec![
        mount(
            "/conf",
            MountSource::Content {
                name: "conf".to_owned(),
                files: Vec::new(),
            },
        ),
        mount(
            "/made",
            MountSource::HostPath {
                path: made.display().to_string(),
                create: true,
            },
        ),
        mount("/data", volume),
    ];
    let id = case.run(&request).await?;
    let environment = cat(&case, &id, "/proc/1/environ").await?;
    for wanted in &request.env {
        ensure!(
            environment.split('\0').any(|found| found == wanted),
            "{wanted} is not in {environment:?}"
        );
    }
    ensure!(
        cat(&case, &id, "/proc/1/cmdline")
            .await?
            .ends_with("sleep\u{0}999\0")
    );
    ensure!(cat(&case, &id, "/conf/app.conf").await? == "from content");
    let shell = async |script: &str| {
        let command = ["/bin/busybox", "sh", "-c", script].map(ToOwned::to_owned);
        case.runtime().exec(&id, &command, SOON).await
    };
    ensure!(
        shell("echo x > /conf/new").await?.exit_code != 0,
        "content is writable"
    );
    ensure!(
        shell("echo kept > /data/file; echo seen > /made/file")
            .await?
            .exit_code
            == 0
    );
    ensure!(fs::read_to_string(made.join("file"))? == "seen\n");
    // An atomic swap below the mounted directory is seen inside.
    fs::write(content.join(".new"), "swapped")?;
    fs::rename(content.join(".new"), content.join("app.conf"))?;
    ensure!(cat(&case, &id, "/conf/app.conf").await? == "swapped");
    case.runtime().remove(&id).await?;
    let again = case.run(&request).await?;
    ensure!(cat(&case, &again, "/data/file").await? == "kept\n");
    case.runtime().remove(&again).await?;
    Ok(())
}

pub(super) async fn a_missing_source_is_an_error_and_no_empty_directory(case: Case<'_>) -> Result<()> {
    let mut request = case.request("content");
    let content = MountSource::Content {
        name: "conf".to_owned(),
        files: Vec::new(),
    };
    request.spec.mounts = vec![Mount {
        target: "/conf".to_owned(),
        source: content,
        read_only: true,
        propagation: None,
    }];
    let refused = case
        .runtime()
        .create(&request)
        .await
        .err()
        .context("made without its content")?;
    ensure!(refused.kind == RuntimeErrorKind::Invalid, "{refused:?}");
    if !case.lab.is_real() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("nothing").display().to_string();
    for (name, source, dirs) in [
        (
            "host",
            MountSource::HostPath {
                path: path.clone(),
                create: false,
            },
            BTreeMap::new(),
        ),
        (
            "gone",
            MountSource::Content {
                name: "conf".to_owned(),
                files: Vec::new(),
            },
            BTreeMap::from([("conf".to_owned(), path.clone())]),
        ),
    ] {
        let mut request = case.request(name);
        request.spec.mounts = vec![Mount {
            target: "/m".to_owned(),
            source,
            read_only: false,
            propagation: None,
        }];
        request.content_dirs = dirs;
        let refused = case
            .runtime()
            .create(&request)
            .await
            .err()
            .context("made without its source")?;
        ensure!(refused.kind == RuntimeErrorKind::Invalid, "{refused:?}");
        ensure!(
            !std::path::Path::new(&path).exists(),
            "an empty directory appeared"
        );
    }
    Ok(())
}

pub(super) async fn no_secret_is_in_a_refusal(case: Case<'_>) -> Result<()> {
    let mut request = case.request("a");
    request.env = vec!["=hunter2-is-secret".to_owned()];
    ensure!(!format!("{request:?}").contains("hunter2"));
    if case.lab.is_real() {
        let refused = case
            .runtime()
            .create(&request)
            .await
            .err()
            .context("Docker refuses a nameless variable")?;
        ensure!(
            refused.kind == RuntimeErrorKind::Invalid && !refused.message.contains("hunter2"),
            "{refused:?}"
        );
    }
    Ok(())
}
