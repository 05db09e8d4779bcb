//! GGUF files: metadata and tensors in one file, or split over several.
//!
//! The layout follows ggml's `docs/gguf.md`.

mod error;
mod metadata;

pub use error::GgufError;
pub use metadata::{Array, Metadata, Value};
