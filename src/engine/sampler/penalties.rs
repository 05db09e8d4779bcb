//! Makes recent tokens less likely.

use super::{SampleError, SamplingOptions};

/// Changes the logits of the tokens among the last `repeat_last_n` of `recent`. `window` is scratch space.
pub(super) fn apply(
    options: &SamplingOptions,
    row: &mut [f32],
    recent: &[u32],
    window: &mut Vec<u32>,
) -> Result<(), SampleError> {
    window.clear();
    window.extend_from_slice(&recent[recent.len().saturating_sub(options.repeat_last_n)..]);
    window.sort_unstable();
    let vocab = row.len();
    for occurrences in window.chunk_by(|a, b| a == b) {
        let token = occurrences[0];
        let logit = row.get_mut(token as usize).ok_or(SampleError::UnknownToken { token, vocab })?;
        *logit = penalised(options, *logit, occurrences.len());
    }
    Ok(())
}

fn penalised(options: &SamplingOptions, logit: f32, count: usize) -> f32 {
    // In f64 nothing overflows on the way.
    let repeat = f64::from(options.repeat_penalty);
    let scaled = if logit > 0.0 { f64::from(logit) / repeat } else { f64::from(logit) * repeat };
    let shift = count as f64 * f64::from(options.frequency_penalty) + f64::from(options.presence_penalty);
    let result = (scaled - shift) as f32;
    // A masked token stays masked; an extreme penalty does not turn a possible one into a mask or an error.
    if logit == f32::NEG_INFINITY { logit } else { result.clamp(f32::MIN, f32::MAX) }
}
