//! Models that are split over several files, by llama.cpp's `llama-gguf-split` and its naming scheme.

use std::path::{Path, PathBuf};

use super::{GgufError, Metadata, model_stem};

/// The place of one file in a split model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Counts from 1, as in the file's name.
    pub number: u64,
    pub count: u64,
}

impl Part {
    /// The place that the metadata states, or `None` for a model in one file.
    pub(super) fn of(metadata: &Metadata) -> Option<Part> {
        let count = metadata.u64("split.count").filter(|&count| count > 1)?;
        let number = metadata.u64("split.no").unwrap_or(0).saturating_add(1);
        Some(Part { number, count })
    }

    /// The end of the name of this file.
    fn suffix(self) -> String {
        format!("-{:05}-of-{:05}.gguf", self.number, self.count)
    }
}

/// The paths of parts 2 and on of the model whose first part is the file `path`; they are not known to exist.
///
/// # Errors
/// The file is not the first part, its name does not follow the scheme, or it counts beyond the last part.
pub(super) fn others(path: &Path, part: Part) -> Result<impl Iterator<Item = (Part, PathBuf)>, GgufError> {
    let Part { number, count } = part;
    if number > count {
        return Err(GgufError::SplitNumber { number, count });
    }
    let stem = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(&part.suffix()))
        .ok_or(GgufError::SplitName { number, count })?
        .to_owned();
    if number != 1 {
        let first = format!("{stem}{}", Part { number: 1, count }.suffix());
        return Err(GgufError::NotFirstSplit { number, count, first });
    }
    let path = path.to_owned();
    Ok((2..=count).map(move |number| {
        let part = Part { number, count };
        (part, path.with_file_name(format!("{stem}{}", part.suffix())))
    }))
}

/// Whether a file of this name is a later part of a split model, by the naming scheme alone.
pub(in crate::formats) fn is_later_part(name: &str) -> bool {
    let numbers = model_stem(name).and_then(|stem| {
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (_, number) = rest.rsplit_once('-')?;
        let five_digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        (five_digits(count) && five_digits(number)).then_some(number)
    });
    numbers.is_some_and(|number| number != "00001")
}
