//! The matrix-vector product, for up to eight rows at once: decode. Runs on every adapter; faster with subgroups. In blocks
//! of eight rows it takes any number of them with one program.

use super::fold;
use super::linear::Params;
use crate::recording::Program;

/// Rows of W that a workgroup multiplies.
pub(super) const ROWS: u32 = 4;
const WG: u32 = 64;

/// The most rows of x that a workgroup takes at once.
pub const MAX_M: u32 = 8;

/// Rows of x that a workgroup takes: as few as will do, or always the most and as many workgroups as that needs.
pub(super) fn rows_of_x(blocks: bool, m: u32) -> u32 {
    if blocks { MAX_M } else { m.next_power_of_two() }
}

/// The grid of a kernel whose workgroups make `rows` rows by `columns` columns of y. Workgroups that read the same weights
/// are neighbours.
pub(super) fn grid(params: &Params, rows: u32, columns: u32) -> [u32; 3] {
    let [x, y, _] = fold(params.n.div_ceil(columns));
    [params.m.div_ceil(rows), x, y]
}

pub(super) fn program(subgroups: bool, blocks: bool, params: &Params) -> (Program, [u32; 3]) {
    program_of("matvec", subgroups, rows_of_x(blocks, params.m), params)
}

/// A program whose workgroups multiply [`ROWS`] rows of W by `rows` of x.
pub(super) fn program_of(kernel: &'static str, subgroups: bool, rows: u32, params: &Params) -> (Program, [u32; 3]) {
    let program = Program::new(kernel, if subgroups { "subgroup" } else { "workgroup" })
        .constant("WG", WG)
        .constant("ROWS", ROWS)
        .constant("M", rows)
        .flag("subgroups", subgroups);
    (program, grid(params, rows, ROWS))
}
