//! Cases of `attention`: sequences whose pages lie scattered among poisoned ones.

use half::f16;

use super::Case;
use crate::kernels::Selection;
use crate::kernels::attention::{AttentionPath, Heads, Sequence, Slices, Tile, dispatch};
use crate::kernels::kv_append::{KvType, PAGE_SIZE};
use crate::recording::Dispatch;
use crate::verify::{Elements, Random, Tensor};

/// Pages that no sequence owns.
const FREE_PAGES: u32 = 3;

/// One batch: of each sequence, the first token's position and the number of tokens in the batch.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) path: AttentionPath,
    pub(crate) heads: u32,
    pub(crate) kv_heads: u32,
    pub(crate) head_dim: u32,
    pub(crate) kv_type: KvType,
    pub(crate) window: u32,
    /// Multiplies the queries: large ones make the softmax choose a single key.
    pub(crate) sharpness: f32,
    /// The largest cached element.
    pub(crate) cached: f32,
    pub(crate) sequences: &'static [(u32, u32)],
}

pub(crate) const PLAIN: Batch = Batch {
    path: AttentionPath::Tile,
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    kv_type: KvType::F32,
    window: 0,
    sharpness: 2.0,
    cached: 1.0,
    sequences: DECODE_AND_CHUNKS,
};

/// Decode tokens beside chunks that start and end in mid-page, and a whole prompt.
const DECODE_AND_CHUNKS: &[(u32, u32)] = &[(40, 1), (0, 21), (5, 1), (13, 37), (0, 1)];

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for path in selection.attention_paths() {
        push_path(cases, Batch { path, ..PLAIN });
    }
}

fn push_path(cases: &mut Vec<Case>, plain: Batch) {
    use KvType::{F16, F32};
    for (head_dim, kv_type) in [
        (16, F32),
        (32, F32),
        (64, F32),
        (80, F32),
        (128, F32),
        (256, F32),
        (32, F16),
        (64, F16),
        (128, F16),
        (256, F16),
    ] {
        push_case(cases, Batch { head_dim, kv_type, ..plain });
    }
    for (heads, kv_heads) in [(1, 1), (3, 3), (9, 3), (7, 1), (14, 2), (8, 1)] {
        push_case(cases, Batch { heads, kv_heads, ..plain });
    }
    // A window of one key, of less than a tile, of odd size, of just the longest context, and beyond it.
    for window in [1, 7, 16, 33, 50, 1000] {
        push_case(cases, Batch { window, ..plain });
    }
    // Every row of a tile is another token, with a window of its own.
    push_case(cases, Batch { window: 7, kv_heads: 4, ..plain });
    push_case(cases, Batch { window: 7, head_dim: 128, kv_type: F16, ..plain });
    push_case(cases, Batch { window: 5, head_dim: 256, kv_heads: 1, ..plain });
    push_case(cases, Batch { sharpness: 200.0, ..plain });
    // Scores that are no normal numbers, that no exp can hold, and next to none.
    push_case(cases, Batch { sharpness: 1e-39, ..plain });
    push_case(cases, Batch { sharpness: 1e15, cached: 1e15, ..plain });
    push_case(cases, Batch { cached: 1e-20, ..plain });
    push_case(cases, Batch { sequences: &[(0, 1)], ..plain });
    push_case(cases, Batch { sequences: &[(0, 16), (16, 16), (15, 17), (31, 2)], ..plain });
    push_case(cases, Batch { sequences: &[(0, 130)], heads: 3, kv_heads: 1, ..plain });
    push_case(cases, Batch { sequences: &[(1500, 1), (2047, 1), (700, 9)], kv_type: F16, ..plain });
    push_case(cases, Batch { sequences: &[(1500, 3), (2047, 1)], window: 512, ..plain });
    // Nested loops of more than 65,535 turns in all: over the keys, a tile or 32 at a time, and over the head.
    let sequences: &[(u32, u32)] = match plain.path {
        AttentionPath::Tile => &[(11_999, 1)],
        AttentionPath::Lanes => &[(69_999, 1)],
    };
    push_case(cases, Batch { sequences, heads: 1, kv_heads: 1, ..plain });
}

pub(crate) fn push_case(cases: &mut Vec<Case>, batch: Batch) {
    let kv = match batch.kv_type {
        KvType::F32 => "f32",
        KvType::F16 => "f16",
    };
    let cached = if batch.cached == 1.0 { String::new() } else { format!(", cached {:e}", batch.cached) };
    let sequences: Vec<String> = batch.sequences.iter().map(|(p, t)| format!("{p}+{t}")).collect();
    let shape = format!(
        "{}/{} heads of {}, {kv}, window {}, sharpness {}{cached}, sequences {}",
        batch.heads,
        batch.kv_heads,
        batch.head_dim,
        batch.window,
        batch.sharpness,
        sequences.join(" ")
    );
    cases.push(Case::new(shape, move |random| batch.tensors(random), move |s| batch.dispatch(s)));
}

impl Batch {
    fn tokens(&self) -> u32 {
        self.sequences.iter().map(|sequence| sequence.1).sum()
    }

    /// One page more than the longest sequence needs.
    fn page_stride(&self) -> u32 {
        self.sequences.iter().map(|(position, tokens)| (position + tokens).div_ceil(PAGE_SIZE)).max().unwrap_or(0) + 1
    }

    fn tiles(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for (sequence, (_, tokens)) in (0..).zip(self.sequences) {
            self.path.push_tiles(self.head_dim, sequence, tokens * (self.heads / self.kv_heads), &mut tiles);
        }
        tiles
    }

    fn tensors(&self, random: &mut Random) -> Vec<Tensor> {
        let owned: u32 = self.sequences.iter().map(|(position, tokens)| (position + tokens).div_ceil(PAGE_SIZE)).sum();
        let pages = random.permutation(owned + FREE_PAGES);
        let (free, mut owned) = (pages[0], pages[FREE_PAGES as usize..].iter());
        let width = (self.kv_heads * self.head_dim) as usize;
        let mut caches = [(); 2].map(|()| vec![f32::NAN; pages.len() * PAGE_SIZE as usize * width]);
        let mut page_table = Vec::new();
        let mut sequences = Vec::new();
        let mut row0 = 0;
        for (page_row, (position0, tokens)) in (0..).zip(self.sequences) {
            let context = position0 + tokens;
            let row: Vec<u32> = owned.by_ref().take(context.div_ceil(PAGE_SIZE) as usize).copied().collect();
            for position in 0..context {
                let slot = (row[(position / PAGE_SIZE) as usize] * PAGE_SIZE + position % PAGE_SIZE) as usize;
                for cache in &mut caches {
                    cache[slot * width..][..width].copy_from_slice(&random.floats(width, self.cached));
                }
            }
            // Entries behind the context's name a page of NaN.
            page_table.extend(row.iter().copied().chain(std::iter::repeat(free)).take(self.page_stride() as usize));
            sequences.push(Sequence { row0, tokens: *tokens, position0: *position0, page_row });
            row0 += tokens;
        }
        let queries = (self.tokens() * self.heads * self.head_dim) as usize;
        let [k, v] = caches.map(|cache| match self.kv_type {
            KvType::F32 => bytemuck::cast_vec(cache),
            KvType::F16 => pack(&cache),
        });
        vec![
            Tensor::f32("q", random.floats(queries, self.sharpness)),
            Tensor::u32("k_cache", k),
            Tensor::u32("v_cache", v),
            Tensor::u32("page_table", page_table),
            Tensor::u32("sequences", bytemuck::cast_slice(&sequences).to_vec()),
            Tensor::u32("tiles", bytemuck::cast_slice(&self.tiles()).to_vec()),
            Tensor::output("out", queries, Elements::F32),
        ]
    }

    fn dispatch(&self, s: &[crate::recording::Slice]) -> Dispatch {
        let slices =
            Slices { q: s[0], k_cache: s[1], v_cache: s[2], page_table: s[3], sequences: s[4], tiles: s[5], out: s[6] };
        let with = Heads {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            kv_type: self.kv_type,
            window: self.window,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
        };
        dispatch(self.path, with, self.tiles().len() as u32, self.page_stride(), slices)
    }
}

/// Pairs of f16 in words.
fn pack(values: &[f32]) -> Vec<u32> {
    let bits = |value: f32| u32::from(f16::from_f32(value).to_bits());
    values.as_chunks::<2>().0.iter().map(|[a, b]| bits(*a) | bits(*b) << 16).collect()
}
