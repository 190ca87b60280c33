//! Networks and volumes. Docker lets two networks have one name and takes a volume of other options for
//! the same, so both are looked up before they are made.

use std::collections::{BTreeMap, HashMap};

use bollard::errors::Error;
use bollard::models::{
    Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
    VolumeCreateRequest,
};
use bollard::query_parameters::{ListNetworksOptions, RemoveVolumeOptions};
use longshore_plan::desired::{DesiredNetwork, DesiredVolume};
use longshore_plan::names::EngineId;
use serde::Deserialize;

use super::connection::{CHANGING, Connection, LOOKING};
use super::create::endpoint;
use super::error::own;
use super::inspect;
use super::secrets::Secrets;
use crate::runtime::{NetworkInfo, RuntimeError, RuntimeErrorKind, VolumeInfo};

pub(super) async fn networks(connection: &Connection) -> Result<Vec<NetworkInfo>, RuntimeError> {
    let all = connection.call("networks", LOOKING, |docker| async move {
        docker.list_networks(None::<ListNetworksOptions>).await
    });
    let mut all: Vec<NetworkInfo> = all.await?.into_iter().map(inspect::network).collect();
    all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(all)
}

pub(super) async fn create_network(
    connection: &Connection,
    network: &DesiredNetwork,
    subnet: Option<&str>,
    labels: &BTreeMap<String, String>,
) -> Result<(), RuntimeError> {
    let DesiredNetwork {
        name,
        driver,
        subnet: wanted_subnet,
        internal,
        options,
    } = network;
    let operation = format!("create network {name}");
    if let Some(there) = networks(connection)
        .await?
        .into_iter()
        .find(|there| there.name == *name)
    {
        if labels
            .iter()
            .all(|(key, value)| there.labels.get(key) == Some(value))
        {
            return Ok(());
        }
        let words = format!("a network named {name} exists and is not the one asked for");
        return Err(own(&operation, RuntimeErrorKind::NameConflict, words));
    }
    let pool = subnet.or(wanted_subnet.as_deref()).map(|subnet| Ipam {
        config: Some(vec![IpamConfig {
            subnet: Some(subnet.to_owned()),
            ..IpamConfig::default()
        }]),
        ..Ipam::default()
    });
    let body = NetworkCreateRequest {
        name: name.clone(),
        driver: Some(driver.clone().unwrap_or_else(|| "bridge".to_owned())),
        internal: internal.then_some(true),
        ipam: pool,
        options: Some(options.clone().into_iter().collect()),
        labels: Some(labels.clone().into_iter().collect()),
        ..NetworkCreateRequest::default()
    };
    let create = |docker: bollard::Docker| async move { docker.create_network(body).await.map(drop) };
    connection.call(&operation, CHANGING, create).await
}

pub(super) async fn remove_network(connection: &Connection, name: &str) -> Result<(), RuntimeError> {
    let operation = format!("remove network {name}");
    let remove = |docker: bollard::Docker| async move { docker.remove_network(name).await };
    gone_is_fine(connection.call(&operation, CHANGING, remove).await)
}

pub(super) async fn connect(
    connection: &Connection,
    network: &str,
    id: &EngineId,
    alias: &[String],
) -> Result<(), RuntimeError> {
    let operation = format!("connect {id} to {network}");
    let aliases = (!alias.is_empty()).then(|| alias.to_vec());
    let config = NetworkConnectRequest {
        container: id.0.clone(),
        endpoint_config: Some(bollard::models::EndpointSettings {
            aliases,
            ..endpoint("")
        }),
    };
    let connect = |docker: bollard::Docker| async move { docker.connect_network(network, config).await };
    match connection.call(&operation, CHANGING, connect).await {
        Err(error) if error.message.contains("already exists in network") => Ok(()),
        Err(error) if error.message.contains("already attached to network") => Ok(()),
        outcome => outcome,
    }
}

pub(super) async fn disconnect(
    connection: &Connection,
    network: &str,
    id: &EngineId,
) -> Result<(), RuntimeError> {
    let operation = format!("disconnect {id} from {network}");
    let config = NetworkDisconnectRequest {
        container: id.0.clone(),
        force: Some(true),
    };
    let disconnect =
        |docker: bollard::Docker| async move { docker.disconnect_network(network, config).await };
    match connection.call(&operation, CHANGING, disconnect).await {
        Err(error) if error.message.contains("is not connected to") => Ok(()),
        outcome => outcome,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    volumes: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    driver: String,
    labels: Option<BTreeMap<String, String>>,
    options: Option<BTreeMap<String, String>>,
}

async fn all_volumes(connection: &Connection) -> Result<Vec<Volume>, RuntimeError> {
    let answer: Volumes = connection.get("volumes", "/volumes").await?;
    Ok(answer.volumes.unwrap_or_default())
}

pub(super) async fn volumes(connection: &Connection) -> Result<Vec<VolumeInfo>, RuntimeError> {
    let info = |volume: Volume| {
        let Volume {
            name,
            driver,
            labels,
            options: _,
        } = volume;
        VolumeInfo {
            name,
            driver,
            labels: labels.unwrap_or_default(),
        }
    };
    let mut all: Vec<VolumeInfo> = all_volumes(connection).await?.into_iter().map(info).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

pub(super) async fn create_volume(
    connection: &Connection,
    volume: &DesiredVolume,
    labels: &BTreeMap<String, String>,
) -> Result<(), RuntimeError> {
    let DesiredVolume {
        name,
        driver,
        options,
        reclaim: _,
    } = volume;
    let operation = format!("create volume {name}");
    let driver = driver.as_deref().unwrap_or("local");
    if let Some(there) = all_volumes(connection)
        .await?
        .into_iter()
        .find(|there| there.name == *name)
    {
        let there_options = there.options.unwrap_or_default();
        if there.driver == driver && there_options == *options {
            return Ok(());
        }
        // Option values may be credentials of a network share: only their names are told.
        let names =
            |options: &BTreeMap<String, String>| options.keys().cloned().collect::<Vec<_>>().join(",");
        let words = format!(
            "a volume {name} exists with driver {} and options [{}], wanted are driver {driver} and options [{}]",
            there.driver,
            names(&there_options),
            names(options)
        );
        return Err(own(&operation, RuntimeErrorKind::Conflict, words));
    }
    let body = VolumeCreateRequest {
        name: Some(name.clone()),
        driver: Some(driver.to_owned()),
        driver_opts: Some(options.clone().into_iter().collect::<HashMap<_, _>>()),
        labels: Some(labels.clone().into_iter().collect()),
        cluster_volume_spec: None,
    };
    let create = |docker: bollard::Docker| async move {
        match docker.create_volume(body).await {
            // It was made; only its driver's status is not what bollard expects.
            Ok(_) | Err(Error::JsonDataError { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    };
    let secrets = Secrets::of_values(options.values().map(String::as_str));
    connection.call_with(&secrets, &operation, CHANGING, create).await
}

pub(super) async fn remove_volume(connection: &Connection, name: &str) -> Result<(), RuntimeError> {
    let operation = format!("remove volume {name}");
    let remove = |docker: bollard::Docker| async move {
        docker.remove_volume(name, None::<RemoveVolumeOptions>).await
    };
    gone_is_fine(connection.call(&operation, CHANGING, remove).await)
}

/// What is not there need not be removed.
pub(super) fn gone_is_fine(outcome: Result<(), RuntimeError>) -> Result<(), RuntimeError> {
    match outcome {
        Err(error) if error.kind == RuntimeErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
