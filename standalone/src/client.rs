//! `longshore apply | get | delete | diff`: the everyday things without kubectl, through the same API.

mod diff;
mod manifests;
mod resources;
mod table;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

pub use self::diff::diff;
use self::manifests::Manifest;
use self::resources::Resources;
use crate::cli::{ConnectArgs, GetArgs, ManifestArgs, Output};
use crate::error_chain::error_chain;
use crate::up::directory::SiteDirectory;

/// The field manager of `longshore apply`.
const FIELD_MANAGER: &str = "longshore";

/// Connects as the kubeconfig says.
async fn connect(args: &ConnectArgs) -> anyhow::Result<Client> {
    let path = match &args.kubeconfig {
        Some(path) => path.clone(),
        None => default_kubeconfig(),
    };
    let kubeconfig = Kubeconfig::read_from(&path).with_context(|| {
        format!(
            "read the kubeconfig {} (start `longshore up`, or say --kubeconfig FILE)",
            path.display()
        )
    })?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("use the kubeconfig {}", path.display()))?;
    if let Some(namespace) = &args.namespace {
        config.default_namespace.clone_from(namespace);
    }
    Client::try_from(config).context("set up the client")
}

fn default_kubeconfig() -> PathBuf {
    let dir = std::env::var_os("LONGSHORE_DIR").map_or_else(SiteDirectory::default_path, PathBuf::from);
    dir.join("kubeconfig")
}

/// Applies every manifest by server-side apply and says what became of each.
///
/// All manifests are read before the first is applied; one that the server refuses does not keep the
/// others back, and makes the whole fail.
pub async fn apply(args: &ManifestArgs, out: &mut impl Write) -> anyhow::Result<()> {
    each_manifest(args, out, async |client, resources, manifest, out: &mut _| {
        let url = resources.object_url(manifest)?;
        let before = resources::get_optional(client, &url).await?;
        let applied =
            resources::server_side_apply(client, &url, &manifest.object, FIELD_MANAGER, false).await?;
        let version = |o: &Value| o.pointer("/metadata/resourceVersion").cloned();
        let what = match &before {
            None => "created",
            Some(before) if version(before) == version(&applied) => "unchanged",
            Some(_) => "configured",
        };
        writeln!(out, "{} {what}", manifest.display())?;
        Ok(())
    })
    .await
}

/// Deletes what the manifests declare; what is not there is fine.
pub async fn delete(args: &ManifestArgs, out: &mut impl Write) -> anyhow::Result<()> {
    each_manifest(args, out, async |client, resources, manifest, out: &mut _| {
        let url = resources.object_url(manifest)?;
        let found = resources::delete(client, &url).await?;
        writeln!(
            out,
            "{} {}",
            manifest.display(),
            if found { "deleted" } else { "not found" }
        )?;
        Ok(())
    })
    .await
}

async fn each_manifest<W: Write>(
    args: &ManifestArgs,
    out: &mut W,
    act: impl AsyncFn(&Client, &Resources, &Manifest, &mut W) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let client = connect(&args.connect).await?;
    let manifests = manifests::read_all(&args.filenames, client.default_namespace())?;
    let resources = Resources::discover(&client).await?;
    let mut failed = 0;
    for manifest in &manifests {
        if let Err(error) = act(&client, &resources, manifest, out).await {
            failed += 1;
            writeln!(out, "{} failed: {}", manifest.display(), error_chain(&error))?;
        }
    }
    if failed > 0 {
        bail!("{failed} of {} objects failed", manifests.len());
    }
    Ok(())
}

/// Shows objects.
pub async fn get(args: &GetArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let client = connect(&args.connect).await?;
    let resources = Resources::discover(&client).await?;
    let resource = resources.by_any_name(&args.kind)?;
    let namespace = (!args.all_namespaces).then(|| client.default_namespace());
    let mut url = resource.url(namespace, args.name.as_deref());
    if let Some(selector) = &args.selector {
        url = format!("{url}?labelSelector={}", resources::percent_encode(selector));
    }
    match args.output {
        None | Some(Output::Wide) => {
            let found = resources::get_table(&client, &url).await?;
            let wide = args.output == Some(Output::Wide);
            table::print(&found, wide, args.all_namespaces && resource.namespaced, out)?;
        }
        Some(Output::Yaml) => {
            let found = resources::get(&client, &url).await?;
            write!(out, "{}", serde_yaml::to_string(&found).context("write YAML")?)?;
        }
        Some(Output::Json) => {
            let found = resources::get(&client, &url).await?;
            writeln!(
                out,
                "{}",
                serde_json::to_string_pretty(&found).context("write JSON")?
            )?;
        }
        Some(Output::Name) => {
            let found = resources::get(&client, &url).await?;
            let items = found.get("items").and_then(Value::as_array).cloned();
            for item in items.unwrap_or_else(|| vec![found.clone()]) {
                let name = item
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                writeln!(out, "{}/{name}", resource.qualified_name())?;
            }
        }
    }
    Ok(())
}
