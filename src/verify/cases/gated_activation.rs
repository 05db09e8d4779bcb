//! Cases of `gated_activation`.

use super::{Case, ELEMENT_THREADS, FOLDED_WORKGROUPS};
use crate::kernels::gated_activation::{Activation, dispatch};
use crate::verify::{Random, Tensor};

/// Where exp and tanh go wrong first: zeros, the edges of what exp can hold, and beyond.
const EDGES: [f32; 12] = [0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, 88.0, -88.0, 89.0, -89.0, 1e4, -1e4];

pub(super) fn push(cases: &mut Vec<Case>) {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        for (count, limit) in [(4, 1.0), (260, 8.0), (1536 * 3, 8.0), (1024, 100.0), (1024, 0.01)] {
            push_case(cases, activation, count, limit);
        }
    }
    push_case(cases, Activation::Silu, 4 * ELEMENT_THREADS * FOLDED_WORKGROUPS, 4.0);
}

pub(crate) fn push_case(cases: &mut Vec<Case>, activation: Activation, count: usize, limit: f32) {
    let tensors = move |random: &mut Random| {
        let mut gate = random.floats(count, limit);
        if limit > EDGES.len() as f32 {
            gate[..EDGES.len()].copy_from_slice(&EDGES);
        }
        vec![Tensor::in_place("gate", gate), Tensor::f32("up", random.floats(count, 4.0))]
    };
    cases.push(Case::new(format!("{count} elements up to {limit}"), tensors, move |s| {
        dispatch(activation, s[0], s[1], count as u32)
    }));
}
