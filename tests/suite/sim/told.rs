//! What the API's objects tell of the device, against what is so.

use std::collections::BTreeSet;

use kube::api::ListParams;
use longshore_crds::conditions::{self, ConditionType};

use super::judge::{Broken, Rule, broken};
use super::site::{DEVICE, Site};
use super::wishes::{Image, Presence, Wishes};

/// A workload whose newest generation is told to be ready can be so, and everything it takes was made.
pub(super) async fn ready_is_true(
    site: &Site,
    wishes: &Wishes,
    ever_made: &BTreeSet<[String; 4]>,
) -> Result<(), Broken> {
    let workloads = site.workloads();
    for object in workloads.list(&ListParams::default()).await.unwrap() {
        let status = object.status.unwrap_or_default();
        let ready = conditions::find(&status.conditions, ConditionType::Ready);
        let wish = wishes
            .workloads
            .iter()
            .find(|w| Some(w.name) == object.metadata.name.as_deref() && w.presence == Presence::Declared);
        let (Some(wish), Some(ready)) = (wish, ready) else {
            continue;
        };
        let told = status.observed_generation == object.metadata.generation && ready.status == "True";
        if !told || wish.suspend {
            continue;
        }
        for container in &wish.containers {
            let made = [
                wish.name.to_owned(),
                container.name.to_owned(),
                container.effective().reference(),
                container.note.to_string(),
            ];
            // One that exits again and again is ready in between, if its probe says so.
            let possible = container.image.is_good() || container.effective() == Image::Crashing;
            if !possible || !ever_made.contains(&made) {
                let words = format!("{} is told to be ready without {}", wish.name, made.join(" "));
                return broken(Rule::Status, words);
            }
        }
    }
    Ok(())
}

/// The versions of all objects that only a change may write.
pub(super) async fn versions(site: &Site) -> Vec<String> {
    let mut versions = Vec::new();
    let workloads = site.workloads();
    for workload in workloads.list(&ListParams::default()).await.unwrap() {
        versions.extend(workload.metadata.resource_version);
    }
    let devices = site.devices();
    versions.extend(devices.get(DEVICE).await.unwrap().metadata.resource_version);
    versions
}

/// What the objects' statuses do not say as it is.
pub(super) async fn statuses(site: &Site, wishes: &Wishes) -> Vec<Broken> {
    let mut words = Vec::new();
    let workloads = site.workloads();
    for wish in &wishes.workloads {
        let object = workloads.get_opt(wish.name).await.unwrap();
        let declared = wish.presence == Presence::Declared;
        let Some(object) = object else {
            if declared {
                words.push(format!("{} is gone", wish.name));
            }
            continue;
        };
        if !declared {
            words.push(format!("{} is still there", wish.name));
            continue;
        }
        let status = object.status.unwrap_or_default();
        if status.observed_generation != object.metadata.generation {
            words.push(format!("{}: an older generation is told of", wish.name));
        }
        let ready = conditions::find(&status.conditions, ConditionType::Ready);
        let ready = ready.is_some_and(|c| c.status == "True");
        if ready != wish.is_sound() && !wish.suspend && !wishes.paused {
            words.push(format!("{}: Ready is {ready}", wish.name));
        }
    }
    let devices = site.devices();
    let status = devices.get(DEVICE).await.unwrap().status.unwrap_or_default();
    for wanted in [ConditionType::Connected, ConditionType::RuntimeReady] {
        if conditions::find(&status.conditions, wanted).is_none_or(|c| c.status != "True") {
            words.push(format!("the device is not {}", wanted.as_str()));
        }
    }
    let told = |words| Broken {
        rule: Rule::Status,
        words,
    };
    words.into_iter().map(told).collect()
}
