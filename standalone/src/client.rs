//! `longshore apply | get | delete | diff`: the everyday things without kubectl, through the same API.

mod changes;
mod delete;
mod diff;
mod get;
mod manifests;
mod resources;
mod strict_yaml;
mod table;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

pub use self::delete::delete;
pub use self::diff::diff;
pub use self::get::get;
use self::manifests::Manifest;
use self::resources::{ApplyOptions, Resources};
use crate::cli::{ApplyArgs, ConnectArgs, ManifestArgs};
use crate::error_chain::error_chain;
use crate::up::directory::SiteDirectory;

/// The field manager of `longshore apply`.
const FIELD_MANAGER: &str = "longshore";

/// A server that answers.
struct Connection {
    client: Client,
    resources: Resources,
}

/// Sets the client up as the kubeconfig says.
async fn client(args: &ConnectArgs) -> anyhow::Result<(Client, String)> {
    let path = match &args.kubeconfig {
        Some(path) => path.clone(),
        None => default_kubeconfig(),
    };
    let kubeconfig = match Kubeconfig::read_from(&path) {
        Ok(kubeconfig) => kubeconfig,
        // A missing file is the first thing a new user meets.
        Err(_) if !path.exists() => bail!(
            "there is no kubeconfig {}: start `longshore up`, or say --kubeconfig FILE",
            path.display()
        ),
        Err(error) => return Err(error).context("use another file with --kubeconfig"),
    };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("use the kubeconfig {}", path.display()))?;
    if let Some(namespace) = &args.namespace {
        config.default_namespace.clone_from(namespace);
    }
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).context("set up the client")?;
    Ok((client, url.trim_end_matches('/').to_owned()))
}

/// Connects as the kubeconfig says.
async fn connect(args: &ConnectArgs) -> anyhow::Result<Connection> {
    let (client, url) = client(args).await?;
    let resources = Resources::discover(&client, &url).await?;
    Ok(Connection { client, resources })
}

/// Reads the manifests, all of them and before anything is asked of the server, and connects.
async fn connect_with_manifests(args: &ManifestArgs) -> anyhow::Result<(Connection, Vec<Manifest>)> {
    let (client, url) = client(&args.connect).await?;
    let manifests = manifests::read_all(&args.filenames, client.default_namespace())?;
    let resources = Resources::discover(&client, &url).await?;
    Ok((Connection { client, resources }, manifests))
}

fn default_kubeconfig() -> PathBuf {
    let dir = std::env::var_os("LONGSHORE_DIR").map_or_else(SiteDirectory::default_path, PathBuf::from);
    dir.join("kubeconfig")
}

/// Applies every manifest by server-side apply and says what became of each.
///
/// All manifests are read before the first is applied; one that the server refuses does not keep the
/// others back, and makes the whole fail.
pub async fn apply(args: &ApplyArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let (connection, manifests) = connect_with_manifests(&args.manifests).await?;
    let mut failed = 0;
    for manifest in &manifests {
        match apply_one(&connection, manifest, args.force_conflicts).await {
            Ok(what) => writeln!(out, "{} {what}", manifest.display())?,
            Err(error) => {
                failed += 1;
                writeln!(out, "{} failed: {}", manifest.display(), refusal(&error))?;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} objects failed", manifests.len());
    }
    Ok(())
}

async fn apply_one(
    Connection { client, resources }: &Connection,
    manifest: &Manifest,
    force: bool,
) -> anyhow::Result<&'static str> {
    let url = resources.object_url(manifest)?;
    let before = resources::get_optional(client, &url).await?;
    let options = ApplyOptions {
        dry_run: false,
        force,
    };
    let applied =
        resources::server_side_apply(client, &url, &manifest.object, FIELD_MANAGER, options).await?;
    let version = |o: &Value| o.pointer("/metadata/resourceVersion").cloned();
    Ok(match &before {
        None => "created",
        Some(before) if version(before) == version(&applied) => "unchanged",
        Some(_) => "configured",
    })
}

/// Why an object was refused, and the way out where there is one.
fn refusal(error: &anyhow::Error) -> String {
    let mut words = error_chain(error);
    if resources::is_apply_conflict(error) {
        words.push_str("; leave these fields out of the manifest, or take them over with --force-conflicts");
    }
    words
}
