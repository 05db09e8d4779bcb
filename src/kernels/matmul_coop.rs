//! The matrix product on matrix units, for many rows: cooperative matrices of f16 with sums in f32.

use super::linear::Params;
use crate::recording::{MatrixSize, Program};

/// Subgroups that multiply, each a quarter of the workgroup's tile.
const PARTS: u32 = 4;

/// A workgroup makes `block` rows by `block` columns, 64 or 128, in at least four subgroups of up to `lanes` lanes.
pub(super) fn program(size: MatrixSize, lanes: u32, block: u32, params: &Params) -> (Program, [u32; 3]) {
    let variant = if block == 64 { "block64" } else { "block128" };
    let program = Program::new("matmul_coop", variant)
        .flag("sixteen", size == MatrixSize::Sixteen)
        .constant("PART", block / 2)
        .constant("WG", PARTS * lanes);
    (program, [params.m.div_ceil(block), params.n.div_ceil(block), 1])
}
