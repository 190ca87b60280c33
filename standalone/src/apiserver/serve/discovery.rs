//! What is served, as clients ask before they do anything else.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Reply;
use super::reviews;
use crate::apiserver::failure::ApiError;
use crate::apiserver::kinds::{Registry, Resource};
use crate::apiserver::negotiate::Discovery;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const V2BETA1: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// Hex of a document's digest, for ETags and hashed URLs.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            write!(hex, "{byte:02X}").ok();
            hex
        })
}

/// All groups and versions but the core's, reviews included.
fn group_versions(registry: &Registry) -> Vec<(String, String)> {
    let stored = registry
        .group_versions()
        .into_iter()
        .map(|(g, v)| (g.to_owned(), v.to_owned()));
    let reviews = reviews::KINDS
        .iter()
        .map(|k| (k.group.to_owned(), "v1".to_owned()));
    let mut pairs: Vec<_> = stored
        .chain(reviews)
        .filter(|(group, _)| !group.is_empty())
        .collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

/// `/api`
pub(super) fn core_versions(registry: &Registry, wanted: Discovery) -> Reply {
    match wanted {
        Discovery::Plain => Reply::value(&json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        other => aggregated(registry, other, &[(String::new(), "v1".to_owned())]),
    }
}

/// `/apis`
pub(super) fn groups(registry: &Registry, wanted: Discovery) -> Reply {
    let pairs = group_versions(registry);
    if wanted != Discovery::Plain {
        return aggregated(registry, wanted, &pairs);
    }
    let mut names: Vec<&str> = pairs.iter().map(|(group, _)| group.as_str()).collect();
    names.dedup();
    let groups: Vec<Value> = names.into_iter().map(|name| api_group(&pairs, name)).collect();
    Reply::value(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `/apis/{group}`
pub(super) fn group(registry: &Registry, name: &str) -> Result<Reply, ApiError> {
    let pairs = group_versions(registry);
    if !pairs.iter().any(|(group, _)| group == name) {
        return Err(ApiError::no_such_path());
    }
    let mut group = api_group(&pairs, name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Ok(Reply::value(&group))
}

fn api_group(pairs: &[(String, String)], name: &str) -> Value {
    let versions: Vec<Value> = pairs
        .iter()
        .filter(|(group, _)| group == name)
        .map(|(group, version)| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn aggregated(registry: &Registry, wanted: Discovery, pairs: &[(String, String)]) -> Reply {
    let mut names: Vec<&str> = pairs.iter().map(|(group, _)| group.as_str()).collect();
    names.dedup();
    let items: Vec<Value> = names
        .into_iter()
        .map(|name| {
            let versions: Vec<Value> = pairs
                .iter()
                .filter(|(group, _)| group == name)
                .map(|(group, version)| {
                    let resources = aggregated_resources(registry, group, version);
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            json!({"metadata": {"name": name, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    let (version, content_type) = if wanted == Discovery::V2Beta1 {
        ("v2beta1", V2BETA1)
    } else {
        ("v2", V2)
    };
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    });
    let body = Bytes::from(list.to_string());
    let etag = digest(&body);
    Reply::tagged(body, content_type, etag)
}

fn of<'r>(registry: &'r Registry, group: &'r str, version: &'r str) -> impl Iterator<Item = &'r Resource> {
    registry
        .all()
        .map(|r| &**r)
        .filter(move |r| r.group == group && r.version == version)
}

fn reviews_of(group: &str, version: &str) -> impl Iterator<Item = &'static reviews::ReviewKind> {
    let at_v1 = version == "v1";
    let group = group.to_owned();
    reviews::KINDS.iter().filter(move |k| at_v1 && k.group == group)
}

fn aggregated_resources(registry: &Registry, group: &str, version: &str) -> Vec<Value> {
    let scope = |namespaced| if namespaced { "Namespaced" } else { "Cluster" };
    let stored = of(registry, group, version).map(|r| {
        let kind = json!({"group": r.group, "version": r.version, "kind": r.kind});
        let mut resource = json!({
            "resource": r.plural, "responseKind": kind, "scope": scope(r.namespaced),
            "singularResource": r.singular, "verbs": r.verbs(),
        });
        if !r.short_names.is_empty() {
            resource["shortNames"] = json!(r.short_names);
        }
        if !r.categories.is_empty() {
            resource["categories"] = json!(r.categories);
        }
        if r.status {
            resource["subresources"] =
                json!([{"subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"]}]);
        }
        resource
    });
    let asked = reviews_of(group, version).map(|k| {
        json!({
            "resource": k.plural, "responseKind": {"group": k.group, "version": "v1", "kind": k.kind},
            "scope": scope(k.namespaced), "singularResource": k.kind.to_lowercase(), "verbs": ["create"],
        })
    });
    stored.chain(asked).collect()
}

/// `/api/v1` and `/apis/{group}/{version}`
pub(super) fn resources(registry: &Registry, group: &str, version: &str) -> Result<Reply, ApiError> {
    let mut list: Vec<Value> = Vec::new();
    for r in of(registry, group, version) {
        let mut resource = json!({
            "name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind, "verbs": r.verbs(),
        });
        if !r.short_names.is_empty() {
            resource["shortNames"] = json!(r.short_names);
        }
        if !r.categories.is_empty() {
            resource["categories"] = json!(r.categories);
        }
        list.push(resource);
        if r.status {
            list.push(json!({
                "name": format!("{}/status", r.plural), "singularName": "", "namespaced": r.namespaced,
                "kind": r.kind, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    for k in reviews_of(group, version) {
        list.push(json!({
            "name": k.plural, "singularName": k.kind.to_lowercase(), "namespaced": k.namespaced, "kind": k.kind,
            "verbs": ["create"],
        }));
    }
    if list.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(Reply::value(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
    })))
}
