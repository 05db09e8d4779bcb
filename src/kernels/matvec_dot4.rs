//! The matrix-vector product of packed bytes, for up to eight rows at once: decode with activations in blocks of q8_0. Runs on
//! every adapter; faster with subgroups, and where there is an instruction for four products.

use super::linear::Params;
use super::matvec;
use crate::recording::Program;

pub(super) fn program(subgroups: bool, params: &Params) -> (Program, [u32; 3]) {
    matvec::program_of("matvec_dot4", subgroups, matvec::rows_of_x(false, params.m), params)
}
