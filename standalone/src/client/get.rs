//! `longshore get`: objects as tables, YAML, JSON or names.

use std::io::Write;

use anyhow::{Context, bail, ensure};
use kube::Client;
use serde_json::{Value, json};

use super::resources::{self, Resource, Resources};
use super::{Connection, connect, table};
use crate::cli::{GetArgs, Output};
use crate::error_chain::error_chain;

/// One kind, and which of its objects; no names mean all.
struct Wanted<'r> {
    resource: &'r Resource,
    names: Vec<&'r str>,
}

/// Shows objects. What is not found does not keep the rest back, and makes the whole fail.
pub async fn get(args: &GetArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let Connection { client, resources } = connect(&args.connect).await?;
    let wanted = wanted(&args.what, &resources)?;
    let named = wanted.iter().any(|w| !w.names.is_empty());
    ensure!(
        !(named && args.selector.is_some()),
        "--selector picks objects, and so do names: give one of them"
    );
    ensure!(
        !(named && args.all_namespaces),
        "a name is of one namespace: leave out --all-namespaces, or the name"
    );
    let failures = match args.output {
        None | Some(Output::Wide) => tables(&client, &wanted, args, out).await?,
        Some(output) => objects(&client, &wanted, args, output, out).await?,
    };
    match failures.as_slice() {
        [] => Ok(()),
        failures => bail!("{}", failures.join("; ")),
    }
}

/// `wl`, `wl,dev`, `wl hello other`, `wl/hello dev/dev1`.
fn wanted<'r>(what: &'r [String], resources: &'r Resources) -> anyhow::Result<Vec<Wanted<'r>>> {
    let mut wanted: Vec<Wanted<'r>> = Vec::new();
    if what.iter().any(|word| word.contains('/')) {
        for word in what {
            let pair = word
                .split_once('/')
                .filter(|(kind, name)| !kind.is_empty() && !name.is_empty());
            let (kind, name) = pair.with_context(|| {
                format!(
                    "{word:?}: with kind/name, every word is one; otherwise the kind comes first, then names"
                )
            })?;
            let resource = resources.by_any_name(kind)?;
            match wanted.iter_mut().find(|w| std::ptr::eq(w.resource, resource)) {
                Some(known) => known.names.push(name),
                None => wanted.push(Wanted {
                    resource,
                    names: vec![name],
                }),
            }
        }
        return Ok(wanted);
    }
    let (kinds, names) = what.split_first().context("which kind?")?;
    for kind in kinds.split(',').filter(|kind| !kind.is_empty()) {
        wanted.push(Wanted {
            resource: resources.by_any_name(kind)?,
            names: names.iter().map(String::as_str).collect(),
        });
    }
    ensure!(!wanted.is_empty(), "which kind?");
    Ok(wanted)
}

fn urls(wanted: &Wanted<'_>, client: &Client, args: &GetArgs) -> Vec<String> {
    let namespace = (!args.all_namespaces).then(|| client.default_namespace());
    if wanted.names.is_empty() {
        let url = wanted.resource.url(namespace, None);
        return vec![match &args.selector {
            Some(selector) => format!("{url}?labelSelector={}", resources::percent_encode(selector)),
            None => url,
        }];
    }
    let names = wanted.names.iter();
    names
        .map(|name| wanted.resource.url(namespace, Some(name)))
        .collect()
}

async fn tables(
    client: &Client,
    wanted: &[Wanted<'_>],
    args: &GetArgs,
    out: &mut impl Write,
) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    let mut shown = 0;
    for kind in wanted {
        let mut whole: Option<Value> = None;
        for url in urls(kind, client, args) {
            match (resources::get_table(client, &url).await, &mut whole) {
                (Ok(found), None) => whole = Some(found),
                (Ok(mut found), Some(whole)) => {
                    if let (Some(rows), Value::Array(more)) =
                        (whole["rows"].as_array_mut(), found["rows"].take())
                    {
                        rows.extend(more);
                    }
                }
                (Err(error), _) => failures.push(error_chain(&error)),
            }
        }
        let Some(found) = whole.filter(|table| table["rows"].as_array().is_some_and(|rows| !rows.is_empty()))
        else {
            continue;
        };
        if shown > 0 {
            writeln!(out)?;
        }
        shown += 1;
        let style = table::Style {
            wide: args.output == Some(Output::Wide),
            namespaces: args.all_namespaces && kind.resource.namespaced,
            // Of several kinds each name says which it is.
            prefix: (wanted.len() > 1).then(|| kind.resource.qualified_name()),
        };
        table::print(&found, &style, out)?;
    }
    if shown == 0 && failures.is_empty() {
        writeln!(out, "No resources found.")?;
    }
    Ok(failures)
}

async fn objects(
    client: &Client,
    wanted: &[Wanted<'_>],
    args: &GetArgs,
    output: Output,
    out: &mut impl Write,
) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    let mut found: Vec<Value> = Vec::new();
    for kind in wanted {
        for url in urls(kind, client, args) {
            let answer = match resources::get(client, &url).await {
                Ok(answer) => answer,
                Err(error) => {
                    failures.push(error_chain(&error));
                    continue;
                }
            };
            let objects = match answer {
                Value::Object(mut list) if kind.names.is_empty() => match list.remove("items") {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                },
                one => vec![one],
            };
            for mut object in objects {
                // A server may leave out of a list what all of its items are.
                object["apiVersion"] = kind.resource.group_version.into();
                object["kind"] = kind.resource.kind.as_str().into();
                if output == Output::Name {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    writeln!(out, "{}/{name}", kind.resource.qualified_name())?;
                } else if !args.show_managed_fields
                    && let Some(metadata) = object["metadata"].as_object_mut()
                {
                    metadata.remove("managedFields");
                }
                found.push(object);
            }
        }
    }
    let one = matches!(wanted, [only] if only.names.len() == 1);
    let document = match found.pop() {
        // The only one asked for was not found.
        None if one => return Ok(failures),
        Some(only) if one => only,
        last => {
            found.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": found})
        }
    };
    match output {
        Output::Yaml => write!(out, "{}", serde_yaml::to_string(&document).context("write YAML")?)?,
        Output::Json => writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&document).context("write JSON")?
        )?,
        Output::Name | Output::Wide => {}
    }
    Ok(failures)
}
