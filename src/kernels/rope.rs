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
    pub heads: u32,
    pub head_dim: u32,
    /// The leading elements of a head that turn.
    pub rotary: u32,
}

/// Turns `x [tokens][heads][head_dim]` by `turns [tokens][rotary / 2]` of (cos, sin).
pub fn dispatch(pairing: Pairing, x: Slice, turns: Slice, params: Params) -> Dispatch {
    let program =
        Program::new("rope", "base").constant("WG", ELEMENT_WG).flag("adjacent", pairing == Pairing::Adjacent);
    let grid = element_grid(params.tokens * params.heads * (params.rotary / 2));
    Dispatch::new(program, &params, grid).read(0, turns).read_write(1, x)
}

/// The work of turning pairs: four multiplications and two additions each.
pub fn work(params: Params) -> Work {
    let turns = u64::from(params.tokens) * u64::from(params.rotary / 2);
    let pairs = turns * u64::from(params.heads);
    Work { flops: 6 * pairs, read: 8 * (pairs + turns), written: 8 * pairs }
}
