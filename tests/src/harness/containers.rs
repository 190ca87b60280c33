//! The containers of an engine, as far as the tests compare them.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptions};

use super::watch::WORKLOAD;

/// One container. Equal ones are the same container in the same run: nothing was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image's name it was made from.
    pub image: String,
    /// `running`, `paused`, `exited`, …
    pub state: String,
    /// When it was last started.
    pub started_at: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its environment, as an inspection shows it.
    pub environment: Vec<String>,
}

/// The container of that name or id; `None` where there is none.
pub async fn find(docker: &Docker, name: &str) -> Result<Option<Container>> {
    let inspected = match docker.inspect_container(name, None).await {
        Ok(inspected) => inspected,
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("inspecting {name}")),
    };
    let (state, config) = (
        inspected.state.unwrap_or_default(),
        inspected.config.unwrap_or_default(),
    );
    Ok(Some(Container {
        id: inspected.id.unwrap_or_default(),
        name: inspected
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        image: config.image.unwrap_or_default(),
        state: state.status.map(|status| status.to_string()).unwrap_or_default(),
        started_at: state.started_at.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        environment: config.env.unwrap_or_default(),
    }))
}

/// The container of that name.
pub async fn get(docker: &Docker, name: &str) -> Result<Container> {
    find(docker, name)
        .await?
        .with_context(|| format!("there is no container {name}"))
}

/// Every container, up or not, by name.
pub async fn all(docker: &Docker) -> Result<BTreeMap<String, Container>> {
    with_filters(docker, &HashMap::new()).await
}

/// Those whose labels name this workload, by name.
pub async fn of_workload(docker: &Docker, workload: &str) -> Result<BTreeMap<String, Container>> {
    with_filters(
        docker,
        &HashMap::from([("label", vec![format!("{WORKLOAD}={workload}")])]),
    )
    .await
}

async fn with_filters(
    docker: &Docker,
    filters: &HashMap<&str, Vec<String>>,
) -> Result<BTreeMap<String, Container>> {
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(filters)
        .build();
    let listed = docker
        .list_containers(Some(options))
        .await
        .context("listing containers")?;
    let mut found = BTreeMap::new();
    for id in listed.into_iter().filter_map(|container| container.id) {
        // One that went away since is simply not there.
        if let Some(container) = find(docker, &id).await? {
            found.insert(container.name.clone(), container);
        }
    }
    Ok(found)
}

/// The names of all volumes.
pub async fn volumes(docker: &Docker) -> Result<Vec<String>> {
    let listed = docker
        .list_volumes(None::<ListVolumesOptions>)
        .await
        .context("listing volumes")?;
    let mut names: Vec<String> = listed
        .volumes
        .unwrap_or_default()
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    names.sort();
    Ok(names)
}
