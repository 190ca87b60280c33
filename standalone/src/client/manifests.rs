//! Manifests from files, directories and standard input, checked for what every object needs.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::strict_yaml::Strict;

/// One object as the user wrote it.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// As written, else the client's default.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) object: Value,
}

impl Manifest {
    /// `workload.longshore.dev/hello`, as kubectl names it.
    pub(super) fn display(&self) -> String {
        let kind = self.kind.to_lowercase();
        match self.api_version.split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }
}

/// Reads everything before anything is done, so that a wrong file changes nothing.
pub(super) fn read_all(paths: &[PathBuf], default_namespace: &str) -> anyhow::Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("read standard input")?;
            parse(&text, "standard input", default_namespace, &mut manifests)?;
        } else {
            for file in files_in(path)? {
                let text =
                    std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
                parse(
                    &text,
                    &file.display().to_string(),
                    default_namespace,
                    &mut manifests,
                )?;
            }
        }
    }
    ensure!(!manifests.is_empty(), "no objects in what -f names");
    Ok(manifests)
}

/// A file itself, or a directory's `.yaml`, `.yml` and `.json` files in order of name, not below.
fn files_in(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let file = entry.with_context(|| format!("read {}", path.display()))?.path();
        if file.is_file()
            && file
                .extension()
                .is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
        {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(text: &str, source: &str, namespace: &str, into: &mut Vec<Manifest>) -> anyhow::Result<()> {
    for (n, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let Strict(value) =
            Strict::deserialize(document).with_context(|| format!("{source}, document {}", n + 1))?;
        if value.is_null() {
            continue;
        }
        if value["kind"].as_str().is_some_and(|k| k.ends_with("List")) && value["items"].is_array() {
            for item in value["items"].as_array().into_iter().flatten() {
                into.push(check(item.clone(), namespace).with_context(|| format!("{source}, an item"))?);
            }
            continue;
        }
        into.push(check(value, namespace).with_context(|| format!("{source}, document {}", n + 1))?);
    }
    Ok(())
}

fn check(object: Value, default_namespace: &str) -> anyhow::Result<Manifest> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let field = |pointer: &str| match text(pointer) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => bail!("{} is missing", pointer.trim_start_matches('/').replace('/', ".")),
    };
    Ok(Manifest {
        api_version: field("/apiVersion")?,
        kind: field("/kind")?,
        name: field("/metadata/name")?,
        namespace: text("/metadata/namespace").unwrap_or_else(|| default_namespace.to_owned()),
        object,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Vec<Manifest>> {
        let mut manifests = Vec::new();
        parse(text, "test", "default", &mut manifests)?;
        Ok(manifests)
    }

    #[test]
    fn documents_and_lists_are_split_and_empty_ones_skipped() {
        let text = "---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: longshore.dev/v1alpha1, kind: Workload, metadata: {name: b, namespace: n}}\n";
        let manifests = read(text).unwrap();
        let names: Vec<_> = manifests
            .iter()
            .map(|m| (m.display(), m.namespace.as_str()))
            .collect();
        let expected = [
            ("configmap/a".to_owned(), "default"),
            ("workload.longshore.dev/b".to_owned(), "n"),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = format!("{:#}", read("apiVersion: v1\nkind: ConfigMap\n").unwrap_err());
        assert!(error.contains("metadata.name is missing"), "{error}");
        let error = format!("{:#}", read("a: [").unwrap_err());
        assert!(error.contains("document 1"), "{error}");
    }
}
