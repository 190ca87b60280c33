//! What `kubectl get` shows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::conditions::{self, ConditionType, Observation};
use crate::device::{AgentInfo, ProtocolRange, RuntimeInfo};
use crate::{DeviceStatus, WorkloadStatus};

/// The columns of a kind, as `(name, path, only with -o wide)`.
fn columns(kind: &str) -> Vec<(String, String, bool)> {
    let crd = all().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let columns = crd.spec.versions.into_iter().next().unwrap();
    let columns = columns.additional_printer_columns.unwrap();
    columns
        .into_iter()
        .map(|c| (c.name, c.json_path, c.priority == Some(1)))
        .collect()
}

/// As much of JSONPath as an API server allows in a column: fields, and one filter by equality.
fn read<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(filter) = rest.strip_prefix("[?(@.") {
            let (condition, behind) = filter.split_once(")]")?;
            let (field, value) = condition.split_once("==")?;
            let value = value.trim_matches('"');
            at = at.as_array()?.iter().find(|item| item[field] == value)?;
            rest = behind;
        } else {
            let field = rest.strip_prefix('.')?;
            let end = field.find(['.', '[']).unwrap_or(field.len());
            at = at.get(&field[..end])?;
            rest = &field[end..];
        }
    }
    Some(at)
}

/// One line of `kubectl get -o wide`, without the age.
fn row(kind: &str, object: &Value) -> Vec<(String, String)> {
    let cells = columns(kind).into_iter().filter(|(name, ..)| name != "Age");
    cells
        .map(|(name, path, _)| {
            let cell = read(object, &path).map_or_else(String::new, |value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            });
            (name, cell)
        })
        .collect()
}

fn named(cells: &[(&str, &str)]) -> Vec<(String, String)> {
    cells
        .iter()
        .map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned()))
        .collect()
}

fn at(second: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
}

#[test]
fn the_columns_are_few_and_the_rest_comes_with_wide() {
    let narrow = |kind: &str| -> Vec<String> {
        let columns = columns(kind).into_iter();
        columns
            .filter(|(_, _, wide)| !wide)
            .map(|(name, ..)| name)
            .collect()
    };
    assert_eq!(narrow("Workload"), ["Ready", "Status", "Revision", "Age"]);
    assert_eq!(
        narrow("Device"),
        ["Connected", "Runtime", "Synced", "Workloads", "Age"]
    );
}

#[test]
fn a_workload_shows_how_it_stands_and_why() {
    let observed = [
        Observation::new(ConditionType::Ready, false, "RolledBack", "dev1: web: exits"),
        Observation::new(ConditionType::Stalled, true, "RolledBack", "other words"),
    ];
    let status = WorkloadStatus {
        revision: Some("0123456789".into()),
        ready_devices: Some("97/100".into()),
        desired: Some(100),
        conditions: conditions::merge(&[], &observed, Some(1), &at(1)),
        ..WorkloadStatus::default()
    };
    assert_eq!(
        row("Workload", &json!({ "status": status })),
        named(&[
            ("Ready", "97/100"),
            ("Status", "RolledBack"),
            ("Revision", "0123456789"),
            ("Targets", "100"),
            ("Message", "dev1: web: exits"),
        ])
    );
    let empty = row("Workload", &json!({}));
    assert!(
        empty.iter().all(|(_, cell)| cell.is_empty()),
        "a fresh one shows blanks"
    );
}

#[test]
fn a_device_shows_whether_it_is_there_and_in_sync() {
    let observed = [
        Observation::new(ConditionType::Connected, true, "AgentConnected", ""),
        Observation::unknown(ConditionType::Synced, "Unconfirmed", "waiting for its report"),
    ];
    let status = DeviceStatus {
        agent: Some(AgentInfo {
            version: "0.1.0".into(),
            protocol: ProtocolRange { min: 1, max: 1 },
        }),
        runtime: Some(RuntimeInfo {
            kind: "docker".into(),
            name: "docker".into(),
            version: "27.1".into(),
            os: "linux".into(),
            arch: "arm64".into(),
            ..RuntimeInfo::default()
        }),
        ready_workloads: Some("2/3".into()),
        conditions: conditions::merge(&[], &observed, Some(1), &at(1)),
        ..DeviceStatus::default()
    };
    assert_eq!(
        row("Device", &json!({ "status": status })),
        named(&[
            ("Connected", "True"),
            ("Runtime", "docker"),
            ("Synced", "Unknown"),
            ("Workloads", "2/3"),
            ("Agent", "0.1.0"),
            ("Version", "27.1"),
            ("OS", "linux"),
            ("Arch", "arm64"),
            ("Message", "waiting for its report"),
        ])
    );
}

#[test]
fn the_kinds_have_short_names_a_category_and_a_status_of_their_own() {
    let found: Vec<_> = all()
        .into_iter()
        .map(|crd| {
            let version = &crd.spec.versions[0];
            let subresources = version.subresources.as_ref().unwrap();
            assert!(subresources.status.is_some() && subresources.scale.is_none());
            assert!(version.served && version.storage);
            assert_eq!(crd.spec.scope, "Namespaced");
            let names = crd.spec.names;
            // A Device is not among what `kubectl delete all --all` takes.
            let categories: &[&str] = if names.kind == "Workload" {
                &["longshore", "all"]
            } else {
                &["longshore"]
            };
            assert_eq!(names.categories.unwrap(), categories);
            (names.kind, names.plural, names.short_names.unwrap().join(","))
        })
        .collect();
    let wanted = [("Device", "devices", "dev"), ("Workload", "workloads", "wl")];
    let mut found: Vec<(&str, &str, &str)> = found
        .iter()
        .map(|(kind, plural, short)| (kind.as_str(), plural.as_str(), short.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, wanted);
}
