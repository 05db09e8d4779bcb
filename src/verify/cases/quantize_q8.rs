//! Cases of `quantize_q8`.

use super::{Case, ELEMENT_THREADS};
use crate::kernels::quantize_q8::{BLOCK, Quantized, dispatch};
use crate::verify::{Elements, Tensor};

pub(super) fn push(cases: &mut Vec<Case>) {
    for blocks in [1, 18, ELEMENT_THREADS, 5 * ELEMENT_THREADS + 7] {
        for limit in [1.0, 3000.0] {
            push_case(cases, blocks, format!("below {limit}"), move |x| {
                x.iter_mut().for_each(|value| *value *= limit);
            });
        }
    }
    // Each on its own, since an error is measured by the largest numbers of a case.
    push_case(cases, 3, "with blocks of zeros", |x| x[..2 * BLOCK].fill(0.0));
    push_case(cases, 5, "of tiny numbers", |x| x.iter_mut().for_each(|value| *value *= 1e-33));
    push_case(cases, 5, "of huge numbers", |x| x.iter_mut().for_each(|value| *value *= 1e38));
    push_case(cases, 5, "of next to nothing", |x| x.fill(f32::MIN_POSITIVE));
    for (name, value) in [("NaN", f32::NAN), ("infinity", f32::INFINITY), ("-infinity", f32::NEG_INFINITY)] {
        push_case(cases, 3, format!("with {name} in a block"), move |x| x[BLOCK + 5] = value);
    }
}

/// `blocks` blocks of numbers below 1 that are changed.
pub(crate) fn push_case(
    cases: &mut Vec<Case>,
    blocks: usize,
    what: impl Into<String>,
    change: impl Fn(&mut [f32]) + Send + Sync + 'static,
) {
    let elements = blocks * BLOCK;
    cases.push(Case::new(
        format!("{blocks} blocks {}", what.into()),
        move |random| {
            let mut x = random.floats(elements, 1.0);
            change(&mut x);
            vec![
                Tensor::f32("x", x),
                Tensor::output("codes", elements / 4, Elements::I8),
                Tensor::output("scales", blocks, Elements::F32),
            ]
        },
        move |s| dispatch(s[0], Quantized { codes: s[1], scales: s[2] }, elements as u32),
    ));
}
