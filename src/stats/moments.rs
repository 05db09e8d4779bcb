//! Means and how sure they are.

use std::ops::AddAssign;

/// A number and its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    /// NaN where there are too few values to know.
    pub error: f64,
}

impl Estimate {
    /// `exp` of it; the error to first order. Of the mean negative log-likelihood this is the perplexity.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, error: value * self.error }
    }
}

/// Count, sum and sum of squares of a series of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    pub count: u64,
    pub sum: f64,
    pub sum_of_squares: f64,
}

impl Moments {
    pub fn push(&mut self, value: f64) {
        *self += Self { count: 1, sum: value, sum_of_squares: value * value };
    }

    /// The mean, and its standard error `sqrt((<x^2> - <x>^2) / (n - 1))`.
    pub fn mean(&self) -> Estimate {
        let count = self.count as f64;
        let value = self.sum / count;
        let variance = (self.sum_of_squares / count - value * value).max(0.0);
        let error = if self.count < 2 { f64::NAN } else { (variance / (count - 1.0)).sqrt() };
        Estimate { value, error }
    }

    /// The sample standard deviation (divided by n - 1); NaN for fewer than two numbers.
    pub fn deviation(&self) -> f64 {
        self.mean().error * (self.count as f64).sqrt()
    }
}

impl AddAssign for Moments {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.push(value));
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_standard_deviation_over_the_root_of_the_count() {
        let moments: Moments = [1.0, 2.0, 3.0, 4.0].into_iter().collect();
        // Variance with n - 1: 5 / 3; over n = 4.
        let Estimate { value, error } = moments.mean();
        assert!((value - 2.5).abs() < 1e-12 && (error - (5.0_f64 / 12.0).sqrt()).abs() < 1e-12, "{value} {error}");
        let perplexity = moments.mean().exp();
        assert!((perplexity.value - 2.5_f64.exp()).abs() < 1e-9);
        assert!((perplexity.error - perplexity.value * error).abs() < 1e-9);
    }

    #[test]
    fn equal_values_are_sure_and_one_value_is_not() {
        let equal: Moments = [0.1; 7].into_iter().collect();
        assert!(equal.mean().error < 1e-8);
        let one: Moments = [3.0].into_iter().collect();
        assert!(one.mean().error.is_nan());
    }
}
