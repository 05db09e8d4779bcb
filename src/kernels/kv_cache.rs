//! How keys and values are stored in the paged cache.

use crate::recording::{Program, Slice};

/// Tokens of a page of the KV cache.
pub const PAGE_SIZE: u32 = 16;

/// How cached keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    F32,
    /// Two a word; needs no f16 feature.
    F16,
    /// Blocks of 32 signed bytes with an f16 scale: heads are whole blocks.
    Q8_0,
}

impl std::str::FromStr for KvType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "f32" => Ok(KvType::F32),
            "f16" => Ok(KvType::F16),
            "q8_0" => Ok(KvType::Q8_0),
            _ => Err(format!("there is no KV cache type '{name}'; use f16, f32 or q8_0")),
        }
    }
}

impl KvType {
    /// As [`KvType::from_str`](std::str::FromStr) takes it.
    pub const fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
        }
    }

    /// Elements of a block; heads are whole blocks.
    pub const fn block_len(self) -> usize {
        match self {
            KvType::F32 | KvType::F16 => 1,
            KvType::Q8_0 => 32,
        }
    }

    /// Bytes of the elements of K, or of V, without scales.
    pub const fn element_bytes(self, elements: u64) -> u64 {
        match self {
            KvType::F32 => 4 * elements,
            KvType::F16 => 2 * elements,
            KvType::Q8_0 => elements,
        }
    }

    /// Bytes of the scales of so many elements of K and as many of V.
    pub const fn scale_bytes(self, elements: u64) -> u64 {
        match self {
            KvType::F32 | KvType::F16 => 0,
            KvType::Q8_0 => 4 * (elements / 32),
        }
    }

    /// Bytes of so many elements of K and as many of V.
    pub const fn bytes(self, elements: u64) -> u64 {
        2 * self.element_bytes(elements) + self.scale_bytes(elements)
    }

    /// Turns on the flag of the kernels that read or write such a cache.
    pub(super) fn flag(self, program: Program) -> Program {
        program.flag("kv_f16", self == KvType::F16).flag("kv_q8_0", self == KvType::Q8_0)
    }
}

/// The cached keys and values of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSlices {
    /// `[slots][kv_heads][head_dim]`.
    pub k: Slice,
    /// `[slots][kv_heads][head_dim]`.
    pub v: Slice,
    /// Of q8_0: `[slots][kv_heads][head_dim / 32]` words, each the f16 scales of a block of K and of V.
    pub scales: Option<Slice>,
}

impl CacheSlices {
    pub fn all(&self) -> impl Iterator<Item = Slice> {
        [self.k, self.v].into_iter().chain(self.scales)
    }
}
