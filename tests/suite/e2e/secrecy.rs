//! No secret shows anywhere but in the store, in the agent's own copy, and where it was asked to be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use longshore_tests::harness::{Kubectl, containers, ports};
use serde_json::json;

use super::manifests::{content, first_container, web};
use super::stage::{Stage, answers};

/// Rare enough to be found only where it comes from here.
const FIRST: &str = "Zk7-first-quince-41c9";
const SECOND: &str = "Qx2-second-medlar-8e03";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_shows_in_logs_objects_events_labels_or_plans() -> Result<()> {
    if !Kubectl::Newest.is_here().await? {
        return Ok(());
    }
    let Some(mut stage) = Stage::set().await? else {
        return Ok(());
    };
    let port = ports::free_port()?;
    let secret = |value: &str| content("Secret", "vault", &json!({"token": value, "note": value}));
    stage.objects.apply(&secret(FIRST)).await?;
    let mut manifest = web("hello", "hello:1", port);
    let container = first_container(&mut manifest);
    container["env"] =
        json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "token"}}}]);
    container["envFrom"] = json!([{"prefix": "V_", "secretRef": {"name": "vault"}}]);
    container["volumeMounts"] = json!([{"name": "vault", "mountPath": "/vault"}]);
    manifest["spec"]["template"]["volumes"] = json!([{"name": "vault", "secret": {"secretName": "vault"}}]);
    stage.objects.apply(&manifest).await?;
    stage.objects.ready("hello").await?;
    for path in ["/env/TOKEN", "/env/V_note", "/file/vault/token"] {
        answers(port, path, FIRST).await?;
    }

    // A change, a failure, a plan in words, a refusal and a restart: all that may make it talk.
    stage.objects.apply(&secret(SECOND)).await?;
    answers(port, "/env/TOKEN", SECOND).await?;
    stage.objects.ready("hello").await?;
    let mut sick = manifest.clone();
    first_container(&mut sick)["image"] = json!("hello:sick");
    sick["spec"]["rollout"]["progressDeadlineSeconds"] = json!(3);
    let plan = difference(&stage, &sick).await?;
    ensure!(plan.contains("replace hello.web"), "no plan in words: {plan}");
    stage.objects.apply(&sick).await?;
    stage.objects.unready("hello", &["RolledBack"]).await?;
    stage.site.kill9()?;
    stage.site.restart().await?;
    stage.objects.unready("hello", &["RolledBack"]).await?;

    let mut said = vec![("longshore diff".to_owned(), plan.into_bytes())];
    for kind in [
        "workloads",
        "devices",
        "events",
        "events.events.k8s.io",
        "configmaps",
        "leases",
        "crd",
    ] {
        let shown = stage
            .site
            .kubectl(&["get", kind, "-A", "-o", "yaml", "--show-managed-fields"])
            .await?;
        said.push((format!("kubectl get {kind}"), shown.into_bytes()));
    }
    let shown = stage.site.kubectl(&["describe", "workloads,devices"]).await?;
    said.push(("kubectl describe".to_owned(), shown.into_bytes()));
    for container in containers::all(&stage.docker).await?.into_values() {
        said.push((
            format!("labels of {}", container.name),
            format!("{:?}", container.labels).into_bytes(),
        ));
    }
    for file in files(stage.site.dir())? {
        said.push((file.display().to_string(), fs::read(&file)?));
    }
    let log = stage.site.log_file().display().to_string();
    ensure!(
        said.iter().any(|(name, text)| *name == log && !text.is_empty()),
        "no log was looked at"
    );
    let leaks: Vec<&String> = said
        .iter()
        .filter(|(_, text)| shows_secret(text))
        .map(|(name, _)| name)
        .collect();
    ensure!(leaks.is_empty(), "a secret shows in {leaks:?}");
    Ok(())
}

/// What `longshore diff` says would happen; it exits with 1 when something would.
async fn difference(stage: &Stage, manifest: &serde_json::Value) -> Result<String> {
    let file = stage.site.dir().join("diff.json");
    fs::write(&file, manifest.to_string())?;
    let mut command = stage.site.command()?;
    command
        .args(["diff", "--force-conflicts"]) // the test itself applied it before
        .arg("-f")
        .arg(&file)
        .env("KUBECONFIG", stage.site.kubeconfig()?);
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .context("longshore diff")?;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(
        output.status.code() == Some(1),
        "longshore diff: {}: {said}",
        output.status
    );
    Ok(said)
}

/// Every file of the site but the store and the agent's copies of content, which are where secrets live,
/// and kubectl's caches.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            if name != "content" && name != "values" {
                found.extend(files(&path)?);
            }
        } else if path.is_file() && !name.starts_with("store.redb") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether either value is in there, as it is or within something in base64.
fn shows_secret(text: &[u8]) -> bool {
    [FIRST, SECOND]
        .iter()
        .flat_map(|secret| forms(secret))
        .any(|form| {
            let form = form.as_bytes();
            text.windows(form.len()).any(|window| window == form)
        })
}

/// The value, and what is left of it in base64 whatever stands before and behind it.
fn forms(secret: &str) -> Vec<String> {
    let shifted = (0..3).map(|shift| {
        let padded = [vec![0; shift], secret.as_bytes().to_vec()].concat();
        let encoded = base64(&padded);
        // The first and the last character groups also carry their neighbours' bits.
        encoded[4..encoded.len() - 4].to_owned()
    });
    std::iter::once(secret.to_owned()).chain(shifted).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in (0..4).rev() {
            encoded.push(char::from(ALPHABET[(bits >> (6 * place) & 63) as usize]));
        }
    }
    encoded
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for before in ["", "a", "ab"] {
        let hidden = base64(format!("{before}{FIRST}zz").as_bytes());
        assert!(shows_secret(hidden.as_bytes()), "{hidden}");
    }
    assert!(shows_secret(format!("token={SECOND}!").as_bytes()));
    assert!(!shows_secret(b"nothing to see"));
}
