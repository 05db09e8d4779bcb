//! The twin of `shaders/matmul.wgsl`: tiles change the order of the sums, not the result.

pub(super) use super::linear::run;
