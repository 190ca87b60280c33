//! How a schedule is drawn from its seed. A change here makes another schedule of every seed.

use std::time::Duration;

use longshore_agent::runtime::RuntimeErrorKind;
use longshore_agent::runtime::sim::{Crash, Op, Phase};
use rand::Rng;
use rand::rngs::SmallRng;

use super::act::{Act, Climate, Round, Schedule};
use super::faults::{Strike, Trap};
use super::wishes::{Image, Policy};

impl Schedule {
    pub(super) fn draw(random: &mut SmallRng) -> Self {
        let mut rounds = vec![Round {
            climate: Climate::Changes,
            acts: first_acts(random),
            lull: lull(random),
        }];
        for _ in 0..=usize::from(random.random_bool(0.3)) {
            rounds.push(round(random));
        }
        Self {
            variant: random.random(),
            rounds,
        }
    }
}

fn first_acts(random: &mut SmallRng) -> Vec<(Duration, Act)> {
    let mut acts = vec![(Duration::from_secs(1), Act::Declare { workload: 0 })];
    if random.random_bool(0.5) {
        acts.push((pause(random), Act::Declare { workload: 1 }));
    }
    if random.random_bool(0.3) {
        acts.push((pause(random), site_act(random)));
    }
    acts
}

fn round(random: &mut SmallRng) -> Round {
    let climate = match random.random_range(0..10) {
        0..2 => Climate::Restless,
        2..6 => Climate::Changes,
        _ => Climate::Stormy,
    };
    let mut acts = Vec::new();
    for _ in 0..random.random_range(3..=8) {
        let act = match (climate, random.random_range(0..10)) {
            (Climate::Restless, _) | (Climate::Changes, 0..4) | (Climate::Stormy, 0..2) => site_act(random),
            (Climate::Changes, _) | (Climate::Stormy, 2..5) => user_act(random),
            (Climate::Stormy, 5..8) => engine_act(random),
            (Climate::Stormy, _) => hand_act(random),
        };
        // A trap snaps at an effect, so something to do follows most of them.
        let lured = matches!(act, Act::SetTrap(_)) && climate != Climate::Restless && random.random_bool(0.7);
        acts.push((pause(random), act));
        if lured {
            acts.push((Duration::from_millis(random.random_range(0..500)), lure(random)));
        }
    }
    Round {
        climate,
        acts,
        lull: lull(random),
    }
}

/// A change that asks for effects on the device.
fn lure(random: &mut SmallRng) -> Act {
    let of = random.random();
    match random.random_range(0..4) {
        0 => Act::NewNote {
            of,
            note: random.random_range(0..3),
        },
        1 => Act::NewImage {
            of,
            image: Image::Sick,
        },
        _ => Act::NewImage {
            of,
            image: Image::Good(random.random_range(1..=4)),
        },
    }
}

fn lull(random: &mut SmallRng) -> Duration {
    Duration::from_millis(random.random_range(1_000..30_000))
}

/// Mostly short, so that things meet each other.
fn pause(random: &mut SmallRng) -> Duration {
    let most = match random.random_range(0..10) {
        0..3 => 100,
        3..7 => 3_000,
        7..9 => 15_000,
        _ => 60_000,
    };
    Duration::from_millis(random.random_range(0..most))
}

fn lasts(random: &mut SmallRng, most_seconds: u64) -> Duration {
    let most = if random.random_bool(0.5) {
        3_000
    } else {
        most_seconds * 1000
    };
    Duration::from_millis(random.random_range(100..=most))
}

fn user_act(random: &mut SmallRng) -> Act {
    let pick = random.random();
    match random.random_range(0..27) {
        0..4 => Act::NewImage {
            of: pick,
            image: Image::Good(random.random_range(1..=4)),
        },
        4..8 => Act::NewImage {
            of: pick,
            image: [
                Image::Sick,
                Image::Crashing,
                Image::NoStart,
                Image::NoCreate,
                Image::Absent,
            ][random.random_range(0..5)],
        },
        8..11 => Act::NewNote {
            of: pick,
            note: random.random_range(0..3),
        },
        11..13 => Act::Memory {
            of: pick,
            mebibytes: [32, 64, 128][random.random_range(0..3)],
        },
        13..15 => Act::Policy {
            of: pick,
            policy: [Policy::Always, Policy::UnlessStopped, Policy::OnFailure][random.random_range(0..3)],
        },
        15..17 => Act::Suspend {
            workload: pick,
            suspend: random.random_bool(0.6),
        },
        17..19 => Act::PauseDevice {
            paused: random.random_bool(0.6),
        },
        19..22 => Act::Delete { workload: pick },
        22..24 => Act::Lose { workload: pick },
        24 => Act::Retry { workload: pick },
        _ => Act::Declare { workload: pick },
    }
}

fn site_act(random: &mut SmallRng) -> Act {
    let (in_order, silently) = (random.random_bool(0.3), random.random_bool(0.5));
    match random.random_range(0..14) {
        0..3 => Act::EndAgent {
            in_order,
            back_after: lasts(random, 60),
        },
        3..5 => Act::EndController {
            in_order,
            back_after: lasts(random, 60),
        },
        5..7 => Act::CutAgent {
            silently,
            lasts: lasts(random, 90),
        },
        7 => Act::CutController {
            silently,
            lasts: lasts(random, 90),
        },
        8..10 => Act::BadBus {
            lose: [0.0, 0.1, 0.5][random.random_range(0..3)],
            duplicate: [0.0, 0.3][random.random_range(0..2)],
            delay: Duration::from_millis([0, 200, 3000][random.random_range(0..3)]),
            lasts: lasts(random, 60),
        },
        10 => Act::LoseEvents {
            lasts: lasts(random, 60),
        },
        11 => Act::BreakEventStreams,
        _ => Act::SetTrap(Trap {
            op: None,
            left: random.random_range(1..=8),
            phase: phase(random),
            strike: Strike::AgentDies,
            back_after: lasts(random, 30),
        }),
    }
}

fn phase(random: &mut SmallRng) -> Phase {
    if random.random_bool(0.5) {
        Phase::Before
    } else {
        Phase::After
    }
}

fn crash(random: &mut SmallRng) -> Crash {
    if random.random_bool(0.5) {
        Crash::ContainersDie
    } else {
        Crash::ContainersLiveOn
    }
}

fn engine_act(random: &mut SmallRng) -> Act {
    match random.random_range(0..10) {
        0 => Act::CrashEngine {
            crash: crash(random),
            back_after: lasts(random, 20),
        },
        1 => Act::StopEngine {
            back_after: lasts(random, 20),
        },
        2 => Act::FreezeEngine {
            lasts: lasts(random, 70),
        },
        3 => Act::DiskFull {
            lasts: lasts(random, 60),
        },
        4 => Act::RegistryAway {
            lasts: lasts(random, 60),
        },
        _ => {
            let op = random
                .random_bool(0.5)
                .then(|| OPS[random.random_range(0..OPS.len())]);
            Act::SetTrap(Trap {
                op,
                left: if op.is_some() {
                    1
                } else {
                    random.random_range(1..=6)
                },
                phase: phase(random),
                strike: strike(random),
                back_after: lasts(random, 20),
            })
        }
    }
}

const OPS: [Op; 8] = [
    Op::Pull,
    Op::Create,
    Op::Start,
    Op::Stop,
    Op::Rename,
    Op::Update,
    Op::Remove,
    Op::CreateNetwork,
];

fn strike(random: &mut SmallRng) -> Strike {
    match random.random_range(0..8) {
        0 => Strike::AgentDies,
        1..3 => Strike::EngineDies(crash(random)),
        3 => Strike::BothDie,
        4 => Strike::Hang,
        _ => Strike::Error(
            [
                RuntimeErrorKind::Unavailable,
                RuntimeErrorKind::Timeout,
                RuntimeErrorKind::Conflict,
                RuntimeErrorKind::DiskFull,
                RuntimeErrorKind::Other,
            ][random.random_range(0..5)],
        ),
    }
}

fn hand_act(random: &mut SmallRng) -> Act {
    let of = random.random();
    match random.random_range(0..9) {
        0 => Act::RemoveByHand { of },
        1 => Act::StopByHand { of },
        2 => Act::PauseByHand { of },
        3 => Act::RenameByHand { of },
        4 => Act::UpdateByHand { of },
        5 => Act::DisconnectByHand { of },
        6 => Act::ExitByItself {
            of,
            code: random.random_range(0..2),
        },
        _ => Act::RunForeign {
            like_ours: random.random_bool(0.5),
        },
    }
}
