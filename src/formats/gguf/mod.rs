//! GGUF files: metadata and tensors in one file, or split over several.
//!
//! The layout follows ggml's `docs/gguf.md`; versions 2 and 3 differ in nothing that a little-endian file shows.

mod cursor;
mod error;
mod metadata;
mod names;
mod open;
mod parse;
mod split;
mod storage;
mod value;

pub use error::GgufError;
pub use metadata::{Array, Metadata, Value};
pub use names::model_stem;
pub(super) use open::open;
pub(super) use parse::has_magic;
pub(super) use split::is_later_part;
use split::{Part, others};
