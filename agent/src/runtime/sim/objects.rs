//! Images, networks and volumes of the machine. Every function is one effect; nothing here waits.

use std::collections::BTreeMap;

use longshore_plan::desired::{DesiredNetwork, DesiredVolume};
use longshore_plan::names::EngineId;
use longshore_plan::spec::MountSource;

use super::behaviour::SimImage;
use super::journal::Actor;
use super::registry::{Reference, image_id};
use super::state::{Container, Network, Refusal, State};
use crate::runtime::{ImageInfo, NetworkInfo, RuntimeErrorKind, VolumeInfo};

impl State {
    pub(super) fn local_image(&self, reference: &str) -> Option<&SimImage> {
        if let Some(by_id) = self.images.values().find(|image| image_id(image) == reference) {
            return Some(by_id);
        }
        self.images.get(&local_name(reference))
    }

    pub(super) fn load_image(&mut self, reference: &str, image: SimImage) -> ImageInfo {
        let info = ImageInfo {
            id: image_id(&image),
            size_bytes: image.size_bytes,
        };
        self.images.insert(local_name(reference), image);
        self.emit("image", "pull", reference);
        info
    }

    pub(super) fn create_network(
        &mut self,
        network: &DesiredNetwork,
        subnet: Option<&str>,
        labels: &BTreeMap<String, String>,
        made_by: Actor,
    ) -> Result<(), Refusal> {
        if let Some(there) = self.networks.get(&network.name) {
            let ours = labels
                .iter()
                .all(|label| there.info.labels.get_key_value(label.0) == Some(label));
            if ours && there.made_by != Actor::Operator {
                return Ok(());
            }
            let words = format!("network with name {} already exists", network.name);
            return Err(Refusal::new(RuntimeErrorKind::NameConflict, words));
        }
        self.networks_made += 1;
        let number = self.networks_made;
        let subnet = subnet.or(network.subnet.as_deref());
        let subnet = subnet.map_or_else(
            || format!("172.{}.{}.0/24", 18 + number / 256 % 14, number % 256),
            ToOwned::to_owned,
        );
        if self
            .networks
            .values()
            .any(|other| other.info.subnets.contains(&subnet))
        {
            let words = "Pool overlaps with other one on this address space";
            return Err(Refusal::new(RuntimeErrorKind::Conflict, words));
        }
        let id = self.new_id().0;
        let info = NetworkInfo {
            id,
            name: network.name.clone(),
            labels: labels.clone(),
            subnets: vec![subnet],
        };
        self.networks
            .insert(network.name.clone(), Network { info, made_by });
        self.emit("network", "create", &network.name);
        Ok(())
    }

    pub(super) fn remove_network(&mut self, name: &str) -> Result<(), Refusal> {
        if self
            .containers
            .values()
            .any(|container| container.lives() && container.networks.contains_key(name))
        {
            let words = format!("error while removing network: network {name} has active endpoints");
            return Err(Refusal::new(RuntimeErrorKind::Conflict, words));
        }
        if self.networks.remove(name).is_some() {
            self.emit("network", "destroy", name);
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, network: &str, id: &EngineId) -> Result<(), Refusal> {
        if !self.networks.contains_key(network) {
            return Err(Refusal::new(
                RuntimeErrorKind::NotFound,
                format!("network {network} not found"),
            ));
        }
        let number = self.container(id)?.number;
        let address = self.address(Some(network), number);
        self.container(id)?.networks.insert(network.to_owned(), address);
        self.emit("network", "connect", network);
        Ok(())
    }

    pub(super) fn disconnect(&mut self, network: &str, id: &EngineId) -> Result<(), Refusal> {
        self.container(id)?.networks.remove(network);
        self.emit("network", "disconnect", network);
        Ok(())
    }

    pub(super) fn create_volume(
        &mut self,
        volume: &DesiredVolume,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let driver = volume.driver.as_deref().unwrap_or("local");
        if let Some(there) = self.volumes.get(&volume.name) {
            if there.driver == driver {
                return Ok(());
            }
            let words = format!("a volume {} exists with driver {}", volume.name, there.driver);
            return Err(Refusal::new(RuntimeErrorKind::Conflict, words));
        }
        let info = VolumeInfo {
            name: volume.name.clone(),
            driver: driver.to_owned(),
            labels: labels.clone(),
        };
        self.volumes.insert(volume.name.clone(), info);
        self.emit("volume", "create", &volume.name);
        Ok(())
    }

    pub(super) fn remove_volume(&mut self, name: &str) -> Result<(), Refusal> {
        let uses = |container: &&Container| {
            container.request.spec.mounts.iter().any(
                |mount| matches!(&mount.source, MountSource::Volume { name: mounted } if mounted == name),
            )
        };
        if let Some(user) = self.containers.values().find(uses) {
            let words = format!("remove {name}: volume is in use - [{}]", user.id.0);
            return Err(Refusal::new(RuntimeErrorKind::Conflict, words));
        }
        if self.volumes.remove(name).is_some() {
            self.emit("volume", "destroy", name);
        }
        Ok(())
    }

    pub(super) fn remove_image(&mut self, reference: &str) {
        let Some(id) = self.local_image(reference).map(image_id) else {
            return;
        };
        if !self.containers.values().any(|container| container.image_id == id) {
            self.images
                .retain(|name, image| *name != local_name(reference) && image_id(image) != reference);
        }
    }
}

fn local_name(reference: &str) -> String {
    let Reference {
        server,
        repository,
        version,
    } = Reference::parse(reference);
    format!("{server}/{repository}:{version}")
}
