//! Opening of a model, be it in one file or in several.

use std::path::Path;

use super::{GgufError, Metadata, Part, others, parse};
use crate::formats::FormatError;
use crate::formats::file::WeightFile;
use crate::formats::stored::StoredFile;

/// Opens the model in the file `path` and, if it is the first part of a split model, in the other parts beside it.
/// The metadata is that of the first part; the others repeat none of it.
pub(in crate::formats) fn open(path: &Path) -> Result<(Metadata, Vec<StoredFile>), FormatError> {
    let fail = |cause| FormatError::Gguf { path: path.to_owned(), cause };
    let (metadata, first) = open_file(path)?;
    let mut files = vec![first];
    if let Some(part) = Part::of(&metadata) {
        for (part, path) in others(path, part).map_err(fail)? {
            let Part { number, count } = part;
            if !path.exists() {
                return Err(FormatError::Gguf { path, cause: GgufError::SplitMissing { number, count } });
            }
            let (metadata, file) = open_file(&path)?;
            if Part::of(&metadata) != Some(part) {
                return Err(FormatError::Gguf { path, cause: GgufError::SplitMismatch { number, count } });
            }
            files.push(file);
        }
        let found = files.iter().map(|(_, tensors)| tensors.len()).sum();
        if let Some(declared) = metadata.u64("split.tensors.count")
            && declared != found as u64
        {
            return Err(fail(GgufError::SplitTensors { found, declared }));
        }
    }
    Ok((metadata, files))
}

fn open_file(path: &Path) -> Result<(Metadata, StoredFile), FormatError> {
    let file = WeightFile::open(path)?;
    match file.parse(|start| parse::parse(start, file.len()))? {
        Ok((metadata, tensors)) => Ok((metadata, (file, tensors))),
        Err(cause) => Err(FormatError::Gguf { path: path.to_owned(), cause }),
    }
}
