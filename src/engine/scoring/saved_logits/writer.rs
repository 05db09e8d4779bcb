//! Writes a file of saved logits, which is there as a whole or not at all.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tempfile::NamedTempFile;

use super::{Header, SavedLogitsError, encode};
use crate::engine::scoring::LogitRow;

/// Writes under another name beside the file, which [`Writer::finish`] then takes the place of.
#[derive(Debug)]
pub struct Writer {
    to: BufWriter<NamedTempFile>,
    path: PathBuf,
    header: Header,
    rows: u64,
}

impl Writer {
    /// # Errors
    /// The folder cannot be written to, or the path is there and is no file.
    pub fn create(path: &Path, header: Header) -> Result<Self, SavedLogitsError> {
        Self::check(path)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".wgpt-").suffix(".part");
        // As any file that a program makes; the user's mask takes away from it.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder(path))?;
        let mut to = BufWriter::with_capacity(1 << 20, file);
        header.write(&mut to)?;
        Ok(Self { to, path: path.to_owned(), header, rows: 0 })
    }

    /// Whether a file can be made at the path, as far as can be seen without making it: renaming onto a device or a pipe
    /// would replace that.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(path: &Path) -> Result<(), SavedLogitsError> {
        let error = |kind, why| Err(SavedLogitsError::Io(std::io::Error::new(kind, why)));
        if path.file_name().is_none() || path.metadata().is_ok_and(|there| !there.is_file()) {
            return error(
                std::io::ErrorKind::InvalidInput,
                "there is something else that is no file; use another name",
            );
        }
        if !folder(path).is_dir() {
            return error(std::io::ErrorKind::NotFound, "its folder does not exist; make it first");
        }
        Ok(())
    }

    /// The rows that follow.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, rows: &[LogitRow<'_>]) -> Result<(), SavedLogitsError> {
        let row_bytes = self.header.row_bytes();
        let encode_row = |row: &LogitRow<'_>| {
            let mut bytes = Vec::with_capacity(row_bytes);
            encode(row.logits, &row.softmax, &mut bytes);
            bytes
        };
        let encoded: Vec<Vec<u8>> = rows.par_iter().map(encode_row).collect();
        for bytes in &encoded {
            self.to.write_all(bytes)?;
        }
        self.rows += encoded.len() as u64;
        Ok(())
    }

    /// Puts the file in its place. Without this, nothing is left of it.
    ///
    /// # Errors
    /// Rows are missing, or the file cannot be written.
    pub fn finish(self) -> Result<(), SavedLogitsError> {
        let due = self.header.windows() as u64 * self.header.rows_per_window() as u64;
        if self.rows != due {
            return Err(SavedLogitsError::Rows { written: self.rows, due });
        }
        let file = self.to.into_inner().map_err(|e| e.into_error())?;
        file.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
