//! Drift: differences nobody declared, told by name with both values.
//!
//! Only what the agent brought about can drift: a container whose [`Applied`](crate::observed::Applied)
//! matches what is desired now. Everything else is a change on its way.

use std::collections::BTreeMap;

use crate::desired::DesiredSet;
use crate::observed::{ContainerState, Drift, MAX_DRIFT, Observed, ObservedContainer, RuntimeState};
use crate::planner::{Index, is_leftover, rests};
use crate::spec::{ContainerConfig, ContentFile, Resources, RestartPolicy};
use crate::step::HeldCause;

/// The field of a container that is gone.
pub const EXISTENCE: &str = "existence";
/// The field of a container made from another spec than the one applied.
pub const SPEC: &str = "spec";
/// The field of a container that does not run and should.
pub const STATE: &str = "state";
/// The field of a container under another engine name.
pub const NAME: &str = "name";
/// The field of a frozen container.
pub const PAUSED: &str = "paused";

/// How long a value of a list may get in words.
const MAX_VALUE: usize = 160;

/// One field that differs: its name, what is wanted and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) field: &'static str,
    pub(crate) want: String,
    pub(crate) have: String,
}

/// The differences nobody declared, sorted by container and field, at most [`MAX_DRIFT`].
///
/// Empty while the runtime does not answer: nothing is told that was not observed. A container that
/// another one's claim keeps stopped does not drift; the plan holds it and says why.
pub fn drift(desired: &DesiredSet, observed: &Observed) -> Vec<Drift> {
    if !matches!(observed.runtime, RuntimeState::Ready { .. }) {
        return Vec::new();
    }
    let index = Index::new(desired, observed);
    let clashing: Vec<_> = crate::planner::plan(desired, observed)
        .held
        .into_iter()
        .filter(|h| {
            matches!(
                h.cause,
                HeldCause::PortConflict { .. } | HeldCause::NameConflict { .. }
            )
        })
        .map(|h| h.key)
        .collect();
    let mut found = Vec::new();
    for item in index.items() {
        if !item.applied_matches() || clashing.contains(&item.key) {
            continue;
        }
        let differences = match item.keeper {
            None if item.completed() => Vec::new(),
            None => vec![Difference {
                field: EXISTENCE,
                want: "present".into(),
                have: "absent".into(),
            }],
            Some(container) if !item.same_spec(container) => vec![Difference {
                field: SPEC,
                want: item.desired.hash.to_string(),
                have: container.hash.to_string(),
            }],
            Some(container) => differences(&item, container),
        };
        found.extend(differences.into_iter().map(|d| Drift {
            key: item.key.clone(),
            field: d.field.to_owned(),
            want: d.want,
            have: d.have,
        }));
    }
    found.sort_by(|a, b| (&a.key, &a.field).cmp(&(&b.key, &b.field)));
    found.truncate(MAX_DRIFT);
    found
}

/// Everything in which a container made from the right spec differs from what is desired.
pub(crate) fn differences(item: &crate::planner::Item<'_>, have: &ObservedContainer) -> Vec<Difference> {
    let want = item.desired;
    let mut found = Vec::new();
    // A leftover name is our own unfinished business and a default one a declared change: neither is
    // somebody's doing.
    if have.engine_name != want.engine_name
        && !is_leftover(&have.engine_name, &want.engine_name)
        && !item.has_default_name(have)
    {
        found.push(Difference {
            field: NAME,
            want: want.engine_name.clone(),
            have: have.engine_name.clone(),
        });
    }
    found.extend(config_differences(&want.config, &have.config));
    if have.state == ContainerState::Paused {
        found.push(Difference {
            field: PAUSED,
            want: "false".into(),
            have: "true".into(),
        });
    }
    let at_rest = item.completed() || rests(have, want.config.restart_policy);
    if !have.state.is_up() && !at_rest {
        found.push(Difference {
            field: STATE,
            want: "running".into(),
            have: state_words(&have.state),
        });
    }
    found.sort_by_key(|d| d.field);
    found
}

/// A state in words.
pub(crate) fn state_words(state: &ContainerState) -> String {
    match state {
        ContainerState::Created => "created".into(),
        ContainerState::Running => "running".into(),
        ContainerState::Paused => "paused".into(),
        ContainerState::Restarting { exit_code } => format!("restarting after exit code {exit_code}"),
        ContainerState::Exited {
            exit_code,
            oom_killed: false,
        } => format!("exited with code {exit_code}"),
        ContainerState::Exited {
            exit_code,
            oom_killed: true,
        } => {
            format!("exited with code {exit_code}, out of memory")
        }
        ContainerState::Dead => "dead".into(),
    }
}

/// The fields of the changeable part that differ, sorted. Lists whose order means nothing compare as
/// sets. Destructured without `..`: a new field must be compared or be refused here on purpose.
pub(crate) fn config_differences(want: &ContainerConfig, have: &ContainerConfig) -> Vec<Difference> {
    let ContainerConfig {
        restart_policy,
        resources,
        networks,
        content,
    } = want;
    let mut found = Vec::new();
    if *restart_policy != have.restart_policy {
        found.push(Difference {
            field: "restartPolicy",
            want: policy_words(*restart_policy),
            have: policy_words(have.restart_policy),
        });
    }
    resource_differences(resources, &have.resources, &mut found);
    let (want_networks, have_networks) = (sorted(networks), sorted(&have.networks));
    if want_networks != have_networks {
        found.push(Difference {
            field: "networks",
            want: bounded(&want_networks.join(",")),
            have: bounded(&have_networks.join(",")),
        });
    }
    content_difference(content, &have.content, &mut found);
    found.sort_by_key(|d| d.field);
    found
}

fn resource_differences(want: &Resources, have: &Resources, found: &mut Vec<Difference>) {
    let Resources {
        cpu_limit_millis,
        cpu_shares,
        cpuset_cpus,
        memory_limit_bytes,
        memory_reservation_bytes,
        pids_limit,
    } = want;
    let numbers = [
        ("resources.cpu", *cpu_limit_millis, have.cpu_limit_millis, "m"),
        ("resources.cpuShares", *cpu_shares, have.cpu_shares, ""),
        (
            "resources.memory",
            *memory_limit_bytes,
            have.memory_limit_bytes,
            "",
        ),
        (
            "resources.memoryReservation",
            *memory_reservation_bytes,
            have.memory_reservation_bytes,
            "",
        ),
        ("resources.pids", *pids_limit, have.pids_limit, ""),
    ];
    for (field, want, have, unit) in numbers {
        if want != have {
            let words = |v: Option<u64>| v.map_or_else(|| "none".to_owned(), |v| format!("{v}{unit}"));
            found.push(Difference {
                field,
                want: words(want),
                have: words(have),
            });
        }
    }
    if *cpuset_cpus != have.cpuset_cpus {
        let words = |v: &Option<String>| v.clone().unwrap_or_else(|| "all".to_owned());
        found.push(Difference {
            field: "resources.cpuset",
            want: words(cpuset_cpus),
            have: words(&have.cpuset_cpus),
        });
    }
}

type Files = BTreeMap<String, Vec<ContentFile>>;

/// Names the files that differ; of a value only the first characters of its keyed digest appear.
fn content_difference(want: &Files, have: &Files, found: &mut Vec<Difference>) {
    let (want, have) = (by_path(want), by_path(have));
    if want == have {
        return;
    }
    let words = |this: &BTreeMap<String, &ContentFile>, that: &BTreeMap<String, &ContentFile>| {
        let differing: Vec<String> = this
            .iter()
            .filter(|(path, file)| that.get(*path) != Some(file))
            .map(|(path, file)| {
                let digest: String = file.content.digest.0.chars().take(8).collect();
                format!("{path}@{digest}")
            })
            .collect();
        if differing.is_empty() {
            "none".to_owned()
        } else {
            bounded(&differing.join(","))
        }
    };
    found.push(Difference {
        field: "content",
        want: words(&want, &have),
        have: words(&have, &want),
    });
}

fn by_path(files: &Files) -> BTreeMap<String, &ContentFile> {
    files
        .iter()
        .flat_map(|(volume, files)| files.iter().map(move |f| (format!("{volume}/{}", f.path), f)))
        .collect()
}

fn sorted(names: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn policy_words(policy: RestartPolicy) -> String {
    match policy {
        RestartPolicy::Always => "Always".into(),
        RestartPolicy::OnFailure { max_retries: 0 } => "OnFailure".into(),
        RestartPolicy::OnFailure { max_retries } => format!("OnFailure:{max_retries}"),
        RestartPolicy::UnlessStopped => "UnlessStopped".into(),
        RestartPolicy::Never => "Never".into(),
    }
}

fn bounded(words: &str) -> String {
    match words.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests;
