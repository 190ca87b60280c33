//! The REST side: which resources the server has, and the requests these commands make.

use anyhow::{Context, bail};
use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIResource, APIResourceList};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::manifests::Manifest;

/// The group-versions these commands know; the server says which resources are in them.
const GROUP_VERSIONS: [&str; 5] = [
    "v1",
    "longshore.dev/v1alpha1",
    "apps/v1",
    "coordination.k8s.io/v1",
    "apiextensions.k8s.io/v1",
];

/// What the server serves.
pub(super) struct Resources(Vec<Resource>);

/// One resource of the server.
pub(super) struct Resource {
    pub(super) group_version: &'static str,
    plural: String,
    singular: String,
    pub(super) kind: String,
    short_names: Vec<String>,
    pub(super) namespaced: bool,
}

impl Resource {
    /// The URL of one object, or of all; of one namespace, or of all.
    pub(super) fn url(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.group_version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let mut url = format!("{root}/{}", self.group_version);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            url = format!("{url}/namespaces/{}", percent_encode(namespace));
        }
        url = format!("{url}/{}", self.plural);
        match name {
            Some(name) => format!("{url}/{}", percent_encode(name)),
            None => url,
        }
    }

    /// `workload.longshore.dev`, as kubectl prints it.
    pub(super) fn qualified_name(&self) -> String {
        let kind = self.kind.to_lowercase();
        match self.group_version.split_once('/') {
            Some((group, _)) => format!("{kind}.{group}"),
            None => kind,
        }
    }
}

impl Resources {
    /// Asks the server at `url`. The first request these commands make, so the one that finds out whether
    /// anybody answers.
    pub(super) async fn discover(client: &Client, url: &str) -> anyhow::Result<Self> {
        let mut resources = Vec::new();
        for group_version in GROUP_VERSIONS {
            let root = if group_version.contains('/') {
                "/apis"
            } else {
                "/api"
            };
            let request = Request::get(format!("{root}/{group_version}"));
            let answer = send(client, request, Vec::new()).await;
            if let Err(error) = &answer
                && !matches!(error, kube::Error::Api(_))
            {
                let why = innermost(error);
                bail!("no answer from {url}: {why} (does `longshore up` run?)");
            }
            let list: Option<APIResourceList> = optional(answer).context("ask the server what it serves")?;
            let served = list.map(|l| l.resources).unwrap_or_default();
            // Subresources (`workloads/status`) are no kinds of their own.
            for resource in served.into_iter().filter(|r| !r.name.contains('/')) {
                resources.push(Resource::new(group_version, resource));
            }
        }
        Ok(Self(resources))
    }

    /// The resource of that plural, singular, kind or short name.
    pub(super) fn by_any_name(&self, name: &str) -> anyhow::Result<&Resource> {
        let wanted = name.to_lowercase();
        let wanted = wanted.split_once('.').map_or(wanted.as_str(), |(first, _)| first);
        let found = self.0.iter().find(|r| {
            r.plural == wanted
                || r.singular == wanted
                || r.kind.to_lowercase() == wanted
                || r.short_names.iter().any(|s| s == wanted)
        });
        let known = || {
            self.0
                .iter()
                .map(|r| r.plural.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        found.with_context(|| format!("the server has no kind {name:?}; it has {}", known()))
    }

    /// The resource of a manifest's object.
    pub(super) fn of(&self, manifest: &Manifest) -> anyhow::Result<&Resource> {
        let found = self
            .0
            .iter()
            .find(|r| r.group_version == manifest.api_version && r.kind == manifest.kind);
        found.with_context(|| {
            format!(
                "the server has no kind {} in {}",
                manifest.kind, manifest.api_version
            )
        })
    }

    /// The URL of a manifest's object.
    pub(super) fn object_url(&self, manifest: &Manifest) -> anyhow::Result<String> {
        let resource = self.of(manifest)?;
        Ok(resource.url(Some(&manifest.namespace), Some(&manifest.name)))
    }
}

impl Resource {
    fn new(group_version: &'static str, resource: APIResource) -> Self {
        let singular = if resource.singular_name.is_empty() {
            resource.kind.to_lowercase()
        } else {
            resource.singular_name
        };
        Self {
            group_version,
            plural: resource.name,
            singular,
            kind: resource.kind,
            short_names: resource.short_names.unwrap_or_default(),
            namespaced: resource.namespaced,
        }
    }
}

/// GET.
pub(super) async fn get(client: &Client, url: &str) -> anyhow::Result<Value> {
    Ok(send(client, Request::get(url), Vec::new()).await?)
}

/// GET; `None` for 404.
pub(super) async fn get_optional(client: &Client, url: &str) -> anyhow::Result<Option<Value>> {
    optional(send(client, Request::get(url), Vec::new()).await)
}

/// GET as the server's own table, with its printer columns.
pub(super) async fn get_table(client: &Client, url: &str) -> anyhow::Result<Value> {
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    Ok(send(
        client,
        Request::get(url).header(http::header::ACCEPT, accept),
        Vec::new(),
    )
    .await?)
}

/// How an apply is made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ApplyOptions {
    /// Asks what would be, and changes nothing.
    pub(super) dry_run: bool,
    /// Takes fields over that another manager has set to another value; without it that is a conflict.
    pub(super) force: bool,
}

/// PATCH by server-side apply.
pub(super) async fn server_side_apply(
    client: &Client,
    url: &str,
    object: &Value,
    manager: &str,
    options: ApplyOptions,
) -> anyhow::Result<Value> {
    let dry_run = if options.dry_run { "&dryRun=All" } else { "" };
    let force = if options.force { "&force=true" } else { "" };
    let url = format!("{url}?fieldManager={manager}&fieldValidation=Strict{dry_run}{force}");
    let request = Request::patch(url).header(http::header::CONTENT_TYPE, "application/apply-patch+yaml");
    Ok(send(client, request, serde_json::to_vec(object).context("write JSON")?).await?)
}

/// DELETE; the answer, or `None` when there was nothing.
pub(super) async fn delete(client: &Client, url: &str) -> anyhow::Result<Option<Value>> {
    optional(send(client, Request::delete(url), Vec::new()).await)
}

/// Whether the server's answer was 404.
pub(super) fn is_not_found(error: &anyhow::Error) -> bool {
    answer(error).is_some_and(|status| status.code == 404)
}

fn answer(error: &anyhow::Error) -> Option<&kube::core::Status> {
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(&**status),
        _ => None,
    })
}

/// Whether an apply was refused for fields of somebody else.
pub(super) fn is_apply_conflict(error: &anyhow::Error) -> bool {
    let causes = answer(error).and_then(|s| Some(&s.details.as_ref()?.causes));
    causes.is_some_and(|causes| causes.iter().any(|c| c.reason == "FieldManagerConflict"))
}

/// The cause of all causes: of a connection that failed, the one that says why.
fn innermost(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn optional<T>(result: Result<T, kube::Error>) -> anyhow::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => bail!(error),
    }
}

async fn send<T: DeserializeOwned>(
    client: &Client,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<T, kube::Error> {
    client
        .request(request.body(body).map_err(kube::Error::HttpError)?)
        .await
}

/// For one path segment or query value (RFC 3986: everything but the unreserved is escaped).
pub(super) fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => write!(out, "%{byte:02X}").expect("writing to a String"),
        }
        out
    })
}
