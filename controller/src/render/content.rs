//! What a Workload refers to in ConfigMaps and Secrets. The renderer sees digests only (see
//! `crate::content` for how they are made), so no value can leave through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use longshore_crds::Workload;
use longshore_crds::workload::{Container, EnvFrom, EnvVarSource, KeyRef, Volume};
use longshore_plan::spec::{ContentDigest, ContentRef};

/// The kinds that content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

/// A ConfigMap or Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentObject {
    /// Which of the two.
    pub kind: ContentKind,
    /// Its namespace, which is the workload's.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Where a digest's value is to be read when a device asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentSource {
    /// The object.
    pub object: ContentObject,
    /// The key in it.
    pub key: String,
}

/// What ConfigMaps and Secrets contain, as digests.
pub trait ContentLookup {
    /// The digests of an object's values by key; absent if there is no such object.
    fn digests(&self, object: &ContentObject) -> Option<&BTreeMap<String, ContentDigest>>;
}

/// Every ConfigMap and Secret that `workload` refers to, existing or not: a change of any of them asks
/// for another rendering.
pub fn references(workload: &Workload) -> BTreeSet<ContentObject> {
    let namespace = workload.metadata.namespace.as_deref().unwrap_or_default();
    let template = &workload.spec.template;
    let containers = template.init_containers.iter().chain(&template.containers);
    let pull_secrets = template.image_pull_secrets.iter();
    let named = containers
        .flat_map(of_container)
        .chain(template.volumes.iter().filter_map(of_volume))
        .chain(pull_secrets.map(|secret| (ContentKind::Secret, secret.name.as_str())));
    named
        .map(|(kind, name)| ContentObject {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
        .collect()
}

fn of_container(container: &Container) -> impl Iterator<Item = (ContentKind, &str)> {
    let env = container
        .env
        .iter()
        .filter_map(|var| of_source(var.value_from.as_ref()?));
    let env = env.map(|(kind, key)| (kind, key.name.as_str()));
    let env_from = container.env_from.iter().filter_map(of_env_from);
    env.chain(env_from.map(|(kind, name, _)| (kind, name)))
}

fn of_volume(volume: &Volume) -> Option<(ContentKind, &str)> {
    let config_map = volume
        .config_map
        .as_ref()
        .map(|c| (ContentKind::ConfigMap, c.name.as_str()));
    config_map.or_else(|| {
        volume
            .secret
            .as_ref()
            .map(|s| (ContentKind::Secret, s.secret_name.as_str()))
    })
}

/// The one reference of a variable; absent if there are none or two.
pub(super) fn of_source(source: &EnvVarSource) -> Option<(ContentKind, &KeyRef)> {
    let EnvVarSource {
        config_map_key_ref,
        secret_key_ref,
    } = source;
    match (config_map_key_ref, secret_key_ref) {
        (Some(key), None) => Some((ContentKind::ConfigMap, key)),
        (None, Some(key)) => Some((ContentKind::Secret, key)),
        _ => None,
    }
}

/// The one reference of an `envFrom` (kind, name, optional); absent if there are none or two.
pub(super) fn of_env_from(from: &EnvFrom) -> Option<(ContentKind, &str, bool)> {
    let EnvFrom {
        prefix: _,
        config_map_ref,
        secret_ref,
    } = from;
    let (kind, object) = match (config_map_ref, secret_ref) {
        (Some(object), None) => (ContentKind::ConfigMap, object),
        (None, Some(object)) => (ContentKind::Secret, object),
        _ => return None,
    };
    Some((kind, &object.name, object.optional == Some(true)))
}

impl ContentSource {
    /// The reference that a plan carries.
    pub(super) fn reference(&self, digest: &ContentDigest) -> ContentRef {
        ContentRef {
            digest: digest.clone(),
            secret: self.object.kind == ContentKind::Secret,
        }
    }
}
