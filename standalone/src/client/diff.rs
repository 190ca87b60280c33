//! `longshore diff`: the plan in words, before anything is done.
//!
//! The same renderer and planner as the controller's, on the objects the API server has now. What a device
//! really runs is not in the API; it is assumed to run what is declared now.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use longshore_controller::{DevicePreview, PreviewInput, preview};
use longshore_crds::{Device, Workload};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::manifests::{self, Manifest};
use super::resources::{self, Resources};
use super::{FIELD_MANAGER, connect};
use crate::cli::ManifestArgs;
use crate::up::{SITE_SECRET, SYSTEM_NAMESPACE};

/// What a preview is made from, of one namespace.
struct Declared {
    workloads: Vec<Workload>,
    devices: Vec<Device>,
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
}

/// Prints what applying the manifests would do; answers whether anything would change.
///
/// Each manifest is first applied as a server-side dry run, so that a wrong one is refused here as it would
/// be by `apply`. Manifests build on one another in their order.
pub async fn diff(args: &ManifestArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let client = connect(&args.connect).await?;
    let manifests = manifests::read_all(&args.filenames, client.default_namespace())?;
    let resources = Resources::discover(&client).await?;
    let site = Api::<Secret>::namespaced(client.clone(), SYSTEM_NAMESPACE)
        .get_opt(SITE_SECRET)
        .await
        .context("read the site's own Secret")?;
    let mut namespaces: BTreeMap<String, Declared> = BTreeMap::new();
    let mut changes = false;
    for manifest in &manifests {
        let failed = || format!("diff {}", manifest.display());
        let wanted = dry_run(&client, &resources, manifest)
            .await
            .with_context(failed)?;
        if !namespaces.contains_key(&manifest.namespace) {
            namespaces.insert(
                manifest.namespace.clone(),
                Declared::read(&client, &manifest.namespace).await?,
            );
        }
        let Some(declared) = namespaces.get_mut(&manifest.namespace) else {
            continue;
        };
        changes |= declared
            .change(manifest, &wanted, site.as_ref(), out)
            .with_context(failed)?;
    }
    if !changes {
        writeln!(out, "Nothing would change.")?;
    }
    Ok(changes)
}

/// The object as the server would store it.
async fn dry_run(client: &Client, resources: &Resources, manifest: &Manifest) -> anyhow::Result<Value> {
    let url = resources.object_url(manifest)?;
    resources::server_side_apply(client, &url, &manifest.object, FIELD_MANAGER, true).await
}

impl Declared {
    async fn read(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        Ok(Self {
            workloads: list(client, namespace).await?,
            devices: list(client, namespace).await?,
            config_maps: list(client, namespace).await?,
            secrets: list(client, namespace).await?,
        })
    }

    /// Takes one object in and prints what that would do.
    fn change(
        &mut self,
        manifest: &Manifest,
        wanted: &Value,
        site: Option<&Secret>,
        out: &mut impl Write,
    ) -> anyhow::Result<bool> {
        match manifest.kind.as_str() {
            "Workload" => {
                let workload: Workload = parse(wanted)?;
                let previews = self.preview(Some(&workload), site);
                put(&mut self.workloads, workload);
                print(manifest, &previews, out)
            }
            // Content that a workload mounts or has in its environment changes that workload.
            "ConfigMap" => put_and_print(&mut self.config_maps, manifest, wanted, out),
            "Secret" => put_and_print(&mut self.secrets, manifest, wanted, out),
            "Device" => put_and_print(&mut self.devices, manifest, wanted, out),
            _ => {
                writeln!(out, "{}: nothing on a device depends on it", manifest.display())?;
                Ok(false)
            }
        }
    }

    fn preview(&self, changed: Option<&Workload>, site: Option<&Secret>) -> Vec<DevicePreview> {
        preview(&PreviewInput {
            workloads: &self.workloads,
            changed,
            deleted: None,
            devices: &self.devices,
            config_maps: &self.config_maps,
            secrets: &self.secrets,
            site,
            observed: &BTreeMap::new(),
        })
    }
}

async fn list<K>(client: &Client, namespace: &str) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default()).await;
    Ok(listed
        .with_context(|| format!("list {} in {namespace}", K::plural(&())))?
        .items)
}

fn parse<K: DeserializeOwned>(object: &Value) -> anyhow::Result<K> {
    serde_json::from_value(object.clone()).context("read the server's answer")
}

fn put<K: ResourceExt>(objects: &mut Vec<K>, object: K) {
    objects.retain(|o| o.name_any() != object.name_any());
    objects.push(object);
}

fn put_and_print<K>(
    objects: &mut Vec<K>,
    manifest: &Manifest,
    wanted: &Value,
    out: &mut impl Write,
) -> anyhow::Result<bool>
where
    K: ResourceExt + DeserializeOwned + PartialEq,
{
    let object: K = parse(wanted)?;
    let before = objects.iter().find(|o| o.name_any() == object.name_any());
    let version = |o: &K| o.resource_version();
    // A dry run that changes nothing keeps the resourceVersion, as a real write would.
    let same = before.is_some_and(|before| version(before) == version(&object));
    put(objects, object);
    let what = if same { "unchanged" } else { "would be stored" };
    writeln!(out, "{}: {what}", manifest.display())?;
    Ok(!same)
}

fn print(manifest: &Manifest, previews: &[DevicePreview], out: &mut impl Write) -> anyhow::Result<bool> {
    let mut changes = false;
    for DevicePreview {
        device,
        steps,
        problems,
        assumed: _,
    } in previews
    {
        for line in steps.iter().chain(problems) {
            changes = true;
            writeln!(out, "{}: device {device}: {line}", manifest.display())?;
        }
    }
    if !changes {
        writeln!(out, "{}: nothing to do on any device", manifest.display())?;
    }
    Ok(changes)
}
