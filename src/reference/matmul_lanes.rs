//! The twin of `shaders/matmul_lanes.wgsl`: who loads what changes nothing in the result.

pub(super) use super::linear::run;
