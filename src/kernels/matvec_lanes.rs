//! The matrix-vector product for adapters that emulate a GPU on the CPU with subgroups of eight: for a few rows, or for any
//! number of them, each on its own, with one program.
//!
//! Two rows of W a lane are the fewest instructions a weight that still fit the CPU's caches for them: one loads x more often,
//! and three and more are slower on lavapipe.

use super::linear::Params;
use super::matvec::grid;
use crate::recording::Program;

/// Lanes of a workgroup.
const LANES: u32 = 8;
/// Rows of W that a workgroup multiplies: two a lane.
pub(super) const ROWS: u32 = 2 * LANES;

pub(super) fn program(params: &Params) -> (Program, [u32; 3]) {
    (Program::new("matvec_lanes", "shuffle"), grid(params, 1, ROWS))
}
