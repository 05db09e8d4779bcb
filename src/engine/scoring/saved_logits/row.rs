//! One row: the log-probabilities of the whole vocabulary in 16 bits each.

use crate::model::LogSoftmax;

/// Log-probabilities further below the largest are cut off there.
const RANGE: f32 = 16.0;
const MOST_CODE: f32 = u16::MAX as f32;
/// By how much rounding may take a log-probability above 0.
const SLACK: f32 = 0.01;
/// Bytes before the codes.
const PREFIX: usize = 8;

/// Appends a row to `out`. The arithmetic is in f32, as llama.cpp's, so that the same logits give the same bytes.
pub fn encode(logits: &[f32], softmax: &LogSoftmax, out: &mut Vec<u8>) {
    let max = softmax.max;
    let min = logits.iter().copied().fold(max, f32::min).max(max - RANGE);
    let least = min - max - softmax.log_sum as f32;
    let scale = (max - min) / MOST_CODE;
    out.extend(scale.to_le_bytes());
    out.extend(least.to_le_bytes());
    let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
    for &logit in logits {
        // The cast saturates, and what is below `min` becomes 0.
        let code = (inverse * (logit - min)).round_ties_even() as u16;
        out.extend(code.to_le_bytes());
    }
    if !logits.len().is_multiple_of(2) {
        out.extend([0; 2]);
    }
}

/// A row as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub struct SavedRow<'a> {
    scale: f32,
    least: f32,
    codes: &'a [[u8; 2]],
}

impl<'a> SavedRow<'a> {
    /// `None` if the bytes are no row of a vocabulary of this size, or its numbers no log-probabilities.
    pub fn parse(bytes: &'a [u8], vocabulary: usize) -> Option<Self> {
        let (prefix, codes) = bytes.split_at_checked(PREFIX)?;
        let (prefix, _) = prefix.as_chunks::<4>();
        let [scale, least] = [0, 1].map(|i| f32::from_le_bytes(prefix[i]));
        let codes = codes.as_chunks::<2>().0.get(..vocabulary)?;
        let most = least + scale * MOST_CODE;
        let valid = scale >= 0.0 && least.is_finite() && most <= SLACK && !codes.is_empty();
        valid.then_some(Self { scale, least, codes })
    }

    /// Of a token of the vocabulary; minus infinity outside of it.
    pub fn log_probability(&self, token: usize) -> f64 {
        self.codes.get(token).map_or(f64::NEG_INFINITY, |code| self.decode(*code))
    }

    /// Of all tokens, in order.
    pub fn log_probabilities(&self) -> impl Iterator<Item = f64> {
        self.codes.iter().map(|code| self.decode(*code))
    }

    /// The first of the most probable tokens.
    pub fn top(&self) -> usize {
        let mut top = (0, 0);
        for (token, code) in self.codes.iter().map(|code| u16::from_le_bytes(*code)).enumerate() {
            if code > top.1 {
                top = (token, code);
            }
        }
        if self.scale > 0.0 { top.0 } else { 0 }
    }

    fn decode(&self, code: [u8; 2]) -> f64 {
        f64::from(self.scale) * f64::from(u16::from_le_bytes(code)) + f64::from(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(logits: &[f32]) -> (LogSoftmax, Vec<u8>) {
        let softmax = LogSoftmax::of(logits).expect("finite");
        let mut bytes = Vec::new();
        encode(logits, &softmax, &mut bytes);
        (softmax, bytes)
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        // p = 1/4, 1/2, 1/4: scale ln 2 / 65535, least ln 1/4.
        let (_, bytes) = round_trip(&[0.0, 2.0_f32.ln(), 0.0]);
        let mut expected = Vec::new();
        expected.extend((2.0_f32.ln() / 65535.0).to_le_bytes());
        expected.extend((-2.0_f32.ln() - 2.0_f32.ln()).to_le_bytes());
        expected.extend([0, 0, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_row_of_equal_logits_is_saved_exactly() {
        let (_, bytes) = round_trip(&[3.5; 4]);
        let row = SavedRow::parse(&bytes, 4).expect("a row");
        assert!(row.log_probabilities().all(|p| (p - 0.25_f64.ln()).abs() < 1e-6));
        assert_eq!(row.top(), 0);
    }

    #[test]
    fn what_are_no_log_probabilities_is_refused() {
        let row = |scale: f32, least: f32| [&scale.to_le_bytes()[..], &least.to_le_bytes(), &[1, 0, 2, 0]].concat();
        assert!(SavedRow::parse(&row(1e-4, -10.0), 2).is_some());
        for (scale, least) in [
            (f32::NAN, -1.0),
            (-1e-4, -1.0),
            (1e-4, f32::NAN),
            (1e-4, f32::NEG_INFINITY),
            (0.0, 1.0),
            (1.0, -1.0),
            (f32::INFINITY, -1.0),
        ] {
            assert!(SavedRow::parse(&row(scale, least), 2).is_none(), "{scale} {least}");
        }
        assert!(SavedRow::parse(&row(1e-4, -10.0), 3).is_none());
        assert!(SavedRow::parse(&[0; 7], 1).is_none());
    }

    proptest! {
        #[test]
        fn log_probabilities_come_back_within_half_a_step(logits in prop::collection::vec(-40.0..40.0_f32, 1..50)) {
            let (softmax, bytes) = round_trip(&logits);
            prop_assert_eq!(bytes.len(), 2 * (4 + logits.len() + logits.len() % 2));
            let row = SavedRow::parse(&bytes, logits.len()).expect("a row");
            let half_step = 16.0 / 65535.0 / 2.0 + 2e-5;
            for (&logit, saved) in logits.iter().zip(row.log_probabilities()) {
                let kept = softmax.log_probability(logit.max(softmax.max - RANGE));
                prop_assert!((saved - kept).abs() < half_step, "{} {}", saved, kept);
            }
            prop_assert!(logits[row.top()] > softmax.max - 3e-4);
        }
    }
}
