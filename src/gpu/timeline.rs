//! How long the device was at each recording, by when the host handed it over and saw it end.
//!
//! A host that looks up late, since somebody's callback kept it, knows only that the device was done before: then the time
//! lies between two bounds.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// When something ended: between these.
#[derive(Clone, Copy)]
struct End {
    earliest: Instant,
    latest: Instant,
}

/// The device does one thing after the other.
#[derive(Default)]
pub(super) struct Timeline {
    last: Option<End>,
}

impl Timeline {
    /// How long the device took for what was handed over at `began` and found ended at `now`; `waited`: it had not ended
    /// when the host came to wait for it, so that it ended just then.
    pub fn has_ended(&mut self, began: Instant, waited: bool, now: Instant) -> RangeInclusive<Duration> {
        // It ran from when it was handed over, or from when the device had done what was before it.
        let (first, last) = self.last.map_or((began, began), |end| (end.earliest.max(began), end.latest.max(began)));
        let earliest = if waited { now } else { first };
        self.last = Some(End { earliest, latest: now });
        earliest.saturating_duration_since(last)..=now.saturating_duration_since(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_is_waited_for_took_from_its_start_or_the_end_before_it() {
        let (mut timeline, t) = (Timeline::default(), Instant::now());
        assert_eq!(timeline.has_ended(t, true, t + ms(10)), ms(10)..=ms(10));
        // Handed over while the first ran, and long after the second.
        assert_eq!(timeline.has_ended(t + ms(5), true, t + ms(30)), ms(20)..=ms(20));
        assert_eq!(timeline.has_ended(t + ms(100), true, t + ms(107)), ms(7)..=ms(7));
    }

    #[test]
    fn what_ended_while_nobody_looked_took_no_more_than_that_time() {
        let (mut timeline, t) = (Timeline::default(), Instant::now());
        timeline.has_ended(t, true, t + ms(10));
        assert_eq!(timeline.has_ended(t + ms(5), false, t + ms(500)), ms(0)..=ms(490));
        // The next one began behind it, at a time that nobody knows.
        assert_eq!(timeline.has_ended(t + ms(8), true, t + ms(520)), ms(20)..=ms(510));
        assert_eq!(timeline.has_ended(t + ms(9), true, t + ms(530)), ms(10)..=ms(10));
    }
}
