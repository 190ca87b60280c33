//! The seeded simulation of a whole site on paused time.
//!
//! A schedule is drawn from a seed: one or two workloads, then rounds of what users do, of parts that die and
//! messages that are lost, and of hands on the device. After each round the faults stop, everything must come
//! to be as wished, and then nothing may happen any more. What is judged, and how, stands in `judge`.
//!
//! The real controller, agent, API server and broker run; only the device, its disk, the registry and the
//! clock are simulated. `make sim SCHEDULES=20000 SEED=1` plays more; a failing seed is printed with the way
//! to play it again, which also leaves out of the schedule whatever does not matter.

mod act;
mod faults;
mod judge;
mod perform;
mod planted;
mod run;
mod site;
mod wishes;

use std::time::{Duration, Instant};

use planted::Plant;

/// As many as CI plays.
const SCHEDULES: u64 = 200;

fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

/// Plays every second seed, so that two threads share the work.
fn play_half(half: u64) {
    let (first, count) = (number("SEED", 1), number("SCHEDULES", SCHEDULES));
    let begun = Instant::now();
    let (mut played, mut simulated, mut effects, mut snapped) = (0, Duration::ZERO, 0, 0);
    let mut failed = Vec::new();
    for seed in (first..first + count).skip(half as usize).step_by(2) {
        let (schedule, story) = run::play_seed(seed, Plant::Nothing);
        played += 1;
        simulated += story.simulated;
        effects += story.effects;
        snapped += u64::from(story.snapped);
        let Some(broken) = story.broken else { continue };
        eprintln!("seed {seed} breaks {:?}: {}", broken.rule, broken.words);
        eprintln!("  play it again: make sim SEED={seed} SCHEDULES=1");
        failed.push(seed);
        if count == 1 {
            let (schedule, story) = run::shrink(seed, &schedule, broken.rule, Plant::Nothing);
            eprintln!("variant {:#x}\n{}", schedule.variant, story.transcript);
            eprintln!("{:#?}", story.broken);
        }
    }
    eprintln!(
        "{played} schedules, {} s simulated in {:.1} s, {effects} effects asked for, {snapped} traps snapped",
        simulated.as_secs(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(failed.is_empty(), "failing seeds: {failed:?}");
}

#[test]
fn every_schedule_keeps_every_promise_first_half() {
    play_half(0);
}

#[test]
fn every_schedule_keeps_every_promise_second_half() {
    play_half(1);
}
