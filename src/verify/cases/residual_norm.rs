//! Cases of `residual_norm`.

use super::{Case, FOLDED_WORKGROUPS, activations};
use crate::kernels::Selection;
use crate::kernels::residual_norm::{Slices, dispatch};
use crate::kernels::rms_norm::{Params, RowThreads};
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for (threads, post_norm) in selection.all_row_threads().flat_map(|threads| [(threads, false), (threads, true)]) {
        for (rows, dim, limit, offset) in [
            (1, 4, 1.0, 0.0),
            (5, 16, 1.0, 1.0),
            (3, 256, 1.0, 0.0),
            (2, 260, 1.0, 1.0),
            (7, 576, 8.0, 0.0),
            (2, 516, 100.0, 0.0),
            (3, 8192, 1.0, 0.0),
            // Where eps decides, and where squares are large.
            (3, 576, 1e-4, 0.0),
            (3, 640, 1e4, 1.0),
            (FOLDED_WORKGROUPS, 16, 1.0, 0.0),
            // Loops of 33,000 turns, one after the other, in each of 128 threads.
            (1, 128 * 4 * 33_000, 1.0, 0.0),
        ] {
            cases.push(case(threads, false, rows, dim, limit, offset, post_norm));
        }
        for (rows, dim) in [(1, 8), (7, 576), (2, 260), (3, 8192)] {
            if threads == RowThreads::Lanes {
                cases.push(case(threads, true, rows, dim, 1.0, 0.0, post_norm));
            }
        }
    }
}

pub(crate) fn case(
    threads: RowThreads,
    texels: bool,
    rows: usize,
    dim: usize,
    limit: f32,
    offset: f32,
    post_norm: bool,
) -> Case {
    let tensors = move |random: &mut Random| {
        let mut tensors = vec![
            Tensor::f32("delta", random.floats(rows * dim, limit)),
            Tensor::f32("weight", random.floats(dim, 2.0)),
            Tensor::in_place("x", random.floats(rows * dim, limit)),
            Tensor::output("h", rows * dim, Elements::F32).for_product(texels),
        ];
        if post_norm {
            tensors.push(Tensor::f32("post_weight", random.floats(dim, 2.0)));
        }
        tensors
    };
    let params = Params { rows: rows as u32, dim4: dim as u32 / 4, eps: 1e-6, offset };
    Case::new(format!("{rows} rows of {dim}, up to {limit}, offset {offset}"), tensors, move |s| {
        let post_weight = post_norm.then(|| s[4]);
        let h = activations(texels, s[3]);
        dispatch(threads, Slices { delta: s[0], weight: s[1], x: s[2], h, post_weight }, params)
    })
}
