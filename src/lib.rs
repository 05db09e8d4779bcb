//! wgpt: text generation with decoder-only transformers on any GPU that wgpu reaches.
//!
//! A token flows one way: [`text`] -> [`schedule`] -> [`model`] (records the forward pass) -> [`recording`] ->
//! [`gpu`] or [`mod@reference`] (executes it) -> [`engine`] -> [`text`]. Each module sees only the next ones.

pub mod bench;
pub mod cache;
pub mod engine;
pub mod formats;
pub mod gpu;
pub mod kernels;
pub mod model;
pub mod panics;
pub mod recording;
pub mod reference;
pub mod schedule;
pub mod stats;
pub mod text;
pub mod units;
pub mod verify;
