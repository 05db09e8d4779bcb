//! The matrix product for adapters that emulate a GPU on the CPU with subgroups of eight: rows shared by shuffles.
//!
//! Larger tiles (32 rows, 12 or 16 columns a lane) load and dequantise less for a product and are no faster on lavapipe: the
//! driver unrolls all of a tile, so that the loop no longer fits the instruction cache, and compiles it for up to half a
//! minute. Smaller ones fit, and do more for a product than they gain.

use super::linear::Params;
use crate::recording::Program;

/// Rows of W that a workgroup takes: columns of y, or gates and what goes through them.
const COLUMNS: u32 = 64;

/// A workgroup makes `rows` rows of y, 8 or 16.
pub(super) fn program(rows: u32, params: &Params) -> (Program, [u32; 3]) {
    let variant = if rows == 16 { "rows16" } else { "rows8" };
    let program = Program::new("matmul_lanes", variant).flag("sixteen", rows == 16);
    (program, [params.m.div_ceil(rows), params.n.div_ceil(COLUMNS), 1])
}
