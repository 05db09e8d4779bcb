//! Checkpoints on disk: Hugging Face folders (safetensors) and GGUF files, and the block quantisation formats.

mod dtype;
pub mod gguf;

pub use dtype::DType;
