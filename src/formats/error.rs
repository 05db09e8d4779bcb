//! What can be wrong with a checkpoint.

use std::io;
use std::path::PathBuf;

use super::gguf::GgufError;
use super::safetensors::SafetensorsError;

/// Why a checkpoint cannot be opened or read. Each text is one sentence that names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("cannot read {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("{path} is not a regular file; give the path of a GGUF file or of a model's folder")]
    NotAFile { path: PathBuf },
    #[error("{path} is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")]
    LfsPointer { path: PathBuf },
    #[error("cannot load {path}: {cause}")]
    Gguf { path: PathBuf, cause: GgufError },
    #[error("cannot load {path}: {cause}")]
    Safetensors { path: PathBuf, cause: SafetensorsError },
    #[error("{path} is not the JSON that is expected there ({cause}); download it again")]
    Json { path: PathBuf, cause: serde_json::Error },
    #[error("{path} is larger than the {limit} bytes that such a file may have; check what it is")]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{path} is neither a GGUF file nor part of a Hugging Face folder; give a .gguf file or such a folder")]
    UnknownFile { path: PathBuf },
    #[error(
        "the folder {path} holds no model: config.json with model.safetensors (or its index and shards), or one .gguf \
         file; convert other weights with save_pretrained(safe_serialization=True)"
    )]
    NoModel { path: PathBuf },
    #[error("the folder {path} holds several GGUF models; give the path of one of them")]
    SeveralModels { path: PathBuf },
    #[error(
        "{path} names the shard {shard:?}, which is not a file in the same folder or below it; download the index again"
    )]
    ShardPath { path: PathBuf, shard: String },
    #[error(
        "{path} lacks the tensor {tensor:?}, which the index places in it; download the shards and the index again"
    )]
    ShardTensor { path: PathBuf, tensor: String },
    #[error("the tensor {tensor:?} occurs in more than one part of the model at {path}; download the parts again")]
    DuplicateTensor { path: PathBuf, tensor: String },
    #[error("{path} shrank since it was opened; leave the file alone while the model is loading, and start again")]
    Shrank { path: PathBuf },
    #[error("the tensor {tensor:?} has only {len} bytes; ask for less of it")]
    BeyondTensor { tensor: String, len: usize },
    #[error("the tensor {tensor:?} is not one of the model at {path}; ask that model for its tensors")]
    ForeignTensor { path: PathBuf, tensor: String },
}

impl FormatError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> FormatError {
        let path = path.into();
        move |cause| FormatError::Io { path, cause }
    }
}
