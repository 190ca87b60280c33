//! API objects as plain JSON, as `kubectl -o json` shows them: tests look at what users see, and do not
//! share the types (and mistakes) of what they test.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;

use super::process::wait_until;

/// How long a change may take on a busy machine.
pub const SOON: Duration = Duration::from_mins(1);

/// The objects of namespace `default`.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

/// A kind by the name it has in paths and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Workload,
    Device,
    Secret,
    ConfigMap,
    Event,
}

/// One condition of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
    pub observed_generation: Option<i64>,
}

impl Objects {
    /// Through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let (group, version, name) = match kind {
            Kind::Workload => ("longshore.dev", "v1alpha1", "Workload"),
            Kind::Device => ("longshore.dev", "v1alpha1", "Device"),
            Kind::Secret => ("", "v1", "Secret"),
            Kind::ConfigMap => ("", "v1", "ConfigMap"),
            Kind::Event => ("", "v1", "Event"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, name));
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }

    /// Server-side apply, taking over what others own. Answers the stored object.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let kind = match object["kind"].as_str() {
            Some("Workload") => Kind::Workload,
            Some("Device") => Kind::Device,
            Some("Secret") => Kind::Secret,
            Some("ConfigMap") => Kind::ConfigMap,
            other => bail!("no test applies a {other:?}"),
        };
        let name = object["metadata"]["name"]
            .as_str()
            .context("an object without a name")?;
        let parameters = PatchParams::apply("tests").force();
        let applied = self
            .api(kind)
            .patch(name, &parameters, &Patch::Apply(object))
            .await;
        to_value(applied.with_context(|| format!("applying {kind:?} {name}"))?)
    }

    /// The object, or `None` where there is none.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        let found = self.api(kind).get_opt(name).await;
        found
            .with_context(|| format!("reading {kind:?} {name}"))?
            .map(to_value)
            .transpose()
    }

    /// All objects of a kind.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let list = self.api(kind).list(&kube::api::ListParams::default()).await;
        list.with_context(|| format!("listing {kind:?}"))?
            .items
            .into_iter()
            .map(to_value)
            .collect()
    }

    /// Asks for its deletion; that it is gone is another matter.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        deleted
            .map(drop)
            .with_context(|| format!("deleting {kind:?} {name}"))
    }

    /// Waits until the object is as `check` wants it; its error tells what was last seen.
    pub async fn wait_for<T>(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        mut check: impl FnMut(&Value) -> Result<T, String>,
    ) -> Result<T> {
        wait_until(&format!("{kind:?} {name}: {what}"), SOON, async || {
            match self.get(kind, name).await.map_err(|error| format!("{error:#}"))? {
                Some(object) => check(&object),
                None => Err("there is none".to_owned()),
            }
        })
        .await
    }

    /// Waits until a workload is Ready in its newest generation.
    pub async fn ready(&self, workload: &str) -> Result<Value> {
        self.wait_for(Kind::Workload, workload, "Ready", |object| {
            is_current(object, "Ready")?;
            let ready = condition(object, "Ready")?;
            if ready.status == "True" {
                Ok(object.clone())
            } else {
                Err(conditions(object))
            }
        })
        .await
    }

    /// Waits until a workload is not ready, in its newest generation, for one of these reasons; the
    /// condition that says so.
    pub async fn unready(&self, workload: &str, reasons: &[&str]) -> Result<Condition> {
        let what = format!("not ready because of {reasons:?}");
        self.wait_for(Kind::Workload, workload, &what, |object| {
            is_current(object, "Ready")?;
            let ready = condition(object, "Ready")?;
            if ready.status == "False" && reasons.contains(&ready.reason.as_str()) {
                Ok(ready)
            } else {
                Err(conditions(object))
            }
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, kind: Kind, name: &str) -> Result<()> {
        wait_until(&format!("{kind:?} {name} is gone"), SOON, async || {
            match self.get(kind, name).await.map_err(|error| format!("{error:#}"))? {
                None => Ok(()),
                Some(object) => Err(object.to_string()),
            }
        })
        .await
    }
}

/// The condition of that type.
pub fn condition(object: &Value, kind: &str) -> Result<Condition, String> {
    let all = object["status"]["conditions"].as_array();
    let found = all
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    let found = found.ok_or_else(|| format!("no condition {kind} in {}", object["status"]))?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        observed_generation: found["observedGeneration"].as_i64(),
    })
}

/// All conditions on one line each, for what was last seen.
pub fn conditions(object: &Value) -> String {
    let all = object["status"]["conditions"].as_array();
    let lines = all.into_iter().flatten().map(|condition| {
        format!(
            "\n  {}={} {}: {}",
            condition["type"].as_str().unwrap_or_default(),
            condition["status"].as_str().unwrap_or_default(),
            condition["reason"].as_str().unwrap_or_default(),
            condition["message"].as_str().unwrap_or_default(),
        )
    });
    lines.collect()
}

/// Whether the status and that condition speak of the newest spec.
fn is_current(object: &Value, kind: &str) -> Result<(), String> {
    let generation = object["metadata"]["generation"].as_i64();
    let current = condition(object, kind)?.observed_generation == generation
        && object["status"]["observedGeneration"].as_i64() == generation;
    if current {
        Ok(())
    } else {
        Err(format!("an old generation's:{}", conditions(object)))
    }
}

fn to_value(object: DynamicObject) -> Result<Value> {
    serde_json::to_value(object).context("an object as JSON")
}
