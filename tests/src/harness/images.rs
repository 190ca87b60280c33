//! Images without a registry or a builder: FROM-scratch docker-archives of static programs, which
//! `docker load` and `ctr images import` both take, and the test application in one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result};
use bollard::Docker;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::process::run;
use super::tar::{Entry, archive};
use super::{repository, target_dir};

/// Builds an [`Image`]. Equal calls give equal bytes and so an equal image id.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    reference: String,
    entries: Vec<Entry>,
    config: Value,
    environment: Vec<String>,
    labels: BTreeMap<String, String>,
    exposed: BTreeSet<String>,
}

/// An image as a docker-archive in memory.
#[derive(Debug, Clone)]
pub struct Image {
    /// The name it is loaded under, `repository:tag`.
    pub reference: String,
    /// Its id as Docker shows it, `sha256:…`.
    pub id: String,
    /// The archive itself.
    pub archive: Bytes,
}

impl ImageBuilder {
    /// Starts FROM scratch.
    pub fn new(reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            entries: Vec::new(),
            config: json!({}),
            environment: Vec::new(),
            labels: BTreeMap::new(),
            exposed: BTreeSet::new(),
        }
    }

    /// Adds a file; its directories must have been added before, unless they are `/`.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: Vec<u8>) -> Self {
        self.entries.push(Entry::File {
            path: path.to_owned(),
            mode,
            content,
        });
        self
    }

    /// Adds an empty directory.
    #[must_use]
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.entries.push(Entry::Directory {
            path: path.to_owned(),
            mode,
        });
        self
    }

    /// `ENTRYPOINT`, in its exec form.
    #[must_use]
    pub fn entrypoint(self, arguments: &[&str]) -> Self {
        self.set("Entrypoint", json!(arguments))
    }

    /// `CMD`, in its exec form.
    #[must_use]
    pub fn cmd(self, arguments: &[&str]) -> Self {
        self.set("Cmd", json!(arguments))
    }

    /// `ENV`
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// `LABEL`
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// `EXPOSE`, TCP.
    #[must_use]
    pub fn expose(mut self, port: u16) -> Self {
        self.exposed.insert(format!("{port}/tcp"));
        self
    }

    /// `STOPSIGNAL`
    #[must_use]
    pub fn stop_signal(self, signal: &str) -> Self {
        self.set("StopSignal", json!(signal))
    }

    /// `HEALTHCHECK --interval --retries CMD`, in its exec form.
    #[must_use]
    pub fn healthcheck(self, arguments: &[&str], interval: std::time::Duration, retries: u32) -> Self {
        let test: Vec<&str> = ["CMD"].iter().chain(arguments).copied().collect();
        // Nanoseconds, as in the image specification.
        let nanoseconds = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self.set(
            "Healthcheck",
            json!({"Test": test, "Interval": nanoseconds, "Retries": retries}),
        )
    }

    /// Makes the archive.
    pub fn build(self) -> Image {
        let layer = archive(&self.entries);
        let layer_digest = sha256(&layer);
        let mut config = self.config;
        config["Env"] = json!(self.environment);
        config["Labels"] = json!(self.labels);
        config["ExposedPorts"] = self.exposed.into_iter().map(|port| (port, json!({}))).collect();
        // `created` in every history entry: iSulad refuses an image without.
        let created = "2000-01-01T00:00:00Z";
        let image = json!({
            "architecture": if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" },
            "os": "linux",
            "created": created,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
            "history": [{"created": created, "created_by": "longshore tests"}],
        });
        let image = image.to_string().into_bytes();
        let image_digest = sha256(&image);
        let layer_path = format!("{layer_digest}/layer.tar");
        let manifest = json!([{
            "Config": format!("{image_digest}.json"),
            "RepoTags": [self.reference],
            "Layers": [layer_path],
        }]);
        let plain = |path: String, content| Entry::File {
            path,
            mode: 0o644,
            content,
        };
        let archive = archive(&[
            plain(format!("{image_digest}.json"), image),
            Entry::Directory {
                path: layer_digest,
                mode: 0o755,
            },
            plain(layer_path, layer),
            plain("manifest.json".to_owned(), manifest.to_string().into_bytes()),
        ]);
        Image {
            reference: self.reference,
            id: format!("sha256:{image_digest}"),
            archive: archive.into(),
        }
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }
}

impl Image {
    /// Loads it into an engine, under its own name.
    pub async fn load(&self, docker: &Docker) -> Result<()> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let loading = docker.import_image(options, bollard::body_full(self.archive.clone()), None);
        let progress: Vec<_> = loading
            .try_collect()
            .await
            .with_context(|| format!("loading {}", self.reference))?;
        let refusal = progress.into_iter().find_map(|line| line.error_detail);
        anyhow::ensure!(refusal.is_none(), "loading {}: {refusal:?}", self.reference);
        Ok(())
    }

    /// Writes the archive to a file, for `docker load -i` and `ctr images import`.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.archive).with_context(|| format!("writing {}", path.display()))
    }
}

/// The test application (`tests/images/webapp/main.rs` tells what it does) as an image whose answers
/// carry `version`. Further options may follow, then `build`.
pub fn webapp(reference: &str, version: &str) -> Result<ImageBuilder> {
    let program = compile_webapp()?;
    Ok(ImageBuilder::new(reference)
        .file(
            "/webapp",
            0o755,
            fs::read(&program).with_context(|| format!("reading {}", program.display()))?,
        )
        .directory("/tmp", 0o1777)
        .entrypoint(&["/webapp"])
        .env("VERSION", version)
        .expose(8080)
        .stop_signal("SIGKILL"))
}

/// Compiles it to a static program, once per content of its source.
fn compile_webapp() -> Result<PathBuf> {
    const FLAGS: [&str; 14] = [
        "--edition",
        "2024",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "opt-level=s",
        "-C",
        "panic=abort",
        "-C",
        "strip=symbols",
        "-C",
        "lto=fat",
        "-C",
        "codegen-units=1",
    ];
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let source = repository().join("tests/images/webapp/main.rs");
    let mut hashed = fs::read(&source).with_context(|| format!("reading {}", source.display()))?;
    hashed.extend(FLAGS.concat().into_bytes());
    let directory = target_dir().join("test-images");
    let program = directory.join(format!("webapp-{}", &sha256(&hashed)[..16]));

    let _turn = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if !program.exists() {
        fs::create_dir_all(&directory).context("making the image cache")?;
        // Under a name of its own until it is whole: another test process may be at it, too.
        let scratch = program.with_extension(std::process::id().to_string());
        // In the repository, for its pinned toolchain.
        run(Command::new("rustc")
            .current_dir(repository())
            .args(FLAGS)
            .arg("-o")
            .arg(&scratch)
            .arg(&source))?;
        fs::rename(&scratch, &program).context("placing the compiled web application")?;
    }
    Ok(program)
}

fn sha256(bytes: &[u8]) -> String {
    let nibbles = Sha256::digest(bytes)
        .into_iter()
        .flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}
