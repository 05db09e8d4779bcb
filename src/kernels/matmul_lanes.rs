//! The matrix product for adapters that emulate a GPU on the CPU with subgroups of eight: rows shared by broadcast.

use super::linear::Params;
use crate::recording::Program;

/// Rows and columns of y that a workgroup makes.
const ROWS: u32 = 16;
const COLUMNS: u32 = 32;

pub(super) fn program(params: &Params) -> (Program, [u32; 3]) {
    let program = Program::new("matmul_lanes", "broadcast");
    (program, [params.m.div_ceil(ROWS), params.n.div_ceil(COLUMNS), 1])
}
