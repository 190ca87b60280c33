//! What can go wrong on request: errors, silence, and the caller's own death at a chosen effect.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::runtime::RuntimeErrorKind;

/// One call of [`crate::runtime::Runtime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Op {
    Info,
    Events,
    List,
    Inspect,
    Image,
    Pull,
    Create,
    Start,
    Stop,
    Kill,
    Restart,
    Unpause,
    Rename,
    Update,
    Remove,
    Exec,
    LogTail,
    Networks,
    CreateNetwork,
    RemoveNetwork,
    Connect,
    Disconnect,
    Volumes,
    CreateVolume,
    RemoveVolume,
    RemoveImage,
}

impl Op {
    /// Whether it changes something on the machine. Only effects are journaled and meet the hook.
    pub fn is_effect(self) -> bool {
        match self {
            Self::Info
            | Self::Events
            | Self::List
            | Self::Inspect
            | Self::Image
            | Self::Exec
            | Self::LogTail
            | Self::Networks
            | Self::Volumes => false,
            Self::Pull
            | Self::Create
            | Self::Start
            | Self::Stop
            | Self::Kill
            | Self::Restart
            | Self::Unpause
            | Self::Rename
            | Self::Update
            | Self::Remove
            | Self::CreateNetwork
            | Self::RemoveNetwork
            | Self::Connect
            | Self::Disconnect
            | Self::CreateVolume
            | Self::RemoveVolume
            | Self::RemoveImage => true,
        }
    }

    /// As errors name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Events => "events",
            Self::List => "list",
            Self::Inspect => "inspect",
            Self::Image => "image",
            Self::Pull => "pull",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Unpause => "unpause",
            Self::Rename => "rename",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Exec => "exec",
            Self::LogTail => "logs",
            Self::Networks => "networks",
            Self::CreateNetwork => "create network",
            Self::RemoveNetwork => "remove network",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Volumes => "volumes",
            Self::CreateVolume => "create volume",
            Self::RemoveVolume => "remove volume",
            Self::RemoveImage => "remove image",
        }
    }
}

/// A connection to the machine: one life of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Before or after the effect happened on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Phase {
    Before,
    After,
}

/// A moment at which something can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect<'a> {
    /// The call.
    pub op: Op,
    /// Whether it happened already.
    pub phase: Phase,
    /// The name (not the id) of what it is about.
    pub object: &'a str,
    /// Counts the effects of all clients from 1; the same before and after.
    pub nth: u64,
    /// Who asked.
    pub client: ClientId,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing.
    None,
    /// The call answers this. After the effect: it happened, and the caller is told that it failed.
    Error(RuntimeErrorKind),
    /// No answer until the call's own timeout.
    Hang,
    /// The caller's process dies here: this call and every other of the same client never return, and
    /// [`super::SimRuntime::died`] does.
    CallerDies,
}

/// Asked before and after each effect, outside the machine's lock.
pub type Hook = Arc<dyn Fn(&Effect<'_>) -> Fault + Send + Sync>;

/// Errors queued by a test, each taken once by the first call it fits.
#[derive(Debug, Default)]
pub(super) struct FailNext {
    queue: VecDeque<(Op, Option<String>, RuntimeErrorKind)>,
}

impl FailNext {
    pub(super) fn push(&mut self, op: Op, object: Option<String>, kind: RuntimeErrorKind) {
        self.queue.push_back((op, object, kind));
    }

    pub(super) fn take(&mut self, op: Op, object: &str) -> Option<RuntimeErrorKind> {
        let fits = |(o, name, _): &(Op, Option<String>, RuntimeErrorKind)| {
            *o == op && name.as_deref().is_none_or(|name| name == object)
        };
        let at = self.queue.iter().position(fits)?;
        self.queue.remove(at).map(|(_, _, kind)| kind)
    }
}
