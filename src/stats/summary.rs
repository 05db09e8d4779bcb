//! A sample in a few figures.

use super::Moments;

/// Figures of a sample, in the unit of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    pub samples: usize,
    pub min: f64,
    pub median: f64,
    /// The 95th percentile, interpolated.
    pub p95: f64,
    pub mean: f64,
    /// The sample standard deviation (divided by n - 1); 0 for a single value.
    pub stddev: f64,
}

impl Stats {
    /// `None` for no values, or where one of them is not finite.
    pub fn of(values: &[f64]) -> Option<Stats> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = quantile(&sorted, 0.5);
        // Around the median, since squares of large and almost equal numbers cancel.
        let around: Moments = sorted.iter().map(|value| value - median).collect();
        Some(Stats {
            samples: sorted.len(),
            min: sorted[0],
            median,
            p95: quantile(&sorted, 0.95),
            mean: median + around.mean().value,
            stddev: if sorted.len() > 1 { around.deviation() } else { 0.0 },
        })
    }
}

/// The `q` quantile of sorted values, linear between the two nearest (definition 7 of Hyndman & Fan 1996, the default of R
/// and NumPy).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}
