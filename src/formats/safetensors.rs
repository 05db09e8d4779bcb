//! The header of a safetensors file.
//!
//! The `safetensors` crate defines the fields and validates gaps, overlaps, and spans against shapes. What it leaves
//! out is done here: a name that occurs twice (the crate keeps the last), and which tensor has the wrong type of value.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read};

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::DType;
use super::stored::StoredTensor;

/// Why a safetensors file cannot be read. The text does not name the file: [`FormatError`](super::FormatError) does.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    #[error("its header cannot be read: {0}; check the disk that it is on")]
    Read(io::Error),
    #[error("the file ends within its header; it is truncated or not a safetensors file, download it again")]
    Truncated,
    #[error("its header claims {len} bytes, over the 100 MB that safetensors allows; it is not a safetensors file")]
    HeaderTooLarge { len: u64 },
    #[error("its header is not that of a safetensors file ({0}); download it again")]
    Header(serde_json::Error),
    #[error("its tensors do not fit together ({0}); the file is damaged, download it again")]
    Layout(::safetensors::SafeTensorError),
    #[error("its tensors take {expected} bytes but the file has {actual} for them; download it again")]
    DataLen { expected: u64, actual: u64 },
    #[error(
        "the tensor {name:?} is stored as {dtype}, and only F32, F16 and BF16 are supported; convert the model, for \
         example with from_pretrained(.., dtype=\"bfloat16\") and save_pretrained"
    )]
    Dtype { name: String, dtype: Dtype },
}

const LEN_BYTES: u64 = size_of::<u64>() as u64;
/// The limit that the reference implementation sets.
const MAX_HEADER: u64 = 100_000_000;

/// Parses the header of a file of `file_len` bytes, read from its beginning; the tensors come in the order of their
/// offsets.
pub(super) fn parse(mut file: impl Read, file_len: u64) -> Result<Vec<StoredTensor>, SafetensorsError> {
    let mut len = [0; LEN_BYTES as usize];
    file.read_exact(&mut len).map_err(read_error)?;
    let len = u64::from_le_bytes(len);
    if len > MAX_HEADER {
        return Err(SafetensorsError::HeaderTooLarge { len });
    }
    let data_start = LEN_BYTES + len;
    let data_len = file_len.checked_sub(data_start).ok_or(SafetensorsError::Truncated)?;
    let mut header = vec![0; len as usize];
    file.read_exact(&mut header).map_err(read_error)?;

    let mut json = serde_json::Deserializer::from_slice(&header);
    let mut entries = json
        .deserialize_map(Entries)
        .and_then(|entries| json.end().map(|()| entries))
        .map_err(SafetensorsError::Header)?;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    let layout = Metadata::new(None, entries.clone()).map_err(SafetensorsError::Layout)?;
    let expected = layout.data_len() as u64;
    if expected != data_len {
        return Err(SafetensorsError::DataLen { expected, actual: data_len });
    }

    entries
        .into_iter()
        .map(|(name, TensorInfo { dtype, shape, data_offsets: (start, end) })| {
            let dtype = match dtype {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                dtype => return Err(SafetensorsError::Dtype { name, dtype }),
            };
            Ok(StoredTensor { name, shape, dtype, offset: data_start + start as u64, len: end - start })
        })
        .collect()
}

fn read_error(cause: io::Error) -> SafetensorsError {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof => SafetensorsError::Truncated,
        _ => SafetensorsError::Read(cause),
    }
}

/// Collects the entries of the header, straight into their types so that no large tree of JSON arises.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, TensorInfo)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = HashSet::new();
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("{name:?} occurs twice")));
            }
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let info = map.next_value().map_err(|cause| A::Error::custom(format_args!("{name:?}: {cause}")))?;
            entries.push((name, info));
        }
        Ok(entries)
    }
}
