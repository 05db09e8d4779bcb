//! Reads a file of saved logits.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{Header, SavedLogitsError, SavedRow};

/// A file of saved logits, read from its start to its end.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    header: Header,
    rows_read: u64,
    /// The rows read last.
    bytes: Vec<u8>,
}

impl Reader<BufReader<File>> {
    /// # Errors
    /// As [`Reader::new`].
    pub fn open(path: &Path) -> Result<Self, SavedLogitsError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Self::new(BufReader::new(file), length)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of a file of `length` bytes.
    ///
    /// # Errors
    /// It is no such file, or not all of it.
    pub fn new(mut from: R, length: u64) -> Result<Self, SavedLogitsError> {
        let header = Header::read(&mut from, length)?;
        Ok(Self { from, header, rows_read: 0, bytes: Vec::new() })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next `count` rows.
    ///
    /// # Errors
    /// There are not so many, or a row makes no sense.
    pub fn rows(&mut self, count: usize) -> Result<Vec<SavedRow<'_>>, SavedLogitsError> {
        let row_bytes = self.header.row_bytes();
        self.bytes.resize(count * row_bytes, 0);
        self.from.read_exact(&mut self.bytes)?;
        let first = self.rows_read;
        self.rows_read += count as u64;
        let rows = self.bytes.chunks_exact(row_bytes).zip(first..);
        rows.map(|(bytes, row)| SavedRow::parse(bytes, self.header.vocabulary).ok_or(SavedLogitsError::Row { row }))
            .collect()
    }
}
