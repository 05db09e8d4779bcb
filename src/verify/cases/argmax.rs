//! Cases of `argmax`.

use super::{Case, FOLDED_WORKGROUPS};
use crate::kernels::argmax::{Params, dispatch};
use crate::verify::{Elements, Random, Tensor};

/// A row whose threads take more than 65,535 turns of one loop each.
const LONG_ROW: usize = 256 * 66_000;

pub(super) fn push(cases: &mut Vec<Case>) {
    for (rows, width) in [(1, 1), (3, 255), (2, 256), (5, 257), (3, 50_257), (FOLDED_WORKGROUPS, 2)] {
        push_case(cases, rows, width, "any order", |_, _| {});
    }
    // Few values, so that the largest stands in many places.
    push_case(cases, 4, 1_000, "ties", |logits, _| logits.iter_mut().for_each(|v| *v = v.round()));
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
    push_case(cases, 1, LONG_ROW, "the last is the largest", |logits, width| logits[width - 1] = 9.0);
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
        vec![Tensor::f32("logits", logits), Tensor::output("tokens", rows, Elements::U32)]
    };
    cases.push(Case::new(format!("{rows} rows of {width}, {what}"), tensors, move |s| {
        dispatch(s[0], s[1], Params { rows: rows as u32, width: width as u32 })
    }));
}
