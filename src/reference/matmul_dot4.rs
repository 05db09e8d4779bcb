//! The twin of `shaders/matmul_dot4.wgsl`: the matrix product of rounded activations.

pub(super) use super::linear::run_q8 as run;
