//! The one integration-test binary: a module a topic.

mod support;

mod formats_blocks;
mod formats_gguf;
mod formats_gguf_split;
mod formats_hf;
mod house;
mod parity;
mod sampler;
mod scheduler;
mod text;
