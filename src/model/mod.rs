//! Decoder-only transformers: hyperparameters, weights on the device, the KV cache, and the forward pass, written once.

pub mod config;
mod config_gguf;
mod config_huggingface;
mod decoder;
mod error;
mod forward;
mod kv_cache;
mod linear_layers;
mod log_softmax;
mod names;
mod non_finite;
mod rope_table;
mod scratch;
mod stacks;
mod step_inputs;
mod weight_upload;
mod weights;

pub use config::Config;
pub use decoder::{Choice, ExpectedStep, Memory, Model, ModelOptions, StepShape};
pub use error::ModelError;
pub use linear_layers::{LinearLayers, Place, linear_layers, linear_types};
pub use log_softmax::LogSoftmax;
pub use non_finite::NonFinite;
pub use weight_upload::UploadTimings;
