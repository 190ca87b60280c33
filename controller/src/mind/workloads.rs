//! One workload: rendering, its status, its finalizer and its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use longshore_bus::DeviceId;
use longshore_crds::Workload;
use longshore_crds::conditions::{self, ConditionType, reason};
use longshore_crds::names::ObjectKey;
use longshore_crds::workload::DeletionPolicy;
use longshore_plan::observed::FailureReason;

use super::inputs::{device_id, workload_crd};
use super::{ABSENT_GRACE, CrdLookup, Mind, WorkloadMind, Write};
use crate::assess::{OnDevice, Trouble, Verdict};
use crate::effects::Effect;
use crate::events;
use crate::finalizer::{self, Ending};
use crate::fleet::Presence;
use crate::render::{self, Rendered};
use crate::status::{self, WorkloadFacts};
use crate::timers::Uptime;
use crate::writes::{Kind, Part, Target};

impl Mind {
    /// Renders what changed, and looks again at the devices for which that matters.
    pub(super) fn render_stale(&mut self) {
        while let Some(key) = self.stale_renderings.pop_first() {
            // Both those it concerned before and those it does now.
            self.dirty_devices.extend(self.devices_of(&key));
            self.place(&key.namespace);
            self.dirty_devices.extend(self.devices_of(&key));
            self.dirty_workloads.insert(key.clone());
            let Some(workload) = self.model.workloads.get(&key) else {
                self.workloads.remove(&key);
                continue;
            };
            let rendered = render::render(workload, &self.model.content)
                .map(Arc::new)
                .map_err(|problems| Trouble::of_problems(&problems));
            let before = self.workloads.remove(&key);
            let mind = WorkloadMind {
                rendered,
                failing_since: before.as_ref().and_then(|b| b.failing_since.clone()),
                // An object of the same name that is not being deleted is another one.
                ending_since: before
                    .and_then(|b| b.ending_since)
                    .filter(|_| workload.metadata.deletion_timestamp.is_some()),
            };
            self.workloads.insert(key, mind);
        }
        // What nobody asks for any more.
        if self.crds.len() > 64 {
            let workloads = self
                .model
                .workloads
                .iter()
                .filter_map(|(_, w)| w.metadata.uid.clone());
            let devices = self
                .model
                .devices
                .iter()
                .filter_map(|(_, d)| d.metadata.uid.clone());
            let alive: BTreeSet<String> = workloads.chain(devices).collect();
            self.crds.retain(|uid, _| alive.contains(uid));
        }
    }

    /// Brings a workload's finalizer and status in line with what was decided about its devices.
    pub(super) fn look_at_workload(&mut self, key: &ObjectKey, now: Uptime) {
        let Some(workload) = self.model.workloads.get(key).cloned() else {
            return;
        };
        self.place(&key.namespace);
        let ending = self.ending_of(
            workload.as_ref(),
            workload.spec.deletion_policy,
            workload_crd,
            now,
        );
        let unsettled = self.unsettled(key, ending, now);
        let stays = match ending {
            Ending::Alive | Ending::Unexplained => true,
            Ending::Collateral | Ending::Explicit(DeletionPolicy::Orphan) => false,
            Ending::Explicit(DeletionPolicy::Delete) => !unsettled.is_empty(),
        };
        let target = |part| Target {
            kind: Kind::Workload,
            part,
            key: key.clone(),
        };
        let metadata = target(Part::Metadata);
        match finalizer::workload_patch(&workload, stays) {
            Some(patch) if self.writes.latest(&metadata) == Some(&Write::Metadata(patch.clone())) => {}
            Some(patch) => self.writes.offer(&metadata, Write::Metadata(patch), now),
            None => self.writes.withdraw(&metadata),
        }
        // Its last status is nobody's business any more, and would race with its end.
        if stays {
            self.offer_workload_status(key, &workload, &unsettled, &target(Part::Status), now);
        }
    }

    fn offer_workload_status(
        &mut self,
        key: &ObjectKey,
        workload: &Workload,
        unsettled: &BTreeSet<DeviceId>,
        target: &Target,
        now: Uptime,
    ) {
        let targets = self
            .placements
            .get(&key.namespace)
            .and_then(|p| p.targets_of(key))
            .cloned()
            .unwrap_or_default();
        let unbound = OnDevice {
            verdict: Verdict::Stalled(Trouble::new(
                reason::INVALID_SPEC,
                "the device's id would be longer than the bus allows",
            )),
            revision: None,
            updated: false,
            drifted: false,
            desired: 0,
            ready: 0,
        };
        let states: Vec<(&str, &OnDevice)> = targets
            .devices
            .iter()
            .filter_map(|device| {
                let Some(id) = device_id(device) else {
                    return Some((device.name.as_str(), &unbound));
                };
                let decision = self.devices.get(&id)?.decision.as_ref()?;
                Some((device.name.as_str(), &decision.workloads.get(&key.name)?.state))
            })
            .collect();
        if states.len() < targets.devices.len() {
            // One of them is not decided yet; its decision brings us back.
            return;
        }
        let Some(mind) = self.workloads.get_mut(key) else {
            return;
        };
        let failing = states
            .iter()
            .any(|(_, d)| matches!(d.verdict, Verdict::Retrying(_)));
        let overdue = is_overdue(mind, failing, now);
        if let Overdue::At(at) = overdue {
            self.looks.set_earlier(key, at);
        }
        let stored = workload.status.clone().unwrap_or_default();
        let latest = match self.writes.latest(target) {
            Some(Write::Workload(status)) => Some(status.clone()),
            _ => None,
        };
        let facts = WorkloadFacts {
            workload,
            rendered: self
                .workloads
                .get(key)
                .map_or(Ok(""), |mind| match &mind.rendered {
                    Ok(rendered) => Ok(rendered.workload.revision.as_str()),
                    Err(trouble) => Err(trouble),
                }),
            devices: states,
            unknown: &targets.unknown,
            leaving: unsettled.iter().map(|id| id.device().as_str()).collect(),
            overdue: overdue == Overdue::Yes,
        };
        let status = status::workload_status(&facts, latest.as_ref().unwrap_or(&stored), &self.wall_time());
        let before = latest.unwrap_or(stored);
        if status != before {
            if let Some(stalled) = newly_stalled(&before.conditions, &status.conditions) {
                let note = events::note(true, &stalled.reason, &stalled.reason, stalled.message.clone());
                self.events.push(workload.object_ref(&()), note);
            }
            self.writes.offer(target, Write::Workload(status), now);
        }
    }

    /// The devices for which a deleted workload still waits. A device that is away for too long takes the
    /// removal as a debt, and is waited for only until that is written down.
    fn unsettled(&mut self, key: &ObjectKey, ending: Ending, now: Uptime) -> BTreeSet<DeviceId> {
        if ending != Ending::Explicit(DeletionPolicy::Delete) {
            return BTreeSet::new();
        }
        let Some(mind) = self.workloads.get_mut(key) else {
            return BTreeSet::new();
        };
        let since = *mind.ending_since.get_or_insert(now);
        let mut unsettled = BTreeSet::new();
        for id in self.devices_of(key) {
            let Some(device) = self.model.devices.get(&super::inputs::object_key(&id)) else {
                continue;
            };
            let decision = self.devices.get(&id).and_then(|d| d.decision.as_ref());
            if decision.is_some_and(|d| d.is_clean_of(&key.name))
                || finalizer::pending(device).contains(&key.name)
            {
                continue;
            }
            let connected = self
                .fleet
                .get(&id)
                .is_some_and(|s| s.presence == Presence::Connected);
            if !connected {
                if now >= since + ABSENT_GRACE {
                    // Its next look writes the debt down; that brings us back.
                    self.dirty_devices.insert(id.clone());
                } else {
                    self.looks.set_earlier(key, since + ABSENT_GRACE);
                }
            }
            unsettled.insert(id);
        }
        unsettled
    }

    /// The workloads whose removal a device comes to owe now.
    pub(super) fn new_debts(&self, id: &DeviceId) -> Vec<String> {
        let connected = self
            .fleet
            .get(id)
            .is_some_and(|s| s.presence == Presence::Connected);
        if connected {
            return Vec::new();
        }
        // As of the last look at the workload: its grace ended, and the device may have something of it.
        let namespace = id.tenant().as_str();
        let ending = self.model.workloads_in(namespace).filter_map(|w| {
            let key = ObjectKey::of(w.as_ref())?;
            let explicit = self.known_ending(w.as_ref(), w.spec.deletion_policy)
                == Ending::Explicit(DeletionPolicy::Delete);
            let since = self.workloads.get(&key)?.ending_since?;
            let over = self.uptime >= since + ABSENT_GRACE;
            (explicit && over && self.devices_of(&key).contains(id)).then_some(key.name)
        });
        ending.collect()
    }

    /// How an object's deletion is to be read, as far as is known.
    pub(super) fn known_ending(&self, object: &impl Resource, policy: Option<DeletionPolicy>) -> Ending {
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        let crd = match self.crds.get(uid) {
            Some(CrdLookup::Known(state)) => Some(*state),
            _ => None,
        };
        finalizer::ending(object, policy, crd)
    }

    /// The same; finds out what is not known.
    pub(super) fn ending_of(
        &mut self,
        object: &impl Resource,
        policy: Option<DeletionPolicy>,
        crd: fn() -> String,
        now: Uptime,
    ) -> Ending {
        let ending = self.known_ending(object, policy);
        let Some(uid) = object
            .meta()
            .uid
            .clone()
            .filter(|_| ending == Ending::Unexplained)
        else {
            return ending;
        };
        let ask = match self.crds.get(&uid) {
            None => true,
            Some(CrdLookup::Unknown { again }) => now >= *again,
            Some(CrdLookup::Asked | CrdLookup::Known(_)) => false,
        };
        if ask {
            self.crds.insert(uid.clone(), CrdLookup::Asked);
            self.effects.push(Effect::LookUpCrd { uid, crd: crd() });
        }
        ending
    }

    /// A CRD was looked at: looks again at everything that is being deleted.
    pub(super) fn ending_explained(&mut self, now: Uptime) {
        let ending = self
            .model
            .workloads
            .iter()
            .filter(|(_, w)| w.metadata.deletion_timestamp.is_some());
        let keys: Vec<ObjectKey> = ending.map(|(key, _)| key.clone()).collect();
        for key in keys {
            let unknown = self.model.workloads.get(&key).is_some_and(|w| {
                let uid = w.metadata.uid.as_deref().unwrap_or_default();
                matches!(self.crds.get(uid), Some(CrdLookup::Unknown { .. }))
            });
            if unknown {
                self.looks.set_earlier(&key, now + super::CRD_RETRY);
            } else {
                self.stale_renderings.insert(key);
            }
        }
        let ending = self
            .model
            .devices
            .iter()
            .filter(|(_, d)| d.metadata.deletion_timestamp.is_some());
        let ids: Vec<DeviceId> = ending.filter_map(|(key, _)| device_id(key)).collect();
        for id in ids {
            self.device_looks.set_earlier(&id, now + super::CRD_RETRY);
            self.dirty_devices.insert(id);
        }
    }
}

/// Whether a workload fails for longer than its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    No,
    At(Uptime),
    Yes,
}

fn is_overdue(mind: &mut WorkloadMind, failing: bool, now: Uptime) -> Overdue {
    let rendered: Option<&Arc<Rendered>> = mind.rendered.as_ref().ok();
    let Some(rendered) = rendered.filter(|_| failing) else {
        mind.failing_since = None;
        return Overdue::No;
    };
    let revision = &rendered.workload.revision;
    let since = match &mind.failing_since {
        Some((of, since)) if of == revision => *since,
        _ => {
            mind.failing_since = Some((revision.clone(), now));
            now
        }
    };
    let deadline = since + Duration::from_secs(u64::from(rendered.workload.progress_deadline_seconds));
    if now >= deadline {
        Overdue::Yes
    } else {
        Overdue::At(deadline)
    }
}

/// Why the workload cannot get on, where that is new and no report of a device tells it: those have Events of their own.
fn newly_stalled<'a>(before: &[Condition], now: &'a [Condition]) -> Option<&'a Condition> {
    const TOLD_HERE: [&str; 7] = [
        reason::UNKNOWN_TARGET,
        reason::CONTENT_MISSING,
        reason::INVALID_SPEC,
        reason::TOO_LARGE,
        reason::PLAN_REFUSED,
        FailureReason::PortConflict.as_str(),
        FailureReason::NameConflict.as_str(),
    ];
    let stalled = conditions::find(now, ConditionType::Stalled).filter(|c| c.status == "True")?;
    let is_new = conditions::find(before, ConditionType::Stalled)
        .is_none_or(|was| was.status != "True" || was.reason != stalled.reason);
    (is_new && TOLD_HERE.contains(&stalled.reason.as_str())).then_some(stalled)
}
