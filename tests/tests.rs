//! The one integration-test binary: a module a topic.

mod support;

mod adapters;
mod bench;
mod bench_model;
mod cli;
mod determinism;
mod engine;
mod faults;
mod formats_blocks;
mod formats_gguf;
mod formats_gguf_split;
mod formats_hf;
mod forward;
mod house;
mod hub;
mod invariants;
mod models_bad;
mod models_real;
mod models_tiny;
mod mutations;
mod parity;
mod perplexity;
mod pipelines;
mod radv;
mod run_ahead;
mod sampler;
mod sampler_device;
mod scheduler;
mod shaders;
mod submits;
mod texels;
mod text;
mod tuning;
mod verify;
mod verify_model;
