//! Why a turn or a step did not come to its end.

use longshore_plan::observed::FailureReason;

use crate::ledger::LedgerError;
use crate::runtime::RuntimeError;

/// Why a turn ended before its work was done. What was begun is journaled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupt {
    /// The engine does not answer.
    #[error("the engine does not answer")]
    Runtime(#[source] RuntimeError),
    /// The engine came back in between: it may have restarted everything.
    #[error("the engine was away in between")]
    Restarted,
    /// The ledger cannot be written, so nothing may be done.
    #[error("the ledger cannot be written")]
    Ledger(#[source] LedgerError),
    /// The agent stops.
    #[error("the agent stops")]
    Stopping,
}

/// Why a step did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Tried and failed.
    #[error("{}: {}", .0.reason.as_str(), .0.message)]
    Failed(Failed),
    /// Refused without effect.
    #[error("refused: {found}")]
    Precondition { found: String },
    /// Not done, and nobody's fault.
    #[error("not done: {because}")]
    Skipped { because: String },
    /// Cut short; it is taken up again.
    #[error("cut short")]
    Interrupted(#[source] Interrupt),
}

#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) reason: FailureReason,
    pub(super) message: String,
    /// Not tried again by itself.
    pub(super) blocked: bool,
    /// What ran was stopped for it, and had to come back.
    pub(super) at_a_stop: bool,
}

impl From<Interrupt> for Trouble {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupted(interrupt)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<LedgerError> for Interrupt {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Interrupted(Interrupt::Ledger(error))
    }
}

impl Failed {
    pub(super) fn waiting(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            blocked: false,
            at_a_stop: false,
        }
    }

    pub(super) fn blocked(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            blocked: true,
            ..Self::waiting(reason, message)
        }
    }
}
