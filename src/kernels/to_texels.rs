//! Copies activations from a buffer into texels, for the [kernels that load them so](super::LinearPath::loads_texels):
//! a product of many columns loads each many times.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENT_WG, Work, element_grid};
use crate::recording::{Dispatch, Program, Requirement, Slice, Texel};

/// Mirrors `Params` of `shaders/to_texels.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Params {
    /// Pairs of texels: eight elements each.
    pub pairs: u32,
}

/// Elements of a pair of texels.
pub const PAIR: u32 = 8;

/// Copies `elements` elements of `x`, a multiple of [`PAIR`], to texels of four.
pub fn dispatch(x: Slice, to: Slice, elements: u32) -> Dispatch {
    let params = Params { pairs: elements / PAIR };
    let program = Program::new("to_texels", "base").requires(Requirement::EightLanes).constant("WG", ELEMENT_WG);
    Dispatch::new(program, &params, element_grid(params.pairs)).read(0, x).store_texels(1, to, Texel::FourWords)
}

/// No operation.
pub fn work(elements: u32) -> Work {
    Work { flops: 0, read: 4 * u64::from(elements), written: 4 * u64::from(elements) }
}
