//! Cases of `run_peaks`.

use super::{Case, FOLDED_WORKGROUPS};
use crate::kernels::run_peaks::{Params, RULED_OUT, RUN, dispatch, rank_of, runs};
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(cases: &mut Vec<Case>) {
    for (rows, width) in [(1, 1), (3, 15), (2, 16), (5, 17), (3, 50_257)] {
        push_case(cases, rows, width, "any order", |_| {});
    }
    // Runs of one logit each: as many workgroups as must be folded, from few numbers.
    push_case(cases, 64 * FOLDED_WORKGROUPS, 1, "a run a row", |_| {});
    push_case(cases, 4, 100, "ruled out", |logits| {
        logits.iter_mut().skip(100).step_by(3).for_each(|v| *v = f32::NEG_INFINITY);
        logits[..32].fill(f32::NEG_INFINITY);
    });
    push_case(cases, 2, 64, "zeros of both signs", |logits| {
        logits.iter_mut().for_each(|v| *v = if *v > 0.0 { -0.0 } else { *v });
        logits[..16].fill(-1.0);
        logits[5] = -0.0;
        logits[32..48].fill(0.0);
    });
    push_case(cases, 2, 80, "faults", |logits| {
        logits[3] = f32::NAN;
        logits[20] = -f32::NAN;
        logits[40] = f32::INFINITY;
        logits[79] = f32::NAN;
        logits[80] = f32::MAX;
        logits[99] = f32::MIN;
    });
}

/// What the kernel makes of rows of `width` logits, for the cases of those that read it.
pub(super) fn peaks(logits: &[f32], width: usize) -> Tensor {
    let peak = |run: &[f32]| run.iter().map(|logit| rank_of(*logit)).max().unwrap_or(RULED_OUT);
    let peaks = logits.chunks_exact(width).flat_map(|row| row.chunks(RUN as usize).map(peak)).collect();
    Tensor::u32("peaks", peaks)
}

pub(crate) fn push_case(
    cases: &mut Vec<Case>,
    rows: usize,
    width: usize,
    what: &str,
    change: impl Fn(&mut [f32]) + Send + Sync + 'static,
) {
    let params = Params { rows: rows as u32, width: width as u32 };
    let tensors = move |random: &mut Random| {
        let mut logits = random.floats(rows * width, 8.0);
        change(&mut logits);
        // One run more than there are: what the kernel would make of it must not be written.
        logits.extend([9.0; RUN as usize]);
        let peaks = Tensor::output("peaks", rows * runs(params.width) as usize, Elements::U32);
        vec![Tensor::f32("logits", logits), peaks]
    };
    cases.push(Case::new(format!("{rows} rows of {width}, {what}"), tensors, move |s| dispatch(s[0], s[1], params)));
}
