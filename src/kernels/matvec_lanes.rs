//! The matrix-vector product for adapters that emulate a GPU on the CPU with subgroups of eight: for a few rows, or for any
//! number of them, each on its own, with one program. In floats, or `rounded`: with activations that the kernel rounds to
//! bytes as it loads them, and products in whole numbers.

use super::linear::Params;
use super::matvec::grid;
use super::weight_layout::rows_together;
use crate::formats::DType;
use crate::recording::Program;

/// Lanes of a workgroup.
const LANES: u32 = 8;

/// Columns of y whose squares are one sum.
pub(super) const PART: u32 = 16;

pub(super) fn program(rounded: bool, dtype: DType, gated: bool, params: &Params) -> (Program, [u32; 3]) {
    let n = if gated { params.n / 2 } else { params.n };
    let columns = rows_together(dtype) as u32;
    let four = columns == 4 * LANES;
    let program = Program::new("matvec_lanes", if rounded { "rounded" } else { "base" });
    (program.flag("four", four).flag("rounded", rounded), grid(&Params { n, ..*params }, 1, columns))
}
