//! The most likely token.

use super::SampleError;

/// The token with the largest logit; the lowest such token if several share it.
///
/// # Errors
/// A row that is empty, holds NaN or +infinity, or only -infinity.
pub fn greedy(logits: &[f32]) -> Result<u32, SampleError> {
    maximum(logits).map(|max| first_of(logits, max))
}

/// The first token whose logit is `max`, which is in the row.
pub(super) fn first_of(row: &[f32], max: f32) -> u32 {
    row.iter().position(|&logit| logit == max).unwrap_or(0) as u32
}

/// The largest logit, once it is sure that the row can be sampled from.
pub(super) fn maximum(row: &[f32]) -> Result<f32, SampleError> {
    /// Independent running maxima, so that the loop becomes vector instructions.
    const LANES: usize = 16;
    if row.is_empty() {
        return Err(SampleError::EmptyRow);
    }
    let mut largest = [f32::NEG_INFINITY; LANES];
    let mut any_nan = [false; LANES];
    for chunk in row.chunks(LANES) {
        for ((largest, any_nan), &logit) in largest.iter_mut().zip(&mut any_nan).zip(chunk) {
            *largest = if logit > *largest { logit } else { *largest };
            *any_nan |= logit.is_nan();
        }
    }
    if any_nan.contains(&true) {
        let token = row.iter().position(|logit| logit.is_nan()).unwrap_or(0);
        return Err(SampleError::NotANumber { token });
    }
    let max = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::INFINITY {
        return Err(SampleError::Infinite { token: first_of(row, max) as usize });
    }
    if max == f32::NEG_INFINITY {
        return Err(SampleError::AllMasked);
    }
    Ok(max)
}
