//! Causal softmax attention of a chunk of queries over the cached keys and values.

use std::ops::Add;

use bytemuck::{Pod, Zeroable};

use super::Work;
use super::attention_lanes;
use super::kv_append::{KvType, PAGE_SIZE};
use crate::recording::{Dispatch, Program, Requirement, Slice};

/// Mirrors `Params` of `shaders/shared/attention_io.wgsl`.
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
    /// Vectors of four elements in a head.
    pub dim4: u32,
    /// Keys of a step.
    pub keys: u32,
}

/// What is attended with: the model's part of [`Params`].
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    pub kv_type: KvType,
    /// As in [`Params`].
    pub window: u32,
    /// As in [`Params`].
    pub scale: f32,
}

/// One sequence's tokens in a batch. Mirrors `Sequence` of `shaders/shared/attention_io.wgsl`.
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

/// A workgroup's share of the queries. Mirrors the `tiles` of `shaders/shared/attention_io.wgsl`.
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

/// The kernels that compute attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionPath {
    /// `attention.wgsl`: runs everywhere.
    Tile,
    /// `attention_lanes.wgsl`.
    Lanes,
}

impl AttentionPath {
    pub(super) const ALL: [AttentionPath; 2] = [AttentionPath::Tile, AttentionPath::Lanes];

    pub fn requirement(self) -> Requirement {
        match self {
            AttentionPath::Tile => Requirement::Nothing,
            AttentionPath::Lanes => Requirement::EightLanes,
        }
    }

    /// Query rows of a workgroup.
    fn rows(self, head_dim: u32) -> u32 {
        match self {
            AttentionPath::Tile => TileShape::for_head_dim(head_dim).rows,
            AttentionPath::Lanes => attention_lanes::ROWS,
        }
    }

    /// Appends the tiles of a sequence with `rows` (token, query head of one KV head) pairs.
    pub fn push_tiles(self, head_dim: u32, sequence: u32, rows: u32, tiles: &mut Vec<Tile>) {
        let step = self.rows(head_dim) as usize;
        tiles.extend((0..rows).step_by(step).map(|row0| Tile { sequence, row0 }));
    }

    /// The most tiles that `sequences` sequences with `rows` such pairs in all can have.
    pub fn most_tiles(self, head_dim: u32, sequences: usize, rows: usize) -> usize {
        // Every sequence may end in a tile that is not full.
        rows.div_ceil(self.rows(head_dim) as usize) + sequences
    }
}

/// The shape of the tile kernel: chosen by head size, so that it fits wgpu's default 16 KiB of workgroup memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TileShape {
    /// Query rows of a workgroup.
    rows: u32,
    /// Keys of a step: a divisor of [`PAGE_SIZE`], so that they lie on one page.
    keys: u32,
    workgroup: u32,
}

impl TileShape {
    fn for_head_dim(head_dim: u32) -> TileShape {
        match head_dim {
            0..=64 => TileShape { rows: 16, keys: 16, workgroup: 128 },
            65..=128 => TileShape { rows: 8, keys: 16, workgroup: 128 },
            _ => TileShape { rows: 8, keys: 4, workgroup: 64 },
        }
    }

    fn program(self, head_dim: u32) -> Program {
        Program::new("attention", "tile")
            .constant("D", head_dim)
            .constant("R", self.rows)
            .constant("C", self.keys)
            .constant("WG", self.workgroup)
    }
}

/// Over `tiles` tiles of queries; a row of the page table has `page_stride` entries.
pub fn dispatch(path: AttentionPath, heads: Heads, tiles: u32, page_stride: u32, slices: Slices) -> Dispatch {
    let Heads { heads, kv_heads, head_dim, kv_type, window, scale } = heads;
    let (program, keys) = match path {
        AttentionPath::Tile => {
            let shape = TileShape::for_head_dim(head_dim);
            (shape.program(head_dim), shape.keys)
        }
        AttentionPath::Lanes => (attention_lanes::program(head_dim), attention_lanes::KEYS),
    };
    let program =
        program.constant("PAGE", PAGE_SIZE).flag("kv_f16", kv_type == KvType::F16).requires(path.requirement());
    let params = Params { heads, kv_heads, page_stride, window, scale, dim4: head_dim / 4, keys };
    Dispatch::new(program, &params, [tiles, kv_heads, 1])
        .read(0, slices.q)
        .read(1, slices.k_cache)
        .read(2, slices.v_cache)
        .read(3, slices.page_table)
        .read(4, slices.sequences)
        .read(5, slices.tiles)
        .read_write(6, slices.out)
}

/// The work of the sequences of a batch: for each query and each key that it sees, a product with the key, one with the
/// value, and an exponential; the cached keys and values that any of a sequence's queries sees are read once.
pub fn work(heads: Heads, sequences: &[Sequence]) -> Work {
    let Heads { kv_type, window, .. } = heads;
    let [query_heads, kv_heads, dim, window] = [heads.heads, heads.kv_heads, heads.head_dim, window].map(u64::from);
    let one = |sequence: &Sequence| {
        let (tokens, position0) = (u64::from(sequence.tokens), u64::from(sequence.position0));
        let seen = |position: u64| if window == 0 { position + 1 } else { window.min(position + 1) };
        let pairs: u64 = (position0..position0 + tokens).map(seen).sum();
        let keys = if tokens == 0 { 0 } else { position0 + tokens - (position0 + 1 - seen(position0)) };
        Work {
            flops: query_heads * pairs * (4 * dim + 1),
            read: 2 * keys * kv_heads * dim * kv_type.bytes() + 4 * tokens * query_heads * dim,
            written: 4 * tokens * query_heads * dim,
        }
    };
    sequences.iter().map(one).fold(Work::default(), Work::add)
}
