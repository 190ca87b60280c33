//! What must hold: always, and once faults have stopped.
//!
//! The rules are stated over the machine (its containers and its exact journal), the API server's objects and
//! the model of the wishes. Nothing here asks the planner or the ledger what they think.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_agent::labels;
use longshore_agent::runtime::ContainerDetail;
use longshore_agent::runtime::sim::{Actor, Journal, Op};
use longshore_plan::names::EngineId;
use longshore_plan::observed::ContainerState;
use longshore_plan::spec::RestartPolicy;

use super::perform::{THEIRS, ours};
use super::site::Site;
use super::told::ready_is_true;
use super::wishes::{Key, NOTE, Policy, Presence, Wanted, Wish, Wishes};

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

impl Running {
    fn of(container: &ContainerDetail) -> Self {
        Self {
            id: container.id.clone(),
            started_at: container.started_at.clone(),
        }
    }
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
        ready_is_true(site, wishes, &self.ever_made).await
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
            ("note", one.labels.get(NOTE) == Some(&wanted.note.to_string())),
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
                .map(Running::of);
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
            .map(|c| (key_of(c), Running::of(c)))
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
