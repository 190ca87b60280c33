//! Images that cannot be pulled, told by what is wrong with them.

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use longshore_tests::harness::{Registry, ports};
use serde_json::{Value, json};

use super::manifests::{content, web};
use super::stage::{Stage, answers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_cannot_be_pulled_leaves_what_runs_and_says_why() -> Result<()> {
    let Some(registry) = Registry::start().await? else {
        return Ok(());
    };
    let Some(stage) = Stage::set().await? else {
        return Ok(());
    };
    let good = push_only(&registry, &stage.docker, "hello:2").await?;
    let port = stage.hello().await?;
    let running = stage.container("hello.web").await?;
    stage.objects.apply(&pull_secret(&registry, None)).await?;

    let nobody = format!("127.0.0.1:{}/hello:2", ports::free_port()?);
    let wrong = Some("wrong+/password");
    let cases = [
        (
            "no such name",
            registry.reference("nothing:1"),
            None,
            // docker-registry answers "manifest unknown" for a name it lacks as for a tag, so that here the
            // engine cannot tell them apart; the runtime contract says more of it.
            "ImageTagNotFound",
        ),
        (
            "no such tag",
            registry.reference("hello:nine"),
            None,
            "ImageTagNotFound",
        ),
        ("no such registry", nobody, None, "RegistryUnavailable"),
        (
            "wrong password",
            good.clone(),
            wrong,
            "RegistryAuthenticationFailed",
        ),
    ];
    for (case, image, password, reason) in cases {
        stage.objects.apply(&pull_secret(&registry, password)).await?;
        stage.objects.apply(&from_registry(&image, port)).await?;
        let told = stage.objects.unready("hello", &[reason]).await.context(case)?;
        ensure!(
            told.message.contains(&image),
            "{case}: does not name {image}: {told:?}"
        );
        ensure!(
            !told.message.contains("wrong+/password"),
            "{case}: tells the password: {told:?}"
        );
        ensure!(
            stage.container("hello.web").await? == running,
            "{case}: what ran was touched"
        );
        answers(port, "/", "hello from v1").await.context(case)?;
    }

    // The last one heals by itself once the password is right: nobody applies the workload again.
    stage.objects.apply(&pull_secret(&registry, None)).await?;
    stage.objects.ready("hello").await?;
    answers(port, "/", "hello from v2").await?;
    ensure!(stage.container("hello.web").await?.image == good);

    let mut never = web("never", "absent:1", ports::free_port()?);
    never["spec"]["template"]["containers"][0]["imagePullPolicy"] = json!("Never");
    stage.objects.apply(&never).await?;
    let told = stage.objects.unready("never", &["ImageNeverPull"]).await?;
    ensure!(told.message.contains("absent:1"), "{told:?}");
    Ok(())
}

/// The workload with an image that the registry wants a password for.
fn from_registry(image: &str, port: u16) -> Value {
    let mut workload = web("hello", image, port);
    workload["spec"]["template"]["imagePullSecrets"] = json!([{"name": "registry"}]);
    workload
}

/// Puts an image into the registry and takes it from the engine; its name there.
async fn push_only(registry: &Registry, docker: &Docker, image: &str) -> Result<String> {
    let reference = registry.push(docker, image).await?;
    let removal = docker.remove_image(image, None::<bollard::query_parameters::RemoveImageOptions>, None);
    removal.await.with_context(|| format!("removing {image}"))?;
    Ok(reference)
}

/// What `kubectl create secret docker-registry` makes, with the right password or another one.
fn pull_secret(registry: &Registry, password: Option<&str>) -> Value {
    let account = password.map_or_else(
        || registry.credentials(),
        |other| registry.credentials_with(other),
    );
    let config = json!({"auths": {registry.address(): {
        "username": account.username, "password": account.password,
    }}});
    let mut secret = content(
        "Secret",
        "registry",
        &json!({".dockerconfigjson": config.to_string()}),
    );
    secret["type"] = json!("kubernetes.io/dockerconfigjson");
    secret
}
