//! Cases of `rms_norm`.

use super::{Case, FOLDED_WORKGROUPS, activations};
use crate::kernels::Selection;
use crate::kernels::rms_norm::{Params, RowThreads, dispatch};
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for threads in selection.all_row_threads() {
        for (rows, dim, limit, offset) in [
            (1, 4, 1.0, 0.0),
            (5, 16, 1.0, 0.0),
            (9, 64, 1.0, 1.0),
            (3, 256, 1.0, 1.0),
            (2, 260, 1.0, 0.0),
            (7, 576, 1.0, 0.0),
            (2, 516, 100.0, 0.0),
            (3, 8192, 1.0, 0.0),
            // Where eps decides, and where squares are large.
            (3, 576, 1e-4, 0.0),
            (3, 640, 1e4, 1.0),
            (FOLDED_WORKGROUPS, 16, 1.0, 0.0),
            // Two loops of 33,000 turns each, one after the other, in each of 128 threads.
            (1, 128 * 4 * 33_000, 1.0, 0.0),
        ] {
            cases.push(case(threads, false, rows, dim, limit, offset));
        }
        for (rows, dim) in [(1, 8), (7, 576), (2, 260), (3, 8192)] {
            if threads == RowThreads::Lanes {
                cases.push(case(threads, true, rows, dim, 1.0, 0.0));
            }
        }
    }
}

pub(crate) fn case(threads: RowThreads, texels: bool, rows: usize, dim: usize, limit: f32, offset: f32) -> Case {
    let tensors = move |random: &mut Random| {
        vec![
            Tensor::f32("x", random.floats(rows * dim, limit)),
            Tensor::f32("weight", random.floats(dim, 2.0)),
            Tensor::output("y", rows * dim, Elements::F32).for_product(texels),
        ]
    };
    let params = Params { rows: rows as u32, dim4: dim as u32 / 4, eps: 1e-6, offset };
    Case::new(format!("{rows} rows of {dim}, up to {limit}, offset {offset}"), tensors, move |s| {
        dispatch(threads, s[0], s[1], activations(texels, s[2]), params)
    })
}
