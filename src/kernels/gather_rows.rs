//! Copies the rows whose logits are wanted, so that the LM head runs for them alone.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENT_WG, Work, element_grid};
use crate::recording::{Dispatch, Program, Slice};

/// Mirrors `Params` of `shaders/gather_rows.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub count: u32,
    /// Vectors of four elements in a row.
    pub dim4: u32,
}

/// `y[i] = x[rows[i]]` for `count` rows of `dim` elements.
pub fn dispatch(x: Slice, rows: Slice, y: Slice, count: u32, dim: u32) -> Dispatch {
    let params = Params { count, dim4: dim / 4 };
    let program = Program::new("gather_rows", "base").constant("WG", ELEMENT_WG);
    Dispatch::new(program, &params, element_grid(count * params.dim4)).read(0, x).read(1, rows).read_write(2, y)
}

/// The work of copying `count` rows of `dim` elements.
pub fn work(count: u32, dim: u32) -> Work {
    let (count, elements) = (u64::from(count), u64::from(count) * u64::from(dim));
    Work { flops: 0, read: 4 * (elements + count), written: 4 * elements }
}
