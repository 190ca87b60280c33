//! What a measurement is: rows of two arms, each a list of values in the order they were taken.

use std::env;
use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Only to see that it works.
    pub(crate) quick: bool,
}

impl Effort {
    /// As `BENCH_QUICK` says.
    pub(crate) fn from_environment() -> Self {
        Self {
            quick: env::var("BENCH_QUICK").is_ok_and(|value| value == "1"),
        }
    }

    /// One value for a smoke run, the other for a real one.
    pub(crate) fn pick<T>(self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// What came of a group.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its rows.
    Rows(Vec<Row>),
    /// This machine lacks what it needs.
    Skipped(String),
}

/// One thing measured, beside its baseline. The ratio is ours to the baseline's, value by value: values
/// of the same place were taken one after the other.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What it is compared with.
    pub(crate) against: String,
    /// Of both arms.
    pub(crate) unit: &'static str,
    /// Longshore's values.
    pub(crate) ours: Arm,
    /// The baseline's.
    pub(crate) baseline: Arm,
    /// What else is to be known, a line each.
    pub(crate) notes: Vec<String>,
}

impl Row {
    /// A row without values yet.
    pub(crate) fn new(what: impl Into<String>, against: impl Into<String>, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            against: against.into(),
            unit,
            ours: Arm::default(),
            baseline: Arm::default(),
            notes: Vec::new(),
        }
    }

    /// The ratio of each pair of values.
    pub(crate) fn ratios(&self) -> Arm {
        let pairs = self.ours.0.iter().zip(&self.baseline.0);
        Arm(pairs.map(|(ours, baseline)| ours / baseline).collect())
    }
}

/// The values of one arm.
#[derive(Debug, Default, Clone)]
pub(crate) struct Arm(Vec<f64>);

impl Arm {
    /// One more value.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of all values do not exceed (nearest rank): of fewer than a hundred values
    /// the 99th is the greatest. Not a number where there is none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// The least value.
    pub(crate) fn least(&self) -> f64 {
        self.percentile(0)
    }
}

/// The processor time of this thread. What else the machine does hardly touches it.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The processor time of this thread since then.
pub(crate) fn cpu_since(before: Duration) -> Duration {
    cpu_time().saturating_sub(before)
}

/// The processor time of one call in seconds, as the mean of `calls`.
pub(crate) fn seconds_per_call<T>(calls: u32, mut call: impl FnMut() -> T) -> f64 {
    let before = cpu_time();
    for _ in 0..calls {
        black_box(call());
    }
    cpu_since(before).as_secs_f64() / f64::from(calls)
}

/// How many calls take about `target`: short enough to take turns, long enough for the clock.
pub(crate) fn calls_for<T>(target: Duration, mut call: impl FnMut() -> T) -> u32 {
    let mut calls: u32 = 1;
    loop {
        let took = seconds_per_call(calls, &mut call) * f64::from(calls);
        if took >= target.as_secs_f64() || calls >= 1 << 24 {
            return calls;
        }
        calls *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "a percentile is one of the values, untouched")]
    fn percentiles_are_nearest_ranks() {
        let arm = Arm((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            [0, 50, 99, 100].map(|percent| arm.percentile(percent)),
            [1.0, 50.0, 99.0, 100.0]
        );
        assert_eq!(Arm(vec![3.0, 1.0, 2.0]).percentile(99), 3.0);
        assert!(Arm::default().least().is_nan());
    }
}
