//! The twin of `shaders/matmul_f16.wgsl`: the product that it rounds, unrounded.

pub(super) use super::linear::run;
