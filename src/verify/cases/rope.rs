//! Cases of `rope`.

use super::{Case, ELEMENT_THREADS, FOLDED_WORKGROUPS};
use crate::kernels::rope::{Pairing, Params, dispatch};
use crate::verify::{Random, Tensor};

pub(super) fn push(cases: &mut Vec<Case>) {
    for pairing in [Pairing::Half, Pairing::Adjacent] {
        for (tokens, heads, kv_heads, head_dim, rotary) in
            [(1, 1, 1, 4, 2), (7, 3, 3, 64, 64), (5, 2, 1, 80, 32), (3, 4, 2, 256, 256), (33, 9, 3, 16, 12)]
        {
            push_case(cases, pairing, Params { tokens, heads, kv_heads, head_dim, rotary });
        }
    }
    // A thread a pair.
    let pairs = (ELEMENT_THREADS * FOLDED_WORKGROUPS) as u32;
    push_case(
        cases,
        Pairing::Half,
        Params { tokens: pairs / 160 + 1, heads: 4, kv_heads: 1, head_dim: 64, rotary: 64 },
    );
}

pub(crate) fn push_case(cases: &mut Vec<Case>, pairing: Pairing, params: Params) {
    let Params { tokens, heads, kv_heads, head_dim, rotary } = params;
    let tensors = move |random: &mut Random| {
        let pairs = (tokens * rotary / 2) as usize;
        let angles = random.floats(pairs, std::f32::consts::PI);
        let turns = angles.into_iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        vec![
            Tensor::f32("turns", turns),
            Tensor::in_place("q", random.floats((tokens * heads * head_dim) as usize, 4.0)),
            Tensor::in_place("k", random.floats((tokens * kv_heads * head_dim) as usize, 4.0)),
        ]
    };
    cases.push(Case::new(
        format!("{tokens} tokens, {heads} + {kv_heads} heads of {head_dim}, {rotary} of them turn"),
        tensors,
        move |s| dispatch(pairing, s[1], s[2], s[0], params),
    ));
}
