//! From logits to log-probabilities.

/// What turns a row of logits `x` into log-probabilities `x_i - ln sum_j exp(x_j)`: computed in f64, with the largest logit
/// taken out so that nothing overflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogSoftmax {
    /// The largest logit.
    pub max: f32,
    /// Index of the first logit that is the largest.
    pub top: usize,
    /// `ln sum_j exp(x_j - max)`, from 0 to the logarithm of the row's length.
    pub log_sum: f64,
}

impl LogSoftmax {
    /// `None` for an empty row and for one that holds a NaN or an infinity.
    pub fn of(logits: &[f32]) -> Option<Self> {
        let mut max = *logits.first()?;
        let mut top = 0;
        for (index, &logit) in logits.iter().enumerate() {
            if !logit.is_finite() {
                return None;
            }
            if logit > max {
                (max, top) = (logit, index);
            }
        }
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - f64::from(max)).exp()).sum();
        Some(Self { max, top, log_sum: sum.ln() })
    }

    /// The log-probability of the token with this logit.
    pub fn log_probability(&self, logit: f32) -> f64 {
        f64::from(logit) - f64::from(self.max) - self.log_sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_formula() {
        let row = [0.0, 1.0_f64.ln() as f32, 3.0_f64.ln() as f32, 5.0_f64.ln() as f32];
        let softmax = LogSoftmax::of(&row).expect("finite");
        assert_eq!(softmax.top, 3);
        for (logit, want) in row.into_iter().zip([0.1, 0.1, 0.3, 0.5]) {
            assert!((softmax.log_probability(logit).exp() - want).abs() < 1e-7, "{want}");
        }
    }

    #[test]
    fn large_logits_do_not_overflow_and_the_first_of_equals_is_the_top() {
        let softmax = LogSoftmax::of(&[f32::MAX, f32::MAX, f32::MIN]).expect("finite");
        assert_eq!(softmax.top, 0);
        assert!((softmax.log_probability(f32::MAX) + 2.0_f64.ln()).abs() < 1e-12);
        assert!(softmax.log_probability(f32::MIN).is_finite());
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(LogSoftmax::of(&[0.0, bad, 1.0]), None, "{bad}");
        }
        assert_eq!(LogSoftmax::of(&[]), None);
    }
}
