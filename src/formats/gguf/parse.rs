//! Parsing of one file: header, metadata and tensor descriptions.

use std::collections::HashSet;
use std::io::Read;

use super::cursor::Cursor;
use super::{GgufError, Metadata, storage, value};
use crate::formats::DType;
use crate::formats::stored::StoredTensor;

const MAGIC: [u8; 4] = *b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Far above any page size; a larger one only moves the tensors out of the file.
const MAX_ALIGNMENT: u64 = 1 << 16;
const MAX_DIMENSIONS: u32 = 4;

/// Whether these first bytes of a file are those of a GGUF file.
pub(in crate::formats) fn has_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Parses the header of a file of `file_len` bytes, read from its beginning. Allocates a small multiple of the bytes
/// that describe it, whatever its counts claim.
pub(super) fn parse(file: impl Read, file_len: u64) -> Result<(Metadata, Vec<StoredTensor>), GgufError> {
    let mut cursor = Cursor::new(file, file_len);
    if cursor.array("the header").map_or(true, |magic| magic != MAGIC) {
        return Err(GgufError::Magic);
    }
    let version = cursor.u32("the header")?;
    match version {
        2 | 3 => {}
        _ if matches!(version.swap_bytes(), 1..=3) => return Err(GgufError::BigEndian),
        _ => return Err(GgufError::Version { version }),
    }
    let tensor_count = cursor.u64("the header")?;
    let entry_count = cursor.u64("the header")?;

    let metadata = parse_metadata(&mut cursor, entry_count)?;
    let alignment = alignment(&metadata)?;
    let mut tensors = parse_tensors(&mut cursor, tensor_count, alignment)?;
    place(&mut tensors, cursor.position(), alignment, file_len)?;
    Ok((metadata, tensors))
}

fn parse_metadata(cursor: &mut Cursor<impl Read>, count: u64) -> Result<Metadata, GgufError> {
    // The length of the key, its type and a value of one byte.
    let count = cursor.count(count, 8 + 4 + 1, "metadata entries")?;
    let mut metadata = Metadata::default();
    for _ in 0..count {
        let key = cursor.string("a metadata key")?;
        let value = value::parse(cursor, &key)?;
        metadata.insert(key, value)?;
    }
    Ok(metadata)
}

fn alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    const KEY: &str = "general.alignment";
    if metadata.get(KEY).is_none() {
        return Ok(DEFAULT_ALIGNMENT);
    }
    metadata
        .u64(KEY)
        .filter(|alignment| alignment.is_power_of_two() && *alignment <= MAX_ALIGNMENT)
        .ok_or(GgufError::Alignment { limit: MAX_ALIGNMENT })
}

/// Reads the descriptions. Offsets are still relative to the tensor data, as in the file.
fn parse_tensors(cursor: &mut Cursor<impl Read>, count: u64, alignment: u64) -> Result<Vec<StoredTensor>, GgufError> {
    const WHAT: &str = "a tensor's description";
    // The length of the name, the number of dimensions, the type and the offset.
    let count = cursor.count(count, 8 + 4 + 4 + 8, "tensors")?;
    let mut tensors = Vec::with_capacity(count);
    for _ in 0..count {
        let name = cursor.string("a tensor's name")?;
        if name.is_empty() {
            return Err(GgufError::EmptyTensorName);
        }
        let dimensions = cursor.u32(WHAT)?;
        if dimensions > MAX_DIMENSIONS {
            return Err(GgufError::Dimensions { name, count: dimensions });
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            match usize::try_from(cursor.u64(WHAT)?) {
                Ok(dimension) if dimension > 0 => shape.push(dimension),
                _ => return Err(GgufError::Shape { name }),
            }
        }
        shape.reverse();
        let dtype = match storage::dtype(cursor.u32(WHAT)?) {
            Ok(dtype) => dtype,
            Err(storage) => return Err(GgufError::TensorType { name, storage: storage.into_owned() }),
        };
        let offset = cursor.u64(WHAT)?;
        if !offset.is_multiple_of(alignment) {
            return Err(GgufError::Unaligned { name, alignment });
        }
        let len = len_bytes(&name, &shape, dtype)?;
        tensors.push(StoredTensor { name, shape, dtype, offset, len });
    }

    let mut names = HashSet::with_capacity(tensors.len());
    match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        Some(twice) => Err(GgufError::DuplicateTensor { name: twice.name.clone() }),
        None => Ok(tensors),
    }
}

/// The bytes of a tensor, whose rows must be whole blocks.
fn len_bytes(name: &str, shape: &[usize], dtype: DType) -> Result<usize, GgufError> {
    let row = shape.last().copied().unwrap_or(1);
    if !row.is_multiple_of(dtype.block_len()) {
        return Err(GgufError::Blocks { name: name.to_owned(), row, dtype });
    }
    shape
        .iter()
        .try_fold(1usize, |product, &dimension| product.checked_mul(dimension))
        .and_then(|elements| dtype.bytes_of(elements))
        .ok_or_else(|| GgufError::Shape { name: name.to_owned() })
}

/// Makes the offsets absolute and checks that all tensors lie in the file, apart from each other.
fn place(tensors: &mut [StoredTensor], header_end: u64, alignment: u64, file_len: u64) -> Result<(), GgufError> {
    let data_start = header_end.checked_next_multiple_of(alignment);
    for tensor in tensors.iter_mut() {
        let offset = data_start.and_then(|start| start.checked_add(tensor.offset));
        let end = offset.and_then(|offset| offset.checked_add(tensor.len as u64));
        match (offset, end) {
            (Some(offset), Some(end)) if end <= file_len => tensor.offset = offset,
            _ => return Err(GgufError::BeyondFile { name: tensor.name.clone() }),
        }
    }

    let mut by_offset: Vec<&StoredTensor> = tensors.iter().collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    for pair in by_offset.windows(2) {
        if let [first, second] = pair
            && second.offset - first.offset < first.len as u64
        {
            return Err(GgufError::Overlap { first: first.name.clone(), second: second.name.clone() });
        }
    }
    Ok(())
}
