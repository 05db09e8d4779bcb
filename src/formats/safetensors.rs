//! The header of a safetensors file.
//!
//! The `safetensors` crate defines the fields and validates gaps, overlaps, and spans against shapes. What it leaves
//! out is done here: a name that occurs twice (the crate keeps the last), and which tensor has the wrong type of value.

use std::collections::HashSet;
use std::fmt;

use ::safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::DType;
use super::stored::StoredTensor;

/// Why a safetensors file cannot be read. The text does not name the file: [`FormatError`](super::FormatError) does.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    #[error("the file ends within its header; it is truncated or not a safetensors file, download it again")]
    Truncated,
    #[error("its header claims {len} bytes, over the 100 MB that safetensors allows; it is not a safetensors file")]
    HeaderTooLarge { len: u64 },
    #[error("its header is not that of a safetensors file ({0}); download it again")]
    Header(serde_json::Error),
    #[error("its tensors do not fit together ({0}); the file is damaged, download it again")]
    Layout(::safetensors::SafeTensorError),
    #[error("its tensors take {expected} bytes but the file has {actual} for them; download it again")]
    DataLen { expected: usize, actual: usize },
    #[error(
        "the tensor {name:?} is stored as {dtype}, and only F32, F16 and BF16 are supported; convert the model, for \
         example with from_pretrained(.., dtype=\"bfloat16\") and save_pretrained"
    )]
    Dtype { name: String, dtype: Dtype },
}

const LEN_BYTES: usize = size_of::<u64>();
/// The limit that the reference implementation sets.
const MAX_HEADER: u64 = 100_000_000;

/// Parses the header of a whole file; the tensors come in the order of their offsets.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<StoredTensor>, SafetensorsError> {
    let (len, rest) = bytes.split_first_chunk::<LEN_BYTES>().ok_or(SafetensorsError::Truncated)?;
    let len = u64::from_le_bytes(*len);
    if len > MAX_HEADER {
        return Err(SafetensorsError::HeaderTooLarge { len });
    }
    let len = usize::try_from(len).map_err(|_| SafetensorsError::HeaderTooLarge { len })?;
    let (header, data) = rest.split_at_checked(len).ok_or(SafetensorsError::Truncated)?;

    let mut json = serde_json::Deserializer::from_slice(header);
    let mut entries = json
        .deserialize_map(Entries)
        .and_then(|entries| json.end().map(|()| entries))
        .map_err(SafetensorsError::Header)?;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    let layout = Metadata::new(None, entries.clone()).map_err(SafetensorsError::Layout)?;
    if layout.data_len() != data.len() {
        return Err(SafetensorsError::DataLen { expected: layout.data_len(), actual: data.len() });
    }

    let data_start = LEN_BYTES + len;
    entries
        .into_iter()
        .map(|(name, TensorInfo { dtype, shape, data_offsets: (start, end) })| {
            let dtype = match dtype {
                Dtype::F32 => DType::F32,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                dtype => return Err(SafetensorsError::Dtype { name, dtype }),
            };
            Ok(StoredTensor { name, shape, dtype, offset: data_start + start, len: end - start })
        })
        .collect()
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
