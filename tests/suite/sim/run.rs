//! One schedule, from its seed to its verdict.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::act::{Round, Schedule};
use super::judge::{Broken, Judge, Rule, broken, last_effect};
use super::perform::{pause_device, perform, prepare, retry};
use super::planted::Plant;
use super::site::Site;
use super::told::{statuses, versions};
use super::wishes::{Presence, Wishes};
use longshore_agent::runtime::sim::Op;
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// So long everything may take to come to rest once faults have stopped.
const PATIENCE: Duration = Duration::from_mins(20);
/// So long an attempt that began before the calm may take to its end.
const ATTEMPT: Duration = Duration::from_mins(1);
/// Without an effect for so long a device is at rest.
const REST: Duration = Duration::from_secs(40);
/// So long nothing at all may happen afterwards.
const IDLE: Duration = Duration::from_secs(100);
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a schedule came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    pub(super) broken: Option<Broken>,
    pub(super) transcript: String,
    pub(super) simulated: Duration,
    pub(super) effects: u64,
    pub(super) snapped: u32,
    /// Over everything that was done and when, and how often the objects were written.
    pub(super) trace: u64,
}

/// Draws the schedule of a seed and plays it.
pub(super) fn play_seed(seed: u64, plant: Plant) -> (Schedule, Story) {
    let mut random = SmallRng::seed_from_u64(seed);
    let schedule = Schedule::draw(&mut random);
    let played = catch_unwind(AssertUnwindSafe(|| play(seed, &schedule, plant)));
    let story = played.unwrap_or_else(|_| Story {
        broken: Some(Broken {
            rule: Rule::Panicked,
            words: "something panicked, see above".to_owned(),
        }),
        ..Story::default()
    });
    (schedule, story)
}

/// Plays a schedule on a site of its own.
pub(super) fn play(seed: u64, schedule: &Schedule, plant: Plant) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut play = Play::new(seed, schedule, plant).await;
        let verdict = play.rounds(schedule).await;
        let transcript = play.transcript();
        let mut trace = DefaultHasher::new();
        (&transcript, versions(&play.site).await).hash(&mut trace);
        Story {
            broken: verdict.err(),
            trace: trace.finish(),
            transcript,
            simulated: play.site.now(),
            effects: play.site.machine.effects(),
            snapped: play.site.traps.snapped(),
        }
    })
}

/// Leaves out of a failing schedule whatever does not matter for its failure.
pub(super) fn shrink(seed: u64, schedule: &Schedule, rule: Rule, plant: Plant) -> (Schedule, Story) {
    let fails = |schedule: &Schedule| {
        let story = play(seed, schedule, plant);
        story
            .broken
            .as_ref()
            .is_some_and(|b| b.rule == rule)
            .then_some(story)
    };
    let mut best = schedule.clone();
    let mut told = play(seed, schedule, plant);
    let mut smaller = true;
    while smaller {
        smaller = false;
        for r in (0..best.rounds.len()).rev() {
            if best.rounds.len() > 1 {
                let mut without = best.clone();
                without.rounds.remove(r);
                if let Some(story) = fails(&without) {
                    (best, told, smaller) = (without, story, true);
                    continue;
                }
            }
            for a in (0..best.rounds[r].acts.len()).rev() {
                let mut without = best.clone();
                let (pause, _) = without.rounds[r].acts.remove(a);
                if let Some((before, _)) = without.rounds[r].acts.get_mut(a) {
                    *before += pause;
                }
                if let Some(story) = fails(&without) {
                    (best, told, smaller) = (without, story, true);
                }
            }
        }
    }
    (best, told)
}

struct Play {
    site: Site,
    wishes: Wishes,
    judge: Judge,
    log: Vec<(Duration, String)>,
}

impl Play {
    async fn new(seed: u64, schedule: &Schedule, plant: Plant) -> Self {
        let site = Site::new(seed, plant).await;
        prepare(&site.machine).await;
        Self {
            site,
            wishes: Wishes::new(schedule.variant),
            judge: Judge::default(),
            log: Vec::new(),
        }
    }

    async fn rounds(&mut self, schedule: &Schedule) -> Result<(), Broken> {
        for round in &schedule.rounds {
            self.round(round).await?;
            self.calm().await?;
            self.come_to_rest().await?;
            self.judge.settled(&self.site, &self.wishes)?;
            self.wishes.settle();
        }
        self.stay_at_rest().await
    }

    fn note(&mut self, words: String) {
        self.log.push((self.site.now(), words));
    }

    async fn round(&mut self, round: &Round) -> Result<(), Broken> {
        self.note(format!("round: {:?}", round.climate));
        for (pause, act) in &round.acts {
            self.site.pass(*pause).await;
            self.note(format!("{act:?}"));
            perform(&mut self.site, &mut self.wishes, act).await;
            self.judge.always(&self.site, &self.wishes).await?;
        }
        self.site.pass(round.lull).await;
        self.judge.always(&self.site, &self.wishes).await
    }

    /// Faults stop. Once what was under way has ended, well or not, the user asks once more for what failed.
    /// What is as it was wished for needs no asking, and a restless round has no user.
    async fn calm(&mut self) -> Result<(), Broken> {
        self.note("calm".to_owned());
        self.site.mend_all().await;
        if self.wishes.paused {
            pause_device(&self.site, &mut self.wishes, false).await;
        }
        self.judge.always(&self.site, &self.wishes).await?;
        let begun = self.site.now();
        let mut all_is_well = false;
        while !all_is_well && self.site.now().saturating_sub(begun) < ATTEMPT {
            self.site.pass(LOOK_EVERY).await;
            let sound = self.wishes.are_sound();
            all_is_well = sound && self.judge.missing(&self.site, &self.wishes).is_empty();
        }
        for w in 0..self.wishes.workloads.len() {
            let wish = &self.wishes.workloads[w];
            if wish.presence == Presence::Declared && !all_is_well {
                retry(&self.site, &mut self.wishes, w).await;
            }
        }
        self.judge.always(&self.site, &self.wishes).await
    }

    /// Waits until all is as wished and nothing happens any more.
    async fn come_to_rest(&mut self) -> Result<(), Broken> {
        let begun = self.site.now();
        loop {
            self.site.pass(LOOK_EVERY).await;
            self.judge.always(&self.site, &self.wishes).await?;
            let mut missing = self.judge.missing(&self.site, &self.wishes);
            let waited = self.site.now().saturating_sub(begun);
            let quiet = self
                .site
                .now()
                .saturating_sub(last_effect(&self.site.machine.journal()));
            if missing.is_empty() && quiet >= REST && waited >= REST {
                missing = statuses(&self.site, &self.wishes).await;
                if missing.is_empty() {
                    return Ok(());
                }
            }
            if waited > PATIENCE {
                // The most specific promise first.
                let words: Vec<_> = missing.iter().map(|one| one.words.clone()).collect();
                let rules = || missing.iter().map(|one| one.rule);
                let rule = rules().find(|rule| *rule != Rule::Converges).or(rules().next());
                return broken(rule.unwrap_or(Rule::Idle), words.join("\n"));
            }
        }
    }

    /// From here on nothing may happen.
    async fn stay_at_rest(&mut self) -> Result<(), Broken> {
        self.note("at rest".to_owned());
        // What fails is tried again from time to time, and told. One whose change cannot be made keeps its
        // old container, which a liveness probe may go on restarting.
        let sound = self.wishes.are_sound();
        let effects = |site: &Site| {
            let journal = site.machine.journal();
            let counted = journal
                .by_clients()
                .filter(|entry| sound || entry.op != Op::Restart);
            counted.count()
        };
        let (done, before) = (effects(&self.site), versions(&self.site).await);
        self.site.pass(IDLE).await;
        self.judge.always(&self.site, &self.wishes).await?;
        if effects(&self.site) != done {
            return broken(Rule::Idle, "something is still done");
        }
        if sound && versions(&self.site).await != before {
            return broken(Rule::Writes, "something is still written");
        }
        Ok(())
    }

    fn transcript(&self) -> String {
        let mut lines: Vec<(Duration, String)> = self.log.clone();
        let journal = self.site.machine.journal();
        for line in journal.transcript().lines() {
            let at = line
                .split_whitespace()
                .next()
                .and_then(|t| t.parse().ok())
                .unwrap_or(0.0);
            lines.push((
                Duration::from_secs_f64(at),
                format!("        {}", line.trim_start()),
            ));
        }
        lines.sort_by_key(|(at, _)| *at);
        let line = |(at, words): (Duration, String)| format!("{:>9.3} {words}\n", at.as_secs_f64());
        lines.into_iter().map(line).collect()
    }
}
