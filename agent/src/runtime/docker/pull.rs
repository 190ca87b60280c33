//! Pulls: references as the engine wants them, progress added up over layers, errors inside the stream.

use std::collections::HashMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;

use super::connection::Connection;
use super::error::{classify_pull, pull_refusal, timed_out, told};
use super::secrets::Secrets;
use crate::runtime::{PullProgress, PullProgressSender, RegistryAuth, RuntimeError, RuntimeErrorKind};

/// How long a pull may say nothing: a registry that stopped answering, or an engine that did. Unpacking a
/// large layer on a slow disk is told about now and then, so this is not its length.
const SILENCE: Duration = Duration::from_mins(5);
/// More layers than this are added up in one.
const MOST_LAYERS: usize = 512;

/// Pulls; dropping the future closes the connection, upon which the engine stops.
pub(super) async fn pull(
    connection: &Connection,
    reference: &str,
    auth: Option<&RegistryAuth>,
    progress: &PullProgressSender,
) -> Result<(), RuntimeError> {
    let operation = format!("pull {reference}");
    let (docker, _) = connection.docker(&operation).await?;
    let (name, version) = split(reference);
    let options = CreateImageOptionsBuilder::default()
        .from_image(name)
        .tag(version)
        .build();
    let credentials = auth.map(|auth| DockerCredentials {
        username: Some(auth.username.clone()),
        password: Some(auth.password.clone()),
        serveraddress: Some(auth.server.clone()),
        ..DockerCredentials::default()
    });
    let secrets = Secrets::of_values(auth.iter().map(|auth| auth.password.as_str()));
    let mut stream = docker.create_image(Some(options), None, credentials);
    let mut layers = Layers::default();
    loop {
        let item = tokio::time::timeout(SILENCE, stream.next()).await;
        match item.map_err(|_| timed_out(&operation))? {
            None => return Ok(()),
            Some(Ok(line)) => {
                if let Some(words) = line
                    .error_detail
                    .as_ref()
                    .and_then(|detail| detail.message.as_deref())
                {
                    return Err(told(&operation, classify_pull(None, words), words, &secrets));
                }
                if layers.update(&line) {
                    progress.send_replace(layers.total());
                }
            }
            Some(Err(error)) => {
                let refused = pull_refusal(&operation, &error, &secrets);
                if refused.kind == RuntimeErrorKind::Unavailable {
                    connection.forget_version();
                }
                return Err(refused);
            }
        }
    }
}

/// The repository and the tag or digest. Without a tag it is `latest`: an empty one would pull all tags.
/// Of a tag and a digest the digest decides, as everywhere in Docker.
pub(super) fn split(reference: &str) -> (&str, &str) {
    let tag_at = |name: &str| name.rfind(':').filter(|at| !name[*at..].contains('/'));
    if let Some((name, digest)) = reference.split_once('@') {
        return (tag_at(name).map_or(name, |at| &name[..at]), digest);
    }
    tag_at(reference).map_or((reference, "latest"), |at| {
        (&reference[..at], &reference[at + 1..])
    })
}

/// Bytes here and in all, by layer.
#[derive(Debug, Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    /// Takes a line in; whether it changed something.
    fn update(&mut self, line: &CreateImageInfo) -> bool {
        let (Some(layer), Some(status)) = (&line.id, &line.status) else {
            return false;
        };
        if self.0.len() >= MOST_LAYERS && !self.0.contains_key(layer) {
            return false;
        }
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let detail = line.progress_detail.as_ref();
        match status.as_str() {
            "Downloading" => {
                let current = number(detail.and_then(|detail| detail.current)).unwrap_or(0);
                let total = number(detail.and_then(|detail| detail.total)).unwrap_or(current);
                self.0.insert(layer.clone(), (current, total.max(current)));
                true
            }
            "Download complete" | "Pull complete" => self.0.get_mut(layer).is_some_and(|(current, total)| {
                let changed = current != total;
                *current = *total;
                changed
            }),
            _ => false, // waiting, verifying, extracting: nothing more comes over the wire
        }
    }

    fn total(&self) -> PullProgress {
        let add = |sum: PullProgress, (done, total): &(u64, u64)| PullProgress {
            done_bytes: sum.done_bytes.saturating_add(*done),
            total_bytes: sum.total_bytes.saturating_add(*total),
        };
        self.0.values().fold(PullProgress::default(), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_split_as_docker_splits_them() {
        for (reference, name, version) in [
            ("a", "a", "latest"),
            ("a:1", "a", "1"),
            ("r:5000/a", "r:5000/a", "latest"),
            ("r:5000/x/a:1.2", "r:5000/x/a", "1.2"),
            ("a@sha256:ab", "a", "sha256:ab"),
            ("r:5000/a:1@sha256:ab", "r:5000/a", "sha256:ab"),
        ] {
            assert_eq!(split(reference), (name, version), "{reference}");
        }
    }

    #[test]
    fn progress_adds_up_over_layers_and_never_shrinks() {
        let line = |id: &str, status: &str, current, total| -> CreateImageInfo {
            serde_json::from_value(serde_json::json!({
                "id": id, "status": status, "progressDetail": {"current": current, "total": total},
            }))
            .unwrap()
        };
        let mut layers = Layers::default();
        assert!(!layers.update(&line("1", "Pulling from a", 0, 0)));
        assert!(layers.update(&line("a", "Downloading", 10, 100)));
        assert!(layers.update(&line("b", "Downloading", 5, 50)));
        assert_eq!(
            layers.total(),
            PullProgress {
                done_bytes: 15,
                total_bytes: 150
            }
        );
        assert!(layers.update(&line("a", "Download complete", 0, 0)));
        assert!(!layers.update(&line("a", "Extracting", 1, 100)));
        assert!(!layers.update(&line("c", "Already exists", 0, 0)));
        assert_eq!(
            layers.total(),
            PullProgress {
                done_bytes: 105,
                total_bytes: 150
            }
        );
    }
}
