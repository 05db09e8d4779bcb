//! The tiled matrix product of packed bytes, for many rows: prefill with activations in blocks of q8_0. Runs on every adapter.

use super::linear::Params;
use super::matmul;
use crate::formats::DType;
use crate::recording::Program;

/// Each of 16 x 16 threads makes `side` x `side` outputs.
pub(super) fn program(side: u32, dtype: DType, params: &Params) -> (Program, [u32; 3]) {
    let (program, grid) = matmul::program_of("matmul_dot4", side, side, params);
    let has_min = matches!(dtype, DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K);
    (program.flag("min", has_min).flag("halves", dtype == DType::Q6_K), grid)
}
