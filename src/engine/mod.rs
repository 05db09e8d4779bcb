//! The loop around the model: schedule, record, execute, sample, detokenise, stop.

pub mod sampler;
