//! One device: deciding, dispatching, its status, its debts and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use longshore_bus::DeviceId;
use longshore_bus::envelope::Report;
use longshore_crds::conditions::{self, ConditionType, reason};
use longshore_crds::names::ObjectKey;
use longshore_crds::workload::DeletionPolicy;
use longshore_crds::{Device, Workload};
use longshore_plan::desired::DesiredContainer;
use longshore_plan::hash::SpecHash;
use longshore_plan::names::ContainerKey;

use super::inputs::{device_crd, device_id, object_key};
use super::{ABSENT_GRACE, Mind, Write};
use crate::assess::{Trouble, Verdict};
use crate::decide::{self, Candidate, Decision, Input};
use crate::dispatch::{Standing, UNSENDABLE, Wanted};
use crate::events::{self, About, note};
use crate::finalizer::{self, Ending};
use crate::fleet::{DeviceState, GoneCause, Presence};
use crate::placement;
use crate::render::Rendered;
use crate::status::{self, DeviceFacts};
use crate::timers::Uptime;
use crate::writes::{Kind, Part, Target};

impl Mind {
    /// Decides about a device and brings everything about it in line with that.
    pub(super) fn look_at_device(&mut self, id: &DeviceId, now: Uptime) {
        let key = object_key(id);
        let Some(device) = self.model.devices.get(&key).cloned() else {
            return;
        };
        self.counters.decisions.add(1);
        let ending = self.ending_of(device.as_ref(), device.spec.deletion_policy, device_crd, now);
        let decision = self.decide(id, &device, ending);
        self.dispatch(id, &decision, now);
        self.offer_device_status(id, &device, &decision, now);
        self.offer_device_metadata(id, &device, ending, &decision, now);
        let mind = self.devices.entry(id.clone()).or_default();
        mind.kept.clone_from(&decision.kept);
        if decision.is_accepted {
            mind.accepted = Some((decision.digest.clone(), Arc::clone(&decision.desired)));
        }
        let before = mind.decision.replace(decision);
        self.mark_changed_workloads(id, before.as_ref());
    }

    fn decide(&mut self, id: &DeviceId, device: &Device, ending: Ending) -> Decision {
        let key = object_key(id);
        self.place(&key.namespace);
        let standing = self.dispatcher.standing(id);
        let refused = match &standing {
            Standing::Refused { code, message } => Some(match code.as_str() {
                UNSENDABLE => format!("its plan cannot be sent: {message}"),
                _ => format!("the device refused the plan: {code}: {message}"),
            }),
            _ => None,
        };
        let nothing = Err(Trouble::new(reason::INVALID_SPEC, "not read yet"));
        let placement = self.placements.get(&key.namespace);
        let candidates: Vec<Candidate<'_>> = self
            .model
            .workloads_in(&key.namespace)
            .filter_map(|workload| {
                let name = ObjectKey::of(workload.as_ref())?;
                let rendered: &Result<Arc<Rendered>, Trouble> =
                    self.workloads.get(&name).map_or(&nothing, |mind| &mind.rendered);
                Some(Candidate {
                    workload,
                    ending: self.known_ending(workload.as_ref(), workload.spec.deletion_policy),
                    targeted: placement.is_some_and(|p| p.contains(&name, &key)),
                    rendered,
                })
            })
            .collect();
        let state = self.fleet.get(id);
        let report = state.and_then(DeviceState::confirmed_report);
        let mind = self.devices.get(id);
        let kept = mind.map(|d| &d.kept);
        let accepted = mind.and_then(|d| d.accepted.as_ref());
        let accepted = accepted.filter(|(digest, _)| report.is_some_and(|r| r.desired_digest == *digest));
        let mut decision = decide::decide(&Input {
            device,
            device_ending: ending,
            workloads: &candidates,
            report: report.map(Arc::as_ref),
            kept: kept.unwrap_or(&BTreeMap::new()),
            accepted: accepted.map(|(_, set)| set.as_ref()),
            refused: refused.as_deref(),
        });
        if report.is_none() {
            unobserved(&mut decision, device, state);
        }
        decision
    }

    /// The placement of a namespace, made anew if something about it changed.
    pub(super) fn place(&mut self, namespace: &str) {
        if !self.placements.contains_key(namespace) {
            let workloads = self.model.workloads_in(namespace).map(Arc::as_ref);
            let devices = self.model.devices_in(namespace).map(Arc::as_ref);
            let placement = placement::place(workloads, devices);
            self.placements.insert(namespace.to_owned(), placement);
        }
    }

    fn dispatch(&mut self, id: &DeviceId, decision: &Decision, now: Uptime) {
        let report = self
            .fleet
            .get(id)
            .and_then(DeviceState::confirmed_report)
            .cloned();
        let (Some(report), Some(plan)) = (report, &decision.plan) else {
            return;
        };
        let wanted = Wanted {
            desired: &decision.desired,
            digest: &decision.digest,
            plan,
            basis: &report.state_hash,
            accepted_digest: &report.desired_digest,
            accepted_fence: report.fence.as_ref(),
            busy: report.busy,
        };
        let issued_at = self.clock.now_rfc3339();
        let outputs = self.dispatcher.consider(id, &wanted, &issued_at, now);
        self.take_outputs(outputs, now);
    }

    fn offer_device_status(&mut self, id: &DeviceId, device: &Device, decision: &Decision, now: Uptime) {
        let Some(state) = self.fleet.get(id) else {
            return;
        };
        let target = Target {
            kind: Kind::Device,
            part: Part::Status,
            key: object_key(id),
        };
        let stored = device.status.clone().unwrap_or_default();
        let latest = match self.writes.latest(&target) {
            Some(Write::Device(status)) => Some(status.clone()),
            _ => None,
        };
        let standing = self.dispatcher.standing(id);
        let facts = DeviceFacts {
            device,
            state,
            decision,
            standing: &standing,
        };
        let status = status::device_status(&facts, latest.as_ref().unwrap_or(&stored), &self.wall_time());
        if status != latest.unwrap_or(stored) {
            self.writes.offer(&target, Write::Device(status), now);
        }
    }

    /// Its finalizer, and the removals it owes.
    fn offer_device_metadata(
        &mut self,
        id: &DeviceId,
        device: &Device,
        ending: Ending,
        decision: &Decision,
        now: Uptime,
    ) {
        let stays = self.device_must_stay(id, device, ending, decision, now);
        let owed: BTreeSet<String> = finalizer::pending(device)
            .into_iter()
            .filter(|name| {
                let key = ObjectKey::new(id.tenant().as_str(), name);
                let speaks_for_itself = self
                    .model
                    .workloads
                    .get(&key)
                    .is_some_and(|w| w.metadata.deletion_timestamp.is_none());
                !speaks_for_itself && !decision.is_clean_of(name)
            })
            .chain(self.new_debts(id))
            .collect();
        let target = Target {
            kind: Kind::Device,
            part: Part::Metadata,
            key: object_key(id),
        };
        match finalizer::device_patch(device, stays, &owed) {
            Some(patch) if self.writes.latest(&target) == Some(&Write::Metadata(patch.clone())) => {}
            Some(patch) => self.writes.offer(&target, Write::Metadata(patch), now),
            None => self.writes.withdraw(&target),
        }
    }

    fn device_must_stay(
        &mut self,
        id: &DeviceId,
        device: &Device,
        ending: Ending,
        decision: &Decision,
        now: Uptime,
    ) -> bool {
        match ending {
            Ending::Alive | Ending::Unexplained => true,
            Ending::Collateral | Ending::Explicit(DeletionPolicy::Orphan) => false,
            Ending::Explicit(DeletionPolicy::Delete) => {
                let since = *self
                    .devices
                    .entry(id.clone())
                    .or_default()
                    .ending_since
                    .get_or_insert(now);
                let connected = self
                    .fleet
                    .get(id)
                    .is_some_and(|s| s.presence == Presence::Connected);
                if connected {
                    return !decision.is_bare();
                }
                if now < since + ABSENT_GRACE {
                    self.device_looks.set_earlier(id, since + ABSENT_GRACE);
                    return true;
                }
                let words = "deleted while it was not connected; what runs on it was left alone";
                let warning = note(true, "DecommissionIncomplete", "Decommission", words);
                self.events.push(device.object_ref(&()), warning);
                false
            }
        }
    }

    /// Looks again at the workloads for which this device now stands differently.
    fn mark_changed_workloads(&mut self, id: &DeviceId, before: Option<&Decision>) {
        let Some(after) = self.devices.get(id).and_then(|d| d.decision.as_ref()) else {
            return;
        };
        let old = before.map(|d| &d.workloads);
        let names: BTreeSet<&String> = after
            .workloads
            .keys()
            .chain(old.into_iter().flat_map(|o| o.keys()))
            .collect();
        let changed = names
            .into_iter()
            .filter(|name| old.and_then(|o| o.get(*name)) != after.workloads.get(*name));
        let mut keys: Vec<ObjectKey> = changed
            .map(|name| ObjectKey::new(id.tenant().as_str(), name))
            .collect();
        // Whether it is clean of what is being deleted can change with nothing else.
        let cleaner = before.is_none_or(|b| b.settled != after.settled);
        if cleaner {
            let ending = self.model.workloads_in(id.tenant().as_str());
            let ending = ending.filter(|w| w.metadata.deletion_timestamp.is_some());
            keys.extend(ending.filter_map(|w| ObjectKey::of(w.as_ref())));
        }
        self.dirty_workloads.extend(keys);
    }

    pub(super) fn device_came(&mut self, id: &DeviceId) {
        self.tell_presence(id, false, "Connected", "its agent is connected");
    }

    pub(super) fn device_went(&mut self, id: &DeviceId, cause: GoneCause) {
        self.tell_presence(id, true, "Disconnected", status::gone_words(cause));
    }

    /// An Event, unless the stored condition says the same: a restart of ours is no news.
    fn tell_presence(&mut self, id: &DeviceId, warning: bool, word: &str, words: &str) {
        let Some(device) = self.model.devices.get(&object_key(id)) else {
            return;
        };
        let stored = device.status.as_ref().map_or(&[][..], |s| &s.conditions);
        let was = conditions::find(stored, ConditionType::Connected).map(|c| c.status == "True");
        if was != Some(!warning) {
            self.events
                .push(device.object_ref(&()), note(warning, word, word, words));
        }
    }

    /// A report came: tells what changed since the one before.
    pub(super) fn device_reported(&mut self, id: &DeviceId, before: Option<&Report>) {
        let after = self.fleet.get(id).and_then(|s| s.report.clone());
        let (Some(before), Some(after)) = (before, after) else {
            return;
        };
        let decision = self.devices.get(id).and_then(|d| d.decision.as_ref());
        let images: BTreeMap<ContainerKey, (SpecHash, String)> = decision
            .into_iter()
            .flat_map(|d| &d.desired.workloads)
            .flat_map(|w| {
                let of = |c: &DesiredContainer| (w.key(c), (c.hash.clone(), c.spec.image.clone()));
                w.containers.iter().map(of)
            })
            .collect();
        for (about, note) in events::transitions(id.device().as_str(), before, &after, &images) {
            if let Some(object) = self.reference(id, &about) {
                self.events.push(object, note);
            }
        }
    }

    fn reference(&self, id: &DeviceId, about: &About) -> Option<ObjectReference> {
        match about {
            About::Device => Some(self.model.devices.get(&object_key(id))?.object_ref(&())),
            About::Workload(name) => {
                let key = ObjectKey::new(id.tenant().as_str(), name);
                let workload: &Arc<Workload> = self.model.workloads.get(&key)?;
                Some(workload.object_ref(&()))
            }
        }
    }

    /// Every device that a workload may concern: its targets, and those that have something of it.
    pub(super) fn devices_of(&self, key: &ObjectKey) -> BTreeSet<DeviceId> {
        let targets = self
            .placements
            .get(&key.namespace)
            .and_then(|p| p.targets_of(key));
        let targets = targets.into_iter().flat_map(|t| &t.devices).filter_map(device_id);
        let holds = |device: &Device| {
            let listed = device
                .status
                .as_ref()
                .is_some_and(|s| s.workloads.iter().any(|w| w.name == key.name));
            listed || finalizer::pending(device).contains(&key.name)
        };
        let stored = self.model.devices_in(&key.namespace).filter(|d| holds(d));
        let stored = stored.filter_map(|d| device_id(&ObjectKey::of(d.as_ref())?));
        let concerned = self.devices.iter().filter(|(id, mind)| {
            let decision = mind.decision.as_ref();
            id.tenant().as_str() == key.namespace && decision.is_some_and(|d| d.concerns(&key.name))
        });
        targets
            .chain(stored)
            .chain(concerned.map(|(id, _)| id.clone()))
            .collect()
    }
}

/// Says of a device that was not observed only that.
fn unobserved(decision: &mut Decision, device: &Device, state: Option<&DeviceState>) {
    for (name, concern) in &mut decision.workloads {
        let verdict = if let Some(Presence::Gone(cause)) = state.map(|s| s.presence) {
            Verdict::Offline(status::gone_words(cause).to_owned())
        } else {
            let stored = device
                .status
                .iter()
                .flat_map(|s| &s.workloads)
                .find(|w| &w.name == name);
            let was_ready =
                stored.is_some_and(|w| w.state == reason::READY && w.revision == concern.wanted_revision);
            Verdict::Unconfirmed { was_ready }
        };
        concern.state = decide::offline(concern.state.clone(), verdict);
    }
}
