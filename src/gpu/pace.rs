//! How much work a submit may hold: as much as the device does within a time, going by how long it took so far.
//!
//! Drivers end a submit that runs for seconds (Windows after two, some integrated GPUs sooner), a desktop that shares the
//! GPU stutters long before, and a stop waits for what is under way; yet each submit costs, and a fast GPU wants few.

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

    /// Of work that took so long; `None` where that says nothing.
    pub fn of(cost: u64, time: Duration) -> Option<Pace> {
        (cost > 0 && !time.is_zero()).then(|| Pace(time.as_secs_f64() / cost as f64))
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

    #[test]
    fn a_submit_holds_what_fits_and_one_dispatch_at_least() {
        // A million units a second: 100,000 in a submit.
        let pace = Pace::of(1_000_000, Duration::from_secs(1)).expect("a pace");
        assert_eq!(pace.fitting(BUDGET, [40_000, 40_000, 20_000, 1]), 3);
        assert_eq!(pace.fitting(BUDGET, [100_001, 1]), 1);
        assert_eq!(pace.fitting(BUDGET, [0, 0, 0]), 3, "what costs nothing is no reason to cut");
        assert_eq!(pace.fitting(BUDGET, [u64::MAX, u64::MAX]), 1);
    }

    #[test]
    fn a_slow_reading_counts_at_once_and_a_fast_one_by_degrees() {
        let pace = |milliseconds| Pace::of(1000, Duration::from_millis(milliseconds)).expect("a pace");
        assert_eq!(pace(10).corrected(pace(30)), pace(30));
        assert!((pace(30).corrected(pace(10)).time(1000).as_secs_f64() - 0.025).abs() < 1e-9);
    }

    #[test]
    fn nothing_follows_from_no_work_or_no_time() {
        assert_eq!(Pace::of(0, BUDGET), None);
        assert_eq!(Pace::of(1, Duration::ZERO), None);
        assert!(Pace::unmeasured(true).time(u64::MAX) > Pace::unmeasured(false).time(u64::MAX));
    }
}
