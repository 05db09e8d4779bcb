//! The rooms of wgpt that need no GPU, built without wgpu, and what is done with the fuzzers' inputs.

#[path = "../../src/cache.rs"]
pub mod cache;
#[path = "../../src/formats/mod.rs"]
pub mod formats;
#[path = "../../src/kernels/mod.rs"]
pub mod kernels;
#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/panics.rs"]
pub mod panics;
#[path = "../../src/recording.rs"]
pub mod recording;
#[path = "../../src/reference/mod.rs"]
pub mod reference;
#[path = "../../src/schedule/mod.rs"]
pub mod schedule;
#[path = "../../src/text/mod.rs"]
pub mod text;

pub mod targets;
