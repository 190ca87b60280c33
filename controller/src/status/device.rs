//! The status of one Device.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_bus::envelope::Report;
use longshore_crds::conditions::{self, ConditionType, Observation, reason};
use longshore_crds::device::{AgentInfo, DeviceWorkload, DriftEntry, ProtocolRange, RuntimeInfo};
use longshore_crds::{Device, DeviceStatus};
use longshore_plan::observed::RuntimeState;
use longshore_plan::step::HeldCause;

use crate::assess::Verdict;
use crate::decide::Decision;
use crate::dispatch::Standing;
use crate::fleet::{DeviceState, GoneCause, Presence};
use crate::words;

/// What a Device's status is made from.
#[derive(Debug)]
pub(crate) struct DeviceFacts<'a> {
    /// The object.
    pub(crate) device: &'a Device,
    /// What the fleet knows of it.
    pub(crate) state: &'a DeviceState,
    /// What was decided about it.
    pub(crate) decision: &'a Decision,
    /// How its plan stands.
    pub(crate) standing: &'a Standing,
}

/// The Device's status now, from the stored one and what is known.
pub(crate) fn device_status(facts: &DeviceFacts<'_>, stored: &DeviceStatus, now: &Time) -> DeviceStatus {
    let generation = facts.device.metadata.generation;
    let observations = match facts.state.presence {
        // Its stored status stands for a grace period; one that never had any says so.
        Presence::Unconfirmed { .. } if !stored.conditions.is_empty() => {
            return DeviceStatus {
                observed_generation: generation,
                ..stored.clone()
            };
        }
        Presence::Unconfirmed { .. } => absent(None, reason::UNCONFIRMED, "nothing was heard of it yet"),
        Presence::Gone(cause) => absent(Some(false), reason::AGENT_GONE, gone_words(cause)),
        Presence::Connected => present(facts),
    };
    let report = facts.state.confirmed_report();
    let runtime = report
        .and_then(|r| runtime(&r.observed.runtime))
        .or_else(|| stored.runtime.clone());
    let workloads = workloads(facts, stored);
    let ready = workloads.iter().filter(|w| w.state == reason::READY).count();
    DeviceStatus {
        observed_generation: generation,
        agent: facts.state.birth.as_ref().map_or_else(
            || stored.agent.clone(),
            |birth| {
                Some(AgentInfo {
                    version: birth.agent_version.clone(),
                    protocol: ProtocolRange {
                        min: birth.protocol.0,
                        max: birth.protocol.1,
                    },
                })
            },
        ),
        runtime,
        ready_workloads: Some(format!("{ready}/{}", workloads.len())),
        workloads,
        drift: report.map_or_else(|| stored.drift.clone(), |r| drift(r)),
        orphans: match report {
            Some(_) => facts
                .decision
                .orphans
                .iter()
                .take(DeviceStatus::MAX_ORPHANS)
                .cloned()
                .collect(),
            None => stored.orphans.clone(),
        },
        conditions: conditions::merge(&stored.conditions, &observations, generation, now),
    }
}

fn workloads(facts: &DeviceFacts<'_>, stored: &DeviceStatus) -> Vec<DeviceWorkload> {
    let known = |name: &str| stored.workloads.iter().find(|w| w.name == name);
    facts
        .decision
        .workloads
        .iter()
        .take(DeviceStatus::MAX_WORKLOADS)
        .map(|(name, concern)| {
            let state = &concern.state;
            let (revision, ready) = match (&state.verdict, known(name)) {
                // What was last seen there, not that nothing is.
                (Verdict::Offline(_) | Verdict::Unconfirmed { .. }, Some(known)) => {
                    (known.revision.clone(), known.ready)
                }
                _ => (state.revision.clone(), state.ready),
            };
            DeviceWorkload {
                name: name.clone(),
                revision,
                desired: state.desired,
                ready,
                state: state.verdict.word().to_owned(),
                message: state.verdict.message().map(str::to_owned),
            }
        })
        .collect()
}

fn runtime(state: &RuntimeState) -> Option<RuntimeInfo> {
    match state {
        RuntimeState::Ready {
            kind,
            version,
            api_version,
            os,
            arch,
            capabilities,
        } => Some(RuntimeInfo {
            kind: kind.clone(),
            name: kind.clone(),
            version: version.clone(),
            api_version: Some(api_version.clone()).filter(|v| !v.is_empty()),
            os: os.clone(),
            arch: arch.clone(),
            capabilities: capabilities.clone(),
        }),
        RuntimeState::Unavailable { .. } | RuntimeState::Unknown => None,
    }
}

fn drift(report: &Report) -> Vec<DriftEntry> {
    let entries = report.drift.iter().take(DeviceStatus::MAX_DRIFT);
    entries
        .map(|d| DriftEntry {
            workload: d.key.workload.to_string(),
            container: d.key.container.to_string(),
            field: d.field.clone(),
            want: d.want.clone(),
            have: d.have.clone(),
        })
        .collect()
}

/// The conditions of a device that does not speak: of everything else nothing is known.
fn absent(connected: Option<bool>, word: &str, message: &str) -> Vec<Observation> {
    let unknown = |kind| Observation::unknown(kind, word, message);
    vec![
        Observation {
            kind: ConditionType::Connected,
            status: connected,
            reason: word.to_owned(),
            message: message.to_owned(),
        },
        unknown(ConditionType::RuntimeReady),
        unknown(ConditionType::Synced),
        unknown(ConditionType::Drifted),
    ]
}

/// Why a device is gone, in words.
pub(crate) fn gone_words(cause: GoneCause) -> &'static str {
    match cause {
        GoneCause::Goodbye => "its agent disconnected",
        GoneCause::LeaseExpired => "nothing was heard of its agent for three minutes",
        GoneCause::NotSubscribed => "its agent does not listen on the bus",
        GoneCause::NeverHeard => "its agent did not answer since the controller started",
    }
}

fn present(facts: &DeviceFacts<'_>) -> Vec<Observation> {
    let connected = Observation::new(
        ConditionType::Connected,
        true,
        reason::AGENT_CONNECTED,
        facts
            .state
            .birth
            .as_ref()
            .map_or_else(String::new, |birth| format!("agent {}", birth.agent_version)),
    );
    let Some(report) = facts.state.confirmed_report() else {
        let unknown = |kind| Observation::unknown(kind, reason::UNCONFIRMED, "waiting for its report");
        return vec![
            connected,
            unknown(ConditionType::RuntimeReady),
            unknown(ConditionType::Synced),
            unknown(ConditionType::Drifted),
        ];
    };
    vec![
        connected,
        runtime_ready(report),
        synced(facts, report),
        drifted(report),
    ]
}

fn runtime_ready(report: &Report) -> Observation {
    let kind = ConditionType::RuntimeReady;
    match &report.observed.runtime {
        RuntimeState::Ready {
            kind: name, version, ..
        } => Observation::new(kind, true, reason::RUNTIME_READY, format!("{name} {version}")),
        RuntimeState::Unavailable { message } => {
            Observation::new(kind, false, reason::RUNTIME_UNAVAILABLE, message.clone())
        }
        RuntimeState::Unknown => Observation::unknown(kind, reason::UNCONFIRMED, "not asked yet"),
    }
}

fn synced(facts: &DeviceFacts<'_>, report: &Report) -> Observation {
    let no = |word: &str, message: String| Observation::new(ConditionType::Synced, false, word, message);
    if let Standing::Refused { code, message } = facts.standing {
        return no(reason::PLAN_REFUSED, format!("{code}: {message}"));
    }
    match &report.observed.runtime {
        RuntimeState::Unavailable { message } => return no(reason::RUNTIME_UNAVAILABLE, message.clone()),
        RuntimeState::Unknown => {
            let kind = ConditionType::Synced;
            return Observation::unknown(kind, reason::UNCONFIRMED, "its runtime was not asked yet");
        }
        RuntimeState::Ready { .. } => {}
    }
    let Some(plan) = &facts.decision.plan else {
        return no(reason::HELD, "the device is being deleted".to_owned());
    };
    if report.busy || !plan.steps.is_empty() || report.desired_digest != facts.decision.digest {
        let message = match plan.steps.first() {
            Some(step) => {
                let object = match words::container(&step.action) {
                    Some(container) => format!("{}.{container}", step.workload),
                    None => step.workload.to_string(),
                };
                format!(
                    "{object}: {}",
                    words::under_way(&step.action, facts.decision.desired.workload(&step.workload))
                )
            }
            None => "a plan is on its way or being carried out".to_owned(),
        };
        return no(reason::APPLYING, message);
    }
    let troubled = facts
        .decision
        .workloads
        .iter()
        .find_map(|(name, concern)| match &concern.state.verdict {
            Verdict::Stalled(t) | Verdict::Retrying(t) | Verdict::OnHold(t) => {
                Some(format!("{name}: {}", t.message))
            }
            _ => None,
        });
    if let Some(message) = troubled {
        return no(reason::HELD, message);
    }
    let held = plan.held.iter().find_map(|held| match &held.cause {
        HeldCause::Orphaned => None,
        HeldCause::DriftObserved { fields } => Some(format!(
            "{}: differs in {}, which is only observed",
            held.key,
            fields.join(", ")
        )),
        cause => Some(format!("{}: {cause}", held.key)),
    });
    match held {
        Some(message) => no(reason::HELD, message),
        None => Observation::new(
            ConditionType::Synced,
            true,
            reason::SYNCED,
            "it has what it should have",
        ),
    }
}

fn drifted(report: &Report) -> Observation {
    let words: Vec<String> = report
        .drift
        .iter()
        .take(DeviceStatus::MAX_DRIFT)
        .map(|d| format!("{} {} is {} instead of {}", d.key, d.field, d.have, d.want))
        .collect();
    if words.is_empty() {
        Observation::new(ConditionType::Drifted, false, reason::AS_EXPECTED, "")
    } else {
        Observation::new(ConditionType::Drifted, true, reason::DRIFTED, words.join("; "))
    }
}
