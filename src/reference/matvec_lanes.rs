//! The twin of `shaders/matvec_lanes.wgsl`: the matrix product again, of few rows.

pub(super) use super::linear::run;
