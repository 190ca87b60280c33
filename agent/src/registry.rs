//! Which credentials go with which image. Pure; the values come from Secrets of type
//! `kubernetes.io/dockerconfigjson` and are shown nowhere.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::runtime::RegistryAuth;

/// Docker Hub's name in image references.
const HUB: &str = "docker.io";
/// What `docker login` writes for Docker Hub.
const HUB_ALIASES: [&str; 3] = [
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
];

/// A `.dockerconfigjson` that cannot be read. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pull secret is no .dockerconfigjson")]
pub(crate) struct InvalidPullSecret;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

/// The registry an image reference names, by Docker's rules: the first part is a host only if it has a dot
/// or a colon, or is `localhost`.
pub(crate) fn server_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => HUB,
    }
}

/// The credentials in one pull secret for the image's registry, if it has any.
pub(crate) fn credentials(config: &[u8], image: &str) -> Result<Option<RegistryAuth>, InvalidPullSecret> {
    let config: DockerConfig = serde_json::from_slice(config).map_err(|_| InvalidPullSecret)?;
    let wanted = canonical(server_of(image));
    let Some((server, entry)) = config
        .auths
        .into_iter()
        .find(|(server, _)| canonical(server) == wanted)
    else {
        return Ok(None);
    };
    let decoded = |auth: String| {
        let bytes = STANDARD.decode(auth.trim()).map_err(|_| InvalidPullSecret)?;
        let text = String::from_utf8(bytes).map_err(|_| InvalidPullSecret)?;
        text.split_once(':')
            .map(|(user, password)| (user.to_owned(), password.to_owned()))
            .ok_or(InvalidPullSecret)
    };
    let (username, password) = match (entry.username, entry.password, entry.auth) {
        (Some(username), Some(password), _) => (username, password),
        (_, _, Some(auth)) => decoded(auth)?,
        _ => return Err(InvalidPullSecret),
    };
    Ok(Some(RegistryAuth {
        server,
        username,
        password,
    }))
}

/// A server without scheme and path, with Docker Hub's names made one.
fn canonical(server: &str) -> &str {
    let server = server
        .strip_prefix("https://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    let host = server.split('/').next().unwrap_or(server);
    if HUB_ALIASES.contains(&host) { HUB } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_its_registry_as_docker_reads_it() {
        for (image, server) in [
            ("hello", "docker.io"),
            ("hello:1", "docker.io"),
            ("library/hello", "docker.io"),
            ("docker.io/library/hello", "docker.io"),
            ("localhost/hello", "localhost"),
            ("localhost:5000/hello:1", "localhost:5000"),
            (
                "registry.example.com/team/hello@sha256:00",
                "registry.example.com",
            ),
        ] {
            assert_eq!(server_of(image), server, "{image}");
        }
    }

    #[test]
    fn credentials_are_found_by_server_in_every_form() {
        let auth = STANDARD.encode("robot:p:w");
        let config = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"username":"hub","password":"pw"}},
                 "r.example.com:5000":{{"auth":"{auth}"}}}}}}"#
        );
        let found = |image| credentials(config.as_bytes(), image).unwrap();
        assert_eq!(found("hello").unwrap().username, "hub");
        let robot = found("r.example.com:5000/a/b:1").unwrap();
        assert_eq!(
            (robot.username.as_str(), robot.password.as_str()),
            ("robot", "p:w")
        );
        assert_eq!(found("other.example.com/a"), None);
    }

    #[test]
    fn what_is_no_pull_secret_is_refused_without_quoting_it() {
        for config in [
            "",
            "hunter2",
            r#"{"auths":{"docker.io":{"auth":"hunter2"}}}"#,
            r#"{"auths":{"docker.io":{}}}"#,
        ] {
            let error = credentials(config.as_bytes(), "hello").unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(credentials(b"{}", "hello"), Ok(None));
    }
}
