//! The one integration-test binary: a module a topic.

mod support;

mod cli;
mod formats_blocks;
mod formats_gguf;
mod formats_gguf_split;
mod formats_hf;
mod hub;
mod sampler;
mod scheduler;
mod text;
