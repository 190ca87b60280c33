//! The simulated registries, and references as Docker reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::behaviour::SimImage;
use super::state::Refusal;
use crate::runtime::{RegistryAuth, RuntimeErrorKind};

/// An image reference, taken apart by Docker's rules: the first component is a server only if it has a
/// dot or a colon or is `localhost`; without tag and digest it is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) server: String,
    pub(super) repository: String,
    /// A tag, or `sha256:…` of a digest.
    pub(super) version: String,
}

impl Reference {
    pub(super) fn parse(text: &str) -> Self {
        let (server, rest) = match text.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => ("docker.io", text),
        };
        let (name, version) = match rest.split_once('@') {
            Some((name, digest)) => (name.split_once(':').map_or(name, |(name, _)| name), digest),
            None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
        };
        let library = server == "docker.io" && !name.contains('/');
        let repository = if library {
            format!("library/{name}")
        } else {
            name.to_owned()
        };
        Self {
            server: server.to_owned(),
            repository,
            version: version.to_owned(),
        }
    }

    pub(super) fn place(&self) -> (String, String) {
        (self.server.clone(), self.repository.clone())
    }
}

/// The image's id: equal content, equal id.
pub(super) fn image_id(image: &SimImage) -> String {
    let word = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, &image.content).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    format!("sha256:{}{}{}{}", word(1), word(2), word(3), word(4))
}

/// What all registries of the world hold.
#[derive(Debug, Default)]
pub(super) struct Registries {
    repositories: BTreeMap<(String, String), Repository>,
    unreachable: BTreeSet<String>,
    /// Every reference is served by this image; for a demonstration without images.
    pub(super) anything: Option<SimImage>,
}

#[derive(Debug, Default)]
struct Repository {
    images: BTreeMap<String, SimImage>,
    /// User name and password.
    account: Option<(String, String)>,
}

impl Registries {
    pub(super) fn publish(&mut self, reference: &Reference, image: SimImage) {
        let repository = self.repositories.entry(reference.place()).or_default();
        repository.images.insert(image_id(&image), image.clone());
        repository.images.insert(reference.version.clone(), image);
    }

    pub(super) fn withdraw(&mut self, reference: &Reference) {
        if let Some(repository) = self.repositories.get_mut(&reference.place()) {
            repository.images.remove(&reference.version);
        }
    }

    pub(super) fn protect(&mut self, reference: &Reference, username: &str, password: &str) {
        let account = Some((username.to_owned(), password.to_owned()));
        self.repositories.entry(reference.place()).or_default().account = account;
    }

    pub(super) fn set_reachable(&mut self, server: &str, reachable: bool) {
        if reachable {
            self.unreachable.remove(server);
        } else {
            self.unreachable.insert(server.to_owned());
        }
    }

    pub(super) fn find(&self, wanted: &Reference, auth: Option<&RegistryAuth>) -> Result<SimImage, Refusal> {
        let Reference {
            server,
            repository: name,
            version,
        } = wanted;
        if self.unreachable.contains(server) {
            let words = format!("Get \"https://{server}/v2/\": dial tcp: connection refused");
            return Err(Refusal::new(RuntimeErrorKind::RegistryUnavailable, words));
        }
        let Some(repository) = self.repositories.get(&wanted.place()) else {
            if let Some(image) = &self.anything {
                let content = format!("{}-{name}:{version}", image.content);
                return Ok(SimImage {
                    content,
                    ..image.clone()
                });
            }
            let words = format!("pull access denied for {name}, repository does not exist");
            return Err(Refusal::new(RuntimeErrorKind::ImageNotFound, words));
        };
        if let Some((username, password)) = &repository.account
            && !auth.is_some_and(|auth| auth.username == *username && auth.password == *password)
        {
            let words = if auth.is_none() {
                "no basic auth credentials"
            } else {
                "authentication required"
            };
            return Err(Refusal::new(
                RuntimeErrorKind::RegistryAuthenticationFailed,
                words,
            ));
        }
        repository.images.get(version).cloned().ok_or_else(|| {
            let words = format!("manifest for {server}/{name}:{version} not found: manifest unknown");
            Refusal::new(RuntimeErrorKind::ImageTagNotFound, words)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        for (text, server, repository, version) in [
            ("hello", "docker.io", "library/hello", "latest"),
            ("hello:1", "docker.io", "library/hello", "1"),
            ("me/hello:1", "docker.io", "me/hello", "1"),
            ("docker.io/library/hello", "docker.io", "library/hello", "latest"),
            ("127.0.0.1:5000/hello", "127.0.0.1:5000", "hello", "latest"),
            ("localhost/a/b:2", "localhost", "a/b", "2"),
            ("r.example/a:1@sha256:ab", "r.example", "a", "sha256:ab"),
        ] {
            let wanted = Reference {
                server: server.to_owned(),
                repository: repository.to_owned(),
                version: version.to_owned(),
            };
            assert_eq!(Reference::parse(text), wanted, "{text}");
        }
    }
}
