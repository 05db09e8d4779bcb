//! The twin of `shaders/matvec.wgsl`: the matrix product again, of few rows.

pub(super) use super::linear::run;
