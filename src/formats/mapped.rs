//! Memory-mapped files.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::FormatError;

/// A file in memory, read-only. Pages are read from disk when they are first touched.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl MappedFile {
    pub(super) fn open(path: &Path) -> Result<MappedFile, FormatError> {
        // Asked before the file is opened, because opening a pipe would wait for its other end.
        if !std::fs::metadata(path).map_err(FormatError::io(path))?.is_file() {
            return Err(FormatError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(FormatError::io(path))?;
        // SAFETY: the map is read-only, and this program never writes to the file. If another process truncates it,
        // touching the lost pages ends this one, which no map can prevent; `bytes` checks the length beforehand. If
        // another process overwrites it, weights change, but they are plain bytes, of which every value is valid.
        let map = unsafe { Mmap::map(&file) }.map_err(FormatError::io(path))?;
        if map.starts_with(b"version https://git-lfs.") {
            return Err(FormatError::LfsPointer { path: path.to_owned() });
        }
        Ok(MappedFile { path: path.to_owned(), file, map })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file, for the parsing of its header right after it was opened.
    pub(super) fn all(&self) -> &[u8] {
        &self.map
    }

    /// Some of its bytes, after a check that the file has not shrunk.
    pub(super) fn bytes(&self, range: Range<usize>) -> Result<&[u8], FormatError> {
        let len = self.file.metadata().map_err(FormatError::io(&self.path))?.len();
        let shrank = len < self.map.len() as u64;
        self.map.get(range).filter(|_| !shrank).ok_or_else(|| FormatError::Shrank { path: self.path.clone() })
    }
}
