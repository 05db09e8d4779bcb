//! Causal softmax attention of a chunk of queries over the cached keys and values.

use std::ops::Add;

use bytemuck::{Pod, Zeroable};

use super::attention_tiles::{AttentionPath, SplitPath};
use super::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use super::rope_append::Pairing;
use super::{Work, attention_key_lanes, attention_lanes};
use crate::recording::{Dispatch, Program, Slice, Texel};

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
    /// Keys of a step of the walk, where the kernel asks for them.
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

impl Params {
    pub(super) fn new(with: Heads, page_stride: u32, keys: u32) -> Params {
        let Heads { heads, kv_heads, head_dim, window, scale, .. } = with;
        Params { heads, kv_heads, page_stride, window, scale, dim4: head_dim / 4, keys }
    }
}

impl Heads {
    /// Query heads of a KV head.
    pub fn ratio(&self) -> u32 {
        self.heads / self.kv_heads
    }
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

/// The slices that the kernel works on.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// `[tokens][heads][head_dim]`.
    pub q: Slice,
    pub cache: CacheSlices,
    /// `[sequences][page_stride]` page numbers.
    pub page_table: Slice,
    pub sequences: Slice,
    pub tiles: Slice,
    /// `[tokens][heads][head_dim]`.
    pub out: Slice,
}

/// The work of a split kernel.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Tiles of parts of the keys.
    pub count: u32,
    /// Where all keys of a row are [one part](super::attention_tiles::Tiles::alone), and what comes next takes texels: what the
    /// part comes to is the attention itself, and goes there, too. For the [kernel for lanes](SplitPath::Lanes).
    pub alone: Option<Slice>,
    /// What is to be done first, if anything.
    pub append: Option<Append>,
}

/// What a [kernel that appends](SplitPath::appends) is told beside.
#[derive(Clone, Copy, Debug)]
pub struct Append {
    pub pairing: Pairing,
    /// `[tokens][head_dim / 2]` of (cos, sin).
    pub turns: Slice,
}

/// The shape of a workgroup of the tile kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TileShape {
    /// Query rows of a workgroup.
    rows: u32,
    /// Keys of a step.
    keys: u32,
    workgroup: u32,
}

/// Bytes of workgroup memory that wgpu's default limits allow.
const DEFAULT_WORKGROUP_MEMORY: u32 = 16 << 10;

impl TileShape {
    /// For many rows: chosen by head size, so that it fits wgpu's default 16 KiB of workgroup memory. The keys of a step lie
    /// on one page.
    fn whole(head_dim: u32) -> TileShape {
        match head_dim {
            0..=64 => TileShape { rows: 16, keys: 16, workgroup: 128 },
            65..=128 => TileShape { rows: 8, keys: 16, workgroup: 128 },
            _ => TileShape { rows: 8, keys: 4, workgroup: 64 },
        }
    }

    /// For parts of the keys: sixteen threads a row, two of AMD's smaller subgroups at least, and as many keys a step as that
    /// memory holds, up to 32, since it is their loads that take the time.
    fn split(head_dim: u32, rows: u32) -> TileShape {
        let workgroup = (16 * rows).max(64);
        let fits = |keys: &u32| {
            let vectors = (rows + keys) * (head_dim / 4 + 1);
            16 * vectors + 4 * rows * keys + 4 * workgroup <= DEFAULT_WORKGROUP_MEMORY
        };
        let keys = [32, 16, 8, 4].into_iter().find(fits).unwrap_or(2);
        TileShape { rows, keys, workgroup }
    }

    fn program(self, variant: &'static str, head_dim: u32) -> Program {
        Program::new("attention", variant)
            .constant("D", head_dim)
            .constant("R", self.rows)
            .constant("C", self.keys)
            .constant("WG", self.workgroup)
            .flag("split", variant == "split")
    }
}

/// Query rows of a workgroup of the tile kernel for whole rows.
pub(super) fn whole_rows(head_dim: u32) -> u32 {
    TileShape::whole(head_dim).rows
}

/// Over `tiles` tiles of whole rows; a row of the page table has `page_stride` entries.
pub fn dispatch(path: AttentionPath, heads: Heads, tiles: u32, page_stride: u32, slices: Slices) -> Dispatch {
    let (program, keys) = match path {
        AttentionPath::Tile => {
            let shape = TileShape::whole(heads.head_dim);
            (shape.program("tile", heads.head_dim), shape.keys)
        }
        AttentionPath::Lanes => (attention_lanes::program(heads.head_dim), attention_lanes::KEYS),
    };
    attend(program.requires(path.requirement()), keys, heads, [tiles, heads.kv_heads, 1], page_stride, (slices, None))
}

/// Over parts of the keys. `slices.out` gets `[parts][kv_heads][rows][head_dim + 4]`: of each row the sums
/// that are not divided yet, the peak of the scores, the weights' total, and two zeros. [`Parts::alone`] gets
/// `[tokens][heads][head_dim]`, as `slices.out` of whole rows.
///
/// With [`Parts::append`], `slices.q` is `[tokens][heads + 2 kv_heads][head_dim]`: of each token Q, K and V, which do not turn yet, and
/// of which K and V are not in the cache yet.
pub fn dispatch_split(path: SplitPath, heads: Heads, parts: Parts, page_stride: u32, slices: Slices) -> Dispatch {
    let Parts { count, alone, append } = parts;
    debug_assert!(alone.is_none() || path == SplitPath::Lanes, "the tile kernel leaves sums only");
    let rows = path.rows(heads.ratio());
    let (program, keys) = match path {
        SplitPath::Tile => {
            let shape = TileShape::split(heads.head_dim, rows);
            (shape.program("split", heads.head_dim), shape.keys)
        }
        SplitPath::Lanes => (attention_key_lanes::program(heads.head_dim), 0),
    };
    let adjacent = append.is_some_and(|append| append.pairing == Pairing::Adjacent);
    let program = program
        .requires(path.requirement())
        .flag("alone", alone.is_some())
        .flag("appends", append.is_some())
        .flag("adjacent", adjacent);
    let dispatch = attend(program, keys, heads, [count, heads.kv_heads, 1], page_stride, (slices, append));
    alone.into_iter().fold(dispatch, |dispatch, to| dispatch.store_texels(8, to, Texel::FourWords))
}

fn attend(
    program: Program,
    keys: u32,
    with: Heads,
    grid: [u32; 3],
    page_stride: u32,
    (slices, append): (Slices, Option<Append>),
) -> Dispatch {
    let program = with.kv_type.flag(program.constant("PAGE", PAGE_SIZE));
    let CacheSlices { k, v, scales } = slices.cache;
    // In the order of their numbers, in which outputs are counted.
    let dispatch = Dispatch::new(program, &Params::new(with, page_stride, keys), grid).read(0, slices.q);
    let dispatch = match append {
        Some(_) => dispatch.read_write(1, k).read_write(2, v),
        None => dispatch.read(1, k).read(2, v),
    };
    let dispatch =
        dispatch.read(3, slices.page_table).read(4, slices.sequences).read(5, slices.tiles).read_write(6, slices.out);
    append.map(|append| append.turns).or(scales).into_iter().fold(dispatch, |dispatch, last| dispatch.read(7, last))
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
            read: kv_type.bytes(keys * kv_heads * dim) + 4 * tokens * query_heads * dim,
            written: 4 * tokens * query_heads * dim,
        }
    };
    sequences.iter().map(one).fold(Work::default(), Work::add)
}
