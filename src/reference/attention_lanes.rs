//! The twin of `shaders/attention_lanes.wgsl`: who loads what changes nothing in the result.

pub(super) use super::attention::run;
