//! Networks, volumes and images.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use longshore_agent::runtime::RuntimeErrorKind;
use longshore_plan::desired::{DesiredNetwork, DesiredVolume, ReclaimPolicy};
use longshore_plan::spec::{Mount, MountSource};

use super::lab::{APP, Case, SHELL, SOON};

fn network(name: String) -> DesiredNetwork {
    DesiredNetwork {
        name,
        driver: None,
        subnet: None,
        internal: false,
        options: BTreeMap::new(),
    }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("longshore.dev/site".to_owned(), "s".to_owned())])
}

pub(super) async fn networks_hold_what_runs_in_them(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let net = network(case.name("net"));
    runtime
        .create_network(&net, Some("10.63.7.0/24"), &labels())
        .await?;
    runtime
        .create_network(&net, Some("10.63.7.0/24"), &labels())
        .await?;
    let all = runtime.networks().await?;
    let mut ours = all.iter().filter(|there| there.name == net.name);
    let there = ours.next().context("not listed")?;
    ensure!(ours.next().is_none(), "two networks of one name");
    ensure!(
        there.subnets == ["10.63.7.0/24"] && there.labels == labels(),
        "{there:?}"
    );
    let overlapping = runtime
        .create_network(&network(case.name("other")), Some("10.63.7.0/24"), &labels())
        .await;
    ensure!(overlapping.is_err_and(|error| error.kind == RuntimeErrorKind::Conflict));

    let foreign = case.name("foreign");
    case.lab.create_network(&foreign).await?;
    let taken = runtime.create_network(&network(foreign), None, &labels()).await;
    ensure!(taken.is_err_and(|error| error.kind == RuntimeErrorKind::NameConflict));

    let id = case.run(&case.request("a")).await?;
    ensure!(case.detail(&id).await?.networks.is_empty());
    for _ in 0..2 {
        runtime.connect(&net.name, &id, &["a".to_owned()]).await?;
    }
    let detail = case.detail(&id).await?;
    ensure!(
        detail.networks.len() == 1 && detail.networks[0].network == net.name,
        "{detail:?}"
    );
    ensure!(
        detail
            .address
            .is_some_and(|address| address.to_string().starts_with("10.63.7.")),
        "{detail:?}"
    );
    let used = runtime
        .remove_network(&net.name)
        .await
        .err()
        .context("removed a network in use")?;
    ensure!(used.kind == RuntimeErrorKind::Conflict, "{used:?}");
    for _ in 0..2 {
        runtime.disconnect(&net.name, &id).await?;
    }
    ensure!(case.detail(&id).await?.networks.is_empty());
    for _ in 0..2 {
        runtime.remove_network(&net.name).await?;
    }
    ensure!(
        runtime
            .networks()
            .await?
            .iter()
            .all(|there| there.name != net.name)
    );
    let gone = runtime
        .connect(&net.name, &id, &[])
        .await
        .err()
        .context("connected to nothing")?;
    ensure!(gone.kind == RuntimeErrorKind::NotFound, "{gone:?}");
    Ok(())
}

pub(super) async fn a_container_joins_all_its_networks_at_creation(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let names = [case.name("n1"), case.name("n2")];
    for name in &names {
        runtime
            .create_network(&network(name.clone()), None, &labels())
            .await?;
    }
    let mut request = case.request("a");
    request.networks = names.to_vec();
    let id = runtime.create(&request).await?;
    for starts in [false, true] {
        if starts {
            runtime.start(&id).await?;
        }
        let detail = case.detail(&id).await?;
        let joined: Vec<_> = detail
            .networks
            .iter()
            .map(|attachment| &attachment.network)
            .collect();
        ensure!(joined == names.iter().collect::<Vec<_>>(), "{detail:?}");
        ensure!(
            detail.networks.iter().all(|a| a.address.is_some() == starts),
            "{detail:?}"
        );
    }
    runtime.remove(&id).await?;
    let mut lost = case.request("lost");
    lost.networks = vec![case.name("no-such-network")];
    // Docker tells it at creation or at the start, by its version.
    let error = match runtime.create(&lost).await {
        Ok(id) => runtime.start(&id).await.err(),
        Err(error) => Some(error),
    };
    ensure!(
        error
            .as_ref()
            .is_some_and(|error| error.kind == RuntimeErrorKind::NotFound),
        "{error:?}"
    );
    Ok(())
}

pub(super) async fn containers_find_each_other_by_alias(case: Case<'_>) -> Result<()> {
    if !case.lab.is_real() {
        return Ok(());
    }
    let runtime = case.runtime();
    let net = network(case.name("net"));
    runtime.create_network(&net, None, &labels()).await?;
    let mut web = case.request("web");
    (web.env, web.networks) = (vec!["GREETING=found".to_owned()], vec![net.name.clone()]);
    case.run(&web).await?;
    let mut shell = case.request("shell");
    SHELL.clone_into(&mut shell.spec.image);
    shell.networks = vec![net.name.clone()];
    let shell = case.run(&shell).await?;
    let words = ["/bin/busybox", "wget", "-q", "-O", "-", "http://web:8080/"].map(ToOwned::to_owned);
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let got = runtime.exec(&shell, &words, SOON).await?;
        if got.output.contains("found from v1") {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "{got:?}");
    }
}

pub(super) async fn volumes_are_kept_while_used(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let volume = DesiredVolume {
        name: case.name("data"),
        driver: None,
        options: BTreeMap::new(),
        reclaim: ReclaimPolicy::Retain,
    };
    for _ in 0..2 {
        runtime.create_volume(&volume, &labels()).await?;
    }
    let all = runtime.volumes().await?;
    let there = all
        .iter()
        .find(|there| there.name == volume.name)
        .context("not listed")?;
    ensure!(there.driver == "local" && there.labels == labels(), "{there:?}");
    let mut request = case.request("a");
    let source = MountSource::Volume {
        name: volume.name.clone(),
    };
    request.spec.mounts = vec![Mount {
        target: "/data".to_owned(),
        source,
        read_only: false,
        propagation: None,
    }];
    let id = runtime.create(&request).await?;
    let used = runtime
        .remove_volume(&volume.name)
        .await
        .err()
        .context("removed a volume in use")?;
    ensure!(used.kind == RuntimeErrorKind::Conflict, "{used:?}");
    runtime.remove(&id).await?;
    ensure!(
        runtime
            .volumes()
            .await?
            .iter()
            .any(|there| there.name == volume.name),
        "went with its container"
    );
    if case.lab.is_real() {
        let other = DesiredVolume {
            options: BTreeMap::from([
                ("type".to_owned(), "tmpfs".to_owned()),
                ("device".to_owned(), "tmpfs".to_owned()),
            ]),
            ..volume.clone()
        };
        let differs = runtime
            .create_volume(&other, &labels())
            .await
            .err()
            .context("took another one for it")?;
        ensure!(differs.kind == RuntimeErrorKind::Conflict, "{differs:?}");
        let other = DesiredVolume {
            name: case.name("options"),
            ..other
        };
        for _ in 0..2 {
            runtime.create_volume(&other, &labels()).await?;
        }
        runtime.remove_volume(&other.name).await?;
    }
    for _ in 0..2 {
        runtime.remove_volume(&volume.name).await?;
    }
    Ok(())
}

pub(super) async fn images_in_use_stay(case: Case<'_>) -> Result<()> {
    let runtime = case.runtime();
    let before = runtime.image(APP).await?.context("the image is not there")?;
    let id = runtime.create(&case.request("a")).await?;
    ensure!(case.detail(&id).await?.image_id == before.id);
    ensure!(
        runtime.image(&before.id).await?.as_ref() == Some(&before),
        "not found by id"
    );
    runtime.remove_image(&before.id).await?;
    ensure!(
        runtime.image(APP).await?.as_ref() == Some(&before),
        "removed an image in use"
    );
    runtime.remove_image("never-there:1").await?;
    ensure!(runtime.image("never-there:1").await?.is_none());
    runtime.remove(&id).await?;
    Ok(())
}
