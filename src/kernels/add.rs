//! `x += y`: the residual connection.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENT_WG, Work, element_grid};
use crate::recording::{Dispatch, Program, Slice};

/// Mirrors `Params` of `shaders/add.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    /// Vectors of four elements.
    pub count4: u32,
}

/// Adds `count` elements (a multiple of 4) of `y` to `x`.
pub fn dispatch(x: Slice, y: Slice, count: u32) -> Dispatch {
    let program = Program::new("add", "base").constant("WG", ELEMENT_WG);
    Dispatch::new(program, &Params { count4: count / 4 }, element_grid(count / 4)).read(0, y).read_write(1, x)
}

/// The work of adding `count` elements.
pub fn work(count: u32) -> Work {
    let count = u64::from(count);
    Work { flops: count, read: 8 * count, written: 4 * count }
}
