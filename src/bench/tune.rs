//! Measures which kernels are fastest for a model on one adapter.
//!
//! Every kernel that could serve a role is timed in turns with the others, at the model's own shapes and types, with the
//! weights out of the caches; its time for the role is that of all layers of a step. In steps of few rows that is what the step
//! does with it: norms and gates in the products of the kernels that can, and as dispatches of their own beside the others.
//! Weights of a type for which another kernel is faster get that one, unless it is hopeless for the others. Whether weights
//! lie in texels or in buffers is decided for all roles together. A kernel whose result is wrong is left out.

mod contest;

use std::collections::{BTreeMap, BTreeSet};

use self::contest::{Contest, texels_win};
use super::cases::{
    Group, attention_group, gated_activation_group, product_group, quantize_group, residual_norm_group, to_texels_group,
};
use super::kernels::{Bench, Obstacle};
use super::models::{Layer, ModelShape};
use super::roofline::Roofs;
use super::{Impossible, Progress};
use crate::formats::DType;
use crate::gpu::GpuExecutor;
use crate::kernels::attention::Heads;
use crate::kernels::kv_cache::KvType;
use crate::kernels::linear::Fused;
use crate::kernels::weight_layout::{row_bytes, shader_name};
use crate::kernels::{Choices, LinearPath, Role, Selection, Tuning, Variant, matvec};
use crate::model::{Config, LinearLayers, Place};
use crate::recording::{ExecutionError, Executor};

/// The most operations of a dispatch. Of larger layers some rows are measured, and the time scaled.
const MOST_FLOPS: u64 = 1 << 37;
const MOST_FLOPS_OF_SOFTWARE: u64 = 1 << 29;
/// Rows are left out in multiples of this, which tiles divide.
const ROW_STEP: u32 = 256;
/// A decode step and a prefill chunk, as (position, tokens), in a context of 1024.
static DECODE: [(u32, u32); 1] = [(1023, 1)];
static PREFILL: [(u32, u32); 1] = [(896, 128)];

/// What to measure with.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The model's name, for people.
    pub name: String,
    /// Of a whole step.
    pub linear: Vec<LinearLayers>,
    /// Decoder layers.
    pub layers: u32,
    /// Elements of the residual stream, and of the feed-forward network's hidden layer.
    pub dim: u32,
    pub ffn: u32,
    /// There are norms behind attention and feed-forward network, before the sum with the residual stream.
    pub post_norms: bool,
    pub heads: u32,
    pub kv_heads: u32,
    pub head_dim: u32,
    /// Tokens of a prefill chunk.
    pub chunk: u32,
}

impl Workload {
    /// That of a model.
    pub fn of_model(name: String, config: &Config, linear: Vec<LinearLayers>, chunk: u32) -> Workload {
        let [heads, kv_heads, head_dim] = [config.heads, config.kv_heads, config.head_dim].map(|n| n as u32);
        let [layers, dim, ffn] = [config.layers.len(), config.dim, config.ffn_dim].map(|n| n as u32);
        Workload { name, linear, layers, dim, ffn, post_norms: config.post_norms, heads, kv_heads, head_dim, chunk }
    }

    /// That of a typical small model in 4 bits, with its head in 8.
    pub fn typical() -> Workload {
        const LAYERS: u32 = 30;
        let shape = ModelShape::ALL[0];
        let linear = shape.layers().map(|Layer { place, n, k }| {
            let (dtype, count) = if place == Place::Head { (DType::Q8_0, 1) } else { (DType::Q4_0, LAYERS) };
            LinearLayers { place, n, k, dtype, count }
        });
        let ModelShape { dim, ffn, heads, kv_heads, head_dim, .. } = shape;
        Workload {
            name: format!("the shapes of {shape} in q4_0"),
            linear: linear.to_vec(),
            layers: LAYERS,
            dim,
            ffn,
            post_norms: false,
            heads,
            kv_heads,
            head_dim,
            chunk: 128,
        }
    }
}

/// What came of it.
pub struct Outcome {
    /// The choices, with the figures behind them.
    pub tuning: Tuning,
    /// What could not be measured, or computed something wrong.
    pub left_out: Vec<Impossible>,
}

/// Measures the roles' kernels on an adapter, `rounds` samples of each.
///
/// # Errors
/// When the device fails.
pub fn tune(
    gpu: &mut GpuExecutor,
    workload: &Workload,
    rounds: usize,
    on_case: &mut dyn FnMut(Progress<'_>),
) -> Result<Outcome, ExecutionError> {
    let plans = plans(gpu, workload);
    let total = plans.iter().map(|plan| plan.parts.len()).sum();
    let choices = Choices::for_adapter(&gpu.info().facts());
    let defaults = choices.selection();
    // What is found for a head says little of layers, which other models have of its type.
    let layers = workload.linear.iter().filter(|linear| linear.place != Place::Head);
    let types: BTreeSet<DType> = layers.map(|linear| linear.dtype).collect();
    let mut bench = Bench::new(gpu, Roofs::UNKNOWN, rounds);
    let mut outcome = Outcome {
        tuning: Tuning {
            date: time::OffsetDateTime::now_utc().date().to_string(),
            model: workload.name.clone(),
            results: Vec::new(),
        },
        left_out: Vec::new(),
    };
    let mut done = 0;
    let mut attention = None;
    let (mut linear, mut roles) = (Vec::new(), Vec::new());
    for Plan { role, variants, parts } in plans {
        let mut contest = Contest::new(choices.of(role).0, &variants);
        for Part { group, variants: measured, shares } in parts {
            on_case(Progress { done, total, name: &group.name });
            done += 1;
            let group = contest.entrants(&measured, group);
            let leave_out = |reason| Impossible { name: group.name.clone(), reason };
            match bench.fits(&group).and_then(|()| bench.group(&group)) {
                Ok(records) => {
                    let faults = records.iter().filter_map(|record| Some((record, record.fault.as_ref()?)));
                    outcome.left_out.extend(
                        faults.map(|(record, fault)| leave_out(format!("{} is wrong: {fault}", record.program))),
                    );
                    contest.add(&measured, &records, &shares);
                }
                Err(Obstacle::Reason(reason)) => outcome.left_out.push(leave_out(reason)),
                Err(Obstacle::Failure(error)) => return Err(error),
            }
        }
        match role {
            Role::Attention => attention = Some(contest),
            _ => {
                linear.push(contest);
                roles.push(role);
            }
        }
    }
    let texels = texels_win(&linear);
    let decided =
        roles.iter().zip(&linear).filter_map(|(role, contest)| contest.decide(*role, texels, &defaults, &types));
    let attention = attention.and_then(|contest| contest.decide(Role::Attention, false, &defaults, &types));
    outcome.tuning.results.extend(decided.chain(attention));
    Ok(outcome)
}

/// The measurements of a role.
struct Plan {
    role: Role,
    variants: Vec<Variant>,
    parts: Vec<Part>,
}

/// A group with one case for each of some variants, and how much of the role's time it stands for.
struct Part {
    group: Group,
    variants: Vec<Variant>,
    shares: Vec<Share>,
}

/// How many times a step does what a group measures, for weights of one type.
struct Share {
    /// None of attention.
    weights: Option<DType>,
    count: f64,
}

fn plans(gpu: &GpuExecutor, workload: &Workload) -> Vec<Plan> {
    let largest = gpu.memory_limits().max_binding;
    let flops = if gpu.info().is_software() { MOST_FLOPS_OF_SOFTWARE } else { MOST_FLOPS };
    let selection = gpu.selection();
    let plan = |role: Role| {
        let takes_some = |variant: &Variant| {
            variant.linear().is_none_or(|path| workload.linear.iter().any(|linear| path.takes(linear.dtype)))
        };
        let runs = |v: &Variant| {
            is_contender(role, *v) && takes_some(v) && !(selection.is_software() && multiplies_halves(*v))
        };
        let variants: Vec<Variant> = selection.variants(role).filter(runs).collect();
        let parts = match role {
            Role::Attention => attention_parts(workload, &variants),
            _ => {
                let step = Step { selection: &selection, workload, role, m: rows(role, workload.chunk) };
                let mut parts = step.linear_parts(&variants, flops, largest);
                parts.extend(step.quantize_parts(&variants));
                parts.extend(step.to_texels_parts(&variants));
                parts.extend(step.norm_parts(&variants));
                parts.extend(step.gate_parts(&variants));
                parts
            }
        };
        Plan { role, variants, parts }
    };
    // Where there is nothing to choose from, there is nothing to measure.
    Role::ALL.into_iter().map(plan).filter(|plan| plan.variants.len() > 1).collect()
}

/// Kernels for many rows are hopeless for one: most of a tile would be empty.
fn is_contender(role: Role, variant: Variant) -> bool {
    let Variant::Linear(path) = variant else { return true };
    match role {
        Role::LinearDecode => {
            use LinearPath::{Matvec, MatvecDot4, MatvecLanes};
            matches!(path, Matvec { blocks: false, .. } | MatvecLanes { .. } | MatvecDot4 { .. })
        }
        Role::LinearBatch => !matches!(
            path,
            LinearPath::Matmul { tm: 4, .. }
                | LinearPath::MatmulDot4 { side: 4 }
                | LinearPath::MatmulF16 { .. }
                | LinearPath::MatmulCoop { .. }
        ),
        _ => true,
    }
}

fn multiplies_halves(variant: Variant) -> bool {
    variant.linear().is_some_and(LinearPath::multiplies_halves)
}

/// Rows that stand for a role.
fn rows(role: Role, chunk: u32) -> u32 {
    match role {
        Role::LinearDecode => 1,
        Role::LinearBatch => matvec::MAX_M / 2,
        Role::LinearShort => 16,
        Role::LinearPrefill | Role::Attention => chunk.clamp(33, 512),
    }
}

/// The linear layers of a step whose rows are in a role.
struct Step<'a> {
    selection: &'a Selection,
    workload: &'a Workload,
    role: Role,
    m: u32,
}

impl Step<'_> {
    fn layers(&self) -> impl Iterator<Item = &LinearLayers> {
        // The head runs for the rows whose logits are wanted.
        self.workload.linear.iter().filter(|linear| linear.place != Place::Head || self.is_of_few_rows())
    }

    fn is_of_few_rows(&self) -> bool {
        self.m <= matvec::MAX_M
    }

    /// What takes no such weights leaves them to the default.
    fn path(&self, path: LinearPath, dtype: DType) -> LinearPath {
        self.selection.or_default(path, self.role, dtype)
    }

    /// Whether all products take half of a norm if this kernel serves the role.
    fn splits_norms(&self, path: LinearPath) -> bool {
        let splits = |linear: &LinearLayers| self.path(path, linear.dtype).splits_norms(self.workload.dim);
        self.is_of_few_rows() && !self.workload.post_norms && self.workload.linear.iter().all(splits)
    }

    /// Whether a kernel computes the gate of these layers and what goes through it at once. Rows of one of the two alone lie
    /// apart from the other's.
    fn gates(&self, linear: &LinearLayers, path: LinearPath) -> bool {
        linear.place == Place::GateUp
            && linear.n == 2 * self.workload.ffn
            && self.is_of_few_rows()
            && self.path(path, linear.dtype).gates()
    }

    /// What a product does beside.
    fn fused(&self, linear: &LinearLayers, path: LinearPath) -> Option<Fused> {
        linear.place.fused(self.gates(linear, path), self.splits_norms(path))
    }

    fn linear_parts(&self, variants: &[Variant], flops: u64, largest: u64) -> Vec<Part> {
        let &Step { role, m, .. } = self;
        let part = |linear: &LinearLayers| {
            let &LinearLayers { place, n, k, dtype, count } = linear;
            let by_flops = flops / (2 * u64::from(m) * u64::from(k));
            let by_bytes = largest / row_bytes(dtype, k as usize).max(4 * u64::from(m));
            let most = by_flops.min(by_bytes).min(u64::from(n)) as u32;
            let measured = if most < n { (most / ROW_STEP * ROW_STEP).max(ROW_STEP.min(n)) } else { n };
            let name = format!("{role} {place} {} m{m} n{measured} k{k}", shader_name(dtype));
            let paths = variants.iter().filter_map(|variant| variant.linear());
            let products: Vec<_> = paths.map(|path| (self.path(path, dtype), self.fused(linear, path))).collect();
            let group = product_group(name, dtype, [m, measured, k], &products);
            let count = f64::from(count) * f64::from(n) / f64::from(measured);
            Part { group, variants: variants.to_vec(), shares: vec![Share { weights: Some(dtype), count }] }
        };
        self.layers().map(part).collect()
    }

    /// What rounding the activations adds to the kernels that want it: it stands in front of each product that they take.
    fn quantize_parts(&self, variants: &[Variant]) -> Vec<Part> {
        let rounding = those(variants, LinearPath::takes_q8);
        let Some(path) = rounding.first().and_then(|variant| variant.linear()) else { return Vec::new() };
        self.input_parts(rounding, "quantize_q8", quantize_group, |linear| path.takes(linear.dtype))
    }

    /// What copying what attention of chunks gives adds to the kernels that take texels: others are left there by what
    /// computes them, that of decode tokens, too.
    fn to_texels_parts(&self, variants: &[Variant]) -> Vec<Part> {
        let loading = those(variants, LinearPath::loads_texels);
        if loading.is_empty() || matches!(self.role, Role::LinearDecode | Role::LinearBatch) {
            return Vec::new();
        }
        self.input_parts(loading, "to_texels", to_texels_group, |linear| linear.place == Place::AttentionOutput)
    }

    /// A dispatch in front of some layers, for all of these variants: a part for each length of rows.
    fn input_parts(
        &self,
        variants: Vec<Variant>,
        kernel: &str,
        group: fn(String, u32, u32, usize) -> Group,
        before: impl Fn(&LinearLayers) -> bool,
    ) -> Vec<Part> {
        let &Step { role, m, .. } = self;
        let mut products: BTreeMap<u32, Vec<Share>> = BTreeMap::new();
        for linear in self.layers().filter(|linear| before(linear)) {
            let share = Share { weights: Some(linear.dtype), count: f64::from(linear.count) };
            products.entry(linear.k).or_default().push(share);
        }
        let part = |(k, shares): (u32, Vec<Share>)| {
            let group = group(format!("{role} {kernel} m{m} k{k}"), m, k, variants.len());
            Part { group, variants: variants.clone(), shares }
        };
        products.into_iter().map(part).collect()
    }

    /// What the norms between the products add to the kernels that take no halves of them, where others do: two a layer.
    fn norm_parts(&self, variants: &[Variant]) -> Option<Part> {
        let (m, dim) = (self.m, self.workload.dim);
        let without = those(variants, |path| !self.splits_norms(path));
        let differ = !without.is_empty() && without.len() < variants.len();
        let share = Share { weights: None, count: 2.0 * f64::from(self.workload.layers) };
        let name = format!("{} residual_norm m{m} dim {dim}", self.role);
        let threads = self.selection.row_threads();
        let norms: Vec<_> = without.iter().map(|variant| (threads, from_texels(*variant))).collect();
        differ.then(|| Part {
            group: residual_norm_group(name, m, dim, &norms),
            variants: without,
            shares: vec![share],
        })
    }

    /// What a gate's own dispatch adds to the kernels that leave it to one, where others do not.
    fn gate_parts(&self, variants: &[Variant]) -> Vec<Part> {
        let (m, ffn) = (self.m, self.workload.ffn);
        let part = |linear: &LinearLayers| {
            let without = those(variants, |path| !self.gates(linear, path));
            let differ = !without.is_empty() && without.len() < variants.len();
            let share = Share { weights: Some(linear.dtype), count: f64::from(linear.count) };
            let name = format!("{} gated_activation m{m} ffn {ffn}", self.role);
            let gates: Vec<_> = without.iter().map(|variant| from_texels(*variant)).collect();
            differ.then(|| Part {
                group: gated_activation_group(name, m, ffn, &gates),
                variants: without,
                shares: vec![share],
            })
        };
        self.layers().filter_map(part).collect()
    }
}

/// The variants whose kernels for linear layers are so.
fn those(variants: &[Variant], are: impl Fn(LinearPath) -> bool) -> Vec<Variant> {
    variants.iter().copied().filter(|variant| variant.linear().is_some_and(&are)).collect()
}

/// Whether what computes a variant's activations leaves them in texels.
fn from_texels(variant: Variant) -> bool {
    variant.linear().is_some_and(LinearPath::loads_texels)
}

/// A token of a prompt and one of an answer count alike.
fn attention_parts(workload: &Workload, variants: &[Variant]) -> Vec<Part> {
    let &Workload { heads, kv_heads, head_dim, .. } = workload;
    let heads = Heads { heads, kv_heads, head_dim, kv_type: KvType::F16, window: 0, scale: 1.0 };
    let paths: Vec<_> = variants.iter().filter_map(|variant| variant.attention()).collect();
    let split: Vec<_> = paths.iter().map(|path| path.split()).collect();
    let part = |batch: &'static [(u32, u32); 1]| {
        let [(position0, tokens)] = *batch;
        let name = format!("attention m{tokens} context {}", position0 + tokens);
        // As a model computes them: the keys of a single token are split. What appending takes is the same for all, but for
        // the dispatch that kernels spare which do it themselves.
        let group = match tokens {
            1 => attention_group(name, heads, batch, &[], &split),
            _ => attention_group(name, heads, batch, &paths, &[]),
        };
        Part {
            group,
            variants: variants.to_vec(),
            shares: vec![Share { weights: None, count: 1.0 / f64::from(tokens) }],
        }
    };
    [&DECODE, &PREFILL].map(part).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Case;

    pub(super) const MATVEC: Variant = Variant::Linear(LinearPath::Matvec { subgroups: false, blocks: false });
    pub(super) const BASELINE: Selection = Selection::BASELINE;
    pub(super) const DOT4: Variant = Variant::Linear(LinearPath::MatvecDot4 { subgroups: false });
    pub(super) const SUBGROUP: Variant = Variant::Linear(LinearPath::Matvec { subgroups: true, blocks: false });

    fn count(part: &Part) -> f64 {
        part.shares.iter().map(|share| share.count).sum()
    }

    fn step(workload: &Workload, role: Role) -> Step<'_> {
        Step { selection: &BASELINE, workload, role, m: rows(role, 128) }
    }

    #[test]
    fn products_of_few_rows_are_timed_with_what_the_step_does_beside() {
        let mut workload = Workload::typical();
        let flags = |workload: &Workload, role: Role, variants: &[Variant]| {
            let parts = step(workload, role).linear_parts(variants, u64::MAX, u64::MAX);
            let flags = |case: &Case| case.program.flags().collect::<Vec<_>>().join(" ");
            parts.iter().map(|part| part.group.variants.iter().map(flags).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let decode = flags(&workload, Role::LinearDecode, &[MATVEC, DOT4]);
        let halves = ["unscaled", "residual", "gated unscaled", "residual", "unscaled"];
        assert_eq!(decode.iter().map(|part| part[0].as_str()).collect::<Vec<_>>(), halves);
        // For the head's bytes too, and so for none of the norms.
        assert_eq!(decode.iter().map(|part| part[1].as_str()).collect::<Vec<_>>(), ["", "", "gated", "", ""]);
        let tiles = Variant::Linear(LinearPath::Matmul { tm: 2, tn: 2 });
        assert!(flags(&workload, Role::LinearBatch, &[tiles]).concat().iter().all(String::is_empty));
        assert!(flags(&workload, Role::LinearPrefill, &[MATVEC]).concat().iter().all(String::is_empty));
        // Gate and up of two types.
        workload.linear[2].n /= 2;
        assert_eq!(flags(&workload, Role::LinearDecode, &[MATVEC])[2], ["unscaled"]);
        workload.post_norms = true;
        assert!(flags(&workload, Role::LinearDecode, &[MATVEC]).concat().iter().all(String::is_empty));
    }

    #[test]
    fn norms_and_gates_of_their_own_are_added_to_the_kernels_that_need_them() {
        let workload = Workload::typical();
        let tiles = Variant::Linear(LinearPath::Matmul { tm: 2, tn: 2 });
        let all = [MATVEC, DOT4, tiles];
        let beside = |role: Role, variants: &[Variant]| {
            let step = step(&workload, role);
            let parts = step.norm_parts(variants).into_iter().chain(step.gate_parts(variants));
            parts.map(|part| (part.group.variants.len(), count(&part), part.variants)).collect::<Vec<_>>()
        };
        assert_eq!(beside(Role::LinearBatch, &all), [(2, 60.0, vec![DOT4, tiles]), (1, 30.0, vec![tiles])]);
        assert_eq!(beside(Role::LinearBatch, &[tiles]), [], "alike for all");
        assert_eq!(beside(Role::LinearPrefill, &all), []);
    }

    #[test]
    fn rounding_activations_is_added_to_the_kernels_that_want_it() {
        let mut workload = Workload::typical();
        let rounding = |variants: &[Variant]| step(&workload, Role::LinearDecode).quantize_parts(variants);
        assert_eq!(rounding(&[MATVEC, SUBGROUP]).len(), 0);
        let parts = rounding(&[MATVEC, DOT4]);
        assert_eq!(parts.len(), 2, "rows of two lengths");
        assert_eq!(parts.iter().map(count).sum::<f64>(), 30.0 * 4.0 + 1.0);
        assert!(parts.iter().all(|part| part.group.variants.len() == 1 && part.variants == [DOT4]));

        // Float weights are left to the default, in that kernel's time as in a run.
        workload.linear[0].dtype = DType::F16;
        let parts = step(&workload, Role::LinearDecode).linear_parts(&[MATVEC, DOT4], u64::MAX, u64::MAX);
        let kernels = |part: &Part| part.group.variants.iter().map(|case| case.program.kernel).collect::<Vec<_>>();
        assert_eq!(kernels(&parts[0]), ["matvec", "matvec"]);
        assert_eq!(kernels(&parts[1]), ["matvec", "matvec_dot4"]);
    }

    #[test]
    fn activations_that_nothing_leaves_in_texels_are_copied_there() {
        let workload = Workload::typical();
        let lanes = Variant::Linear(LinearPath::MatmulLanes { rows: 8 });
        let batch = step(&workload, Role::LinearBatch);
        assert_eq!(batch.to_texels_parts(&[MATVEC, lanes]).len(), 0, "decode tokens' attention is there already");
        let chunk = step(&workload, Role::LinearShort);
        assert_eq!(chunk.to_texels_parts(&[MATVEC]).len(), 0);
        let parts = chunk.to_texels_parts(&[MATVEC, lanes]);
        assert_eq!(parts.iter().map(count).sum::<f64>(), 30.0, "what attention gives, once a layer");
        assert!(parts.iter().all(|part| part.variants == [lanes]));
        let stores = |part: &Part| part.group.variants.iter().map(|case| case.program.has_flag("texels")).collect();
        let variants = [MATVEC, DOT4, lanes];
        let beside: Vec<Vec<bool>> = batch.norm_parts(&variants).iter().map(stores).collect();
        assert_eq!(beside, [vec![false, true]], "the norm's own output, of the kernels that take no half of it");
    }

    #[test]
    fn large_layers_are_measured_in_part_and_their_time_scaled() {
        let variants = [MATVEC, SUBGROUP];
        let workload = Workload::typical();
        let parts = |flops, largest| step(&workload, Role::LinearDecode).linear_parts(&variants, flops, largest);
        let whole = parts(u64::MAX, u64::MAX);
        assert_eq!(whole.len(), 5);
        assert_eq!(whole.iter().map(count).sum::<f64>(), 30.0 * 4.0 + 1.0);
        let cut = parts(2 * 576 * 1024, 1 << 20);
        for (part, whole) in cut.iter().zip(&whole) {
            assert!(part.group.work.flops <= 2 * 576 * 1024 && part.group.variants.len() == 2, "{}", part.group.name);
            let (scaled, real) =
                (count(part) * part.group.work.flops as f64, count(whole) * whole.group.work.flops as f64);
            assert!((scaled / real - 1.0).abs() < 1e-9, "{}", part.group.name);
        }
        assert_eq!(step(&workload, Role::LinearPrefill).linear_parts(&[], u64::MAX, u64::MAX).len(), 4, "no head");
    }
}
