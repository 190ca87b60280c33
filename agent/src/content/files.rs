//! Files as Kubernetes lays them out: `<volume>/..data` is a link to a directory named by what is in it,
//! `<volume>/<file>` is a link into `..data`, and a change is one rename of that link. A container sees
//! all old files or all new ones.
//!
//! Each container and spec hash has directories of its own: while a container is replaced, neither sees
//! the other's files, and putting the old one back needs no files put back.

use std::collections::{BTreeMap, BTreeSet};

use longshore_plan::hash::{SpecHash, digest_hex};
use longshore_plan::names::ContainerKey;
use longshore_plan::spec::{ContainerSpec, ContentFile, MountSource};

use super::{Content, ContentError, Files};
use crate::storage::Storage;

const ROOT: &str = "content";
const MANIFEST: &str = "manifest.json";
const DATA: &str = "..data";

#[derive(serde::Serialize, serde::Deserialize)]
struct Manifest {
    key: ContainerKey,
    hash: SpecHash,
    files: Files,
}

/// The files fixed with the spec, by volume.
pub(super) fn fixed(spec: &ContainerSpec) -> Files {
    spec.mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Content { name, files } if !files.is_empty() => Some((name.clone(), files.clone())),
            MountSource::Content { .. }
            | MountSource::HostPath { .. }
            | MountSource::Volume { .. }
            | MountSource::Tmpfs { .. } => None,
        })
        .collect()
}

fn container_directory(key: &ContainerKey, hash: &SpecHash) -> String {
    // A hash comes from outside: only its digest is surely a file name.
    let safe = hash
        .0
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b':' || b == b'-')
        && !hash.0.is_empty();
    let hash = if safe {
        hash.0.replace(':', "-")
    } else {
        digest_hex(hash)
    };
    format!("{ROOT}/{key}/{hash}")
}

pub(super) fn directory(key: &ContainerKey, hash: &SpecHash, volume: &str) -> Result<String, ContentError> {
    if !is_plain(volume) || volume == MANIFEST {
        return Err(ContentError::Invalid {
            what: format!("volume {volume:?} of {key}"),
            why: "its name is no file name",
        });
    }
    Ok(format!("{}/{volume}", container_directory(key, hash)))
}

pub(super) async fn lay_out(
    content: &Content,
    directory: &str,
    files: &[ContentFile],
    what: &str,
) -> Result<(), ContentError> {
    for file in files {
        if !file.path.split('/').all(is_plain) {
            return Err(ContentError::Invalid {
                what: format!("file {:?} of {what}", file.path),
                why: "its path leaves the volume or begins with two dots",
            });
        }
    }
    let data = format!("..{}", digest_hex(&files));
    for file in files {
        let value = content
            .value(&file.content.digest, &format!("file {} of {what}", file.path))
            .await?;
        let path = format!("{directory}/{data}/{}", file.path);
        let mode = file.mode.unwrap_or(0o644) & 0o777;
        let written = content.storage.write(&path, value.bytes().to_vec(), mode).await;
        written.map_err(|error| failed(what, error.into()))?;
    }
    let swapped = swap(&content.storage, directory, &data, files).await;
    swapped.map_err(|source| failed(what, source))
}

async fn swap(storage: &Storage, directory: &str, data: &str, files: &[ContentFile]) -> std::io::Result<()> {
    // The way to the files is closed to other users of the device, and open inside a mount.
    storage.make_dir(ROOT, 0o700).await?;
    storage.make_dir(&format!("{directory}/{data}"), 0o755).await?;
    storage.link(&format!("{directory}/{DATA}"), data).await?;
    let visible: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.split('/').next())
        .collect();
    for name in &visible {
        storage
            .link(&format!("{directory}/{name}"), &format!("{DATA}/{name}"))
            .await?;
    }
    for name in storage.list(directory).await? {
        if name != DATA && name != data && !visible.contains(name.as_str()) {
            storage.remove(&format!("{directory}/{name}")).await?;
        }
    }
    Ok(())
}

fn failed(what: &str, source: std::io::Error) -> ContentError {
    ContentError::Write {
        what: what.to_owned(),
        source,
    }
}

/// One part of a path that stays where it is. `..x` is ours.
fn is_plain(part: &str) -> bool {
    !part.is_empty() && part != "." && !part.starts_with("..") && !part.contains(['/', '\0'])
}

pub(super) async fn write_manifest(
    storage: &Storage,
    key: &ContainerKey,
    hash: &SpecHash,
    files: &Files,
) -> Result<(), ContentError> {
    let directory = container_directory(key, hash);
    if files.is_empty() && storage.list(&directory).await.is_ok_and(|names| names.is_empty()) {
        return Ok(());
    }
    let manifest = Manifest {
        key: key.clone(),
        hash: hash.clone(),
        files: files.clone(),
    };
    let bytes = serde_json::to_vec(&manifest).expect("a manifest has string keys only");
    let written = storage
        .write(&format!("{directory}/{MANIFEST}"), bytes, 0o600)
        .await;
    written.map_err(|error| failed(&key.to_string(), error.into()))
}

/// What is laid out, as the manifests say. One that cannot be read counts as nothing laid out.
pub(super) async fn read_manifests(storage: &Storage) -> BTreeMap<(ContainerKey, SpecHash), Files> {
    let mut found = BTreeMap::new();
    for directory in container_directories(storage).await {
        if let Ok(Some(bytes)) = storage.read(&format!("{directory}/{MANIFEST}")).await
            && let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes)
        {
            found.insert((manifest.key, manifest.hash), manifest.files);
        }
    }
    found
}

pub(super) async fn collect(storage: &Storage, keep: &BTreeSet<(ContainerKey, SpecHash)>) {
    let keep: BTreeSet<String> = keep
        .iter()
        .map(|(key, hash)| container_directory(key, hash))
        .collect();
    for directory in container_directories(storage).await {
        if !keep.contains(&directory)
            && let Err(error) = storage.remove(&directory).await
        {
            tracing::warn!(%error, %directory, "unused files could not be removed");
        }
    }
}

async fn container_directories(storage: &Storage) -> Vec<String> {
    let mut found = Vec::new();
    for key in storage.list(ROOT).await.unwrap_or_default() {
        for hash in storage.list(&format!("{ROOT}/{key}")).await.unwrap_or_default() {
            found.push(format!("{ROOT}/{key}/{hash}"));
        }
    }
    found
}
