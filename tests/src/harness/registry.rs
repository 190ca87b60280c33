//! A private registry with an account, on this machine's 127.0.0.1 where engines accept plain HTTP.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptionsBuilder, TagImageOptionsBuilder};
use futures::TryStreamExt;
use serde_json::json;
use tempfile::TempDir;

use super::process::{Process, run, wait_ready};
use super::{find_program, first_missing, http, ports, skip};

const USER: &str = "robot";
const PASSWORD: &str = "let-me-in";
const STARTING: Duration = Duration::from_secs(30);

/// Debian's docker-registry with htpasswd authentication and storage of its own.
#[derive(Debug)]
pub struct Registry {
    _process: Process,
    _directory: TempDir,
    port: u16,
}

impl Registry {
    /// Starts one; `None` where it is not installed.
    pub async fn start() -> Result<Option<Self>> {
        if let Some(program) = first_missing(&["docker-registry", "htpasswd"]) {
            return skip(&format!(
                "{program} is not installed (scripts/setup-test-deps.sh installs it)"
            ));
        }
        let directory = tempfile::tempdir().context("making the registry's directory")?;
        let port = ports::free_port()?;
        // Docker's registry takes bcrypt alone (-B).
        let accounts = run(Command::new("htpasswd").args(["-Bbn", USER, PASSWORD]))?;
        fs::write(directory.path().join("htpasswd"), accounts)?;
        let config = json!({
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": directory.path().join("storage")},
                "delete": {"enabled": true},
            },
            "http": {"addr": format!("127.0.0.1:{port}"), "secret": "tests"},
            "auth": {"htpasswd": {"realm": "tests", "path": directory.path().join("htpasswd")}},
        });
        let config_file = directory.path().join("config.yml"); // JSON is YAML
        fs::write(&config_file, config.to_string())?;

        let mut command = Command::new(find_program("docker-registry").context("docker-registry")?);
        command.arg("serve").arg(&config_file);
        let mut process = Process::spawn(
            "docker-registry",
            &command,
            &directory.path().join("registry.log"),
        )?;
        wait_ready(&mut process, STARTING, async || {
            match http::get(port, "/v2/").await {
                Ok((401, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        Ok(Some(Self {
            _process: process,
            _directory: directory,
            port,
        }))
    }

    /// `127.0.0.1:<port>`, as it begins an image's name.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The name in this registry of a local image's name.
    pub fn reference(&self, image: &str) -> String {
        format!("{}/{image}", self.address())
    }

    /// The account that may pull and push.
    pub fn credentials(&self) -> DockerCredentials {
        self.credentials_with(PASSWORD)
    }

    /// The same account with a password of your choice, for refusals.
    pub fn credentials_with(&self, password: &str) -> DockerCredentials {
        DockerCredentials {
            username: Some(USER.to_owned()),
            password: Some(password.to_owned()),
            serveraddress: Some(self.address()),
            ..DockerCredentials::default()
        }
    }

    /// Tags an engine's image for this registry, pushes it, removes the tag, and returns that name.
    pub async fn push(&self, docker: &Docker, image: &str) -> Result<String> {
        let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let repository = self.reference(repository);
        let tagged = TagImageOptionsBuilder::default()
            .repo(&repository)
            .tag(tag)
            .build();
        docker.tag_image(image, Some(tagged)).await.context("tagging")?;
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let push = docker.push_image(&repository, Some(options), Some(self.credentials()));
        // A refusal may come inside the stream of a push that began well.
        let progress: Vec<_> = push.try_collect().await.context("pushing")?;
        let refusal = progress.into_iter().find_map(|line| line.error_detail);
        anyhow::ensure!(refusal.is_none(), "pushing {image}: {refusal:?}");
        let reference = format!("{repository}:{tag}");
        let removal = docker.remove_image(
            &reference,
            None::<bollard::query_parameters::RemoveImageOptions>,
            None,
        );
        removal.await.context("removing the tag")?;
        Ok(reference)
    }
}
