//! The cases that are timed: the shared case list's kernels with the shapes of real models.

use super::models::{Layer, MatrixShape, ModelShape};
use crate::formats::DType;
use crate::kernels::attention::{self, Heads, Sequence};
use crate::kernels::attention_tiles::{AttentionPath, SplitPath};
use crate::kernels::gated_activation::{self, Activation};
use crate::kernels::kv_cache::{self, KvType};
use crate::kernels::linear::Fused;
use crate::kernels::rms_norm::RowThreads;
use crate::kernels::rope_append::{self, Pairing};
use crate::kernels::sample::{self, Draw};
use crate::kernels::weight_layout::{row_bytes, row_words, shader_name};
use crate::kernels::{
    LinearPath, Selection, Work, argmax, attention_merge, embed, gather_rows, head_norm, linear, matvec, quantize_q8,
    residual_norm, rms_norm, run_peaks, to_texels,
};
use crate::model::Place;
use crate::verify::cases::attention::{Batch, Path};
use crate::verify::{Case, cases};

/// Positions of a decode step, and (position, queries) of prefill chunks: contexts of 128 to 32,768.
static DECODE: [[(u32, u32); 1]; 5] = [[(127, 1)], [(511, 1)], [(4095, 1)], [(8191, 1)], [(32_767, 1)]];
static PREFILL: [[(u32, u32); 1]; 9] = [
    [(96, 32)],
    [(480, 32)],
    [(4064, 32)],
    [(0, 128)],
    [(384, 128)],
    [(3968, 128)],
    [(0, 512)],
    [(3584, 512)],
    [(7680, 512)],
];

/// Bytes that stay in the second-level cache of a CPU's core; what rows of such weights are a multiple of, which tiles divide;
/// and positions of decode steps that may see no more keys than that.
const CACHED_BYTES: u64 = 512 << 10;
const CACHED_STEP: u32 = 64;
static CACHED: [[(u32, u32); 1]; 3] = [[(511, 1)], [(255, 1)], [(127, 1)]];

/// Ways to draw, as (name, top-k, top-p, min-p); first the default of `wgpt run`.
const DRAWS: [(&str, usize, f32, f32); 4] = [
    ("sample", 40, 0.95, 0.05),
    ("sample temperature", 0, 1.0, 0.0),
    ("sample top-p", 0, 0.9, 0.0),
    ("sample top-k 200", 200, 1.0, 0.0),
];

/// What to time.
#[derive(Clone, Debug)]
pub struct Choice {
    pub models: Vec<ModelShape>,
    /// Further weights, only for linear layers.
    pub matrices: Vec<MatrixShape>,
    /// Only this kernel.
    pub kernel: Option<String>,
    /// Only cases that have this in their name.
    pub case: Option<String>,
    /// Storage types of weights.
    pub types: Vec<DType>,
    /// Rows at once: 1 for a decode step, the chunk's tokens for prefill.
    pub rows: Vec<u32>,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice {
            models: vec![ModelShape::ALL[0]],
            matrices: Vec::new(),
            kernel: None,
            case: None,
            types: vec![DType::Q8_0, DType::Q4_0],
            rows: vec![1, 128],
        }
    }
}

/// The variants of one piece of work, which are timed in turns.
pub struct Group {
    /// `smollm2 ffn_down q8_0 m1`.
    pub name: String,
    pub work: Work,
    /// Bytes of the largest tensor.
    pub largest: u64,
    /// Names of the tensors that a model reads once a step, so that no cache holds them.
    pub cold: &'static [&'static str],
    /// At least one; all with the same inputs.
    pub variants: Vec<Case>,
    /// The same work on less, all of which a cache holds.
    pub in_cache: Option<InCache>,
}

/// A part of a group's work that shows what its kernels do where memory keeps none of them waiting.
pub struct InCache {
    /// One for each variant of the group.
    pub variants: Vec<Case>,
    /// Of the group's operations.
    pub share: f64,
}

impl Group {
    /// The variants get one seed, so that they work on the same numbers.
    fn new(name: String, work: Work, largest: u64, cold: &'static [&'static str], mut variants: Vec<Case>) -> Group {
        if let Some(seed) = variants.first().map(|case| case.seed) {
            variants.iter_mut().for_each(|case| case.seed = seed);
        }
        Group { name, work, largest, cold, variants, in_cache: None }
    }
}

/// A case that there is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    pub name: String,
    pub reason: String,
}

/// Everything that the choice admits, in the variants that the selection can run, and what it names but cannot be.
pub fn groups(choice: &Choice, selection: &Selection) -> (Vec<Group>, Vec<Impossible>) {
    let mut list = List { choice, groups: Vec::new(), impossible: Vec::new() };
    for matrix in &choice.matrices {
        list.matrix(*matrix, selection);
    }
    for model in &choice.models {
        list.linear(model, selection);
        list.attention(model, selection);
        list.small(model, selection);
    }
    (list.groups, list.impossible)
}

struct List<'a> {
    choice: &'a Choice,
    groups: Vec<Group>,
    impossible: Vec<Impossible>,
}

impl List<'_> {
    fn named(&self, name: &str) -> bool {
        self.choice.case.as_deref().is_none_or(|text| name.contains(text))
    }

    fn runs(&self, kernel: &str) -> bool {
        self.choice.kernel.as_deref().is_none_or(|wanted| wanted == kernel)
    }

    /// Adds a group, if anything of it is wanted.
    fn push(&mut self, name: String, work: Work, largest: u64, cold: &'static [&'static str], variants: Vec<Case>) {
        self.push_group(Group::new(name, work, largest, cold, variants));
    }

    fn push_group(&mut self, mut group: Group) {
        let runs = |case: &Case| self.runs(case.program.kernel);
        group.variants.retain(runs);
        if let Some(in_cache) = &mut group.in_cache {
            in_cache.variants.retain(runs);
        }
        if self.named(&group.name) && !group.variants.is_empty() {
            self.groups.push(group);
        }
    }

    fn linear(&mut self, model: &ModelShape, selection: &Selection) {
        let choice = self.choice;
        for &m in &choice.rows {
            for Layer { place, n, k } in model.layers() {
                // The head runs for the rows whose logits are wanted: decode.
                if place == Place::Head && m > matvec::MAX_M {
                    continue;
                }
                for &dtype in &choice.types {
                    let weights = shader_name(dtype);
                    let name = format!("{model} {place} {weights} m{m}");
                    let paths = self.product(name, dtype, [m, n, k], selection);
                    if m > matvec::MAX_M {
                        continue;
                    }
                    for (fused, paths) in by_fused(place, &paths, model.dim) {
                        let name = format!("{model} {place} {fused} {weights} m{m}");
                        let products: Vec<_> = paths.into_iter().map(|path| (path, Some(fused))).collect();
                        let mut group = product_group(name, dtype, [m, n, k], &products);
                        group.work = linear::fused_work(fused, dtype, m, n, k);
                        self.push_group(group);
                    }
                }
            }
        }
    }

    fn matrix(&mut self, matrix: MatrixShape, selection: &Selection) {
        let choice = self.choice;
        for &m in &choice.rows {
            for &dtype in &choice.types {
                let name = format!("{matrix} {} m{m}", shader_name(dtype));
                self.product(name, dtype, [m, matrix.n, matrix.k], selection);
            }
        }
    }

    /// Adds a product, and gives the kernels that suit it.
    fn product(&mut self, name: String, dtype: DType, [m, n, k]: [u32; 3], selection: &Selection) -> Vec<LinearPath> {
        if !(k as usize).is_multiple_of(dtype.block_len()) {
            let reason = format!("rows of {k} are no whole blocks of {}", dtype.block_len());
            if self.named(&name) {
                self.impossible.push(Impossible { name, reason });
            }
            return Vec::new();
        }
        // An adapter that emulates them takes ten times as long as in f32, and seconds to compile them.
        let halves = !selection.is_software() || self.choice.kernel.is_some();
        // Kernels in blocks serve `--deterministic`, not speed.
        let suits = |path: &LinearPath| match path {
            LinearPath::Matvec { blocks, .. } => !blocks && m <= matvec::MAX_M,
            LinearPath::MatvecLanes { .. } | LinearPath::MatvecDot4 { .. } => m <= matvec::MAX_M,
            LinearPath::MatmulLanes { rows: 8, .. } => (2..=matvec::MAX_M).contains(&m),
            LinearPath::MatmulF16 { .. } | LinearPath::MatmulCoop { .. } => m > matvec::MAX_M && halves,
            LinearPath::Matmul { .. } | LinearPath::MatmulLanes { .. } | LinearPath::MatmulDot4 { .. } => {
                m > matvec::MAX_M
            }
        };
        let suits = |path: &LinearPath| path.takes(dtype) && suits(path);
        let paths: Vec<LinearPath> = selection.linear_paths(m).into_iter().filter(suits).collect();
        let mut group = product_group(name, dtype, [m, n, k], &plain(&paths));
        // Where a CPU emulates the GPU, instructions bound what memory does on a real one.
        if m <= matvec::MAX_M && selection.is_software() {
            group.in_cache = in_cache(dtype, [m, n, k], &paths);
        }
        self.push_group(group);
        paths
    }

    fn attention(&mut self, model: &ModelShape, selection: &Selection) {
        let (decode, prefill) = (DECODE.iter(), PREFILL.iter());
        for batch in decode.chain(prefill) {
            let [(position0, tokens)] = *batch;
            if !self.choice.rows.contains(&tokens) {
                continue;
            }
            let context = position0 + tokens;
            let name = format!("{model} attention f16 m{tokens} context {context}");
            let heads = Heads {
                heads: model.heads,
                kv_heads: model.kv_heads,
                head_dim: model.head_dim,
                kv_type: KvType::F16,
                window: 0,
                scale: 1.0,
            };
            let whole = selection.attention_paths();
            let split = if tokens == 1 { selection.split_paths() } else { Vec::new() };
            let mut group = attention_group(name, heads, batch, &whole, &split);
            if tokens == 1 && selection.is_software() {
                group.in_cache = attention_in_cache(heads, context, &whole, &split);
            }
            self.push_group(group);
            let appending = split.iter().filter(|path| path.appends(KvType::F16));
            for path in appending {
                let mut variants = Vec::new();
                let of_path = batch_of(Path::Split(*path), heads, batch);
                cases::attention::push_case(&mut variants, Batch { appends: Some(Pairing::Half), ..of_path });
                let name = format!("{model} rope_append + attention f16 m{tokens} context {context}");
                let work = attention_work(heads, *batch) + append_work(heads);
                self.push_group(Group::new(name, work, cached_bytes(heads, context), CACHE, variants));
            }
            for path in split {
                let batch = batch_of(Path::Split(path), heads, batch);
                let parts = batch.tiling().parts(context);
                let work = attention_merge::work(heads, u64::from(parts));
                let mut variants = Vec::new();
                // A part alone is the attention itself.
                if parts > 1 {
                    cases::attention_merge::push_batch(&mut variants, path, batch);
                }
                let name = format!("{model} attention_merge context {context}");
                self.push(name, work, work.read, &[], variants);
            }
        }
    }

    /// The kernels between the products.
    fn small(&mut self, model: &ModelShape, selection: &Selection) {
        let choice = self.choice;
        let ModelShape { dim, ffn, heads, kv_heads, head_dim, vocabulary, .. } = *model;
        for &m in &choice.rows {
            let bytes = |elements: u32| 4 * u64::from(m) * u64::from(elements);
            let name = |what: &str| format!("{model} {what} m{m}");
            let one = |push: &dyn Fn(&mut Vec<Case>)| {
                let mut variants = Vec::new();
                push(&mut variants);
                variants
            };

            self.push_group(quantize_group(name("quantize_q8"), m, dim, 1));
            let group = to_texels_group(name("to_texels"), m, dim, 1);
            if group.variants.iter().all(|case| selection.runs(&case.program)) {
                self.push_group(group);
            }

            let params = rms_norm::Params { rows: m, dim4: dim / 4, eps: 1e-6, offset: 0.0 };
            let threads = selection.row_threads();
            let case = cases::rms_norm::case(threads, false, m as usize, dim as usize, 1.0, 0.0);
            self.push(name("rms_norm"), rms_norm::work(params), bytes(dim), &[], vec![case]);

            let variants: Vec<_> = selection.all_row_threads().map(|threads| (threads, false)).collect();
            self.push_group(residual_norm_group(name("residual_norm"), m, dim, &variants));

            let dim4 = head_dim / 4;
            let params = head_norm::Params { tokens: m, heads, kv_heads, dim4, eps: 1e-6, offset: 0.0 };
            let row = (heads + 2 * kv_heads) * head_dim;
            let case = cases::head_norm::case(threads, params, 1.0);
            self.push(name("head_norm"), head_norm::work(params), bytes(row), &[], vec![case]);

            let params = rope_append::Params { tokens: m, heads, kv_heads, dim4 };
            let widths: &[bool] = if selection.loads_wide() { &[false, true] } else { &[false] };
            let mut variants = Vec::new();
            for wide in widths {
                cases::rope_append::push_case(&mut variants, *wide, KvType::F16, Pairing::Half, params);
            }
            self.push(name("rope_append f16"), rope_append::work(KvType::F16, params), bytes(row), &[], variants);

            self.push_group(gated_activation_group(name("gated_activation"), m, ffn, widths));

            let case = cases::gather_rows::case(m as usize, dim as usize, m as usize);
            self.push(name("gather_rows"), gather_rows::work(m, dim), bytes(dim), &[], vec![case]);

            for &dtype in choice.types.iter().filter(|dtype| (dim as usize).is_multiple_of(dtype.block_len())) {
                let name = name(&format!("embed {}", shader_name(dtype)));
                let case = cases::embed::case(dtype, m, dim as usize, 0..101, 1.0, selection.in_texels());
                self.push(name, embed::work(dtype, m, dim), bytes(dim), &[], vec![case]);
            }
            if m <= matvec::MAX_M {
                let params = run_peaks::Params { rows: m, width: vocabulary };
                let push = |cases: &mut Vec<Case>| {
                    cases::argmax::push_case(cases, m as usize, vocabulary as usize, "any order", |_, _| {});
                };
                self.push(name("argmax"), argmax::work(params), bytes(vocabulary), &[], one(&push));

                let push = |cases: &mut Vec<Case>| {
                    cases::run_peaks::push_case(cases, m as usize, vocabulary as usize, "any order", |_| {});
                };
                self.push(name("run_peaks"), run_peaks::work(params), bytes(vocabulary), &[], one(&push));
                for (what, top_k, top_p, min_p) in DRAWS {
                    let draw = move |_, unit| Draw::new(top_k, top_p, min_p, 0.8, unit);
                    let push = |cases: &mut Vec<Case>| {
                        cases::sample::push_case(cases, m as usize, vocabulary as usize, what, draw, zipf);
                    };
                    let work = sample::work(params, &draw(0, 0.0));
                    self.push(name(what), work, bytes(vocabulary), &[], one(&push));
                }
            }
        }
    }
}

/// Logits from -8 to 8 become those of probabilities as 1, 2^-1.5, 3^-1.5 and so on: a language model's are about so.
fn zipf(row: &mut [f32]) {
    row.iter_mut().for_each(|logit| *logit = -1.5 * libm::logf((8.0 - *logit).max(1e-6)));
}

/// What the products of a place do beside in a step of few rows, and the kernels that can: with norms of `dim` elements in
/// the products first, then without.
fn by_fused(place: Place, paths: &[LinearPath], dim: u32) -> Vec<(Fused, Vec<LinearPath>)> {
    let mut all: Vec<(Fused, Vec<LinearPath>)> = Vec::new();
    for splits_norms in [true, false] {
        for path in paths.iter().filter(|path| !splits_norms || path.splits_norms(dim)) {
            let Some(fused) = place.fused(path.gates(), splits_norms) else { continue };
            match all.iter_mut().find(|(same, _)| *same == fused) {
                Some((_, paths)) => paths.push(*path),
                None => all.push((fused, vec![*path])),
            }
        }
    }
    all
}

/// The kernels with nothing beside their products.
fn plain(paths: &[LinearPath]) -> Vec<(LinearPath, Option<Fused>)> {
    paths.iter().map(|path| (*path, None)).collect()
}

/// The product of `x [m][k]` with `n` rows of weights, by each of the kernels with what it does beside. The work is that of
/// the product.
pub(super) fn product_group(
    name: String,
    dtype: DType,
    [m, n, k]: [u32; 3],
    products: &[(LinearPath, Option<Fused>)],
) -> Group {
    let [rows, columns, inner] = [m, n, k].map(|side| side as usize);
    let case = |&(path, fused): &(LinearPath, Option<Fused>)| match fused {
        Some(fused) => cases::linear::fused(path, dtype, rows, columns, inner, fused),
        None => cases::linear::product(path, dtype, rows, columns, inner),
    };
    let codes = row_words(dtype, k as usize)[0] as u64 * 4 * u64::from(n);
    let largest = codes.max(4 * u64::from(m) * u64::from(n.max(k)));
    Group::new(name, linear::work(dtype, m, n, k), largest, &["weights"], products.iter().map(case).collect())
}

/// The same for so few rows of weights that a core's cache holds them, unless there are hardly more.
fn in_cache(dtype: DType, [m, n, k]: [u32; 3], paths: &[LinearPath]) -> Option<InCache> {
    let rows = (CACHED_BYTES / row_bytes(dtype, k as usize)) as u32 / CACHED_STEP * CACHED_STEP;
    let worthwhile = rows > 0 && 2 * rows <= n;
    let Group { variants, .. } =
        worthwhile.then(|| product_group(String::new(), dtype, [m, rows, k], &plain(paths)))?;
    Some(InCache { variants, share: f64::from(rows) / f64::from(n) })
}

/// Rounding `x [m][k]` to blocks of q8_0, as often as there are kernels that want it.
pub(super) fn quantize_group(name: String, m: u32, k: u32, times: usize) -> Group {
    let mut variants = Vec::new();
    let blocks = (m * k) as usize / quantize_q8::BLOCK;
    (0..times).for_each(|_| cases::quantize_q8::push_case(&mut variants, blocks, "below 1", |_| {}));
    Group::new(name, quantize_q8::work(m * k), 4 * u64::from(m) * u64::from(k), &[], variants)
}

/// Copying `x [m][k]` to texels, as often as there are kernels that want it.
pub(super) fn to_texels_group(name: String, m: u32, k: u32, times: usize) -> Group {
    let variants = (0..times).map(|_| cases::to_texels::case((m * k) as usize)).collect();
    Group::new(name, to_texels::work(m * k), 4 * u64::from(m) * u64::from(k), &[], variants)
}

/// A norm between two products that take no half of it: the threads of a row, and whether the product behind takes it from
/// texels.
pub(super) fn residual_norm_group(name: String, m: u32, dim: u32, variants: &[(RowThreads, bool)]) -> Group {
    let params = rms_norm::Params { rows: m, dim4: dim / 4, eps: 1e-6, offset: 0.0 };
    let case = |&(threads, texels): &(RowThreads, bool)| {
        cases::residual_norm::case(threads, texels, m as usize, dim as usize, 1.0, 0.0, false)
    };
    let variants = variants.iter().map(case).collect();
    Group::new(name, residual_norm::work(params, false), 4 * u64::from(m) * u64::from(dim), &[], variants)
}

/// A gate with what goes through it in a dispatch of its own, and whether the product behind takes it from texels.
pub(super) fn gated_activation_group(name: String, m: u32, ffn: u32, variants: &[bool]) -> Group {
    let (rows, width) = (m as usize, ffn as usize);
    let case = |&texels: &bool| cases::gated_activation::case(Activation::Silu, texels, rows, width, 1.0);
    let variants = variants.iter().map(case).collect();
    let work = gated_activation::work(Activation::Silu, m * ffn);
    Group::new(name, work, 8 * u64::from(m) * u64::from(ffn), &[], variants)
}

/// Attention of one sequence's tokens, as (position, tokens), by each of the kernels; of those that split the keys, without
/// the merge.
pub(super) fn attention_group(
    name: String,
    heads: Heads,
    batch: &'static [(u32, u32); 1],
    whole: &[AttentionPath],
    split: &[SplitPath],
) -> Group {
    let [(position0, tokens)] = *batch;
    let mut variants = Vec::new();
    let paths = whole.iter().map(|path| Path::Whole(*path)).chain(split.iter().map(|path| Path::Split(*path)));
    for batch in paths.map(|path| batch_of(path, heads, batch)).filter(Batch::has_tiles) {
        cases::attention::push_case(&mut variants, batch);
    }
    Group::new(name, attention_work(heads, *batch), cached_bytes(heads, position0 + tokens), CACHE, variants)
}

/// What attention of a deep context finds in no cache.
const CACHE: &[&str] = &["k_cache", "v_cache"];

fn attention_work(heads: Heads, [(position0, tokens)]: [(u32, u32); 1]) -> Work {
    attention::work(heads, &[Sequence { row0: 0, tokens, position0, page_row: 0 }])
}

/// What turning and appending add to the attention of a token, whose queries stay where they are turned.
fn append_work(heads: Heads) -> Work {
    let Heads { heads, kv_heads, head_dim, kv_type, .. } = heads;
    let params = rope_append::Params { tokens: 1, heads, kv_heads, dim4: head_dim / 4 };
    let queries = 4 * u64::from(heads * head_dim);
    let Work { flops, read, written } = rope_append::work(kv_type, params);
    Work { flops, read: read - queries, written: written - queries }
}

/// Bytes of the keys of a context; up to four pages are nobody's or not full.
fn cached_bytes(heads: Heads, context: u32) -> u64 {
    let Heads { kv_heads, head_dim, kv_type, .. } = heads;
    kv_type.element_bytes(u64::from(context + 4 * kv_cache::PAGE_SIZE) * u64::from(kv_heads * head_dim))
}

/// The same of one token over so few keys that a core's cache holds them, unless there are hardly more.
fn attention_in_cache(heads: Heads, context: u32, whole: &[AttentionPath], split: &[SplitPath]) -> Option<InCache> {
    let bytes = |keys: u32| 2 * heads.kv_type.element_bytes(u64::from(keys * heads.kv_heads * heads.head_dim));
    let fits = |batch: &&[(u32, u32); 1]| bytes(batch[0].0 + 1) <= CACHED_BYTES && 2 * (batch[0].0 + 1) <= context;
    let batch = CACHED.iter().find(fits)?;
    let Group { variants, .. } = attention_group(String::new(), heads, batch, whole, split);
    Some(InCache { variants, share: f64::from(batch[0].0 + 1) / f64::from(context) })
}

fn batch_of(path: Path, heads: Heads, sequences: &'static [(u32, u32)]) -> Batch {
    let Heads { heads, kv_heads, head_dim, kv_type, window, .. } = heads;
    Batch { path, heads, kv_heads, head_dim, kv_type, window, sequences, ..cases::attention::PLAIN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{AdapterFacts, AdapterKind};

    #[test]
    fn large_products_of_few_rows_are_timed_in_the_cache_too_where_a_cpu_is_the_gpu() {
        let software = Selection::for_adapter(&AdapterFacts { kind: AdapterKind::Software, ..AdapterFacts::LEAST });
        let choice = Choice {
            models: Vec::new(),
            matrices: vec![MatrixShape { n: 4096, k: 4096 }, MatrixShape { n: 64, k: 4096 }],
            types: vec![DType::Q4_0],
            rows: vec![1, 128],
            ..Choice::default()
        };
        let parts = |selection: &Selection| {
            let (groups, _) = groups(&choice, selection);
            let part = |group: &Group| group.in_cache.as_ref().map(|part| (part.variants.len(), part.share));
            groups.iter().map(|group| (group.name.clone(), part(group))).collect::<Vec<_>>()
        };
        // 2304 bytes a row: 227 of them, down to whole tiles.
        let expected = [
            ("4096x4096 q4_0 m1", Some((1, 192.0 / 4096.0))),
            ("4096x4096 q4_0 m128", None),
            ("64x4096 q4_0 m1", None),
            ("64x4096 q4_0 m128", None),
        ];
        assert_eq!(parts(&software), expected.map(|(name, part)| (name.to_owned(), part)));
        assert!(parts(&Selection::BASELINE).iter().all(|(_, part)| part.is_none()));
    }

    #[test]
    fn halves_of_long_norms_are_not_timed_where_decode_has_none() {
        let models = vec![ModelShape::ALL[3]];
        let choice = Choice { models, types: vec![DType::Q4_0], rows: vec![1], ..Choice::default() };
        let (groups, _) = groups(&choice, &Selection::BASELINE);
        let fused = groups.iter().filter(|group| group.name.contains(" with ")).map(|group| group.name.as_str());
        assert_eq!(fused.collect::<Vec<_>>(), ["llama3-8b ffn_gate_up with gate q4_0 m1"]);
    }

    #[test]
    fn products_of_few_rows_are_timed_as_decode_has_them_too() {
        let choice = Choice { types: vec![DType::Q4_0], rows: vec![1, 128], ..Choice::default() };
        let (groups, _) = groups(&choice, &Selection::BASELINE);
        let flags = |group: &Group| group.variants[0].program.flags().collect::<Vec<_>>();
        let fused: Vec<_> = groups.iter().filter(|group| group.name.contains(" with ")).collect();
        let found: Vec<_> = fused.iter().map(|group| (group.name.as_str(), flags(group))).collect();
        let expected = [
            ("smollm2 attn_qkv with norm q4_0 m1", vec!["unscaled"]),
            ("smollm2 attn_output with residual, norm q4_0 m1", vec!["residual"]),
            ("smollm2 ffn_gate_up with norm, gate q4_0 m1", vec!["gated", "unscaled"]),
            ("smollm2 ffn_gate_up with gate q4_0 m1", vec!["gated"]),
            ("smollm2 ffn_down with residual, norm q4_0 m1", vec!["residual"]),
            ("smollm2 head with norm q4_0 m1", vec!["unscaled"]),
        ];
        assert_eq!(found, expected);
    }
}
