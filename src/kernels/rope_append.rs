//! Rotary position embedding (Su et al. 2021) of Q and K, and K and V into the paged cache.

use bytemuck::{Pod, Zeroable};

use super::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use super::{ELEMENT_WG, Work, element_grid, rope_append_q8_0};
use crate::recording::{Dispatch, Program, Slice};

/// Which elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `i` with `i + head_dim / 2`: Hugging Face's checkpoints, and GGUF's of most families.
    Half,
    /// `2 i` with `2 i + 1`: GGUF's llama family, whose Q and K rows are permuted for it.
    Adjacent,
}

/// Mirrors `Params` of `shaders/shared/rope.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub tokens: u32,
    /// Of Q.
    pub heads: u32,
    /// Of K, and of V.
    pub kv_heads: u32,
    /// Vectors of four elements in a head; an even number.
    pub dim4: u32,
}

/// The slices that the kernel works on.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// `[tokens][heads + 2 kv_heads][head_dim]`: of each token the heads of Q, of K, and of V.
    pub qkv: Slice,
    /// `[tokens][head_dim / 2]` of (cos, sin).
    pub turns: Slice,
    /// The cache slot of each token.
    pub slot_mapping: Slice,
    /// Q once it is turned, `[tokens][heads][head_dim]`.
    pub q: Slice,
    pub cache: CacheSlices,
}

pub fn dispatch(kv_type: KvType, pairing: Pairing, slices: Slices, params: Params) -> Dispatch {
    let [queries, keys] = [params.heads, params.kv_heads].map(|heads| params.tokens * heads * params.dim4);
    let (program, threads) = match kv_type {
        KvType::F32 | KvType::F16 => (Program::new("rope_append", "base"), queries + 2 * keys),
        KvType::Q8_0 => (rope_append_q8_0::PROGRAM, queries + keys),
    };
    let program = program.constant("WG", ELEMENT_WG).constant("PAGE", PAGE_SIZE);
    let program = kv_type.flag(program).flag("adjacent", pairing == Pairing::Adjacent);
    let dispatch = Dispatch::new(program, &params, element_grid(threads))
        .read(0, slices.qkv)
        .read(1, slices.turns)
        .read(2, slices.slot_mapping)
        .read_write(3, slices.q)
        .read_write(4, slices.cache.k)
        .read_write(5, slices.cache.v);
    slices.cache.scales.into_iter().fold(dispatch, |dispatch, scales| dispatch.read_write(6, scales))
}

/// The work of turning Q and K, four multiplications and two additions a pair, and of appending K and V.
pub fn work(kv_type: KvType, params: Params) -> Work {
    let [tokens, heads, kv_heads, dim4] = [params.tokens, params.heads, params.kv_heads, params.dim4].map(u64::from);
    let [queries, keys, turns] = [heads, kv_heads, 1].map(|heads| 4 * tokens * heads * dim4);
    Work {
        flops: 3 * (queries + keys),
        read: 4 * (queries + 2 * keys + turns + tokens),
        written: 4 * queries + kv_type.bytes(keys),
    }
}
