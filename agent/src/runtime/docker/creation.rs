//! The steps of a creation around the one request that makes the container.

use bollard::Docker;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use longshore_plan::names::EngineId;
use longshore_plan::spec::MountSource;

use super::connection::{ApiVersion, CHANGING, LOOKING};
use super::error::own;
use super::secrets::Secrets;
use super::{DockerRuntime, create, objects, profile};
use crate::runtime::{CreateRequest, Runtime as _, RuntimeError, RuntimeErrorKind};

impl DockerRuntime {
    pub(super) async fn create_container(&self, request: &CreateRequest) -> Result<EngineId, RuntimeError> {
        let operation = format!("create {}", request.name);
        if let Some(name) = create::missing_content(request) {
            return Err(own(
                &operation,
                RuntimeErrorKind::Invalid,
                format!("no directory for content {name}"),
            ));
        }
        let (_, version) = self.connection.docker(&operation).await?;
        let image = self.image_config(&operation, &request.spec.image).await?;
        let seccomp_profile = match request.spec.security.seccomp.as_deref() {
            None | Some("unconfined") => None,
            Some(path) => Some(profile::read(path).await.map_err(|error| {
                own(
                    &operation,
                    RuntimeErrorKind::Invalid,
                    format!("seccomp profile {path}: {error}"),
                )
            })?),
        };
        self.make_host_paths(&operation, request, version).await?;
        let body = create::body(
            request,
            &create::Context {
                version,
                image,
                seccomp_profile,
            },
        );
        let options = CreateContainerOptionsBuilder::default()
            .name(&request.name)
            .build();
        let create = |docker: Docker| async move { docker.create_container(Some(options), body).await };
        let secrets = Secrets::of_environment(&request.env);
        let created = self
            .connection
            .call_with(&secrets, &operation, CHANGING, create)
            .await;
        let id = EngineId(created?.id);
        if version < create::MANY_ENDPOINTS {
            let aliases: Vec<String> = Some(request.alias.clone())
                .filter(|alias| !alias.is_empty())
                .into_iter()
                .collect();
            for network in request.networks.iter().skip(1) {
                if let Err(error) = objects::connect(&self.connection, network, &id, &aliases).await {
                    // All or nothing; should this fail too, the caller finds it by name.
                    self.remove(&id).await.ok();
                    return Err(error);
                }
            }
        }
        Ok(id)
    }

    async fn image_config(
        &self,
        operation: &str,
        reference: &str,
    ) -> Result<bollard::models::ImageConfig, RuntimeError> {
        let inspect = |docker: Docker| async move { docker.inspect_image(reference).await };
        Ok(self
            .connection
            .call(operation, LOOKING, inspect)
            .await?
            .config
            .unwrap_or_default())
    }

    /// Directories that the engine will not make.
    async fn make_host_paths(
        &self,
        operation: &str,
        request: &CreateRequest,
        version: ApiVersion,
    ) -> Result<(), RuntimeError> {
        if version >= create::CREATE_MOUNTPOINT || !self.connection.is_local() {
            return Ok(());
        }
        for mount in &request.spec.mounts {
            if let MountSource::HostPath { path, create: true } = &mount.source
                // What exists, a file or socket among it, is taken as it is.
                && !tokio::fs::try_exists(path).await.unwrap_or(true)
            {
                tokio::fs::create_dir_all(path).await.map_err(|error| {
                    let kind = if error.kind() == std::io::ErrorKind::StorageFull {
                        RuntimeErrorKind::DiskFull
                    } else {
                        RuntimeErrorKind::Invalid
                    };
                    own(operation, kind, format!("making host path {path}: {error}"))
                })?;
            }
        }
        Ok(())
    }
}
