//! Cases of `attention`: sequences whose pages lie scattered among poisoned ones.

use half::f16;

use super::Case;
use crate::kernels::Selection;
use crate::kernels::attention::{Append, Heads, Parts, Sequence, Slices, dispatch, dispatch_split};
use crate::kernels::attention_tiles::{AttentionPath, SplitPath, Tile, Tiles, Tiling};
use crate::kernels::kv_cache::KvType::{self, F16, F32};
use crate::kernels::kv_cache::{CacheSlices, PAGE_SIZE};
use crate::kernels::rope_append::Pairing;
use crate::recording::Dispatch;
use crate::verify::{Elements, Random, Tensor};

/// Pages that no sequence owns.
const FREE_PAGES: u32 = 3;

/// What computes a case.
#[derive(Clone, Copy)]
pub(crate) enum Path {
    /// Whole rows.
    Whole(AttentionPath),
    /// Parts of the keys of single tokens.
    Split(SplitPath),
}

/// One batch: of each sequence, the first token's position and the number of tokens in the batch.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) path: Path,
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
    /// Of single tokens, whether they are turned and appended as well.
    pub(crate) appends: Option<Pairing>,
}

pub(crate) const PLAIN: Batch = Batch {
    path: Path::Whole(AttentionPath::Tile),
    heads: 4,
    kv_heads: 2,
    head_dim: 64,
    kv_type: KvType::F32,
    window: 0,
    sharpness: 2.0,
    cached: 1.0,
    sequences: DECODE_AND_CHUNKS,
    appends: None,
};

/// Decode tokens beside chunks that start and end in mid-page, and a whole prompt.
const DECODE_AND_CHUNKS: &[(u32, u32)] = &[(40, 1), (0, 21), (5, 1), (13, 37), (0, 1)];

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for path in selection.attention_paths() {
        push_whole(cases, path);
    }
    for path in selection.split_paths() {
        let plain = Batch { path: Path::Split(path), sequences: DEEP_DECODE, ..PLAIN };
        push_split(cases, plain);
        if path.appends(KvType::F16) {
            push_appending(cases, plain);
        }
    }
}

fn push_appending(cases: &mut Vec<Case>, plain: Batch) {
    for pairing in [Pairing::Half, Pairing::Adjacent] {
        let plain = Batch { appends: Some(pairing), ..plain };
        for (head_dim, kv_type) in [(16, F32), (64, F32), (80, F16), (128, F16), (256, F32)] {
            push_case(cases, Batch { head_dim, kv_type, ..plain });
        }
    }
    let plain = Batch { appends: Some(Pairing::Half), kv_type: F16, ..plain };
    for (heads, kv_heads) in [(1, 1), (9, 3), (14, 2), (12, 1)] {
        push_case(cases, Batch { heads, kv_heads, ..plain });
    }
    // The token's own key alone, and others from the same part, from another, and from none in between.
    for window in [1, 7, 65, 129, 5000] {
        push_case(cases, Batch { window, ..plain });
    }
    push_case(cases, Batch { sequences: &[(0, 1), (127, 1), (128, 1), (191, 1), (192, 1), (193, 1)], ..plain });
    // All keys of each are one part.
    let alone: &[(u32, u32)] = &[(0, 1), (1, 1), (63, 1), (64, 1), (127, 1)];
    let kinds =
        [(F16, Some(Pairing::Half)), (F32, Some(Pairing::Adjacent)), (F32, None), (F16, None), (KvType::Q8_0, None)];
    for (kv_type, appends) in kinds {
        let plain = Batch { kv_type, appends, sequences: alone, ..plain };
        for (heads, kv_heads) in [(1, 1), (9, 3), (14, 2)] {
            push_case(cases, Batch { heads, kv_heads, ..plain });
        }
        push_case(cases, Batch { window: 7, ..plain });
    }
    push_case(cases, Batch { sharpness: 200.0, ..plain });
    push_case(cases, Batch { sequences: &[(8191, 1)], heads: 3, kv_heads: 1, ..plain });
}

/// Decode tokens with contexts of two parts of keys or more, or for lanes of one: that end with a part, one key behind it, and in mid-page.
const DEEP_DECODE: &[(u32, u32)] = &[(255, 1), (128, 1), (1500, 1), (1024, 1)];

fn push_split(cases: &mut Vec<Case>, plain: Batch) {
    use KvType::Q8_0;
    for (head_dim, kv_type) in [
        (16, F32),
        (32, F32),
        (64, F32),
        (80, F32),
        (128, F32),
        (256, F32),
        (64, F16),
        (128, F16),
        (256, F16),
        (64, Q8_0),
        (128, Q8_0),
        (256, Q8_0),
    ] {
        push_case(cases, Batch { head_dim, kv_type, ..plain });
    }
    // One to eight rows a workgroup, one more than a power of two, and more than one workgroup's.
    for (heads, kv_heads) in [(1, 1), (3, 3), (9, 3), (5, 1), (14, 2), (12, 1)] {
        push_case(cases, Batch { heads, kv_heads, ..plain });
        push_case(cases, Batch { heads, kv_heads, head_dim: 256, kv_type: F16, ..plain });
    }
    // That begin in the last part, with it, in mid-step of another, and with none.
    for window in [1, 7, 128, 129, 333, 1501, 5000] {
        push_case(cases, Batch { window, ..plain });
    }
    push_case(cases, Batch { sharpness: 200.0, ..plain });
    push_case(cases, Batch { sharpness: 1e-39, ..plain });
    push_case(cases, Batch { cached: 1e-20, ..plain });
    // The most parts of 128 keys, and parts of 256.
    push_case(cases, Batch { sequences: &[(8191, 1)], kv_type: F16, heads: 3, kv_heads: 1, ..plain });
    push_case(cases, Batch { sequences: &[(8192, 1)], kv_type: F16, heads: 3, kv_heads: 1, window: 4000, ..plain });
}

fn push_whole(cases: &mut Vec<Case>, path: AttentionPath) {
    let plain = Batch { path: Path::Whole(path), ..PLAIN };
    use KvType::Q8_0;
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
        (32, Q8_0),
        (64, Q8_0),
        (96, Q8_0),
        (128, Q8_0),
        (256, Q8_0),
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
    let sequences: &[(u32, u32)] = match path {
        AttentionPath::Tile => &[(11_999, 1)],
        AttentionPath::Lanes => &[(69_999, 1)],
    };
    push_case(cases, Batch { sequences, heads: 1, kv_heads: 1, ..plain });
}

pub(crate) fn push_case(cases: &mut Vec<Case>, batch: Batch) {
    let kv = match batch.kv_type {
        KvType::F32 => "f32",
        KvType::F16 => "f16",
        KvType::Q8_0 => "q8_0",
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
    fn cached_elements(&self) -> Elements {
        match self.kv_type {
            KvType::F32 => Elements::F32,
            KvType::F16 => Elements::F16,
            KvType::Q8_0 => Elements::I8,
        }
    }

    fn tokens(&self) -> u32 {
        self.sequences.iter().map(|sequence| sequence.1).sum()
    }

    /// One page more than the longest sequence needs.
    fn page_stride(&self) -> u32 {
        self.sequences.iter().map(|(position, tokens)| (position + tokens).div_ceil(PAGE_SIZE)).max().unwrap_or(0) + 1
    }

    pub(crate) fn tiling(&self) -> Tiling {
        let (whole, split) = match self.path {
            Path::Whole(path) => (path, None),
            Path::Split(path) => (AttentionPath::Tile, Some(path)),
        };
        Tiling::new(whole, split, self.head_dim, self.heads / self.kv_heads, 1)
    }

    /// All that the model makes of the batch.
    pub(super) fn all_tiles(&self) -> Tiles {
        let mut tiles = Tiles::default();
        for (index, sequence) in (0..).zip(self.kernel_sequences()) {
            self.tiling().push(index, &sequence, &mut tiles);
        }
        tiles.fill_up();
        tiles
    }

    /// The kernel's own.
    fn tiles(&self) -> Vec<Tile> {
        let Tiles { whole, parts, .. } = self.all_tiles();
        match self.path {
            Path::Whole(_) => whole,
            Path::Split(_) => parts,
        }
    }

    /// Whether parts give the attention itself.
    fn alone(&self) -> bool {
        matches!(self.path, Path::Split(SplitPath::Lanes)) && self.all_tiles().alone
    }

    /// Whether there is anything for the kernel to do: short contexts are not split.
    pub(crate) fn has_tiles(&self) -> bool {
        !self.tiles().is_empty()
    }

    /// As the kernel is told of them.
    pub(super) fn kernel_sequences(&self) -> Vec<Sequence> {
        let mut row0 = 0;
        let next = |(page_row, &(position0, tokens)): (u32, &(u32, u32))| {
            row0 += tokens;
            Sequence { row0: row0 - tokens, tokens, position0, page_row }
        };
        (0..).zip(self.sequences).map(next).collect()
    }

    fn tensors(&self, random: &mut Random) -> Vec<Tensor> {
        let owned: u32 = self.sequences.iter().map(|(position, tokens)| (position + tokens).div_ceil(PAGE_SIZE)).sum();
        let pages = random.permutation(owned + FREE_PAGES);
        let (free, mut owned) = (pages[0], pages[FREE_PAGES as usize..].iter());
        let width = (self.kv_heads * self.head_dim) as usize;
        let mut caches = [(); 2].map(|()| vec![f32::NAN; pages.len() * PAGE_SIZE as usize * width]);
        let mut page_table = Vec::new();
        for (position0, tokens) in self.sequences {
            let context = position0 + tokens;
            let row: Vec<u32> = owned.by_ref().take(context.div_ceil(PAGE_SIZE) as usize).copied().collect();
            // What is appended is not there yet.
            for position in 0..context - u32::from(self.appends.is_some()) {
                let slot = (row[(position / PAGE_SIZE) as usize] * PAGE_SIZE + position % PAGE_SIZE) as usize;
                for cache in &mut caches {
                    cache[slot * width..][..width].copy_from_slice(&random.floats(width, self.cached));
                }
            }
            // Entries behind the context's name a page of NaN.
            page_table.extend(row.iter().copied().chain(std::iter::repeat(free)).take(self.page_stride() as usize));
        }
        let tiles = self.tiles();
        let queries = (self.tokens() * self.heads * self.head_dim) as usize;
        let (k, v, scales) = store(self.kv_type, caches);
        let cache = |name, words| match self.appends {
            None => Tensor::u32(name, words),
            Some(_) => Tensor { output: Some(self.cached_elements()), ..Tensor::u32(name, words) },
        };
        let mut q = Vec::new();
        for _ in 0..self.tokens() {
            q.extend(random.floats((self.heads * self.head_dim) as usize, self.sharpness));
            if self.appends.is_some() {
                q.extend(random.floats(2 * width, self.cached));
            }
        }
        let mut tensors = vec![
            Tensor::f32("q", q),
            cache("k_cache", k),
            cache("v_cache", v),
            Tensor::u32("page_table", page_table),
            Tensor::u32("sequences", bytemuck::cast_slice(&self.kernel_sequences()).to_vec()),
            Tensor::u32("tiles", bytemuck::cast_slice(&tiles).to_vec()),
            match self.path {
                Path::Split(_) => {
                    Tensor::output("partials", self.tiling().partials(self.kv_heads, tiles.len()), Elements::F32)
                }
                Path::Whole(_) => Tensor::output("out", queries, Elements::F32),
            },
        ];
        tensors.extend(scales.map(|scales| Tensor::u32("kv_scales", scales)));
        if self.appends.is_some() {
            let angles = random.floats((self.tokens() * self.head_dim / 2) as usize, std::f32::consts::PI);
            tensors.push(Tensor::f32("turns", angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect()));
        }
        if self.alone() {
            tensors.push(Tensor::output("alone", queries, Elements::F32).for_product(true));
        }
        tensors
    }

    fn dispatch(&self, s: &[crate::recording::Slice]) -> Dispatch {
        let scales = (self.kv_type == KvType::Q8_0).then(|| s[7]);
        let cache = CacheSlices { k: s[1], v: s[2], scales };
        let slices = Slices { q: s[0], cache, page_table: s[3], sequences: s[4], tiles: s[5], out: s[6] };
        let (with, tiles) = (self.with(), self.tiles().len() as u32);
        match self.path {
            Path::Whole(path) => dispatch(path, with, tiles, self.page_stride(), slices),
            Path::Split(path) => {
                let append = self.appends.map(|pairing| Append { pairing, turns: s[7] });
                let parts = Parts { count: tiles, alone: self.alone().then(|| s[s.len() - 1]), append };
                dispatch_split(path, with, parts, self.page_stride(), slices)
            }
        }
    }

    pub(super) fn with(&self) -> Heads {
        Heads {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            kv_type: self.kv_type,
            window: self.window,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
        }
    }
}

/// The words of K and V in a cache of this type, and of their scales.
fn store(kv_type: KvType, [k, v]: [Vec<f32>; 2]) -> (Vec<u32>, Vec<u32>, Option<Vec<u32>>) {
    match kv_type {
        KvType::F32 => (bytemuck::cast_vec(k), bytemuck::cast_vec(v), None),
        KvType::F16 => (pack(&k), pack(&v), None),
        KvType::Q8_0 => {
            let ((k, k_scales), (v, v_scales)) = (quantize(&k), quantize(&v));
            let pairs: Vec<f32> = k_scales.into_iter().zip(v_scales).flat_map(|(k, v)| [k, v]).collect();
            (k, v, Some(pack(&pairs)))
        }
    }
}

/// Four codes a word, and the scales of blocks of 32; where a block is NaN, its scale is.
fn quantize(values: &[f32]) -> (Vec<u32>, Vec<f32>) {
    let block = |block: &[f32; 32]| {
        let scale = block.iter().fold(0f32, |largest, value| largest.max(value.abs())) / 127.0;
        let codes = block.map(|value| (value / scale.max(1e-30)).round() as i8);
        (codes, if block[0].is_nan() { f32::NAN } else { scale })
    };
    let (codes, scales): (Vec<[i8; 32]>, Vec<f32>) = values.as_chunks::<32>().0.iter().map(block).unzip();
    let words = codes.as_flattened().as_chunks::<4>().0.iter();
    (words.map(|codes| u32::from_le_bytes(codes.map(|code| code as u8))).collect(), scales)
}

/// Pairs of f16 in words.
fn pack(values: &[f32]) -> Vec<u32> {
    let bits = |value: f32| u32::from(f16::from_f32(value).to_bits());
    values.as_chunks::<2>().0.iter().map(|[a, b]| bits(*a) | bits(*b) << 16).collect()
}
