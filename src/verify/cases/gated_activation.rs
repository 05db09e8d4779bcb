//! Cases of `gated_activation`.

use super::{Case, FOLDED_WORKGROUPS, activations};
use crate::kernels::Selection;
use crate::kernels::gated_activation::{Activation, dispatch};
use crate::verify::{Elements, Random, Tensor};

/// Where exp and tanh go wrong first: zeros, the edges of what exp can hold, and beyond.
const EDGES: [f32; 12] = [0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, 88.0, -88.0, 89.0, -89.0, 1e4, -1e4];

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for activation in [Activation::Silu, Activation::GeluTanh] {
        for (rows, dim, limit) in
            [(1, 4, 1.0), (5, 52, 8.0), (3, 1536, 8.0), (1, 1024, 100.0), (4, 256, 0.01), (FOLDED_WORKGROUPS, 4, 1.0)]
        {
            for texels in [false, true] {
                let case = case(activation, texels, rows, dim, limit);
                cases.extend(Some(case).filter(|case| selection.runs(&case.program)));
            }
        }
    }
}

pub(crate) fn case(activation: Activation, texels: bool, rows: usize, dim: usize, limit: f32) -> Case {
    let tensors = move |random: &mut Random| {
        let mut x = Vec::with_capacity(2 * rows * dim);
        for row in 0..rows {
            x.extend(random.floats(dim, limit));
            if row == 0 && limit > EDGES.len() as f32 {
                x[..EDGES.len()].copy_from_slice(&EDGES);
            }
            x.extend(random.floats(dim, 4.0));
        }
        vec![Tensor::f32("x", x), Tensor::output("y", rows * dim, Elements::F32).for_product(texels)]
    };
    Case::new(format!("{rows} rows of {dim} elements up to {limit}"), tensors, move |s| {
        dispatch(activation, s[0], activations(texels, s[1]), rows as u32, dim as u32)
    })
}
