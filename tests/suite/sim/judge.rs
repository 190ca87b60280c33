//! What must hold: always, and once faults have stopped.
//!
//! The rules are stated over the machine (its containers and its exact journal), the API server's objects and
//! the model of the wishes. Nothing here asks the planner or the ledger what they think.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use longshore_agent::labels;
use longshore_agent::runtime::ContainerDetail;
use longshore_agent::runtime::sim::{Actor, Journal, Op};
use longshore_crds::{Device, Workload};
use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::RestartPolicy;

use super::perform::{THEIRS, ours};
use super::site::{DEVICE, Site, TENANT};
use super::wishes::{Image, Key, Policy, Presence, Wanted, Wish, Wishes};

/// Which promise is broken. The numbers are those of docs/invariants.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// 1: nothing is done any more once all is as wished.
    Idle,
    /// 2: what nobody touched keeps running.
    Restarted,
    /// 3: what is not ours is left alone.
    Foreign,
    /// 4: never two of one container.
    TwoRun,
    /// 5: a change that fails leaves running what ran.
    OldGone,
    /// 6: all comes to be as wished.
    Converges,
    /// 8: one create for one wish.
    CreatedTwice,
    /// 12: an idle site writes nothing.
    Writes,
    /// 14: the status says what is there.
    Status,
    /// 15: what is merely missing is kept.
    Absence,
    /// A volume that is to be kept is kept.
    Volume,
    /// Neither agent nor controller ends by itself.
    Ended,
    /// The simulation itself, or something it called, panicked.
    Panicked,
}

/// A broken promise.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) words: String,
}

pub(super) fn broken<T>(rule: Rule, words: impl Into<String>) -> Result<T, Broken> {
    Err(Broken {
        rule,
        words: words.into(),
    })
}

/// What ran at the last moment when all was well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    id: EngineId,
    started_at: String,
}

/// Judges one site from its birth to its end.
#[derive(Default)]
pub(super) struct Judge {
    running: BTreeMap<(String, String), Running>,
    /// Containers nobody may touch: those made by hand.
    foreign: BTreeSet<EngineId>,
    /// Volumes that outlive everything, once they are there.
    kept: BTreeSet<String>,
    /// Every container that was made, as far as a wish can tell it from others.
    ever_made: BTreeSet<[String; 4]>,
    /// How often each was made since all was well.
    made: BTreeMap<(String, String), usize>,
    /// How much of the journal was looked at.
    read: usize,
}

fn key_of(container: &ContainerDetail) -> (String, String) {
    let label = |name| container.labels.get(name).cloned().unwrap_or_default();
    (label(labels::WORKLOAD), label(labels::CONTAINER))
}

fn is_up(container: &ContainerDetail) -> bool {
    matches!(
        container.state,
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting { .. }
    )
}

impl Judge {
    /// After every act, and again and again while things come to rest.
    pub(super) async fn always(&mut self, site: &Site, wishes: &Wishes) -> Result<(), Broken> {
        for made in site.traps.take_made() {
            *self
                .made
                .entry((made.workload.clone(), made.container.clone()))
                .or_default() += 1;
            self.ever_made
                .insert([made.workload, made.container, made.image, made.note]);
        }
        if let Some(words) = site.ended.first() {
            return broken(Rule::Ended, words.clone());
        }
        let journal = site.machine.journal();
        for entry in &journal.entries[self.read..] {
            let by_agent = matches!(entry.actor, Actor::Client(_));
            match &entry.id {
                Some(id) if !by_agent && entry.op == Op::Create => {
                    self.foreign.insert(id.clone());
                }
                Some(id) if by_agent && self.foreign.contains(id) => {
                    let words = format!("{} {}", entry.op.as_str(), entry.object);
                    return broken(Rule::Foreign, words);
                }
                _ => {}
            }
            if by_agent && entry.object == THEIRS && entry.op != Op::CreateVolume {
                return broken(Rule::Foreign, format!("{} {THEIRS}", entry.op.as_str()));
            }
        }
        self.read = journal.entries.len();
        never_two(&journal)?;
        self.foreign_is_there(site)?;
        self.volumes_are_there(site, wishes)?;
        self.ready_is_true(site, wishes).await
    }

    fn volumes_are_there(&mut self, site: &Site, wishes: &Wishes) -> Result<(), Broken> {
        let there = site.machine.volume_names();
        if let Some(gone) = self.kept.iter().find(|volume| !there.contains(volume)) {
            return broken(Rule::Volume, format!("volume {gone} is gone"));
        }
        let retained = wishes.workloads.iter().filter(|w| w.retains);
        let names = retained.map(|w| format!("{}.data", w.name));
        self.kept.extend(names.filter(|name| there.contains(name)));
        Ok(())
    }

    /// A workload whose newest generation is told to be ready can be so, and everything it takes was made.
    async fn ready_is_true(&self, site: &Site, wishes: &Wishes) -> Result<(), Broken> {
        let workloads: Api<Workload> = Api::namespaced(site.client.clone(), TENANT);
        for object in workloads.list(&ListParams::default()).await.unwrap() {
            let status = object.status.unwrap_or_default();
            let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
            let wish = wishes.workloads.iter().find(|w| {
                Some(w.name) == object.metadata.name.as_deref() && w.presence == Presence::Declared
            });
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
                if !possible || !self.ever_made.contains(&made) {
                    let words = format!("{} is told to be ready without {}", wish.name, made.join(" "));
                    return broken(Rule::Status, words);
                }
            }
        }
        Ok(())
    }

    fn foreign_is_there(&self, site: &Site) -> Result<(), Broken> {
        let there: BTreeSet<EngineId> = site.machine.containers().into_iter().map(|c| c.id).collect();
        if let Some(gone) = self.foreign.iter().find(|id| !there.contains(id)) {
            return broken(Rule::Foreign, format!("{gone} is gone"));
        }
        let has = |names: Vec<String>| names.iter().any(|name| name == THEIRS);
        if !has(site.machine.network_names()) || !has(site.machine.volume_names()) {
            return broken(Rule::Foreign, "their network or volume is gone");
        }
        Ok(())
    }

    /// What is not yet as wished, in words.
    pub(super) fn missing(&self, site: &Site, wishes: &Wishes) -> Vec<Broken> {
        let mut missing = Vec::new();
        let mut words = Vec::new();
        if wishes.paused {
            return missing;
        }
        let all = ours(&site.machine);
        let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
        for wish in &wishes.workloads {
            match wish.presence {
                Presence::Unborn | Presence::Deleted => {
                    let networks = site.machine.network_names();
                    let own = format!("{}.", wish.name);
                    words.extend(networks.into_iter().filter(|n| n.starts_with(&own)));
                    let volume = format!("{}.data", wish.name);
                    let volumes = site.machine.volume_names();
                    if !wish.retains && wish.mounts() && volumes.contains(&volume) {
                        words.push(format!("volume {volume} is still there"));
                    }
                }
                Presence::Missing => expected.extend(
                    all.iter()
                        .map(key_of)
                        .filter(|(workload, _)| workload == wish.name),
                ),
                Presence::Declared => {
                    for container in &wish.containers {
                        let key = (wish.name.to_owned(), container.name.to_owned());
                        let of_key: Vec<_> = all.iter().filter(|c| key_of(c) == key).collect();
                        missing.extend(self.not_as_wished(wishes, wish, container, &of_key));
                        expected.insert(key);
                    }
                    expected.insert((wish.name.to_owned(), "prepare".to_owned()));
                }
            }
        }
        words.extend(
            all.iter()
                .filter(|c| !expected.contains(&key_of(c)))
                .map(|c| format!("{} should not be there", c.name)),
        );
        missing.extend(words.into_iter().map(|words| Broken {
            rule: Rule::Converges,
            words,
        }));
        missing
    }

    fn not_as_wished(
        &self,
        wishes: &Wishes,
        wish: &Wish,
        wanted: &Wanted,
        have: &[&ContainerDetail],
    ) -> Option<Broken> {
        let unlike = |words| {
            Some(Broken {
                rule: Rule::Converges,
                words,
            })
        };
        let name = format!("{}.{}", wish.name, wanted.name);
        if wish.suspend {
            return None;
        }
        if !wish.can_run(wanted) {
            let key = (wish.name.to_owned(), wanted.name.to_owned());
            let runs = have.iter().filter(|c| is_up(c)).count();
            let ran = self.running.contains_key(&key) && !wishes.given_up.iter().any(|k| same(&key, k));
            return (ran && runs != 1).then(|| Broken {
                rule: Rule::OldGone,
                words: format!("{runs} of {name} run, though an older one did"),
            });
        }
        let [one] = have else {
            return unlike(format!("{} containers of {name}", have.len()));
        };
        let policy = match wanted.policy {
            Policy::Always => RestartPolicy::Always,
            Policy::UnlessStopped => RestartPolicy::UnlessStopped,
            Policy::OnFailure => RestartPolicy::OnFailure { max_retries: 0 },
        };
        let networks: Vec<String> = one.networks.iter().map(|n| n.network.clone()).collect();
        let attached = wish.containers.len() + usize::from(wish.prepares) < 2
            || networks == [format!("{}.default", wish.name)];
        let ended_well = wanted.policy == Policy::OnFailure
            && matches!(one.state, ContainerState::Exited { exit_code: 0, .. });
        let right = [
            ("name", one.name == name),
            ("image", one.image == wanted.image.reference()),
            ("note", one.labels.get("note") == Some(&wanted.note.to_string())),
            (
                "memory",
                one.resources.memory_limit_bytes == Some(u64::from(wanted.memory) << 20),
            ),
            ("policy", one.restart_policy == policy),
            ("networks", attached),
            ("state", one.state == ContainerState::Running || ended_well),
        ];
        let wrong: Vec<&str> = right
            .iter()
            .filter(|(_, ok)| !ok)
            .map(|(what, _)| *what)
            .collect();
        if wrong.is_empty() {
            return None;
        }
        unlike(format!("{name}: wrong {}", wrong.join(", ")))
    }

    /// Once all is as wished: what nobody touched is what it was, and nothing was made twice.
    pub(super) fn settled(&mut self, site: &Site, wishes: &Wishes) -> Result<(), Broken> {
        let all = ours(&site.machine);
        let made = std::mem::take(&mut self.made);
        for (key, before) in &self.running {
            let untouched = !wishes.all_touched && !wishes.touched.iter().any(|k| same(key, k));
            let now = all
                .iter()
                .find(|c| key_of(c) == *key && is_up(c))
                .map(|c| Running {
                    id: c.id.clone(),
                    started_at: c.started_at.clone(),
                });
            let missing = wishes
                .workloads
                .iter()
                .any(|w| w.name == key.0 && w.presence == Presence::Missing);
            if missing && now.is_none() && !wishes.touched.iter().any(|k| same(key, k)) {
                return broken(Rule::Absence, format!("{}.{} is gone", key.0, key.1));
            }
            if untouched && now.as_ref() != Some(before) {
                let words = format!("{}.{}: {before:?} became {now:?}", key.0, key.1);
                let failing = wishes.workloads.iter().any(|w| {
                    w.name == key.0 && w.containers.iter().any(|c| c.name == key.1 && !c.image.is_good())
                });
                let rule = if failing { Rule::OldGone } else { Rule::Restarted };
                return broken(rule, words);
            }
        }
        if !wishes.all_touched {
            for (key, count) in made {
                let by_hand = wishes.touched_by_hand.iter().any(|k| same(&key, k));
                let asked = wishes.asked.iter().filter(|k| same(&key, k)).count();
                if count > asked && !by_hand {
                    let words = format!("{}.{} was made {count} times for {asked} wishes", key.0, key.1);
                    return broken(Rule::CreatedTwice, words);
                }
            }
        }
        self.running = all
            .iter()
            .filter(|c| is_up(c))
            .map(|c| {
                let running = Running {
                    id: c.id.clone(),
                    started_at: c.started_at.clone(),
                };
                (key_of(c), running)
            })
            .collect();
        Ok(())
    }
}

fn same(key: &(String, String), other: &Key) -> bool {
    key.0 == other.0 && key.1 == other.1
}

/// Invariant 4, over the whole history.
fn never_two(journal: &Journal) -> Result<(), Broken> {
    let both = journal.overlapping(&[labels::SITE, labels::WORKLOAD, labels::CONTAINER]);
    match both.first() {
        Some((one, other)) => broken(Rule::TwoRun, format!("{one:?}\nand {other:?}")),
        None => Ok(()),
    }
}

/// When an agent last changed anything.
pub(super) fn last_effect(journal: &Journal) -> Duration {
    journal
        .by_clients()
        .map(|entry| entry.at)
        .last()
        .unwrap_or_default()
}

/// The versions of all objects that only a change may write.
pub(super) async fn versions(site: &Site) -> Vec<String> {
    let mut versions = Vec::new();
    let workloads: Api<Workload> = Api::namespaced(site.client.clone(), TENANT);
    for workload in workloads.list(&ListParams::default()).await.unwrap() {
        versions.extend(workload.metadata.resource_version);
    }
    let devices: Api<Device> = Api::namespaced(site.client.clone(), TENANT);
    versions.extend(devices.get(DEVICE).await.unwrap().metadata.resource_version);
    versions
}

/// What the objects' statuses do not say as it is.
pub(super) async fn statuses(site: &Site, wishes: &Wishes) -> Vec<Broken> {
    let mut words = Vec::new();
    let workloads: Api<Workload> = Api::namespaced(site.client.clone(), TENANT);
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
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
        let ready = ready.is_some_and(|c| c.status == "True");
        if ready != wish.is_sound() && !wish.suspend && !wishes.paused {
            words.push(format!("{}: Ready is {ready}", wish.name));
        }
    }
    let devices: Api<Device> = Api::namespaced(site.client.clone(), TENANT);
    let status = devices.get(DEVICE).await.unwrap().status.unwrap_or_default();
    for wanted in ["Connected", "RuntimeReady"] {
        let is = status
            .conditions
            .iter()
            .any(|c| c.type_ == wanted && c.status == "True");
        if !is {
            words.push(format!("the device is not {wanted}"));
        }
    }
    let told = |words| Broken {
        rule: Rule::Status,
        words,
    };
    words.into_iter().map(told).collect()
}
