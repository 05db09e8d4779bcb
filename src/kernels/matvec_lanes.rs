//! The matrix-vector product for adapters that emulate a GPU on the CPU with subgroups of eight.

use super::linear::Params;
use super::matvec::{grid, rows_of_x};
use crate::recording::Program;

/// Rows of W that a lane owns, and lanes of a workgroup.
const ROWS: u32 = 4;
const LANES: u32 = 8;

pub(super) fn program(blocks: bool, params: &Params) -> (Program, [u32; 3]) {
    let rows = rows_of_x(blocks, params.m);
    let program = Program::new("matvec_lanes", "broadcast").constant("M", rows);
    (program, grid(params, rows, ROWS * LANES))
}
