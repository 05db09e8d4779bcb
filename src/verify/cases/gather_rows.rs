//! Cases of `gather_rows`.

use super::{Case, ELEMENT_THREADS, FOLDED_WORKGROUPS};
use crate::kernels::gather_rows::dispatch;
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(cases: &mut Vec<Case>) {
    // A thread four elements.
    let folded = (ELEMENT_THREADS * FOLDED_WORKGROUPS).div_ceil(2048 / 4);
    for (count, dim, rows) in [(1, 4, 1), (3, 576, 40), (65, 12, 7), (130, 2048, 130), (folded, 2048, 5)] {
        cases.push(case(count, dim, rows));
    }
}

pub(crate) fn case(count: usize, dim: usize, rows: usize) -> Case {
    let tensors = move |random: &mut Random| {
        vec![
            Tensor::f32("x", random.floats(rows * dim, 8.0)),
            Tensor::u32("rows", (0..count).map(|_| random.below(rows as u32)).collect()),
            Tensor::output("y", count * dim, Elements::F32),
        ]
    };
    Case::new(format!("{count} of {rows} rows of {dim}"), tensors, move |s| {
        dispatch(s[0], s[1], s[2], count as u32, dim as u32)
    })
}
