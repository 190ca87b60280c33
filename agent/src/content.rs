//! Values of ConfigMaps and Secrets on the device: fetched by digest, cached, and laid out as files.
//!
//! Owns `values/` (a file per digest, 0600) and `content/` (a directory per container and spec hash).
//! Every failure is [`ContentError`]: the container is held and tried again. No value is ever shown: not
//! by `Debug`, not in an error, not in a log.

mod fetch;
mod files;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_bus::{Bus, DeviceId};
use longshore_plan::hash::SpecHash;
use longshore_plan::names::ContainerKey;
use longshore_plan::spec::{ContainerSpec, ContentDigest, ContentFile, EnvSource};

use crate::storage::Storage;

/// Why content could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// The controller does not have it, or did not answer in time.
    #[error("{what} is not on the device and could not be fetched: {why}")]
    Missing { what: String, why: &'static str },
    /// It cannot be used as declared.
    #[error("{what} cannot be used: {why}")]
    Invalid { what: String, why: &'static str },
    /// It could not be written down.
    #[error("write the files of {what}")]
    Write {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

/// A value; shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value(Vec<u8>);

impl Value {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value(<{} bytes>)", self.0.len())
    }
}

/// The files of a container that can be swapped in place, by volume.
pub(crate) type Files = BTreeMap<String, Vec<ContentFile>>;

/// The agent's content.
pub(crate) struct Content {
    storage: Storage,
    fetcher: fetch::Fetcher,
    /// What is laid out now, by container and spec hash.
    laid_out: Mutex<BTreeMap<(ContainerKey, SpecHash), Files>>,
}

impl Content {
    /// Reads what an earlier life left.
    pub(crate) async fn open(storage: Storage, device: DeviceId, bus: Arc<dyn Bus>) -> Self {
        let laid_out = files::read_manifests(&storage).await;
        Self {
            storage,
            fetcher: fetch::Fetcher::new(device, bus),
            laid_out: Mutex::new(laid_out),
        }
    }

    /// Hands over an answer of the controller.
    pub(crate) fn deliver(&self, response: longshore_bus::envelope::ContentResponse) {
        self.fetcher.deliver(response);
    }

    /// A value, from the cache or from the controller. `what` names it in an error.
    pub(crate) async fn value(&self, digest: &ContentDigest, what: &str) -> Result<Value, ContentError> {
        let path = value_path(digest).ok_or_else(|| ContentError::Invalid {
            what: what.to_owned(),
            why: "its digest is malformed",
        })?;
        // One that cannot be read is fetched again.
        if let Ok(Some(bytes)) = self.storage.read(&path).await {
            return Ok(Value(bytes));
        }
        let value = self
            .fetcher
            .fetch(digest)
            .await
            .map_err(|why| ContentError::Missing {
                what: what.to_owned(),
                why,
            })?;
        let written = self.storage.write(&path, value.0.clone(), 0o600).await;
        written.map_err(|error| ContentError::Write {
            what: what.to_owned(),
            source: error.into(),
        })?;
        Ok(value)
    }

    /// A container's environment with every reference resolved, `NAME=value`.
    pub(crate) async fn environment(&self, spec: &ContainerSpec) -> Result<Vec<String>, ContentError> {
        let mut environment = Vec::with_capacity(spec.env.len());
        for variable in &spec.env {
            let name = &variable.name;
            let value = match &variable.source {
                EnvSource::Value(value) => value.clone(),
                EnvSource::Content(content) => {
                    let what = format!("the content of environment variable {name}");
                    let value = self.value(&content.digest, &what).await?;
                    String::from_utf8(value.0).map_err(|_| ContentError::Invalid {
                        what,
                        why: "it is not UTF-8",
                    })?
                }
            };
            environment.push(format!("{name}={value}"));
        }
        Ok(environment)
    }

    /// Lays out all files of a container: those fixed with its spec and those that change in place.
    /// Returns the directory of each volume. Repeating it changes nothing.
    pub(crate) async fn lay_out(
        &self,
        key: &ContainerKey,
        hash: &SpecHash,
        spec: &ContainerSpec,
        changeable: &Files,
    ) -> Result<BTreeMap<String, String>, ContentError> {
        let fixed = files::fixed(spec);
        let mut directories = BTreeMap::new();
        for (volume, wanted) in fixed.iter().chain(changeable) {
            let directory = files::directory(key, hash, volume)?;
            files::lay_out(self, &directory, wanted, &format!("{key}, volume {volume}")).await?;
            directories.insert(volume.clone(), self.storage.absolute(&directory));
        }
        files::write_manifest(&self.storage, key, hash, changeable).await?;
        self.laid_out()
            .insert((key.clone(), hash.clone()), changeable.clone());
        Ok(directories)
    }

    /// The changeable files as they are laid out for a container.
    pub(crate) fn files_of(&self, key: &ContainerKey, hash: &SpecHash) -> Files {
        self.laid_out()
            .get(&(key.clone(), hash.clone()))
            .cloned()
            .unwrap_or_default()
    }

    /// Removes every value and every container's files that are not in use any more. What cannot be
    /// removed now is tried again next time.
    pub(crate) async fn collect(
        &self,
        values: &BTreeSet<ContentDigest>,
        containers: &BTreeSet<(ContainerKey, SpecHash)>,
    ) {
        for name in self.storage.list("values").await.unwrap_or_default() {
            if !values.contains(&ContentDigest(name.clone()))
                && let Err(error) = self.storage.remove(&format!("values/{name}")).await
            {
                tracing::warn!(%error, "an unused value could not be removed");
            }
        }
        files::collect(&self.storage, containers).await;
        self.laid_out().retain(|entry, _| containers.contains(entry));
    }

    fn laid_out(&self) -> MutexGuard<'_, BTreeMap<(ContainerKey, SpecHash), Files>> {
        self.laid_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

/// Every value a container refers to.
pub(crate) fn references(spec: &ContainerSpec, changeable: &Files) -> BTreeSet<ContentDigest> {
    let environment = spec.env.iter().filter_map(|variable| match &variable.source {
        EnvSource::Content(content) => Some(content.digest.clone()),
        EnvSource::Value(_) => None,
    });
    let fixed = files::fixed(spec);
    let files = fixed.values().chain(changeable.values()).flatten();
    environment
        .chain(files.map(|file| file.content.digest.clone()))
        .collect()
}

/// A digest becomes a file name only if it can be nothing else.
fn value_path(digest: &ContentDigest) -> Option<String> {
    let name = &digest.0;
    let legal = (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit());
    legal.then(|| format!("values/{name}"))
}
