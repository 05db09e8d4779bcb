//! Writes the chunk's K and V into the paged cache.

use bytemuck::{Pod, Zeroable};

use super::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use super::{ELEMENT_WG, Work, element_grid, kv_append_q8_0};
use crate::recording::{Dispatch, Program, Slice};

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
    pub cache: CacheSlices,
}

pub fn dispatch(kv_type: KvType, slices: Slices, params: Params) -> Dispatch {
    let vectors = params.tokens * params.kv_heads * params.dim4;
    let (program, threads) = match kv_type {
        KvType::F32 | KvType::F16 => (Program::new("kv_append", "base"), vectors),
        KvType::Q8_0 => (kv_append_q8_0::PROGRAM, vectors / kv_append_q8_0::VECTORS),
    };
    let program = kv_type.flag(program.constant("WG", ELEMENT_WG).constant("PAGE", PAGE_SIZE));
    let dispatch = Dispatch::new(program, &params, element_grid(threads))
        .read(0, slices.k)
        .read(1, slices.v)
        .read(2, slices.slot_mapping)
        .read_write(3, slices.cache.k)
        .read_write(4, slices.cache.v);
    slices.cache.scales.into_iter().fold(dispatch, |dispatch, scales| dispatch.read_write(5, scales))
}

/// The work of appending both the keys and the values of some tokens.
pub fn work(kv_type: KvType, params: Params) -> Work {
    let tokens = u64::from(params.tokens);
    let elements = tokens * u64::from(params.kv_heads) * 4 * u64::from(params.dim4);
    Work { flops: 0, read: 4 * (2 * elements + tokens), written: kv_type.bytes(elements) }
}
