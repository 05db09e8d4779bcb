//! The matrix-vector product for adapters that emulate a GPU on the CPU with subgroups of eight.

use super::fold;
use super::linear::Params;
use crate::recording::Program;

/// Rows of W that a lane owns, and lanes of a workgroup.
const ROWS: u32 = 4;
const LANES: u32 = 8;

pub(super) fn program(params: &Params) -> (Program, [u32; 3]) {
    let program = Program::new("matvec_lanes", "broadcast").constant("M", params.m.next_power_of_two());
    (program, fold(params.n.div_ceil(ROWS * LANES)))
}
