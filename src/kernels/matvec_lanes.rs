//! The matrix-vector product for adapters that emulate a GPU on the CPU with subgroups of eight: for a few rows, or for any
//! number of them, each on its own, with one program.
//!
//! Columns of y a lane: more are fewer loads of x a weight, until what a lane holds of its rows no longer fits the CPU's
//! registers and its cache for instructions. On lavapipe four are fastest, but for types that have many loads a block.

use super::linear::Params;
use super::matvec::grid;
use crate::formats::DType;
use crate::recording::Program;

/// Lanes of a workgroup.
const LANES: u32 = 8;

/// Columns of y whose squares are one sum.
pub(super) const PART: u32 = 16;

pub(super) fn program(dtype: DType, gated: bool, params: &Params) -> (Program, [u32; 3]) {
    let four = !matches!(dtype, DType::F32 | DType::F16 | DType::BF16);
    let n = if gated { params.n / 2 } else { params.n };
    let columns = if four { 4 * LANES } else { 2 * LANES };
    (
        Program::new("matvec_lanes", "base").flag("four", four).flag("wide", true),
        grid(&Params { n, ..*params }, 1, columns),
    )
}
