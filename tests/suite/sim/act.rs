//! What can happen in a schedule.
//!
//! Every act is complete in itself and harmless where it does not apply (removing by hand what is not there),
//! so that acts can be left out of a failing schedule to find the ones that matter.

use std::time::Duration;

use longshore_agent::runtime::sim::Crash;

use super::faults::Trap;
use super::wishes::{Image, Policy};

/// Something that happens. Numbers pick among what is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    // The user.
    Declare {
        workload: u32,
    },
    NewImage {
        of: u32,
        image: Image,
    },
    NewNote {
        of: u32,
        note: u32,
    },
    Memory {
        of: u32,
        mebibytes: u32,
    },
    Policy {
        of: u32,
        policy: Policy,
    },
    Suspend {
        workload: u32,
        suspend: bool,
    },
    Delete {
        workload: u32,
    },
    /// The object vanishes while no controller looks, as in a restored backup.
    Lose {
        workload: u32,
    },
    PauseDevice {
        paused: bool,
    },
    Retry {
        workload: u32,
    },
    // The site's parts.
    EndAgent {
        in_order: bool,
        back_after: Duration,
    },
    EndController {
        in_order: bool,
        back_after: Duration,
    },
    CutAgent {
        silently: bool,
        lasts: Duration,
    },
    CutController {
        silently: bool,
        lasts: Duration,
    },
    BadBus {
        lose: f64,
        duplicate: f64,
        delay: Duration,
        lasts: Duration,
    },
    DiskFull {
        lasts: Duration,
    },
    RegistryAway {
        lasts: Duration,
    },
    // The engine.
    CrashEngine {
        crash: Crash,
        back_after: Duration,
    },
    StopEngine {
        back_after: Duration,
    },
    FreezeEngine {
        lasts: Duration,
    },
    LoseEvents {
        lasts: Duration,
    },
    BreakEventStreams,
    SetTrap(Trap),
    // A person at the device.
    RemoveByHand {
        of: u32,
    },
    StopByHand {
        of: u32,
    },
    PauseByHand {
        of: u32,
    },
    RenameByHand {
        of: u32,
    },
    UpdateByHand {
        of: u32,
    },
    DisconnectByHand {
        of: u32,
    },
    ExitByItself {
        of: u32,
        code: i64,
    },
    RunForeign {
        like_ours: bool,
    },
}

/// What kinds of trouble a round brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Climate {
    /// The user changes nothing, only agents, controllers and the bus come and go: nothing may restart.
    Restless,
    /// Changes, while parts of the site die and messages are lost.
    Changes,
    /// Everything at once.
    Stormy,
}

/// One round: acts with the time before each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Round {
    pub(super) climate: Climate,
    pub(super) acts: Vec<(Duration, Act)>,
    /// So long the trouble lasts after the last of them.
    pub(super) lull: Duration,
}

/// Everything a schedule does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    /// Decides the shapes of the workloads.
    pub(super) variant: u32,
    pub(super) rounds: Vec<Round>,
}
