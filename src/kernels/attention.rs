//! Causal softmax attention of a chunk of queries over the cached keys and values.

use bytemuck::{Pod, Zeroable};

use super::kv_append::{KvType, PAGE_SIZE};
use crate::recording::{Dispatch, Program, Slice};

/// Mirrors `Params` of `shaders/attention.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub heads: u32,
    pub kv_heads: u32,
    /// Entries of a row of the page table.
    pub page_stride: u32,
    /// 0: none; else a query sees itself and the `window - 1` positions before it.
    pub window: u32,
    /// Multiplies the scores: `1 / sqrt(head_dim)` in most models.
    pub scale: f32,
}

/// One sequence's tokens in a batch. Mirrors `Sequence` of `shaders/attention.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Sequence {
    /// Its first token's row in the batch.
    pub row0: u32,
    /// How many tokens it has in the batch.
    pub tokens: u32,
    /// Its first token's position.
    pub position0: u32,
    /// Its row of the page table.
    pub page_row: u32,
}

/// A workgroup's share of the queries. Mirrors the `tiles` of `shaders/attention.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Tile {
    pub sequence: u32,
    /// First row of the tile, counted over the sequence's (token, query head of one KV head) pairs.
    pub row0: u32,
}

/// The slices that the kernel works on.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// `[tokens][heads][head_dim]`.
    pub q: Slice,
    /// `[slots][kv_heads][head_dim]`.
    pub k_cache: Slice,
    /// `[slots][kv_heads][head_dim]`.
    pub v_cache: Slice,
    /// `[sequences][page_stride]` page numbers.
    pub page_table: Slice,
    pub sequences: Slice,
    pub tiles: Slice,
    /// `[tokens][heads][head_dim]`.
    pub out: Slice,
}

/// The shape of the kernel's tiles: chosen by head size, so that it fits wgpu's default 16 KiB of workgroup memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileShape {
    /// Query rows of a workgroup.
    pub rows: u32,
    /// Keys of a step.
    pub keys: u32,
    pub workgroup: u32,
}

impl TileShape {
    pub fn for_head_dim(head_dim: u32) -> TileShape {
        match head_dim {
            0..=64 => TileShape { rows: 16, keys: 16, workgroup: 64 },
            65..=128 => TileShape { rows: 8, keys: 16, workgroup: 64 },
            _ => TileShape { rows: 8, keys: 4, workgroup: 64 },
        }
    }

    /// Appends the tiles of a sequence with `rows` (token, query head of one KV head) pairs.
    pub fn push_tiles(self, sequence: u32, rows: u32, tiles: &mut Vec<Tile>) {
        tiles.extend((0..rows).step_by(self.rows as usize).map(|row0| Tile { sequence, row0 }));
    }
}

pub fn dispatch(kv_type: KvType, head_dim: u32, tiles: u32, slices: Slices, params: Params) -> Dispatch {
    let shape = TileShape::for_head_dim(head_dim);
    let program = Program::new("attention", "tile")
        .constant("D", head_dim)
        .constant("R", shape.rows)
        .constant("C", shape.keys)
        .constant("WG", shape.workgroup)
        .constant("PAGE", PAGE_SIZE)
        .flag("kv_f16", kv_type == KvType::F16);
    Dispatch::new(program, &params, [tiles, params.kv_heads, 1])
        .read(0, slices.q)
        .read(1, slices.k_cache)
        .read(2, slices.v_cache)
        .read(3, slices.page_table)
        .read(4, slices.sequences)
        .read(5, slices.tiles)
        .read_write(6, slices.out)
}
