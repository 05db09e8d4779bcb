//! Rounds activations to blocks of q8_0: what [packed products](super::LinearPath::takes_q8) multiply.

use bytemuck::{Pod, Zeroable};

use super::{Work, element_grid};
use crate::recording::{Dispatch, Program, Slice};

/// Elements of a block, which lie along a row.
pub const BLOCK: usize = super::weight_layout::GROUP;

/// Mirrors `Params` of `shaders/quantize_q8.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Params {
    /// Of all rows, which lie one behind the other.
    pub blocks: u32,
}

/// Rounded activations: `x = scale * code`.
#[derive(Clone, Copy, Debug)]
pub struct Quantized {
    /// `[m][k]` signed bytes, four a word.
    pub codes: Slice,
    /// `[m][k / BLOCK]` f32.
    pub scales: Slice,
}

impl Quantized {
    /// Bytes of the codes and of the scales of so many elements, a multiple of [`BLOCK`].
    pub fn bytes(elements: usize) -> [u64; 2] {
        [elements as u64, (elements / BLOCK * size_of::<f32>()) as u64]
    }
}

/// Rounds `elements` elements of `x`, a multiple of [`BLOCK`].
pub fn dispatch(x: Slice, to: Quantized, elements: u32) -> Dispatch {
    let params = Params { blocks: elements / BLOCK as u32 };
    let program = Program::new("quantize_q8", "base").constant("WG", super::ELEMENT_WG);
    Dispatch::new(program, &params, element_grid(params.blocks))
        .read(0, x)
        .read_write(1, to.codes)
        .read_write(2, to.scales)
}

/// A comparison, a product and a rounding an element, and three divisions a block.
pub fn work(elements: u32) -> Work {
    let [codes, scales] = Quantized::bytes(elements as usize);
    let elements = u64::from(elements);
    Work { flops: 3 * elements + 3 * (elements / BLOCK as u64), read: 4 * elements, written: codes + scales }
}
