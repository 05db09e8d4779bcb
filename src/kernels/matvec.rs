//! The matrix-vector product, for up to eight rows at once: decode. Runs on every adapter; faster with subgroups.

use super::fold;
use super::linear::Params;
use crate::recording::Program;

/// Rows of W that a workgroup multiplies.
const ROWS: u32 = 4;
const WG: u32 = 64;

/// The most rows of x that the kernel takes at once.
pub const MAX_M: u32 = 8;

pub(super) fn program(subgroups: bool, params: &Params) -> (Program, [u32; 3]) {
    let program = Program::new("matvec", if subgroups { "subgroup" } else { "workgroup" })
        .constant("WG", WG)
        .constant("ROWS", ROWS)
        .constant("M", params.m.next_power_of_two())
        .flag("subgroups", subgroups);
    (program, fold(params.n.div_ceil(ROWS)))
}
