//! Looks up the tokens' rows of the embedding table.

use bytemuck::{Pod, Zeroable};

use super::weight_layout::{WeightSlices, row_bytes};
use super::{ELEMENT_WG, Work, element_grid};
use crate::formats::DType;
use crate::recording::{Dispatch, Program, Slice};

/// Mirrors `Params` of `shaders/embed.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub tokens: u32,
    pub dim: u32,
    /// First row of the table that the shard holds.
    pub row0: u32,
    /// Rows of the shard.
    pub rows: u32,
    /// Multiplies the embedding (Gemma: sqrt(dim)).
    pub scale: f32,
}

/// Which tokens to look up.
#[derive(Clone, Copy, Debug)]
pub struct TokenIds {
    /// A token, or [`SAMPLED`](crate::schedule::SAMPLED) and an index into `sampled`, for each row of the output.
    pub ids: Slice,
    /// Tokens that the device has chosen.
    pub sampled: Slice,
}

/// `x[t] = scale * table[token_ids[t]]` for the tokens that lie in this shard of the table.
pub fn dispatch(table: &WeightSlices, token_ids: TokenIds, x: Slice, tokens: u32, scale: f32) -> Dispatch {
    let params = Params { tokens, dim: table.k, row0: table.row0, rows: table.rows, scale };
    let program =
        table.program(Program::new("embed", "base")).constant("WG", ELEMENT_WG).flag("texels", table.in_texels);
    let dispatch = Dispatch::new(program, &params, element_grid(tokens * (table.k / 8)));
    table.bind(dispatch).read(3, token_ids.ids).read_write(4, x).read(5, token_ids.sampled)
}

/// The work of looking up `tokens` rows of `dim` elements.
pub fn work(dtype: DType, tokens: u32, dim: u32) -> Work {
    let (tokens, elements) = (u64::from(tokens), u64::from(tokens) * u64::from(dim));
    Work { flops: elements, read: tokens * (row_bytes(dtype, dim as usize) + 4), written: 4 * elements }
}
