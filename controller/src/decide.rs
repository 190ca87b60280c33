//! What one device should have, and what must be done for it. Pure.
//!
//! | A workload of the device's namespace … | … on this device |
//! |---|---|
//! | targets it and renders | desired |
//! | targets it and cannot be rendered now (content missing) | desired as last rendered, else left out |
//! | targets it and is too large for a message beside the others | desired as last rendered, else left out |
//! | is being deleted, by its own `deletionPolicy: Delete` | ordered away while the device has any of it |
//! | is being deleted under `Orphan`, or because its CRD is | left out |
//! | is being deleted, and why is not known yet | as last rendered |
//! | lacks our finalizer | as last rendered: nothing new before we can see its end |
//! | exists and targets others | ordered away while the device has any of it |
//! | exists, targets others and is suspended | left out: nothing of it is changed anywhere |
//! | is gone, and the device still owes its removal | ordered away |
//! | is gone in any other way | left out: its containers are orphans |
//!
//! "Left out" changes nothing on the device: absence is not an instruction. Only "ordered away" removes.
//! On a device that is being deleted under `Delete` everything is ordered away; under `Orphan`, with its
//! CRD, or while that is not known, it is told nothing any more.

mod fit;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_bus::envelope::Report;
use longshore_crds::conditions::reason;
use longshore_crds::workload::DeletionPolicy;
use longshore_crds::{Device, Workload};
use longshore_plan::desired::{DesiredSet, ReclaimPolicy, Removal, RemovalReason};
use longshore_plan::hash::digest_of;
use longshore_plan::names::{ContainerKey, DnsLabel};
use longshore_plan::step::{HeldCause, Plan};

use crate::assess::{Evidence, OnDevice, Trouble, Verdict, assess};
use crate::finalizer::{self, Ending};
use crate::render::Rendered;

/// The workloads last rendered for a device, by name, with the uid of their object.
pub(crate) type Kept = BTreeMap<String, (String, Arc<Rendered>)>;

/// A workload of the device's namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// The object.
    pub(crate) workload: &'a Workload,
    /// How its deletion is to be read.
    pub(crate) ending: Ending,
    /// It targets the device.
    pub(crate) targeted: bool,
    /// What it renders to now.
    pub(crate) rendered: &'a Result<Arc<Rendered>, Trouble>,
}

impl Candidate<'_> {
    fn name(&self) -> &str {
        self.workload.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Everything the decision about one device depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// The device.
    pub(crate) device: &'a Device,
    /// How its deletion is to be read.
    pub(crate) device_ending: Ending,
    /// Every workload of its namespace.
    pub(crate) workloads: &'a [Candidate<'a>],
    /// The device's report, if it may be planned from.
    pub(crate) report: Option<&'a Report>,
    /// The workloads last rendered for it.
    pub(crate) kept: &'a Kept,
    /// The set it has accepted, where that is known.
    pub(crate) accepted: Option<&'a DesiredSet>,
    /// Why it refused its last plan, if it did.
    pub(crate) refused: Option<&'a str>,
}

/// What is to be done about one device, and how its workloads stand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// What it should have.
    pub(crate) desired: Arc<DesiredSet>,
    /// The digest of that.
    pub(crate) digest: String,
    /// The way there; absent without a report to plan from, and when nothing may be sent.
    pub(crate) plan: Option<Plan>,
    /// The workloads that concern it, by name.
    pub(crate) workloads: BTreeMap<String, Concern>,
    /// Engine names of managed containers nobody answers for.
    pub(crate) orphans: Vec<String>,
    /// What to remember as last rendered.
    pub(crate) kept: Kept,
    /// The device has accepted just this set.
    pub(crate) is_accepted: bool,
    /// It has, and carries nothing out: its report says what came of it.
    pub(crate) settled: bool,
    /// The workloads it has something of.
    pub(crate) traces: BTreeSet<DnsLabel>,
}

impl Decision {
    /// It has nothing of ours and knows that it should not.
    pub(crate) fn is_bare(&self) -> bool {
        self.settled && self.traces.is_empty()
    }

    /// It has nothing of that workload, does nothing for it, and knows that it should not.
    pub(crate) fn is_clean_of(&self, workload: &str) -> bool {
        let traced = self.traces.iter().any(|t| t.as_str() == workload);
        let desired = self.desired.workloads.iter().any(|w| w.name.as_str() == workload);
        self.settled && !traced && !desired
    }

    /// Whether anything about it has to do with that workload.
    pub(crate) fn concerns(&self, workload: &str) -> bool {
        self.workloads.contains_key(workload) || self.traces.iter().any(|t| t.as_str() == workload)
    }
}

/// One workload on the device.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Concern {
    /// It is a target of the workload.
    pub(crate) targeted: bool,
    /// How it stands.
    pub(crate) state: OnDevice,
    /// The revision it should have.
    pub(crate) wanted_revision: Option<String>,
}

/// Decides about one device.
pub(crate) fn decide(input: &Input<'_>) -> Decision {
    let traces = input.report.map(traces).unwrap_or_default();
    let mut draft = Draft::default();
    match input.device_ending {
        Ending::Alive => {
            for candidate in input.workloads {
                draft.place(input, candidate, &traces);
            }
            draft.settle_debts(input, &traces);
        }
        Ending::Explicit(DeletionPolicy::Delete) => {
            draft.note_targeted(input);
            for workload in &traces {
                draft.remove(workload, RemovalReason::Decommissioned);
            }
        }
        Ending::Explicit(DeletionPolicy::Orphan) | Ending::Unexplained | Ending::Collateral => {
            draft.note_targeted(input);
        }
    }
    draft.finish(input, &traces)
}

/// The workloads of which the device has containers, networks or volumes that would go with them.
fn traces(report: &Report) -> BTreeSet<DnsLabel> {
    let observed = &report.observed;
    let containers = observed.containers.iter().map(|c| c.key.workload.clone());
    // A network's name is `<workload>.<network>`, and a label holds no dot.
    let networks = observed
        .networks
        .iter()
        .filter_map(|n| n.split_once('.')?.0.parse().ok());
    let doomed = |v: &&longshore_plan::observed::OwnedVolume| v.reclaim == ReclaimPolicy::Delete;
    let volumes = observed
        .volumes
        .iter()
        .filter(doomed)
        .filter_map(|v| v.workload.parse().ok());
    containers.chain(networks).chain(volumes).collect()
}

/// A desired set in the making.
#[derive(Debug, Default)]
struct Draft {
    set: DesiredSet,
    kept: Kept,
    troubles: BTreeMap<String, Trouble>,
    targeted: BTreeMap<String, Option<String>>,
}

impl Draft {
    fn place(&mut self, input: &Input<'_>, candidate: &Candidate<'_>, traces: &BTreeSet<DnsLabel>) {
        let name = candidate.name();
        let workload = candidate.workload;
        if candidate.targeted {
            self.targeted.insert(name.to_owned(), None);
        }
        match candidate.ending {
            Ending::Explicit(DeletionPolicy::Delete) => {
                self.remove_traced(name, RemovalReason::Deleted, traces);
            }
            Ending::Explicit(DeletionPolicy::Orphan) | Ending::Collateral => {}
            Ending::Unexplained => self.keep(input, workload, name),
            Ending::Alive if !candidate.targeted => {
                if workload.spec.suspend != Some(true) {
                    self.remove_traced(name, RemovalReason::MovedAway, traces);
                }
            }
            Ending::Alive if !finalizer::has(workload, finalizer::WORKLOAD) => {
                self.keep(input, workload, name);
            }
            Ending::Alive => match candidate.rendered {
                Ok(rendered) => {
                    let uid = workload.metadata.uid.clone().unwrap_or_default();
                    self.want(name, uid, Arc::clone(rendered));
                }
                Err(trouble) => {
                    self.troubles.insert(name.to_owned(), trouble.clone());
                    self.keep(input, workload, name);
                }
            },
        }
    }

    /// The device goes, and its workloads have to be told.
    fn note_targeted(&mut self, input: &Input<'_>) {
        let targeted = input.workloads.iter().filter(|c| c.targeted);
        self.targeted
            .extend(targeted.map(|c| (c.name().to_owned(), None)));
    }

    fn want(&mut self, name: &str, uid: String, rendered: Arc<Rendered>) {
        let workload = rendered.workload.clone();
        self.targeted
            .insert(name.to_owned(), Some(workload.revision.clone()));
        self.set.workloads.push(workload);
        self.kept.insert(name.to_owned(), (uid, rendered));
    }

    /// As it was last rendered, unless that was another object of the same name.
    fn keep(&mut self, input: &Input<'_>, workload: &Workload, name: &str) {
        if let Some((uid, kept)) = input.kept.get(name)
            && Some(uid) == workload.metadata.uid.as_ref()
        {
            self.want(name, uid.clone(), Arc::clone(kept));
        }
    }

    fn remove_traced(&mut self, name: &str, reason: RemovalReason, traces: &BTreeSet<DnsLabel>) {
        if let Some(workload) = traces.iter().find(|t| t.as_str() == name) {
            self.remove(workload, reason);
        }
    }

    fn remove(&mut self, workload: &DnsLabel, reason: RemovalReason) {
        self.set.removals.push(Removal {
            workload: workload.clone(),
            reason,
        });
    }

    /// Removals owed by a device that was away when a workload ended. A workload of that name that
    /// exists again speaks for itself.
    fn settle_debts(&mut self, input: &Input<'_>, traces: &BTreeSet<DnsLabel>) {
        for owed in finalizer::pending(input.device) {
            let exists = input.workloads.iter().any(|c| c.name() == owed);
            if !exists {
                self.remove_traced(&owed, RemovalReason::Deleted, traces);
            }
        }
    }

    fn finish(mut self, input: &Input<'_>, traces: &BTreeSet<DnsLabel>) -> Decision {
        self.set.paused = input.device.spec.paused == Some(true);
        self.set.removals.sort_by(|a, b| a.workload.cmp(&b.workload));
        let digest = digest_of(&self.fit(input));
        let plan = input
            .report
            .map(|report| longshore_plan::plan(&self.set, &report.observed));
        let may_send = matches!(
            input.device_ending,
            Ending::Alive | Ending::Explicit(DeletionPolicy::Delete)
        );
        let workloads = self.concerns(input, &digest, plan.as_ref(), traces);
        let orphans = match (input.report, &plan) {
            (Some(report), Some(plan)) => orphans(input, report, plan),
            _ => Vec::new(),
        };
        let is_accepted = input.report.is_some_and(|r| r.desired_digest == digest);
        let settled = is_accepted && input.report.is_some_and(|r| !r.busy);
        Decision {
            desired: Arc::new(self.set),
            digest,
            plan: plan.filter(|_| may_send),
            workloads,
            orphans,
            kept: self.kept,
            is_accepted,
            settled,
            traces: traces.clone(),
        }
    }

    fn concerns(
        &self,
        input: &Input<'_>,
        digest: &str,
        plan: Option<&Plan>,
        traces: &BTreeSet<DnsLabel>,
    ) -> BTreeMap<String, Concern> {
        let known = |name: &&DnsLabel| input.workloads.iter().any(|c| c.name() == name.as_str());
        let leaving = self.set.removals.iter().map(|r| &r.workload);
        let names: BTreeSet<String> = self
            .targeted
            .keys()
            .cloned()
            .chain(
                traces
                    .iter()
                    .filter(known)
                    .chain(leaving)
                    .map(ToString::to_string),
            )
            .collect();
        names
            .into_iter()
            .map(|name| {
                let concern = Concern {
                    targeted: self.targeted.contains_key(&name),
                    state: self.state(input, digest, plan, &name),
                    wanted_revision: self.targeted.get(&name).cloned().flatten(),
                };
                (name, concern)
            })
            .collect()
    }

    fn state(&self, input: &Input<'_>, digest: &str, plan: Option<&Plan>, name: &str) -> OnDevice {
        let without_report = |verdict| OnDevice {
            verdict,
            revision: None,
            updated: false,
            drifted: false,
            desired: 0,
            ready: 0,
        };
        let desired = self.set.workloads.iter().find(|w| w.name.as_str() == name);
        let assessed = match (desired, input.report, plan) {
            (Some(workload), Some(report), Some(plan)) => Some(assess(
                workload,
                &Evidence {
                    report,
                    plan,
                    // Another workload of the device may be on its way while this one stands.
                    accepted: report.desired_digest == digest
                        || input.accepted.and_then(|set| set.workload(&workload.name)) == Some(workload),
                    paused: self.set.paused,
                    refused: input.refused,
                },
            )),
            _ => None,
        };
        if let Some(trouble) = self.troubles.get(name) {
            let verdict = Verdict::Stalled(trouble.clone());
            return match assessed {
                Some(assessed) => OnDevice {
                    verdict,
                    updated: false,
                    ..assessed
                },
                None => without_report(verdict),
            };
        }
        if let Some(assessed) = assessed {
            return assessed;
        }
        let leaves = self.set.removals.iter().any(|r| r.workload.as_str() == name);
        let mut state = without_report(match input.device_ending {
            _ if leaves => Verdict::Removing,
            Ending::Alive => Verdict::Progressing("waiting to be taken up".to_owned()),
            Ending::Explicit(DeletionPolicy::Delete) => Verdict::Removing,
            Ending::Explicit(DeletionPolicy::Orphan) | Ending::Unexplained | Ending::Collateral => {
                Verdict::OnHold(Trouble::new(reason::DELETING, "its device is being deleted"))
            }
        });
        if let Some(workload) = desired {
            state.desired = u32::try_from(workload.containers.len()).unwrap_or(u32::MAX);
        }
        state
    }
}

/// The containers no workload answers for. One that exists and is left out for now still does.
fn orphans(input: &Input<'_>, report: &Report, plan: &Plan) -> Vec<String> {
    let answers = |c: &Candidate<'_>| matches!(c.ending, Ending::Alive | Ending::Unexplained);
    let is_orphan = |key: &ContainerKey| {
        let name = key.workload.as_str();
        !input.workloads.iter().any(|c| c.name() == name && answers(c))
            && plan
                .held
                .iter()
                .any(|h| &h.key == key && h.cause == HeldCause::Orphaned)
    };
    let containers = &report.observed.containers;
    let mut names: Vec<String> = containers
        .iter()
        .filter(|c| is_orphan(&c.key))
        .map(|c| c.engine_name.clone())
        .collect();
    names.sort();
    names
}

/// The state of a workload on a device that is not connected.
pub(crate) fn offline(state: OnDevice, verdict: Verdict) -> OnDevice {
    debug_assert!(matches!(
        verdict,
        Verdict::Offline(_) | Verdict::Unconfirmed { .. }
    ));
    // What is wrong with the declaration is so whether or not the device is there.
    match state.verdict {
        Verdict::Stalled(ref t)
            if [reason::CONTENT_MISSING, reason::INVALID_SPEC, reason::TOO_LARGE]
                .contains(&t.reason.as_str()) =>
        {
            state
        }
        _ => OnDevice { verdict, ..state },
    }
}
