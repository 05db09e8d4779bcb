//! How far two next-token distributions are apart.

use super::report::Forced;
use crate::model::LogSoftmax;
use crate::verify::tolerances::ModelTolerance;

/// A device's distribution against the reference's, at one position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// Whether both have the same most likely token.
    pub same_top: bool,
    /// How much likelier the reference finds its own token than the device's, in logits: 0 where they are the same.
    pub margin: f64,
    /// `sum p (ln p - ln q)` in nats, p the reference's and q the device's; NaN where one side's logits are not numbers.
    pub kl: f64,
}

impl Divergence {
    /// Compares two rows of logits; `choice` is the token that the device found to be its best.
    pub fn of(actual: &[f32], choice: u32, expected: &[f32]) -> Divergence {
        let best = expected.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let chosen = expected.get(choice as usize).map_or(f64::NAN, |logit| f64::from(*logit));
        let margin = f64::from(best) - chosen;
        Divergence { same_top: margin == 0.0, margin, kl: kl_divergence(expected, actual) }
    }

    /// Whether the tokens differ only where the reference hardly prefers one, and the distributions hardly.
    pub fn within(&self, tolerance: &ModelTolerance) -> bool {
        self.kl <= tolerance.worst_kl && self.margin <= tolerance.margin
    }
}

/// `D(p || q)` in nats of the distributions that two rows of logits stand for; NaN unless all of them are finite.
fn kl_divergence(p: &[f32], q: &[f32]) -> f64 {
    let (Some(p_softmax), Some(q_softmax)) = (LogSoftmax::of(p), LogSoftmax::of(q)) else { return f64::NAN };
    let term = |(p, q): (&f32, &f32)| {
        let log_p = p_softmax.log_probability(*p);
        log_p.exp() * (log_p - q_softmax.log_probability(*q))
    };
    // Rounding may leave it a little below zero.
    p.iter().zip(q).map(term).sum::<f64>().max(0.0)
}

/// What the positions of a forced decoding come to.
#[derive(Default)]
pub(super) struct Comparison {
    divergences: Vec<Divergence>,
}

impl Comparison {
    pub fn add(&mut self, divergence: Divergence) {
        self.divergences.push(divergence);
    }

    pub fn finish(&self) -> Forced {
        let all = &self.divergences;
        let worst = |value: fn(&Divergence) -> f64| {
            // NaN is worse than any number.
            all.iter().map(value).fold(0.0, |worst: f64, v| if v > worst || v.is_nan() { v } else { worst })
        };
        let mean = if all.is_empty() { 0.0 } else { all.iter().map(|d| d.kl).sum::<f64>() / all.len() as f64 };
        Forced {
            tokens: all.len(),
            same_top: all.iter().filter(|d| d.same_top).count(),
            worst_margin: worst(|d| d.margin),
            mean_kl: mean,
            worst_kl: worst(|d| d.kl),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_is_that_of_the_textbook() {
        // p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): sum p ln(p/q) = ln 2 / 4.
        let [p, q] = [[2.0f32, 1.0, 1.0], [1.0, 1.0, 2.0]].map(|row| row.map(f32::ln));
        let kl = kl_divergence(&p, &q);
        assert!((kl - 2f64.ln() / 4.0).abs() < 1e-7, "{kl}");
        assert_eq!(kl_divergence(&p, &p), 0.0);
        assert!((kl_divergence(&p, &q.map(|v| v + 300.0)) - kl).abs() < 1e-4, "a constant changes nothing");
    }

    #[test]
    fn what_is_hardly_possible_adds_nothing_and_what_is_no_number_shows() {
        assert_eq!(kl_divergence(&[0.0, f32::MIN], &[0.0, -1e30]), 0.0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(kl_divergence(&[0.0, 1.0], &[0.0, bad]).is_nan());
            assert!(kl_divergence(&[0.0, bad], &[0.0, 1.0]).is_nan());
        }
    }

    #[test]
    fn the_margin_is_what_the_reference_loses_by_the_other_choice() {
        let tie = Divergence::of(&[1.0, 3.0], 1, &[2.0, 2.0]);
        assert_eq!((tie.same_top, tie.margin), (true, 0.0));
        let other = Divergence::of(&[1.0, 3.0], 1, &[2.5, 2.0]);
        assert_eq!((other.same_top, other.margin), (false, 0.5));
        assert!(Divergence::of(&[1.0, 3.0], u32::MAX, &[2.0, 2.0]).margin.is_nan(), "no token at all");
    }

    #[test]
    fn a_number_that_is_none_is_the_worst() {
        let mut comparison = Comparison::default();
        for kl in [0.5, f64::NAN, 0.1] {
            comparison.add(Divergence { same_top: true, margin: 0.0, kl });
        }
        let forced = comparison.finish();
        assert!(forced.worst_kl.is_nan() && forced.mean_kl.is_nan());
        assert_eq!((forced.tokens, forced.same_top, forced.worst_margin), (3, 3, 0.0));
    }
}
