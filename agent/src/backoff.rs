//! Delays between attempts: doubling, bounded.

use std::time::Duration;

/// The first delay after a failed change.
pub(crate) const RETRY_FIRST: Duration = Duration::from_secs(10);
/// The longest delay between attempts of a change.
pub(crate) const RETRY_LONGEST: Duration = Duration::from_mins(5);

/// The delay after attempt number `attempts` (from 1) of a change.
pub(crate) fn retry(attempts: u32) -> Duration {
    doubled(RETRY_FIRST, attempts, RETRY_LONGEST)
}

/// `first` doubled for each attempt after the first, at most `longest`.
pub(crate) fn doubled(first: Duration, attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    first
        .checked_mul(1_u32 << doublings)
        .map_or(longest, |delay| delay.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_ten_seconds_to_five_minutes_and_never_beyond() {
        let delays = [0, 1, 2, 3, 5, 6, 7, 100, u32::MAX].map(|n| retry(n).as_secs());
        assert_eq!(delays, [10, 10, 20, 40, 160, 300, 300, 300, 300]);
    }
}
