//! Rotary position embedding (Su et al. 2021) of Q and K, and K and V into the paged cache.

use bytemuck::{Pod, Zeroable};

use super::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use super::{ELEMENT_WG, Work, rope_append_q8_0, rows_grid};
use crate::recording::{Dispatch, Program, Requirement, Slice};

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
    /// Vectors of four elements in a head; an even number. Also the constant `D4`: where a compiler knows what it divides by, it
    /// needs no division, which CPUs that emulate a GPU have for one lane at a time.
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

/// With `wide`, in loads and stores of 64 bits, for adapters that emulate a GPU on the CPU.
pub fn dispatch(wide: bool, kv_type: KvType, pairing: Pairing, slices: Slices, params: Params) -> Dispatch {
    let Params { tokens, heads, kv_heads, dim4 } = params;
    let (program, vectors) = match kv_type {
        KvType::F32 | KvType::F16 => (Program::new("rope_append", "base"), (heads + 2 * kv_heads) * dim4),
        KvType::Q8_0 => (rope_append_q8_0::PROGRAM, (heads + kv_heads) * dim4),
    };
    let program = if wide { program.requires(Requirement::EightLanes).flag("wide", true) } else { program };
    let program = program.constant("WG", ELEMENT_WG).constant("D4", dim4).constant("PAGE", PAGE_SIZE);
    let program = kv_type.flag(program).flag("adjacent", pairing == Pairing::Adjacent);
    let dispatch = Dispatch::new(program, &params, rows_grid(tokens, vectors))
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
