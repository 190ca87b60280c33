//! `longshore diff`: the plan in words, before anything is done.
//!
//! Every manifest is first applied as a server-side dry run, so that what `apply` would refuse is refused here,
//! and what would be stored is compared with what is. Then the same renderer and planner as the controller's say
//! what that means on each device. What a device really runs is not in the API: it is assumed to run what is
//! declared now, and the output says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use longshore_controller::{DevicePreview, Objects, PreviewInput, preview};
use longshore_crds::{Device, Workload};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::changes::{changed_paths, words};
use super::manifests::Manifest;
use super::resources::{self, ApplyOptions};
use super::{Connection, FIELD_MANAGER, connect_with_manifests, refusal};
use crate::cli::ApplyArgs;
use crate::up::{SITE_SECRET, SYSTEM_NAMESPACE};

/// The objects of one namespace that a preview is made from.
#[derive(Clone)]
struct Declared {
    workloads: Vec<Workload>,
    devices: Vec<Device>,
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
}

/// A namespace as it is and as it would be.
struct Tenant {
    now: Declared,
    then: Declared,
}

/// What was found out so far.
#[derive(Default)]
struct Outcome {
    /// Something declared would change.
    changes: bool,
    /// Whether devices would have something to do is not known.
    uncertain: bool,
    /// How many objects `apply` would refuse.
    refused: usize,
}

/// Prints what applying the manifests would do; answers whether anything would change.
pub async fn diff(args: &ApplyArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let (connection, manifests) = connect_with_manifests(&args.manifests).await?;
    let client = &connection.client;
    let site = Api::<Secret>::namespaced(client.clone(), SYSTEM_NAMESPACE)
        .get_opt(SITE_SECRET)
        .await
        .context("read the site's own Secret")?;
    let new_namespaces: BTreeSet<&str> = manifests
        .iter()
        .filter(|m| m.kind == "Namespace" && m.api_version == "v1")
        .map(|m| m.name.as_str())
        .collect();
    let mut tenants: BTreeMap<String, Tenant> = BTreeMap::new();
    let mut outcome = Outcome::default();
    for manifest in &manifests {
        let wanted = match wanted(&connection, manifest, args.force_conflicts, &new_namespaces).await {
            Ok(wanted) => wanted,
            Err(error) => {
                outcome.refused += 1;
                let why = refusal(&error);
                writeln!(out, "{}: apply would be refused: {why}", manifest.display())?;
                continue;
            }
        };
        for line in outcome.take(&wanted) {
            writeln!(out, "{}: {line}", manifest.display())?;
        }
        if !tenants.contains_key(&manifest.namespace) {
            let now = Declared::read(client, &manifest.namespace).await?;
            let then = now.clone();
            tenants.insert(manifest.namespace.clone(), Tenant { now, then });
        }
        if let Some(tenant) = tenants.get_mut(&manifest.namespace) {
            tenant.then.put(manifest, &wanted.object)?;
        }
    }
    for (namespace, tenant) in &tenants {
        let at = if namespace == client.default_namespace() {
            String::new()
        } else {
            format!("{namespace}/")
        };
        outcome.print(&at, &tenant.preview(site.as_ref()), out)?;
    }
    if outcome.refused > 0 {
        bail!(
            "{} of {} objects would be refused",
            outcome.refused,
            manifests.len()
        );
    }
    match (outcome.changes, outcome.uncertain) {
        (true, _) => {}
        (false, false) => writeln!(out, "Nothing would change.")?,
        (false, true) => writeln!(out, "Nothing that is declared would change.")?,
    }
    Ok(outcome.changes)
}

/// One object as it is and as the server would store it.
struct Wanted {
    before: Option<Value>,
    object: Value,
    /// The server could not check it, because its namespace is declared by the same manifests.
    unchecked: bool,
}

async fn wanted(
    Connection { client, resources }: &Connection,
    manifest: &Manifest,
    force: bool,
    new_namespaces: &BTreeSet<&str>,
) -> anyhow::Result<Wanted> {
    let url = resources.object_url(manifest)?;
    let before = resources::get_optional(client, &url).await?;
    let options = ApplyOptions { dry_run: true, force };
    let answer = resources::server_side_apply(client, &url, &manifest.object, FIELD_MANAGER, options).await;
    let mut unchecked = false;
    let object = match answer {
        Err(error)
            if new_namespaces.contains(manifest.namespace.as_str())
                && resources.of(manifest)?.namespaced
                && resources::is_not_found(&error) =>
        {
            unchecked = true;
            let mut object = manifest.object.clone();
            object["metadata"]["namespace"] = manifest.namespace.as_str().into();
            object
        }
        answer => answer?,
    };
    Ok(Wanted {
        before,
        object,
        unchecked,
    })
}

impl Outcome {
    /// Takes one object into account; what is to be said of it, a line each.
    fn take(&mut self, wanted: &Wanted) -> Vec<String> {
        let mut lines = Vec::new();
        match &wanted.before {
            None => {
                self.changes = true;
                lines.push("would be created".to_owned());
            }
            Some(before) => {
                let paths = changed_paths(before, &wanted.object);
                self.changes |= !paths.is_empty();
                lines.push(match paths.as_slice() {
                    [] => "unchanged".to_owned(),
                    paths => format!("would change {}", words(paths)),
                });
                if !before["metadata"]["deletionTimestamp"].is_null() {
                    self.uncertain = true;
                    lines.push("is being deleted, and would be changed only until it is gone".to_owned());
                }
                if let Some(state) = not_ready(before) {
                    self.uncertain = true;
                    lines.push(state);
                }
            }
        }
        if wanted.unchecked {
            lines.push("its namespace is new: the server checks the object when that is there".to_owned());
        }
        lines
    }

    /// Prints what would be done on devices.
    fn print(&mut self, at: &str, previews: &[DevicePreview], out: &mut impl Write) -> anyhow::Result<()> {
        let mut assumed_any = false;
        for DevicePreview {
            device,
            steps,
            problems,
            assumed,
        } in previews
        {
            let (mark, nothing) = if *assumed {
                (" (assumed)", "nothing to do if it runs what is declared now")
            } else {
                ("", "nothing to do")
            };
            assumed_any |= *assumed;
            self.changes |= !steps.is_empty();
            self.uncertain |= !problems.is_empty();
            for line in steps {
                writeln!(out, "device {at}{device}{mark}: {line}")?;
            }
            for line in problems {
                writeln!(out, "device {at}{device}: {line}")?;
            }
            if steps.is_empty() && problems.is_empty() {
                writeln!(out, "device {at}{device}: {nothing}")?;
            }
        }
        if assumed_any {
            writeln!(
                out,
                "(assumed): what a device really runs is not in the API; it is taken to run what is declared now"
            )?;
        }
        Ok(())
    }
}

/// Of a Workload whose devices may have something to do, whatever is applied.
fn not_ready(object: &Value) -> Option<String> {
    if object["kind"] != "Workload" {
        return None;
    }
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
    let Some(ready) = ready else {
        return Some("has no status yet: what its devices have to do is not known here".to_owned());
    };
    let (observed, generation) = (&ready["observedGeneration"], &object["metadata"]["generation"]);
    if ready["status"] != "True" {
        let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
        return Some(format!(
            "is not Ready now ({}: {}): what its devices have to do is not known here",
            text("reason"),
            text("message")
        ));
    }
    let stale = observed.as_i64().is_some() && observed != generation;
    stale.then(|| {
        "was changed and is not looked at yet: what its devices have to do is not known here".to_owned()
    })
}

impl Tenant {
    fn preview(&self, site: Option<&Secret>) -> Vec<DevicePreview> {
        preview(&PreviewInput {
            now: self.now.view(),
            then: self.then.view(),
            deleted: None,
            site,
            observed: &BTreeMap::new(),
        })
    }
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

    fn view(&self) -> Objects<'_> {
        Objects {
            workloads: &self.workloads,
            devices: &self.devices,
            config_maps: &self.config_maps,
            secrets: &self.secrets,
        }
    }

    /// Takes one object in. Other kinds mean nothing to a device.
    fn put(&mut self, manifest: &Manifest, wanted: &Value) -> anyhow::Result<()> {
        match (manifest.api_version.as_str(), manifest.kind.as_str()) {
            ("longshore.dev/v1alpha1", "Workload") => put(&mut self.workloads, parse(wanted)?),
            ("longshore.dev/v1alpha1", "Device") => put(&mut self.devices, parse(wanted)?),
            ("v1", "ConfigMap") => put(&mut self.config_maps, parse(wanted)?),
            ("v1", "Secret") => put(&mut self.secrets, parse(wanted)?),
            _ => {}
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(ready: &str) -> Value {
        json!({
            "kind": "Workload", "metadata": {"name": "w", "generation": 2},
            "spec": {"rollout": {"progressDeadlineSeconds": 60}},
            "status": {"conditions": [{"type": "Ready", "status": ready, "reason": "Refused", "message": "no",
                "observedGeneration": 2}]},
        })
    }

    fn take(before: Option<Value>, object: Value) -> (Outcome, String) {
        let mut outcome = Outcome::default();
        let lines = outcome.take(&Wanted {
            before,
            object,
            unchecked: false,
        });
        (outcome, lines.join("; "))
    }

    #[test]
    fn every_declared_field_counts_and_a_status_does_not() {
        let (outcome, words) = take(Some(workload("True")), workload("True"));
        assert!(!outcome.changes && !outcome.uncertain);
        assert_eq!(words, "unchanged");
        let mut changed = workload("False");
        changed["spec"]["rollout"]["progressDeadlineSeconds"] = 90.into();
        let (outcome, words) = take(Some(workload("True")), changed);
        assert!(outcome.changes);
        assert_eq!(words, "would change spec.rollout.progressDeadlineSeconds");
        let (outcome, words) = take(None, json!({"kind": "Namespace"}));
        assert!(outcome.changes);
        assert_eq!(words, "would be created");
    }

    #[test]
    fn what_is_not_ready_or_is_ending_is_no_certainty() {
        let (outcome, words) = take(Some(workload("False")), workload("False"));
        assert!(!outcome.changes && outcome.uncertain);
        assert!(words.contains("not Ready now (Refused: no)"), "{words}");
        let mut ending = workload("True");
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let (outcome, words) = take(Some(ending), workload("True"));
        assert!(outcome.uncertain);
        assert!(words.contains("is being deleted"), "{words}");
    }
}
