//! Bounds-checked reading of little-endian values.

use super::GgufError;

/// A position in the bytes of a file. Nothing it returns was allocated before the bytes were known to be there.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next `len` bytes; `what` they belong to is for the error.
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], GgufError> {
        let end = self.position.checked_add(len).ok_or(GgufError::Truncated { what })?;
        let taken = self.bytes.get(self.position..end).ok_or(GgufError::Truncated { what })?;
        self.position = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| GgufError::Truncated { what })
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// Checks that `count` items of at least `least` bytes each can follow, so that the count is safe to allocate for.
    pub(super) fn count(&self, count: u64, least: usize, what: &'static str) -> Result<usize, GgufError> {
        let remaining = self.bytes.len() - self.position;
        usize::try_from(count)
            .ok()
            .filter(|count| count.checked_mul(least).is_some_and(|bytes| bytes <= remaining))
            .ok_or(GgufError::Count { what, count })
    }

    /// A string: its length in bytes as a `u64`, then UTF-8.
    pub(super) fn string(&mut self, what: &'static str) -> Result<String, GgufError> {
        let len = self.u64(what)?;
        let len = usize::try_from(len).map_err(|_| GgufError::Truncated { what })?;
        let bytes = self.take(len, what)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| GgufError::Utf8 { what })
    }
}
