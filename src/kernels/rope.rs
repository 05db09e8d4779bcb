//! Rotary position embedding (Su et al. 2021), in place.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENT_WG, Work, element_grid};
use crate::recording::{Dispatch, Program, Slice};

/// Which elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `i` with `i + rotary / 2`: Hugging Face's checkpoints, and GGUF's of most families.
    Half,
    /// `2 i` with `2 i + 1`: GGUF's llama family, whose Q and K rows are permuted for it.
    Adjacent,
}

/// Mirrors `Params` of `shaders/rope.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub tokens: u32,
    /// Of Q.
    pub heads: u32,
    /// Of K.
    pub kv_heads: u32,
    pub head_dim: u32,
    /// The leading elements of a head that turn.
    pub rotary: u32,
}

/// Turns `q [tokens][heads][head_dim]` and `k [tokens][kv_heads][head_dim]` by `turns [tokens][rotary / 2]` of (cos, sin).
pub fn dispatch(pairing: Pairing, q: Slice, k: Slice, turns: Slice, params: Params) -> Dispatch {
    let program =
        Program::new("rope", "base").constant("WG", ELEMENT_WG).flag("adjacent", pairing == Pairing::Adjacent);
    let grid = element_grid(params.tokens * (params.heads + params.kv_heads) * (params.rotary / 2));
    Dispatch::new(program, &params, grid).read(0, turns).read_write(1, q).read_write(2, k)
}

/// The work of turning pairs: four multiplications and two additions each.
pub fn work(params: Params) -> Work {
    let turns = u64::from(params.tokens) * u64::from(params.rotary / 2);
    let pairs = turns * u64::from(params.heads + params.kv_heads);
    Work { flops: 6 * pairs, read: 8 * (pairs + turns), written: 8 * pairs }
}
