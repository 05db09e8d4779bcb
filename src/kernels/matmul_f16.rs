//! The tiled matrix product in f16, for many rows on adapters that compute twice as fast in it.

use super::linear::Params;
use crate::recording::Program;

/// Threads along each axis of a workgroup.
const SIDE: u32 = 16;
/// Outputs of a thread along a row.
const TN: u32 = 4;

/// A workgroup makes `rows` rows, 64 or 128, by 64 columns.
pub(super) fn program(rows: u32, params: &Params) -> (Program, [u32; 3]) {
    let variant = if rows == 64 { "rows64" } else { "rows128" };
    let program = Program::new("matmul_f16", variant).constant("TM", rows / SIDE).constant("TN", TN);
    (program, [params.m.div_ceil(rows), params.n.div_ceil(SIDE * TN), 1])
}
