//! What can be wrong with a model.

use crate::formats::{DType, FormatError};
use crate::recording::ExecutionError;
use crate::schedule::BatchError;

/// Why a model cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("the architecture '{0}' is not supported; llama, mistral, qwen2, qwen3 and gemma3 (text) are")]
    Architecture(String),
    #[error("the model's description lacks '{0}'; the file is incomplete or of another kind")]
    Missing(String),
    #[error("the model's '{key}' is {value}, which {problem}")]
    Value { key: String, value: String, problem: String },
    #[error("{0} is not supported")]
    Unsupported(String),
    #[error("the tensor '{0}' is missing; the checkpoint is incomplete")]
    MissingTensor(String),
    #[error("the tensor '{name}' has the shape {found:?} where the description asks for {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("the tensor '{name}' has rows of {k} elements, which are not whole groups of 32")]
    RowLength { name: String, k: usize },
    #[error("the tensor '{name}' ({dtype}) holds a number that is not finite; the file is damaged, download it again")]
    NotFinite { name: String, dtype: DType },
    #[error(
        "the rows of '{name}' that must lie together take {bytes} bytes, more than this device binds at once ({limit}); use another device (--device)"
    )]
    RowTooLarge { name: String, bytes: u64, limit: u64 },
    #[error(
        "a q8_0 KV cache has blocks of {block} elements, and this model's heads of {head_dim} are not whole ones; use --kv-type f16"
    )]
    CacheBlocks { head_dim: usize, block: usize },
    #[error(
        "a context of {context} tokens needs {bytes} bytes of {what} a layer, and this device binds {limit} at once; use \
         a context (-c) of at most {possible}"
    )]
    ContextTooLarge { context: usize, bytes: u64, what: &'static str, limit: u64, possible: usize },
    #[error(
        "{what} of a step of {tokens} tokens need {bytes} bytes, and this device binds {limit} at once; use a --chunk-size of at most {possible}"
    )]
    StepTooLarge { what: &'static str, tokens: usize, bytes: u64, limit: u64, possible: usize },
    #[error(
        "the model needs {needed} of memory ({weights} weights, {kv_cache} KV cache, {scratch} scratch) and {available} are \
         available; use a smaller context (-c), --kv-type f16, a smaller --chunk-size, or a smaller model"
    )]
    OutOfMemory { needed: String, weights: String, kv_cache: String, scratch: String, available: String },
    #[error("token {token} lies outside of the vocabulary of {vocabulary}")]
    TokenOutOfRange { token: u32, vocabulary: usize },
    #[error(
        "a step of {tokens} tokens, {sequences} sequences and {logits_rows} rows of logits exceeds what was allocated"
    )]
    StepOverflow { tokens: usize, sequences: usize, logits_rows: usize },
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}
