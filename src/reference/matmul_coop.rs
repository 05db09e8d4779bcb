//! The twin of `shaders/matmul_coop.wgsl`: the product that it rounds, unrounded.

pub(super) use super::linear::run;
