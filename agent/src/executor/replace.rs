//! The new container instead of the old one, put back if it does not become healthy.
//!
//! ```text
//! Creating ──► Switching ──► Committing        create <name>.next │ old: policy no, rename <name>.prev;
//!    │             │                           new: rename <name>; stop old; start new; watch │ remove old
//!    ▼             ▼
//!  left as    PuttingBack                      stop and remove new; old: rename, policy, start
//!  it was
//! ```
//!
//! A phase is journaled before its first effect, and every effect is made only if the device is not so
//! already. So any phase can be begun again after any crash, of the agent, the engine or both, and goes
//! the way it went: what began to be put back is put back.
//!
//! Guarantees: one create; the new one is never started before the old one was stopped, and neither is
//! ever started by the engine beside the other: the old one's policy is `no` before it is stopped, the new
//! one gets its own only after that.

use longshore_plan::desired::{DesiredContainer, DesiredWorkload, OnFailure};
use longshore_plan::hash::config_digest;
use longshore_plan::names::{ContainerKey, EngineId};
use longshore_plan::observed::{Applied, ContainerState, FailureReason};
use longshore_plan::spec::RestartPolicy;

use super::step::Effects;
use super::wait::{Waited, overtaken};
use super::{Executor, Failed, Interrupt, Trouble};
use crate::answers::SUPERSEDED;
use crate::ledger::{PutBack, Record, ReplaceJournal, ReplacePhase};
use crate::ownership::{next_name, previous_name};
use crate::runtime::{ContainerDetail, RuntimeErrorKind};

impl Executor {
    /// Replaces `old`. Until the new one exists nothing is journaled and the old one is not touched.
    pub(super) async fn replace(
        &mut self,
        workload: &DesiredWorkload,
        container: &DesiredContainer,
        old: &EngineId,
        step: Option<String>,
    ) -> Result<Effects, Trouble> {
        self.wait_for_dependencies(workload, container).await?;
        self.claim_ports(container, Some(old)).await?;
        // What can fail without the engine fails before anything is written down.
        drop(self.request(workload, container, String::new()).await?);
        let Some(old) = self.inspect(old).await? else {
            return Err(Trouble::Precondition {
                found: "it is gone".to_owned(),
            });
        };
        let key = workload.key(container);
        let resting = matches!(old.state, ContainerState::Created | ContainerState::Dead)
            || self
                .tools
                .ledger
                .state()
                .applied
                .get(&key)
                .is_some_and(|a| a.completed);
        let mut alone = workload.clone();
        alone.containers.retain(|c| c.name == container.name);
        let journal = ReplaceJournal {
            key,
            workload: alone,
            step,
            old: old.id.clone(),
            old_name: old.name.clone(),
            old_policy: old.restart_policy,
            old_runs: !resting,
            phase: ReplacePhase::Creating,
        };
        self.append(vec![Record::ReplaceBegan(Box::new(journal))]).await?;
        self.drive_replace().await
    }

    /// Finishes a replace that an earlier life or an engine's death cut short, and answers its step.
    pub(super) async fn resume_replace(&mut self) -> Result<(), Interrupt> {
        let Some(journal) = self.tools.ledger.state().replace.clone() else {
            return Ok(());
        };
        tracing::info!(container = %journal.key, phase = %journal.phase, "an interrupted replace is finished");
        let result = self.drive_replace().await;
        let Some(wanted) = journal.desired() else {
            // A journal without its container names nothing to bring about.
            self.append(vec![Record::ReplaceEnded]).await?;
            return Ok(());
        };
        let concerning = Some((
            journal.key.clone(),
            wanted.hash.clone(),
            config_digest(&wanted.config),
        ));
        self.end_step(journal.step.as_deref(), &concerning, result)
            .await?;
        Ok(())
    }

    /// Goes on from the journaled phase to the end. The caller records the end.
    async fn drive_replace(&mut self) -> Result<Effects, Trouble> {
        loop {
            let Some(journal) = self.tools.ledger.state().replace.clone() else {
                return Ok(Effects::default());
            };
            let Some(wanted) = journal.desired().cloned() else {
                return Ok(Effects::default());
            };
            let phase = match &journal.phase {
                ReplacePhase::Creating => {
                    let new = self.create_next(&journal, &wanted).await?;
                    ReplacePhase::Switching { new }
                }
                ReplacePhase::Switching { new } => self.switch(&journal, &wanted, new).await?,
                ReplacePhase::Committing { new: _, kept } => {
                    return self.commit(&journal, &wanted, kept.as_ref()).await;
                }
                ReplacePhase::PuttingBack { new, why } => {
                    return self.put_back(&journal, new, why).await;
                }
            };
            self.append(vec![Record::ReplacePhase(phase)]).await?;
        }
    }

    async fn create_next(
        &mut self,
        journal: &ReplaceJournal,
        wanted: &DesiredContainer,
    ) -> Result<EngineId, Trouble> {
        let name = next_name(&wanted.engine_name);
        // After a crash it may be there: the relist adopts it by name and hash.
        let snapshot = self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let made = snapshot
            .of(&journal.key)
            .find(|c| c.engine_name == name && c.hash == wanted.hash && c.id != journal.old);
        if let Some(made) = made {
            return Ok(made.id.clone());
        }
        if overtaken(&self.tools.ledger.state(), &journal.key, &wanted.hash) {
            return Err(Trouble::Skipped {
                because: SUPERSEDED.to_owned(),
            });
        }
        let mut request = self.request(&journal.workload, wanted, name).await?;
        // The engine must not start it beside the old one, whatever happens to it.
        request.restart_policy = RestartPolicy::Never;
        self.make(&request, journal.key.clone(), wanted).await
    }

    /// Takes the old one aside, starts the new one and watches it. Answers the next phase.
    async fn switch(
        &mut self,
        journal: &ReplaceJournal,
        wanted: &DesiredContainer,
        new: &EngineId,
    ) -> Result<ReplacePhase, Interrupt> {
        let back = |failed: Failed, own: bool| ReplacePhase::PuttingBack {
            new: new.clone(),
            why: PutBack::Failed {
                reason: failed.reason,
                message: failed.message,
                own,
            },
        };
        match self.take_over(journal, wanted, new).await {
            Ok(()) => {}
            Err(Trouble::Interrupted(interrupt)) => return Err(interrupt),
            Err(Trouble::Failed(mut failed)) => {
                if matches!(
                    failed.reason,
                    FailureReason::UpdateFailed | FailureReason::RemoveFailed
                ) {
                    // What failed is the change as a whole, and that is what waits for its time.
                    failed.reason = FailureReason::CreateFailed;
                }
                let own = failed.blocked;
                return Ok(back(failed, own));
            }
            Err(Trouble::Precondition { found: words } | Trouble::Skipped { because: words }) => {
                return Ok(back(Failed::waiting(FailureReason::CreateFailed, words), false));
            }
        }
        self.tools.view.relist().await.map_err(Interrupt::Runtime)?;
        let waited = self.wait_until_healthy(&journal.workload, wanted, new).await?;
        let keep = journal.workload.on_failure == OnFailure::Continue;
        Ok(match waited {
            Waited::Well => ReplacePhase::Committing {
                new: new.clone(),
                kept: None,
            },
            Waited::Failed(failed) if keep => ReplacePhase::Committing {
                new: new.clone(),
                kept: Some((failed.reason, failed.message)),
            },
            Waited::Failed(failed) => back(failed, true),
            Waited::Superseded => ReplacePhase::PuttingBack {
                new: new.clone(),
                why: PutBack::Superseded,
            },
        })
    }

    async fn take_over(
        &mut self,
        journal: &ReplaceJournal,
        wanted: &DesiredContainer,
        new: &EngineId,
    ) -> Result<(), Trouble> {
        let Some(detail) = self.inspect(new).await? else {
            return Err(Failed::waiting(FailureReason::CreateFailed, "the new container was removed").into());
        };
        if let Some(old) = self.inspect(&journal.old).await? {
            self.set_policy(&old, RestartPolicy::Never).await?;
            if matches!(old.state, ContainerState::Restarting { .. }) {
                // Between two runs it has no network sandbox, and Docker cannot rename it ("sandbox … not
                // found"). It does not run, so nothing is lost by stopping it first.
                self.quieten(&journal.old).await?;
            }
            self.call_it(&old, &previous_name(&wanted.engine_name)).await?;
        }
        self.call_it(&detail, &wanted.engine_name).await?;
        self.quieten(&journal.old).await?;
        self.set_policy(&detail, wanted.config.restart_policy).await?;
        // One that ran and ended is judged, not run again.
        let fresh = detail.started_at.is_empty() || detail.state == ContainerState::Created;
        if fresh && let Err(error) = self.tools.runtime.start(new).await {
            // Its program is missing, or the like: it would be the next time.
            let own = error.kind == RuntimeErrorKind::Invalid;
            return Err(match self.trouble(error, FailureReason::StartFailed) {
                Trouble::Failed(failed) => Failed {
                    blocked: own,
                    ..failed
                }
                .into(),
                trouble => trouble,
            });
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        journal: &ReplaceJournal,
        wanted: &DesiredContainer,
        kept: Option<&(FailureReason, String)>,
    ) -> Result<Effects, Trouble> {
        let mut records = vec![Record::Applied(Applied {
            key: journal.key.clone(),
            hash: wanted.hash.clone(),
            config_digest: config_digest(&wanted.config),
            completed: false,
        })];
        match self.tools.runtime.remove(&journal.old).await {
            Ok(()) => records.push(Record::ContainerGone {
                id: journal.old.clone(),
            }),
            Err(error) => match self.trouble(error, FailureReason::RemoveFailed) {
                Trouble::Interrupted(interrupt) => return Err(interrupt.into()),
                // It is stopped; the planner sees one too many and removes it.
                trouble => tracing::warn!(container = %journal.key, %trouble, "the replaced container stays"),
            },
        }
        if let Some((reason, message)) = kept {
            self.append(records).await?;
            let message = format!("{message}; it was kept as the workload asks (onFailure: Continue)");
            return Err(Failed::blocked(*reason, message).into());
        }
        Ok(Effects {
            changed: true,
            records,
        })
    }

    pub(super) async fn call_it(&mut self, container: &ContainerDetail, name: &str) -> Result<(), Trouble> {
        if container.name == name {
            return Ok(());
        }
        let renamed = self.tools.runtime.rename(&container.id, name).await;
        renamed.map_err(|e| self.trouble(e, FailureReason::UpdateFailed))
    }

    pub(super) async fn set_policy(
        &mut self,
        container: &ContainerDetail,
        policy: RestartPolicy,
    ) -> Result<(), Trouble> {
        if container.restart_policy == policy {
            return Ok(());
        }
        let updated = self
            .tools
            .runtime
            .update(&container.id, policy, &container.resources)
            .await;
        updated.map_err(|e| self.trouble(e, FailureReason::UpdateFailed))
    }

    /// Whether a container is one that a replace under way is responsible for.
    pub(super) fn is_being_replaced(&self, key: &ContainerKey) -> bool {
        self.tools
            .ledger
            .state()
            .replace
            .as_ref()
            .is_some_and(|journal| journal.key == *key)
    }
}
