//! Checkpoints on disk: Hugging Face folders (safetensors) and GGUF files, and the block quantisation formats.

pub mod blocks;
mod checkpoint;
mod dtype;
mod error;
mod file;
pub mod gguf;
mod huggingface;
mod safetensors;
mod stored;

pub use checkpoint::{Checkpoint, Description, TensorInfo};
pub use dtype::DType;
pub use error::FormatError;
pub(crate) use file::read_bounded;
pub use safetensors::SafetensorsError;
