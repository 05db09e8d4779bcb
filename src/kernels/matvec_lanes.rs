//! The matrix-vector product for adapters that emulate a GPU on the CPU with subgroups of eight: for a few rows, or for any
//! number of them, each on its own, with one program.
//!
//! Columns of y a lane: more are fewer loads of x a weight, until what a lane holds no longer fits the CPU's registers and its
//! cache for instructions. On lavapipe two are fastest with weights in buffers, and four with weights in texels, whose loads
//! compile to less.

use super::linear::Params;
use super::matvec::grid;
use crate::recording::Program;

/// Lanes of a workgroup.
const LANES: u32 = 8;

/// Columns of y that a workgroup makes, with a row of W each; of a gate and what goes through it with two.
pub(super) const fn columns(texels: bool) -> u32 {
    if texels { 4 * LANES } else { 2 * LANES }
}

pub(super) fn program(texels: bool, gated: bool, params: &Params) -> (Program, [u32; 3]) {
    let variant = if texels { "texels" } else { "shuffle" };
    let n = if gated { params.n / 2 } else { params.n };
    (Program::new("matvec_lanes", variant), grid(&Params { n, ..*params }, 1, columns(texels)))
}
