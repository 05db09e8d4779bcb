//! What can be wrong with a GGUF file.

/// Why a GGUF file cannot be read. The text names no file: the caller adds that.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("a metadata key is empty; the file is damaged, download it again")]
    EmptyKey,
    #[error("the metadata key `{key}` occurs twice; the file is damaged, download it again")]
    DuplicateKey { key: String },
}
