//! Writes the chunk's K and V into the paged cache.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENT_WG, Work, element_grid};
use crate::recording::{Dispatch, Program, Slice};

/// Tokens of a page of the KV cache.
pub const PAGE_SIZE: u32 = 16;

/// How cached keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvType {
    F32,
    /// Two a word; needs no f16 feature.
    F16,
}

impl std::str::FromStr for KvType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "f32" => Ok(KvType::F32),
            "f16" => Ok(KvType::F16),
            _ => Err(format!("there is no KV cache type '{name}'; use f16 or f32")),
        }
    }
}

impl KvType {
    /// As [`KvType::from_str`](std::str::FromStr) takes it.
    pub const fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
        }
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            KvType::F32 => 4,
            KvType::F16 => 2,
        }
    }
}

/// Mirrors `Params` of `shaders/kv_append.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub tokens: u32,
    pub kv_heads: u32,
    /// Vectors of four elements in a head.
    pub dim4: u32,
}

/// The slices that the kernel works on.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// `[tokens][kv_heads][head_dim]`.
    pub k: Slice,
    /// `[tokens][kv_heads][head_dim]`.
    pub v: Slice,
    /// The cache slot of each token.
    pub slot_mapping: Slice,
    /// `[slots][kv_heads][head_dim]`.
    pub k_cache: Slice,
    /// `[slots][kv_heads][head_dim]`.
    pub v_cache: Slice,
}

pub fn dispatch(kv_type: KvType, slices: Slices, params: Params) -> Dispatch {
    let program = Program::new("kv_append", "base")
        .constant("WG", ELEMENT_WG)
        .constant("PAGE", PAGE_SIZE)
        .flag("kv_f16", kv_type == KvType::F16);
    Dispatch::new(program, &params, element_grid(params.tokens * params.kv_heads * params.dim4))
        .read(0, slices.k)
        .read(1, slices.v)
        .read(2, slices.slot_mapping)
        .read_write(3, slices.k_cache)
        .read_write(4, slices.v_cache)
}

/// The work of appending both the keys and the values of some tokens.
pub fn work(kv_type: KvType, params: Params) -> Work {
    let tokens = u64::from(params.tokens);
    let elements = 2 * tokens * u64::from(params.kv_heads) * 4 * u64::from(params.dim4);
    Work { flops: 0, read: 4 * (elements + tokens), written: kv_type.bytes() * elements }
}
