//! Files of weights, read where and when their bytes are wanted.
//!
//! They are not memory-mapped: touching a page that another process has cut off ends this one, while a read of it is an
//! error like any other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::FormatError;

const LFS_POINTER: &[u8] = b"version https://git-lfs.";

/// The contents of a regular file, or `None` where they are longer than `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    // Asked before the file is opened, because opening a pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= limit))
}

/// A regular file of known length.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    /// Locked from the seek to the end of the read that belongs to it.
    file: Mutex<File>,
    len: u64,
}

impl WeightFile {
    pub(super) fn open(path: &Path) -> Result<WeightFile, FormatError> {
        // Asked before the file is opened, because opening a pipe would wait for its other end.
        if !std::fs::metadata(path).map_err(FormatError::io(path))?.is_file() {
            return Err(FormatError::NotAFile { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(FormatError::io(path))?;
        let len = file.metadata().map_err(FormatError::io(path))?.len();
        let mut first = Vec::with_capacity(LFS_POINTER.len());
        (&mut file).take(LFS_POINTER.len() as u64).read_to_end(&mut first).map_err(FormatError::io(path))?;
        if first == LFS_POINTER {
            return Err(FormatError::LfsPointer { path: path.to_owned() });
        }
        Ok(WeightFile { path: path.to_owned(), file: Mutex::new(file), len })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes, when it was opened.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` with the bytes from `offset` on.
    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), FormatError> {
        // A read that failed leaves the file as good as before.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(out)).map_err(|cause| match cause.kind() {
            io::ErrorKind::UnexpectedEof => FormatError::Shrank { path: self.path.clone() },
            _ => FormatError::Io { path: self.path.clone(), cause },
        })
    }

    /// Reads the file from its beginning, for the parsing of its header right after it was opened.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&mut File) -> T) -> Result<T, FormatError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.rewind().map_err(FormatError::io(&self.path))?;
        Ok(parse(&mut file))
    }
}
