//! Root mean square layer normalisation (Zhang & Sennrich 2019), also of each head of Q and K.

use bytemuck::{Pod, Zeroable};

use super::{Work, fold};
use crate::recording::{Dispatch, Program, Slice};

/// Mirrors `Params` of `shaders/rms_norm.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub rows: u32,
    /// Vectors of four elements in a row.
    pub dim4: u32,
    pub eps: f32,
    /// Added to the weight: 1 where the checkpoint stores it less one (Gemma in Hugging Face's form).
    pub offset: f32,
}

/// `y[r] = x[r] / rms(x[r]) * (weight + offset)`.
pub fn dispatch(x: Slice, weight: Slice, y: Slice, params: Params) -> Dispatch {
    let program = Program::new("rms_norm", "base").constant("WG", workgroup(params.dim4));
    Dispatch::new(program, &params, fold(params.rows)).read(0, x).read(1, weight).read_write(2, y)
}

/// Threads for a row: one of a head's size does not feed more than a small workgroup.
pub(super) fn workgroup(dim4: u32) -> u32 {
    if dim4 <= 64 { 32 } else { 128 }
}

/// The work of `rows` rows: a square and an addition, then two multiplications an element. The root is once a row.
pub fn work(params: Params) -> Work {
    let (rows, dim) = (u64::from(params.rows), 4 * u64::from(params.dim4));
    Work { flops: 4 * rows * dim, read: 4 * (rows * dim + dim), written: 4 * rows * dim }
}
