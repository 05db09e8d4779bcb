//! Cases of `head_norm`.

use super::{Case, FOLDED_WORKGROUPS};
use crate::kernels::Selection;
use crate::kernels::head_norm::{Params, Weights, dispatch};
use crate::kernels::rms_norm::RowThreads;
use crate::verify::{Random, Tensor};

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for threads in selection.all_row_threads() {
        for (tokens, heads, kv_heads, dim4, limit, offset) in [
            (1, 1, 1, 2, 1.0, 0.0),
            (3, 4, 2, 16, 1.0, 0.0),
            (5, 3, 1, 20, 1.0, 1.0),
            (2, 2, 2, 34, 1.0, 1.0),
            (7, 4, 1, 64, 1.0, 0.0),
            // Where eps decides, and where squares are large.
            (3, 2, 1, 32, 1e-4, 0.0),
            (3, 2, 1, 32, 1e4, 1.0),
            (FOLDED_WORKGROUPS as u32 / 4 + 1, 3, 1, 4, 1.0, 0.0),
        ] {
            let params = Params { tokens, heads, kv_heads, dim4, eps: 1e-6, offset };
            cases.push(case(threads, params, limit));
        }
    }
}

pub(crate) fn case(threads: RowThreads, params: Params, limit: f32) -> Case {
    let Params { tokens, heads, kv_heads, dim4, offset, .. } = params;
    let dim = 4 * dim4;
    let tensors = move |random: &mut Random| {
        vec![
            Tensor::in_place("qkv", random.floats((tokens * (heads + 2 * kv_heads) * dim) as usize, limit)),
            Tensor::f32("q_weight", random.floats(dim as usize, 2.0)),
            Tensor::f32("k_weight", random.floats(dim as usize, 2.0)),
        ]
    };
    Case::new(
        format!("{tokens} tokens, {heads} + 2 x {kv_heads} heads of {dim}, up to {limit}, offset {offset}"),
        tensors,
        move |s| dispatch(threads, s[0], Weights { query: s[1], key: s[2] }, params),
    )
}
