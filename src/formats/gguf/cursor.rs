//! Bounds-checked reading of little-endian values.

use std::io::{BufReader, ErrorKind, Read};

use super::GgufError;

/// Bytes that are converted to numbers at once.
const PIECE: usize = 8 << 10;

/// A position in a file of known length. Nothing is allocated before the file is known to be long enough for it.
pub(super) struct Cursor<R> {
    reader: BufReader<R>,
    position: u64,
    len: u64,
}

impl<R: Read> Cursor<R> {
    /// The beginning of a file of `len` bytes.
    pub(super) fn new(reader: R, len: u64) -> Self {
        Self { reader: BufReader::with_capacity(8 * PIECE, reader), position: 0, len }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next `N` bytes; `what` they belong to is for the error.
    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Checks that `count` items of at least `least` bytes each can follow, so that the count is safe to allocate for.
    pub(super) fn count(&self, count: u64, least: usize, what: &'static str) -> Result<usize, GgufError> {
        let fits = count.checked_mul(least as u64).is_some_and(|bytes| bytes <= self.len - self.position);
        usize::try_from(count).ok().filter(|_| fits).ok_or(GgufError::Count { what, count })
    }

    /// `count` numbers of `N` bytes.
    pub(super) fn numbers<T, const N: usize>(
        &mut self,
        count: u64,
        from_le_bytes: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, GgufError> {
        const WHAT: &str = "array elements";
        let count = self.count(count, N, WHAT)?;
        let mut numbers = Vec::with_capacity(count);
        let mut piece = [0; PIECE];
        while numbers.len() < count {
            let bytes = &mut piece[..N * (PIECE / N).min(count - numbers.len())];
            self.fill(bytes, WHAT)?;
            numbers.extend(bytes.as_chunks::<N>().0.iter().map(|&number| from_le_bytes(number)));
        }
        Ok(numbers)
    }

    /// A string: its length in bytes as a `u64`, then UTF-8.
    pub(super) fn string(&mut self, what: &'static str) -> Result<String, GgufError> {
        let len = self.u64(what)?;
        let len = usize::try_from(len).ok().filter(|_| len <= self.len - self.position);
        let mut bytes = vec![0; len.ok_or(GgufError::Truncated { what })?];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes).map_err(|_| GgufError::Utf8 { what })
    }

    fn fill(&mut self, out: &mut [u8], what: &'static str) -> Result<(), GgufError> {
        if out.len() as u64 > self.len - self.position {
            return Err(GgufError::Truncated { what });
        }
        // An end that comes sooner than the length said is that of a file that has shrunk.
        self.reader.read_exact(out).map_err(|cause| match cause.kind() {
            ErrorKind::UnexpectedEof => GgufError::Truncated { what },
            _ => GgufError::Read(cause),
        })?;
        self.position += out.len() as u64;
        Ok(())
    }
}
