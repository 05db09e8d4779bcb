//! The case list: a file a kernel, with the shapes that kernels get wrong.
//!
//! What is awkward: sizes around a tile's, sizes that no tile divides, a single row, more workgroups than one grid axis
//! holds, shards, tables in shuffled order, and values that overflow or are no numbers. And what drivers got wrong: loops of
//! more than 65,535 turns in one invocation, alone, nested and one after the other, which Mesa's software drivers before 23
//! cut short without a word.

pub(crate) mod argmax;
pub(crate) mod attention;
pub(crate) mod attention_merge;
pub(crate) mod embed;
pub(crate) mod gated_activation;
pub(crate) mod gather_rows;
pub(crate) mod head_norm;
pub(crate) mod linear;
pub(crate) mod quantize_q8;
pub(crate) mod residual_norm;
pub(crate) mod rms_norm;
pub(crate) mod rope_append;
pub(crate) mod run_peaks;
pub(crate) mod sample;
pub(crate) mod to_texels;

use super::Case;
use crate::kernels::{Activations, Selection};
use crate::recording::Slice;

/// More workgroups than wgpu's default limits allow along one axis of a grid, and not a multiple of the axes.
const FOLDED_WORKGROUPS: usize = 65_535 + 2;

/// Threads of a workgroup of the kernels that go through elements one by one.
const ELEMENT_THREADS: usize = 64;

/// Where a kernel leaves activations: of [`Tensor::for_product`](super::Tensor::for_product).
fn activations(texels: bool, slice: Slice) -> Activations {
    if texels { Activations::Texels(slice) } else { Activations::Buffer(slice) }
}

/// Every kernel, in every variant that an adapter with this selection can run, with every storage type.
pub fn cases(selection: &Selection) -> Vec<Case> {
    let mut cases = Vec::new();
    argmax::push(&mut cases);
    attention::push(selection, &mut cases);
    attention_merge::push(selection, &mut cases);
    embed::push(selection, &mut cases);
    gated_activation::push(selection, &mut cases);
    gather_rows::push(&mut cases);
    head_norm::push(selection, &mut cases);
    linear::push(selection, &mut cases);
    quantize_q8::push(&mut cases);
    residual_norm::push(selection, &mut cases);
    rms_norm::push(selection, &mut cases);
    rope_append::push(selection, &mut cases);
    run_peaks::push(&mut cases);
    sample::push(&mut cases);
    to_texels::push(selection, &mut cases);
    cases
}
