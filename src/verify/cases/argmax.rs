//! Cases of `argmax`.

use super::{Case, FOLDED_WORKGROUPS, run_peaks};
use crate::kernels::argmax::{Params, dispatch};
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(cases: &mut Vec<Case>) {
    // Fewer runs than threads, as many, and more; rows that end within a run.
    for (rows, width) in [(1, 1), (3, 15), (2, 16), (5, 257), (8, 4_096), (3, 50_257), (FOLDED_WORKGROUPS, 2)] {
        push_case(cases, rows, width, "any order", |_, _| {});
    }
    // Few values, so that the largest stands in many places.
    push_case(cases, 4, 10_000, "ties", |logits, _| logits.iter_mut().for_each(|v| *v = v.round()));
    push_case(cases, 3, 300, "all equal", |logits, _| logits.fill(-2.5));
    push_case(cases, 3, 300, "all -inf", |logits, _| logits.fill(f32::NEG_INFINITY));
    push_case(cases, 3, 300, "all -inf but the last", |logits, width| {
        logits.fill(f32::NEG_INFINITY);
        logits.iter_mut().skip(width - 1).step_by(width).for_each(|last| *last = -1e30);
    });
    push_case(cases, 3, 300, "inf", |logits, width| {
        logits.iter_mut().skip(7).step_by(width).for_each(|v| *v = f32::INFINITY)
    });
    // A NaN in one row, at the start, in the middle, at the end; the others are sound.
    for at in [0, 299, 300, 450, 599] {
        push_case(cases, 3, 300, &format!("NaN at {at}"), move |logits, _| logits[at] = f32::NAN);
    }
    push_case(cases, 1, 700, "all NaN", |logits, _| logits.fill(f32::NAN));
    push_case(cases, 2, 9_000, "the last is the largest", |logits, width| {
        logits.iter_mut().skip(width - 1).step_by(width).for_each(|last| *last = 9.0);
    });
    push_case(cases, 2, 700, "zeros of both signs", |logits, _| {
        logits.iter_mut().for_each(|v| *v = if *v > 4.0 { 0.0 } else { (*v).min(-0.0) });
    });
}

pub(crate) fn push_case(
    cases: &mut Vec<Case>,
    rows: usize,
    width: usize,
    what: &str,
    change: impl Fn(&mut [f32], usize) + Send + Sync + 'static,
) {
    let tensors = move |random: &mut Random| {
        let mut logits = random.floats(rows * width, 8.0);
        change(&mut logits, width);
        let peaks = run_peaks::peaks(&logits, width);
        vec![Tensor::f32("logits", logits), peaks, Tensor::output("tokens", rows, Elements::U32)]
    };
    cases.push(Case::new(format!("{rows} rows of {width}, {what}"), tensors, move |s| {
        dispatch(s[0], s[1], s[2], Params { rows: rows as u32, width: width as u32 })
    }));
}
