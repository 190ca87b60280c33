//! Proves the harness itself, so that a later failure speaks of Longshore.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, StartContainerOptions,
};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams};
use longshore_tests::harness::process::{Process, wait_until};
use longshore_tests::harness::{ApiServer, Dockerd, Registry, http, ports, webapp};

const SOON: Duration = Duration::from_secs(30);

async fn run_webapp(docker: &Docker, image: &str, name: &str, port: u16) -> Result<()> {
    let binding = PortBinding {
        host_ip: Some("127.0.0.1".into()),
        host_port: Some(port.to_string()),
    };
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        env: Some(vec![format!("GREETING=hello by {name}")]),
        host_config: Some(HostConfig {
            port_bindings: Some(HashMap::from([("8080/tcp".into(), Some(vec![binding]))])),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await?;
    docker
        .start_container(name, None::<StartContainerOptions>)
        .await?;
    Ok(())
}

async fn answers(port: u16, expected: &str) -> Result<()> {
    wait_until(expected, SOON, async || match http::get(port, "/").await {
        Ok((200, body)) if body == expected => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

async fn pull(docker: &Docker, reference: &str, credentials: bollard::auth::DockerCredentials) -> Result<()> {
    let options = CreateImageOptionsBuilder::default().from_image(reference).build();
    docker
        .create_image(Some(options), None, Some(credentials))
        .try_collect::<Vec<_>>()
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_published_port_answers_and_the_engine_survives_kill9() -> Result<()> {
    let Some(mut engine) = Dockerd::start().await? else {
        return Ok(());
    };
    let docker = engine.bollard()?;
    let image = webapp("webapp:1", "v1")?.label("made.by", "tests").build();
    image.load(&docker).await?;
    let inspected = docker.inspect_image("webapp:1").await?;
    ensure!(
        inspected.id.as_ref() == Some(&image.id),
        "{:?} is not {}",
        inspected.id,
        image.id
    );

    let port = ports::free_port()?;
    run_webapp(&docker, "webapp:1", "web", port).await?;
    answers(port, "hello by web from v1\n").await?;
    ensure!(http::get(port, "/healthz").await?.0 == 200);
    engine
        .docker(&["exec", "web", "/webapp", "touch", "/tmp/sick"])
        .await?;
    ensure!(http::get(port, "/healthz").await?.0 == 503);

    let before = docker.inspect_container("web", None).await?.id;
    engine.kill9()?;
    ensure!(docker.ping().await.is_err(), "a killed engine answers");
    engine.restart().await?;
    ensure!(
        docker.inspect_container("web", None).await?.id == before,
        "another container than before"
    );
    docker
        .start_container("web", None::<StartContainerOptions>)
        .await?;
    answers(port, "hello by web from v1\n").await?;

    let stopping = Instant::now();
    docker.stop_container("web", None).await?;
    ensure!(
        stopping.elapsed() < Duration::from_secs(5),
        "the application does not stop promptly"
    );
    Ok(())
}

#[tokio::test]
async fn a_frozen_engine_is_silent_until_thawed() -> Result<()> {
    let Some(engine) = Dockerd::start().await? else {
        return Ok(());
    };
    let docker = engine.bollard()?;
    engine.freeze()?;
    let silent = tokio::time::timeout(Duration::from_millis(300), docker.ping()).await;
    ensure!(silent.is_err(), "a frozen engine answered: {silent:?}");
    engine.thaw()?;
    docker.ping().await?;
    Ok(())
}

#[tokio::test]
async fn two_engines_run_side_by_side_and_leave_nothing() -> Result<()> {
    let (one, two) = tokio::try_join!(Dockerd::start(), Dockerd::start())?;
    let (Some(one), Some(two)) = (one, two) else {
        return Ok(());
    };
    let image = webapp("webapp:1", "v1")?.build();
    let mut networks = Vec::new();
    for (engine, name) in [(&one, "first"), (&two, "second")] {
        let docker = engine.bollard()?;
        image.load(&docker).await?;
        let port = ports::free_port()?;
        run_webapp(&docker, "webapp:1", name, port).await?;
        answers(port, &format!("hello by {name} from v1\n")).await?;
        networks.push(
            engine
                .docker(&["network", "create", "net"])
                .await?
                .trim()
                .to_owned(),
        );
        let names = engine.docker(&["ps", "--format", "{{.Names}}"]).await?;
        ensure!(names.trim() == name, "sees {names}");
    }
    // Paused, it ignores SIGKILL: the hardest to clean up.
    one.docker(&["pause", "first"]).await?;
    let sockets = [&one, &two].map(|engine| engine.socket().to_owned());
    let bases: Vec<&Path> = sockets.iter().filter_map(|socket| socket.parent()).collect();
    drop((one, two));

    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    for (base, network) in bases.iter().zip(networks) {
        ensure!(!base.exists(), "{} is left", base.display());
        ensure!(
            !mounts.contains(&*base.to_string_lossy()),
            "mounts are left in {}",
            base.display()
        );
        let bridge = Path::new("/sys/class/net").join(format!("br-{}", &network[..12]));
        ensure!(!bridge.exists(), "{} is left", bridge.display());
    }
    Ok(())
}

#[tokio::test]
async fn a_registry_wants_the_right_password() -> Result<()> {
    let Some(registry) = Registry::start().await? else {
        return Ok(());
    };
    let Some(engine) = Dockerd::start().await? else {
        return Ok(());
    };
    let docker = engine.bollard()?;
    webapp("webapp:1", "v1")?.build().load(&docker).await?;
    let reference = registry.push(&docker, "webapp:1").await?;
    engine.docker(&["image", "rm", "webapp:1"]).await?;

    let refused = pull(&docker, &reference, registry.credentials_with("wrong")).await;
    ensure!(refused.is_err(), "pulled with a wrong password");
    pull(&docker, &reference, registry.credentials()).await?;
    docker.inspect_image(&reference).await?;
    Ok(())
}

#[tokio::test]
async fn a_real_api_server_answers_kubectl_and_survives_its_store() -> Result<()> {
    let Some(mut server) = ApiServer::start().await? else {
        return Ok(());
    };
    let version = server.kubectl(&["version", "-o", "json"]).await?;
    ensure!(
        version.matches("v1.36").count() >= 2,
        "client and server are not 1.36: {version}"
    );

    let maps: Api<ConfigMap> = Api::default_namespaced(server.client().await?);
    let map = ConfigMap {
        data: Some([("k".to_owned(), "v".to_owned())].into()),
        ..ConfigMap::default()
    };
    let named = ConfigMap {
        metadata: kube::core::ObjectMeta {
            name: Some("kept".into()),
            ..kube::core::ObjectMeta::default()
        },
        ..map
    };
    maps.create(&PostParams::default(), &named).await?;
    let kept = server
        .kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.data.k}"])
        .await?;
    ensure!(kept == "v", "kubectl sees {kept:?}");

    server.kill_etcd9()?;
    server.restart().await?;
    let listed = wait_until("the list after etcd is back", SOON, async || {
        maps.list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())
    })
    .await?;
    ensure!(
        listed
            .items
            .iter()
            .any(|map| map.metadata.name.as_deref() == Some("kept")),
        "{listed:?}"
    );
    Ok(())
}

#[test]
fn equal_images_are_equal_bytes() -> Result<()> {
    let [one, two] = [
        webapp("webapp:1", "v1")?.build(),
        webapp("webapp:1", "v1")?.build(),
    ];
    assert_eq!(one.archive, two.archive);
    assert_ne!(one.id, webapp("webapp:1", "v2")?.build().id);
    Ok(())
}

#[tokio::test]
async fn a_dropped_process_takes_its_children_with_it() -> Result<()> {
    // Neither listens to SIGTERM; and a leader that does must not leave the other behind.
    for trap in [
        "trap '' TERM; sleep 1000 & echo $!; wait",
        "(trap '' TERM; sleep 1000) & echo $!; wait",
    ] {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", trap]);
        let process = Process::spawn("stubborn", &command, &directory.path().join("log"))?;
        let child: u32 = wait_until("the child's pid", SOON, async || {
            let log = process.log_tail();
            log.parse().map_err(|_| log)
        })
        .await?;
        drop(process);
        wait_until("the child's end", SOON, async || {
            let running = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if running.is_empty() { Ok(()) } else { Err(running) }
        })
        .await?;
    }
    Ok(())
}
