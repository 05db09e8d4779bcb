//! The twin of `shaders/attention_key_lanes.wgsl`: who loads what changes nothing in what a part comes to.

pub(super) use super::attention::run;
