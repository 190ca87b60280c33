//! The replacement of a container: the one step that has a middle, and the journal that gets the device
//! out of it.
//!
//! ```text
//! Preparing:   create <name>.next · old: policy no · old → <name>.prev · new → <name>
//! Switching:   stop old · start new · healthy? · remove old
//! PuttingBack: remove new · old → its name · old: its policy · start old
//! ```
//! A crash in `Preparing` goes back (the old one still runs), in `Switching` forward, in `PuttingBack` on.

use super::{Micro, ModelDevice, Trouble};
use crate::desired::{DesiredContainer, OnFailure};
use crate::names::{ContainerKey, EngineId};
use crate::observed::FailureReason;
use crate::spec::RestartPolicy;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparing,
    Switching,
    PuttingBack,
}

/// What the ledger knows of a replacement under way.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    key: ContainerKey,
    want: DesiredContainer,
    on_failure: OnFailure,
    old: EngineId,
    old_name: String,
    old_policy: RestartPolicy,
    old_was_up: bool,
    phase: Phase,
}

impl ModelDevice {
    pub(super) fn replace(
        &mut self,
        key: &ContainerKey,
        want: &DesiredContainer,
        old: EngineId,
        on_failure: OnFailure,
    ) -> Result<(), Trouble> {
        let Some(container) = self.find(&old) else {
            return Err(Trouble::Refused);
        };
        let journal = Journal {
            key: key.clone(),
            want: want.clone(),
            on_failure,
            old_name: container.engine_name.clone(),
            old_policy: container.config.restart_policy,
            old_was_up: container.state.is_up(),
            old,
            phase: Phase::Preparing,
        };
        self.write_journal(journal.clone())?;
        let outcome = self.prepare(&journal).and_then(|()| self.switch(&journal));
        match outcome {
            Err(Trouble::Failed(reason)) => {
                self.put_back(&journal)?;
                Err(Trouble::Failed(match reason {
                    FailureReason::Unhealthy => FailureReason::RolledBack,
                    reason => reason,
                }))
            }
            outcome => outcome,
        }
    }

    /// Finishes what the journal says is under way.
    pub(super) fn resume_replacement(&mut self) {
        let Some(journal) = self.journal.clone() else {
            return;
        };
        let outcome = match journal.phase {
            Phase::Preparing | Phase::PuttingBack => self.put_back(&journal),
            Phase::Switching => self.switch(&journal).or_else(|_| self.put_back(&journal)),
        };
        // What cannot be put back either is left to the next plan.
        if outcome.is_err() {
            self.journal = None;
        }
    }

    fn write_journal(&mut self, journal: Journal) -> Result<(), Trouble> {
        self.call(&journal.key, &journal.want.hash, Micro::Journal)?;
        self.journal = Some(journal);
        Ok(())
    }

    fn prepare(&mut self, journal: &Journal) -> Result<(), Trouble> {
        let Journal { key, want, old, .. } = journal;
        let new = self.create(key, want, &format!("{}.next", want.engine_name))?;
        self.set_policy(old, RestartPolicy::Never)?;
        self.rename(old, &format!("{}.prev", want.engine_name))?;
        self.rename(&new, &want.engine_name)?;
        self.write_journal(Journal {
            phase: Phase::Switching,
            ..journal.clone()
        })
    }

    fn switch(&mut self, journal: &Journal) -> Result<(), Trouble> {
        let Journal { key, want, old, .. } = journal;
        let Some(new) = self.new_one(journal) else {
            return Err(Trouble::Refused);
        };
        if self.find(old).is_some() {
            self.stop(old)?;
        }
        self.start(&new)?;
        match self.call(key, &want.hash, Micro::Healthy) {
            Err(Trouble::Failed(_)) if journal.on_failure == OnFailure::Continue => {}
            outcome => outcome?,
        }
        if self.find(old).is_some() {
            self.remove(old)?;
        }
        self.journal = None;
        self.settled(key, want);
        Ok(())
    }

    fn put_back(&mut self, journal: &Journal) -> Result<(), Trouble> {
        let phase = Phase::PuttingBack;
        self.journal = Some(Journal {
            phase,
            ..journal.clone()
        });
        if let Some(new) = self.new_one(journal) {
            self.clear_removal_faults(journal);
            self.remove(&new)?;
        }
        let Journal {
            old,
            old_name,
            old_policy,
            old_was_up,
            ..
        } = journal;
        if self.find(old).is_some() {
            self.rename(old, old_name)?;
            self.set_policy(old, *old_policy)?;
            if *old_was_up {
                self.start(old)?;
            }
        }
        self.journal = None;
        Ok(())
    }

    /// A fault of the new one's removal would be a second one at the same time: not modelled.
    fn clear_removal_faults(&mut self, journal: &Journal) {
        let second = |micro: Micro| matches!(micro, Micro::Stop | Micro::Remove);
        self.faults
            .retain(|(key, _, micro)| key != &journal.key || !second(*micro));
    }

    /// The new container of a replacement: the one of its key that is not the old one.
    fn new_one(&self, journal: &Journal) -> Option<EngineId> {
        let mut of_key = self.observed.containers.iter().filter(|c| c.key == journal.key);
        of_key.find(|c| c.id != journal.old).map(|c| c.id.clone())
    }
}
