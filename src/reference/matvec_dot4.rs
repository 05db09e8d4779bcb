//! The twin of `shaders/matvec_dot4.wgsl`: the matrix product of rounded activations again, of few rows.

pub(super) use super::linear::run_q8 as run;
