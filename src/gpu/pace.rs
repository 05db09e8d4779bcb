//! How much work a submit may hold: as much as the device does within a time, going by how long it took so far.
//!
//! Drivers end a submit that runs for seconds (Windows after two, some integrated GPUs sooner), a desktop that shares the
//! GPU stutters long before, and a stop waits for what is under way; yet each submit costs, and a fast GPU wants few.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a submit may take unless set.
pub(super) const SUBMIT_BUDGET: Duration = Duration::from_millis(100);

/// The pace of a device, or of one recording on it: seconds a unit of [cost](crate::recording::Dispatch::cost).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace(f64);

impl Pace {
    /// Of a slow device of its kind, for as long as nothing was measured: 4 billion multiplications and additions a second of
    /// a CPU that emulates a GPU, 30 of a GPU.
    pub fn unmeasured(software: bool) -> Pace {
        Pace(if software { 1.0 / 4e9 } else { 1.0 / 30e9 })
    }

    /// Of work that took between these times: the nearest to what it was taken for; `None` where they say nothing.
    pub fn within(self, cost: u64, time: &RangeInclusive<Duration>) -> Option<Pace> {
        let pace = |time: &Duration| time.as_secs_f64() / cost as f64;
        let says_something = cost > 0 && !time.end().is_zero();
        says_something.then(|| Pace(self.0.max(pace(time.start())).min(pace(time.end()))))
    }

    /// With what was measured anew: slower at once, for safety, and faster by degrees, since one reading may be short.
    pub fn corrected(self, new: Pace) -> Pace {
        Pace(if new.0 > self.0 { new.0 } else { self.0 + (new.0 - self.0) / 4.0 })
    }

    /// How long so much work takes.
    pub fn time(self, cost: u64) -> Duration {
        Duration::try_from_secs_f64(self.0 * cost as f64).unwrap_or(Duration::MAX)
    }

    /// How many of the first of these costs go into one submit: one at least.
    pub fn fitting(self, budget: Duration, costs: impl IntoIterator<Item = u64>) -> usize {
        let mut total = 0u64;
        let within = costs.into_iter().take_while(|cost| {
            total = total.saturating_add(*cost);
            self.time(total) <= budget
        });
        within.count().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(100);

    fn pace(cost: u64, time: Duration) -> Pace {
        Pace::unmeasured(false).within(cost, &(time..=time)).expect("a pace")
    }

    #[test]
    fn a_submit_holds_what_fits_and_one_dispatch_at_least() {
        // A million units a second: 100,000 in a submit.
        let pace = pace(1_000_000, Duration::from_secs(1));
        assert_eq!(pace.fitting(BUDGET, [40_000, 40_000, 20_000, 1]), 3);
        assert_eq!(pace.fitting(BUDGET, [100_001, 1]), 1);
        assert_eq!(pace.fitting(BUDGET, [0, 0, 0]), 3, "what costs nothing is no reason to cut");
        assert_eq!(pace.fitting(BUDGET, [u64::MAX, u64::MAX]), 1);
    }

    #[test]
    fn a_slow_reading_counts_at_once_and_a_fast_one_by_degrees() {
        let pace = |milliseconds| pace(1000, Duration::from_millis(milliseconds));
        assert_eq!(pace(10).corrected(pace(30)), pace(30));
        assert!((pace(30).corrected(pace(10)).time(1000).as_secs_f64() - 0.025).abs() < 1e-9);
    }

    #[test]
    fn a_time_between_bounds_changes_a_pace_only_beyond_them() {
        let ms = Duration::from_millis;
        let of_20 = pace(1000, ms(20));
        let within = |from, to| of_20.within(1000, &(ms(from)..=ms(to)));
        assert_eq!([within(0, 90), within(30, 90), within(0, 10)], [20, 30, 10].map(|of| Some(pace(1000, ms(of)))));
    }

    #[test]
    fn nothing_follows_from_no_work_or_no_time() {
        let pace = Pace::unmeasured(true);
        assert_eq!(pace.within(0, &(BUDGET..=BUDGET)), None);
        assert_eq!(pace.within(1, &(Duration::ZERO..=Duration::ZERO)), None);
        assert!(Pace::unmeasured(true).time(u64::MAX) > Pace::unmeasured(false).time(u64::MAX));
    }
}
