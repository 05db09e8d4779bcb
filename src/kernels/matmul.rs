//! The tiled matrix product, for many rows: prefill. Runs on every adapter.

use super::linear::Params;
use crate::recording::Program;

/// Threads along each axis of a workgroup.
const SIDE: u32 = 16;

/// Each of 16 x 16 threads makes `tm` x `tn` outputs.
pub(super) fn program(tm: u32, tn: u32, params: &Params) -> (Program, [u32; 3]) {
    program_of("matmul", tm, tn, params)
}

/// The same of another kernel in such tiles.
pub(super) fn program_of(kernel: &'static str, tm: u32, tn: u32, params: &Params) -> (Program, [u32; 3]) {
    let variant = match (tm, tn) {
        (4, 4) => "tile64",
        (2, 2) => "tile32",
        _ => "tile",
    };
    let program = Program::new(kernel, variant).constant("TM", tm).constant("TN", tn);
    (program, [params.m.div_ceil(SIDE * tm), params.n.div_ceil(SIDE * tn), 1])
}
