//! What every format's parser yields.

use super::DType;
use super::file::WeightFile;

/// A tensor as one file describes it, checked to lie within that file.
#[derive(Debug)]
pub(super) struct StoredTensor {
    pub name: String,
    /// Row-major, outermost dimension first.
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// Of the first byte, from the beginning of the file.
    pub offset: u64,
    /// In bytes.
    pub len: usize,
}

/// A file with those of its tensors that belong to the model.
pub(super) type StoredFile = (WeightFile, Vec<StoredTensor>);
