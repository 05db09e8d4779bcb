//! The twin of `shaders/sample.wgsl`: a token of each row, drawn from the row as the filters leave it, in f64.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::argmax::INVALID;
use crate::kernels::run_peaks::runs;
use crate::kernels::sample::{Draw, Params, is_sorted};
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (rows, width) = (p.rows as usize, p.width as usize);
    if width == 0 {
        return Err(TwinError::Shape("there is nothing to draw from a row of no logits"));
    }
    let logits = bindings.read::<f32>(0, rows * width)?;
    bindings.read::<u32>(1, rows * runs(p.width) as usize)?;
    let draws = bindings.read::<Draw>(2, rows)?;
    let tokens = bindings.write::<u32>(3, rows)?;
    let drawn = tokens.par_iter_mut().zip(logits.par_chunks_exact(width)).zip(draws);
    drawn.for_each(|((token, row), draw)| *token = sample(row, draw));
    Ok(())
}

fn sample(row: &[f32], draw: &Draw) -> u32 {
    if row.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
        return INVALID;
    }
    let possible = row.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY);
    let mut left: Vec<(usize, f64)> = possible.map(|(token, logit)| (token, f64::from(*logit))).collect();
    let peak = left.iter().map(|entry| entry.1).fold(f64::NEG_INFINITY, f64::max);
    if draw.top_k() > 0 || draw.top_p() < 1.0 {
        // A stable sort: equal logits stay in the order of tokens.
        left.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        left.truncate(if draw.top_k() > 0 { draw.top_k() } else { left.len() });
        keep_nucleus(&mut left, f64::from(draw.top_p()), peak);
        if !is_sorted(draw.top_k()) {
            left.sort_by_key(|(token, _)| *token);
        }
    }
    left.retain(|(_, logit)| peak - logit <= f64::from(draw.depth()));
    let weight = |logit: f64| ((logit - peak) / f64::from(draw.temperature())).exp();
    let place = f64::from(draw.unit()) * left.iter().map(|entry| weight(entry.1)).sum::<f64>();
    let mut reached = 0.0;
    let drawn = left.iter().find(|(_, logit)| {
        reached += weight(*logit);
        place < reached
    });
    drawn.or(left.last()).map_or(INVALID, |(token, _)| *token as u32)
}

/// Of sorted tokens, the fewest whose probabilities reach `p`.
fn keep_nucleus(sorted: &mut Vec<(usize, f64)>, p: f64, peak: f64) {
    if p >= 1.0 {
        return;
    }
    let total: f64 = sorted.iter().map(|(_, logit)| (logit - peak).exp()).sum();
    let mut reached = 0.0;
    let last = sorted.iter().position(|(_, logit)| {
        reached += (logit - peak).exp();
        reached >= p * total
    });
    sorted.truncate(last.map_or(sorted.len(), |last| last + 1));
}
