//! Wrong manifests never get in: they are refused at apply, with the path and the reason.

use anyhow::{Result, ensure};
use longshore_tests::harness::{Kind, Kubectl, Objects, Site, SiteOptions};
use serde_json::{Value, json};

use super::manifests::{first_container, web};

/// What is wrong, how it is made of a right manifest, and what must be said of it.
type Case = (&'static str, fn(&mut Value), &'static [&'static str]);

const CASES: [Case; 7] = [
    (
        "unknown field",
        |workload| first_container(workload)["imagee"] = json!("hello:1"),
        &["spec.template.containers", "imagee"],
    ),
    (
        "unknown field at the top",
        |workload| workload["spec"]["replicas"] = json!(3),
        &["spec.replicas"],
    ),
    (
        "duplicate container",
        |workload| {
            let twice = first_container(workload).clone();
            workload["spec"]["template"]["containers"] = json!([twice, {"name": "web", "image": "hello:2"}]);
        },
        &["spec.template.containers", "web"],
    ),
    (
        "duplicate port",
        |workload| {
            let ports =
                json!([{"containerPort": 80, "hostPort": 9999}, {"containerPort": 81, "hostPort": 9999}]);
            first_container(workload)["ports"] = ports;
        },
        &["spec.template.containers[0].ports", "hostPort"],
    ),
    (
        "bad image",
        |workload| first_container(workload)["image"] = json!("Hello World"),
        &["spec.template.containers[0].image", "image reference"],
    ),
    (
        "bad quantity",
        |workload| first_container(workload)["resources"] = json!({"limits": {"memory": "64Mb!"}}),
        &["spec.template.containers[0].resources.limits.memory"],
    ),
    (
        "no target",
        |workload| workload["spec"]["targets"] = json!([]),
        &["spec.targets", "at least 1"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_manifests_are_refused_with_path_and_reason() -> Result<()> {
    if !Kubectl::Newest.is_here().await? {
        return Ok(());
    }
    let site = Site::start(SiteOptions::without_runtime()).await?;
    let objects = Objects::new(site.client().await?);
    for (case, spoil, words) in CASES {
        let mut workload = web("wrong", "hello:1", 8080);
        spoil(&mut workload);
        let file = site.dir().join("wrong.json");
        std::fs::write(&file, workload.to_string())?;
        let file = file.display().to_string();
        let kubectl = site.kubectl_command().await?;
        let longshore = site.command()?;
        for (mut command, arguments) in [
            (kubectl, vec!["apply", "-f", &file]),
            (
                site.kubectl_command().await?,
                vec!["apply", "--server-side", "-f", &file],
            ),
            (longshore, vec!["apply", "-f", &file]),
        ] {
            command.args(&arguments);
            let how = format!("{case}, {command:?}");
            let output = tokio::process::Command::from(command).output().await?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            ensure!(!output.status.success(), "{how}: accepted: {said}");
            for word in words {
                ensure!(said.contains(word), "{how}: does not say {word:?}: {said}");
            }
        }
    }
    let stored = objects.list(Kind::Workload).await?;
    ensure!(stored.is_empty(), "stored all the same: {stored:?}");
    Ok(())
}
