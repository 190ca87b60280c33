//! `longshore delete`: asks for the end of objects, and waits for it.
//!
//! An object with finalizers lives on until what they stand for is done: a Workload until its containers are
//! removed, or its devices did not answer for long enough.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::manifests::Manifest;
use super::{Connection, connect_with_manifests, resources};
use crate::cli::DeleteArgs;
use crate::error_chain::error_chain;

/// Between two looks at what is not gone yet.
const POLL: Duration = Duration::from_millis(200);
/// After how long it is said what is waited for.
const SILENCE: Duration = Duration::from_secs(2);

/// An object whose end was asked for.
struct Ending {
    display: String,
    url: String,
    /// Another object of the same name is not what is waited for.
    uid: Value,
}

/// Deletes what the manifests declare; what is not there is fine. Waits until it is gone, unless told not to.
pub async fn delete(args: &DeleteArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let (connection, manifests) = connect_with_manifests(&args.manifests).await?;
    let mut failed = 0;
    let mut endings = Vec::new();
    for manifest in &manifests {
        let display = manifest.display();
        match ask(&connection, manifest).await {
            Ok(None) => writeln!(out, "{display} not found")?,
            Ok(Some(ending)) => endings.push(ending),
            Err(error) => {
                failed += 1;
                writeln!(out, "{display} failed: {}", error_chain(&error))?;
            }
        }
    }
    let start = Instant::now();
    let deadline = (args.wait && !args.timeout.is_zero()).then(|| start + args.timeout);
    for ending in &endings {
        if !wait(&connection.client, ending, args.wait, start, deadline, out).await? {
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} of {} objects failed", manifests.len());
    }
    Ok(())
}

async fn ask(
    Connection { client, resources }: &Connection,
    manifest: &Manifest,
) -> anyhow::Result<Option<Ending>> {
    let url = resources.object_url(manifest)?;
    let deleted = resources::delete(client, &url).await?;
    Ok(deleted.map(|answer| Ending {
        display: manifest.display(),
        url,
        uid: uid(&answer),
    }))
}

/// Of the object, or of the Status that says that it is gone.
fn uid(answer: &Value) -> Value {
    let found = answer
        .pointer("/metadata/uid")
        .or_else(|| answer.pointer("/details/uid"));
    found.cloned().unwrap_or_default()
}

/// Waits for one object; whether it went.
async fn wait(
    client: &Client,
    ending: &Ending,
    wait: bool,
    start: Instant,
    deadline: Option<Instant>,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let display = &ending.display;
    let mut told = false;
    loop {
        let current = resources::get_optional(client, &ending.url).await?;
        let Some(current) = current.filter(|current| uid(current) == ending.uid) else {
            writeln!(out, "{display} deleted")?;
            return Ok(true);
        };
        let holds = holds(&current);
        if !wait {
            writeln!(out, "{display} is being deleted: {holds}")?;
            return Ok(true);
        }
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            writeln!(out, "{display} failed: not gone in time: {holds}")?;
            return Ok(false);
        }
        if !told && now >= start + SILENCE {
            told = true;
            // Beside the results, for whoever still listens.
            writeln!(std::io::stderr(), "{display}: waiting until it is gone: {holds}").ok();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What keeps an object that is being deleted.
fn holds(object: &Value) -> String {
    let finalizers: Vec<&str> = object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if finalizers.is_empty() {
        let inside = object["kind"] == "Namespace";
        return if inside {
            "what is in it goes first"
        } else {
            "it is still there"
        }
        .to_owned();
    }
    let ours = finalizers.iter().any(|f| f.starts_with("longshore.dev/"));
    let why = if ours {
        " (its containers are removed first; devices that do not answer are waited for a minute)"
    } else {
        ""
    };
    format!("held by {}{why}", finalizers.join(", "))
}
