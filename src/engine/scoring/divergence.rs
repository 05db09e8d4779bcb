//! How far a run's probabilities are from those of a base: what llama.cpp prints for `--kl-divergence`.

use super::LogitRow;
use super::saved_logits::SavedRow;
use crate::stats::{Estimate, Moments};

/// Base probabilities below `exp` of this do not count: the file has no resolution there.
const LEAST_LOG_PROBABILITY: f64 = -16.0;

/// One token's predictions compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenDivergence {
    /// Negative log-likelihood of the text's token in this run, in nats.
    pub nll: f64,
    /// The same in the base.
    pub base_nll: f64,
    /// `sum_i p_base(i) (ln p_base(i) - ln p(i))`, in nats. The base's rounding can put it a little below 0.
    pub kld: f64,
    /// Probability of the text's token in this run minus that in the base.
    pub p_diff: f64,
    /// Both hold the same token to be the most probable one.
    pub same_top: bool,
}

impl TokenDivergence {
    /// Compares a row of logits with the base's row for the same token, both of one vocabulary.
    pub fn of(row: &LogitRow<'_>, base: &SavedRow<'_>) -> Self {
        let (nll, base_nll) = (row.nll(), -base.log_probability(row.target as usize));
        let terms = base.log_probabilities().zip(row.logits).filter(|(base, _)| *base > LEAST_LOG_PROBABILITY);
        Self {
            nll,
            base_nll,
            kld: terms.map(|(base, &logit)| base.exp() * (base - row.softmax.log_probability(logit))).sum(),
            p_diff: (-nll).exp() - (-base_nll).exp(),
            same_top: row.softmax.top == base.top(),
        }
    }
}

/// The comparison of all tokens so far.
#[derive(Clone, Debug, Default)]
pub struct Divergence {
    nll: Moments,
    base_nll: Moments,
    nll_products: f64,
    kld: Moments,
    p_diff: Moments,
    /// Of the squares of the differences.
    p_diff_squared: Moments,
    same_top: u64,
    klds: Vec<f64>,
    p_diffs: Vec<f64>,
}

impl Divergence {
    pub fn push(&mut self, token: TokenDivergence) {
        self.nll.push(token.nll);
        self.base_nll.push(token.base_nll);
        self.nll_products += token.nll * token.base_nll;
        self.kld.push(token.kld);
        self.p_diff.push(token.p_diff);
        self.p_diff_squared.push(token.p_diff * token.p_diff);
        self.same_top += u64::from(token.same_top);
        self.klds.push(token.kld);
        self.p_diffs.push(token.p_diff);
    }

    /// Tokens compared.
    pub fn count(&self) -> u64 {
        self.nll.count
    }

    pub fn perplexity(&self) -> Estimate {
        self.nll.mean().exp()
    }

    pub fn base_perplexity(&self) -> Estimate {
        self.base_nll.mean().exp()
    }

    /// Covariance of the two mean negative log-likelihoods.
    fn covariance(&self) -> f64 {
        let count = self.count() as f64;
        let product_of_means = self.nll.mean().value * self.base_nll.mean().value;
        (self.nll_products / count - product_of_means) / (count - 1.0)
    }

    /// Of the tokens' negative log-likelihoods, from -1 to 1.
    pub fn correlation(&self) -> f64 {
        self.covariance() / (self.nll.mean().error * self.base_nll.mean().error)
    }

    /// `ln(PPL / PPL(base))`; its error takes account of that both are of one text.
    pub fn log_ratio(&self) -> Estimate {
        let (nll, base) = (self.nll.mean(), self.base_nll.mean());
        Estimate { value: nll.value - base.value, error: error_of_difference(nll.error, base.error, self.covariance()) }
    }

    /// `PPL - PPL(base)`.
    pub fn difference(&self) -> Estimate {
        let (ppl, base) = (self.perplexity(), self.base_perplexity());
        let covariance = ppl.value * base.value * self.covariance();
        Estimate { value: ppl.value - base.value, error: error_of_difference(ppl.error, base.error, covariance) }
    }

    /// The mean Kullback-Leibler divergence, in nats.
    pub fn kld(&self) -> Estimate {
        self.kld.mean()
    }

    /// The mean difference of the probabilities of the text's tokens.
    pub fn p_diff(&self) -> Estimate {
        self.p_diff.mean()
    }

    /// The root of the mean square of that difference.
    pub fn rms_p_diff(&self) -> Estimate {
        let square = self.p_diff_squared.mean();
        let value = square.value.sqrt();
        Estimate { value, error: if value > 0.0 { 0.5 / value * square.error } else { square.error } }
    }

    /// The fraction of tokens where both have the same most probable one.
    pub fn same_top(&self) -> Estimate {
        let count = self.count() as f64;
        let value = self.same_top as f64 / count;
        let error = if self.count() < 2 { f64::NAN } else { (value * (1.0 - value) / (count - 1.0)).sqrt() };
        Estimate { value, error }
    }

    /// Of the tokens' divergences.
    pub fn kld_quantiles(&self) -> Quantiles {
        Quantiles::of(self.klds.clone())
    }

    /// Of the differences of the probabilities of the text's tokens.
    pub fn p_diff_quantiles(&self) -> Quantiles {
        Quantiles::of(self.p_diffs.clone())
    }
}

/// Of `a - b`. Rounding may take the variance of nearly equal numbers below 0.
fn error_of_difference(a: f64, b: f64, covariance: f64) -> f64 {
    let variance = a * a + b * b - 2.0 * covariance;
    // `max` would turn an unknown error into a known one.
    if variance < 0.0 { 0.0 } else { variance.sqrt() }
}

/// Values in order.
#[derive(Clone, Debug)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which this fraction of all lies, between two values by linear interpolation: 0 gives the least, 1
    /// the greatest. NaN if there are no values.
    pub fn at(&self, fraction: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let place = fraction.clamp(0.0, 1.0) * last as f64;
        let below = place.floor() as usize;
        let (low, high) = (self.0[below], self.0[(below + 1).min(last)]);
        low + (high - low) * (place - place.floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(nll: f64, base_nll: f64, kld: f64) -> TokenDivergence {
        TokenDivergence { nll, base_nll, kld, p_diff: (-nll).exp() - (-base_nll).exp(), same_top: nll < 1.5 }
    }

    #[test]
    fn the_statistics_are_those_of_the_formulas() {
        let (nll, base) = ([1.0, 2.0, 4.0], [1.5, 2.0, 3.0]);
        let mut divergence = Divergence::default();
        for ((nll, base), kld) in nll.into_iter().zip(base).zip([0.3, 0.1, 0.2]) {
            divergence.push(token(nll, base, kld));
        }
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        near(divergence.perplexity().value, (7.0_f64 / 3.0).exp());
        near(divergence.base_perplexity().value, (6.5_f64 / 3.0).exp());
        // The differences -0.5, 0, 1: mean 1/6, variance 7/18 over n - 1 = 2 and n = 3.
        near(divergence.log_ratio().value, 1.0 / 6.0);
        near(divergence.log_ratio().error, (7.0_f64 / 18.0 / 2.0).sqrt());
        // Deviations (-4, -1, 5) / 3 and (-4, -1, 5) / 6.
        near(divergence.correlation(), 1.0);
        near(divergence.kld().value, 0.2);
        let square: f64 = nll.iter().zip(base).map(|(a, b): (&f64, f64)| ((-a).exp() - (-b).exp()).powi(2)).sum();
        near(divergence.rms_p_diff().value, (square / 3.0).sqrt());
        near(divergence.same_top().value, 1.0 / 3.0);
        near(divergence.same_top().error, 1.0 / 3.0);
        near(divergence.kld_quantiles().at(0.5), 0.2);
        near(divergence.kld_quantiles().at(0.25), 0.15);
        near(divergence.kld_quantiles().at(1.0), 0.3);
        assert!(divergence.difference().error > 0.0);
    }

    #[test]
    fn a_run_that_equals_its_base_differs_by_nothing() {
        let mut divergence = Divergence::default();
        for nll in [0.5, 1.0, 3.25] {
            divergence.push(token(nll, nll, 0.0));
        }
        assert_eq!(divergence.log_ratio().value, 0.0);
        assert!(divergence.log_ratio().error < 1e-8 && divergence.difference().error < 1e-7);
        assert_eq!(divergence.rms_p_diff(), Estimate { value: 0.0, error: 0.0 });
        assert!((divergence.correlation() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn too_few_values_have_no_error() {
        assert!(Quantiles::of(Vec::new()).at(0.5).is_nan());
        let mut divergence = Divergence::default();
        divergence.push(token(1.0, 1.0, 0.0));
        for error in [divergence.log_ratio().error, divergence.same_top().error, divergence.rms_p_diff().error] {
            assert!(error.is_nan());
        }
    }
}
