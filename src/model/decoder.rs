//! The forward pass of every family, written once, as a recording.

use std::collections::HashMap;

use super::ModelError;
use super::config::Config;
use super::kv_cache::{KvCache, KvCachePlan};
use super::names::Names;
use super::rope_table::RopeTable;
use super::step_inputs::{Sections, Staging, StepInputs, StepLimits};
use super::weight_upload::{Plan, UploadTimings};
use super::weights::{LayerWeights, Linear, Weights, items};
use crate::formats::Checkpoint;
use crate::kernels::attention_tiles::{Tiles, Tiling};
use crate::kernels::kv_append::{CacheSlices, KvType, PAGE_SIZE};
use crate::kernels::sample::Draw;
use crate::kernels::{
    Selection, add, argmax, attention, attention_merge, embed, gated_activation, gather_rows, kv_append, linear,
    residual_norm, rms_norm, rope, run_peaks, sample,
};
use crate::recording::{ExecutionError, Executor, Label, MemoryLimits, Prepared, Recording, Slice};
use crate::schedule::{Batch, SAMPLED};

pub use super::step_inputs::{Choice, StepShape};

/// How much of everything to make room for.
#[derive(Clone, Copy, Debug)]
pub struct ModelOptions {
    /// Tokens of the longest sequence.
    pub context: usize,
    /// Sequences that run at a time.
    pub sequences: usize,
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Rows of logits of a step.
    pub logits_rows: usize,
    pub kv_type: KvType,
    pub selection: Selection,
    /// Bytes that weights, cache and scratch may take together, where that is known.
    pub available_memory: Option<u64>,
}

/// A step of one sequence, with the logits of its last token, that is likely to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedStep {
    pub tokens: usize,
    pub choice: Choice,
}

/// Bytes on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    pub weights: u64,
    pub kv_cache: u64,
    pub scratch: u64,
}

/// Activations of a step.
struct Scratch {
    /// The residual stream, `[tokens][dim]`.
    x: Slice,
    /// Normed, or gathered and normed.
    h: Slice,
    /// What a block adds to the residual stream.
    delta: Slice,
    q: Slice,
    k: Slice,
    v: Slice,
    /// Normed Q and K, where the model norms them.
    q_normed: Slice,
    k_normed: Slice,
    attention: Slice,
    /// What attention over parts of the keys leaves.
    partials: Slice,
    gate: Slice,
    up: Slice,
    /// `[logits_rows][vocabulary]`.
    logits: Slice,
    /// The largest of each run of logits, `[logits_rows][runs]`.
    peaks: Slice,
    /// What was chosen last from each row of logits, `[logits_rows]`: the next step may embed it.
    tokens: Slice,
}

/// A model on a device, ready to run steps.
pub struct Model {
    config: Config,
    options: ModelOptions,
    limits: StepLimits,
    weights: Weights,
    cache: KvCache,
    pages: u32,
    inputs: StepInputs,
    scratch: Scratch,
    ropes: Vec<RopeTable>,
    staging: Staging,
    /// Recordings by shape: every decode step has the same.
    prepared: HashMap<StepShape, Prepared>,
    /// Rows of logits of the last step that chose tokens on the device.
    chosen_rows: usize,
    memory: Memory,
    upload: UploadTimings,
}

/// Tokens up to which a step is taken for decode.
const DECODE_STEP: u32 = 8;

/// Recordings that are kept; a ragged run would otherwise collect them without end.
const MAX_PREPARED: usize = 64;

impl Model {
    /// Plans, checks that all fits, allocates, and uploads the weights; `progress` gets the bytes of the files done so far.
    ///
    /// What the steps in `expected` need is compiled meanwhile, as far as the executor compiles; it is ready once it is
    /// asked for ([`Model::warm_up`]).
    pub fn load(
        executor: &mut dyn Executor,
        checkpoint: &Checkpoint,
        config: Config,
        options: ModelOptions,
        expected: &[ExpectedStep],
        progress: &mut dyn FnMut(u64),
    ) -> Result<Model, ModelError> {
        let memory_limits = executor.memory_limits();
        let names = Names::new(checkpoint, &config);
        let plan = Plan::new(items(&config, &names)?, memory_limits)?;
        let cache_plan = KvCachePlan::new(&config, options.kv_type, options.context, options.sequences, memory_limits)?;
        let limits = StepLimits {
            tokens: options.step_tokens,
            sequences: options.sequences,
            logits_rows: options.logits_rows,
            context: options.context,
            page_stride: options.context.div_ceil(PAGE_SIZE as usize),
            tiling: Tiling::new(
                options.selection.attention(),
                options.selection.split_attention(),
                config.head_dim as u32,
                config.heads_per_kv_head() as u32,
                options.sequences,
            ),
        };
        let sizes = ScratchSizes::new(&config, limits, memory_limits)?;
        let memory = Memory {
            weights: plan.bytes(),
            kv_cache: cache_plan.bytes(),
            scratch: sizes.bytes() + StepInputs::bytes(&config, limits),
        };
        check_available(memory, options.available_memory)?;

        // The small things first: what does not fit is known before the long upload.
        let ran_out = |error| match error {
            ModelError::Execution(ExecutionError::OutOfMemory { .. }) => out_of_memory(memory, None),
            other => other,
        };
        let cache = KvCache::allocate(&cache_plan, executor).map_err(ran_out)?;
        let inputs = StepInputs::allocate(&config, limits, executor).map_err(ran_out)?;
        let scratch = sizes.allocate(executor).map_err(ran_out)?;
        let uploads = plan.allocate(executor).map_err(ran_out)?;
        let weights = Weights::assemble(&config, &names, &uploads.placed())?;
        let ropes = std::iter::once(&config.rope)
            .chain(&config.rope_sliding)
            .map(|rope| RopeTable::new(rope, config.head_dim))
            .collect();
        let mut model = Model {
            config,
            options,
            limits,
            weights,
            cache,
            pages: cache_plan.pages,
            inputs,
            scratch,
            ropes,
            staging: Staging::default(),
            prepared: HashMap::new(),
            chosen_rows: 0,
            memory,
            upload: UploadTimings::default(),
        };
        // A recording names places alone: it can be had before anything lies there.
        let recordings: Vec<Recording> =
            expected.iter().flat_map(|step| model.shapes(*step)).map(|shape| model.record(shape)).collect();
        executor.compile_ahead(&recordings);
        model.upload = uploads.run(executor, checkpoint, progress).map_err(ran_out)?;
        Ok(model)
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Where the time of loading the weights went.
    pub fn upload_timings(&self) -> UploadTimings {
        self.upload
    }

    /// The most tokens of a step.
    pub fn step_tokens(&self) -> usize {
        self.limits.tokens
    }

    /// Pages of the KV cache.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// K and V of each layer, for tests that poison what must not be read.
    pub fn kv_cache(&self) -> &[CacheSlices] {
        &self.cache.layers
    }

    /// Starts a step. Its logits, and with `greedy` each row's best token, can be read when this returns.
    pub fn step(&mut self, executor: &mut dyn Executor, batch: &Batch, greedy: bool) -> Result<(), ModelError> {
        let shape = self.write_inputs(executor, batch, greedy)?;
        let prepared = self.prepare(executor, shape)?;
        executor.run(prepared)?;
        Ok(())
    }

    /// Starts a step that wants logits, and lets the device choose a token from each row of them: as its [`Draw`] says, or
    /// the largest where there are no draws. [`Model::collect_tokens`] gives them; the next step's batch may hold
    /// [`Batch::sampled`] in the place of those that nobody has collected yet.
    pub fn step_ahead(&mut self, executor: &mut dyn Executor, batch: &Batch, draws: &[Draw]) -> Result<(), ModelError> {
        let choice = if draws.is_empty() { Choice::Greedy } else { Choice::Drawn };
        let shape = self.write(executor, batch, draws, choice)?;
        let prepared = self.prepare(executor, shape)?;
        let tokens = Slice { size: 4 * u64::from(shape.logits_rows), ..self.scratch.tokens };
        executor.run_keeping(prepared, tokens)?;
        self.chosen_rows = batch.logits_rows.len();
        Ok(())
    }

    /// Waits for the oldest step that was [started so](Model::step_ahead) and not collected: its tokens, one a row of
    /// logits; [`argmax::INVALID`] for a row that cannot be sampled from.
    pub fn collect_tokens(&self, executor: &mut dyn Executor, tokens: &mut [u32]) -> Result<(), ModelError> {
        Ok(executor.collect(bytemuck::cast_slice_mut(tokens))?)
    }

    /// Makes ready what such steps need, so that the first of them need not.
    pub fn warm_up(&mut self, executor: &mut dyn Executor, expected: &[ExpectedStep]) -> Result<(), ModelError> {
        let shapes: Vec<StepShape> = expected.iter().flat_map(|step| self.shapes(*step)).collect();
        shapes.into_iter().try_for_each(|shape| self.prepare(executor, shape).map(drop))
    }

    /// The shapes of such a step at the start of the context and at its end, where it may take other kernels.
    fn shapes(&self, step: ExpectedStep) -> [StepShape; 2] {
        [0, self.limits.context.saturating_sub(step.tokens)].map(|position0| {
            let (tokens, position0) = (step.tokens as u32, position0 as u32);
            let mut tiles = Tiles::default();
            self.limits.tiling.push(0, &attention::Sequence { row0: 0, tokens, position0, page_row: 0 }, &mut tiles);
            tiles.fill_up();
            StepShape {
                tokens,
                tiles: tiles.whole.len() as u32,
                parts: tiles.parts.len() as u32,
                merges: tiles.merges.len() as u32,
                logits_rows: 1,
                page_stride: self.limits.page_stride as u32,
                choice: step.choice,
            }
        })
    }

    /// The recording of a shape, made once.
    fn prepare(&mut self, executor: &mut dyn Executor, shape: StepShape) -> Result<Prepared, ModelError> {
        match self.prepared.get(&shape) {
            Some(prepared) => Ok(*prepared),
            None => {
                if self.prepared.len() >= MAX_PREPARED {
                    // The decode steps' are few and come again.
                    for (_, old) in self.prepared.extract_if(|shape, _| shape.tokens > DECODE_STEP) {
                        executor.discard(old);
                    }
                }
                let prepared = executor.prepare(&self.record(shape))?;
                self.prepared.insert(shape, prepared);
                Ok(prepared)
            }
        }
    }

    /// Writes a batch's arrays to the device and returns the shape whose recording computes it.
    pub fn write_inputs(
        &mut self,
        executor: &mut dyn Executor,
        batch: &Batch,
        greedy: bool,
    ) -> Result<StepShape, ModelError> {
        self.write(executor, batch, &[], if greedy { Choice::Greedy } else { Choice::None })
    }

    fn write(
        &mut self,
        executor: &mut dyn Executor,
        batch: &Batch,
        draws: &[Draw],
        choice: Choice,
    ) -> Result<StepShape, ModelError> {
        let (tokens, sequences, rows) = (batch.num_tokens(), batch.num_sequences(), batch.logits_rows.len());
        let fits = tokens <= self.limits.tokens
            && sequences <= self.limits.sequences
            && rows <= self.limits.logits_rows
            && batch.page_table_stride as usize <= self.limits.page_stride;
        if !fits {
            return Err(ModelError::StepOverflow { tokens, sequences, logits_rows: rows });
        }
        // The shaders trust these numbers.
        batch.validate(self.pages, PAGE_SIZE)?;
        let vocabulary = self.config.vocabulary;
        let limit = |token: u32| if token & SAMPLED == 0 { vocabulary } else { self.chosen_rows };
        if let Some(token) = batch.token_ids.iter().find(|token| (**token & !SAMPLED) as usize >= limit(**token)) {
            return Err(ModelError::TokenOutOfRange { token: *token, vocabulary });
        }
        if draws.len() != if choice == Choice::Drawn { rows } else { 0 } {
            return Err(ModelError::StepOverflow { tokens, sequences, logits_rows: draws.len() });
        }
        let Model { inputs, limits, ropes, staging, .. } = self;
        let shape = inputs.write(batch, draws, &limits.tiling, ropes, staging, executor)?;
        Ok(StepShape { choice: if rows > 0 { choice } else { Choice::None }, ..shape })
    }

    /// The best token of each of the first rows of logits; [`argmax::INVALID`] for a row that cannot be sampled from.
    pub fn read_tokens(&self, executor: &mut dyn Executor, tokens: &mut [u32]) -> Result<(), ModelError> {
        Ok(executor.read(self.scratch.tokens, bytemuck::cast_slice_mut(tokens))?)
    }

    /// Rows of logits that a step can compute.
    pub fn logits_rows(&self) -> usize {
        self.options.logits_rows
    }

    /// As many rows of logits as fit in `logits`, `[rows][vocabulary]`, from row `row` on.
    pub fn read_logits(&self, executor: &mut dyn Executor, row: usize, logits: &mut [f32]) -> Result<(), ModelError> {
        let first = row as u64 * 4 * self.config.vocabulary as u64;
        let all = self.scratch.logits;
        let slice = Slice { buffer: all.buffer, offset: all.offset + first, size: all.size.saturating_sub(first) };
        Ok(executor.read(slice, bytemuck::cast_slice_mut(logits))?)
    }

    /// The forward pass of a step.
    pub fn record(&self, shape: StepShape) -> Recording {
        let mut recording = Recording::default();
        let (config, scratch) = (&self.config, &self.scratch);
        let inputs = self.inputs.sections(shape.tokens as usize);
        let m = shape.tokens;
        let dim = config.dim as u32;
        let token_ids = embed::TokenIds { ids: inputs.token_ids, sampled: scratch.tokens };
        for shard in &self.weights.embedding.shards {
            let scale = config.embedding_scale;
            recording.push(at(None, "embed"), embed::dispatch(shard, token_ids, scratch.x, m, scale));
        }
        if let Some(first) = self.weights.layers.first() {
            self.norm(&mut recording, at(Some(0), "attn_norm"), scratch.x, first.attention_norm, scratch.h, m);
        }
        for (index, weights) in self.weights.layers.iter().enumerate() {
            self.record_attention(&mut recording, index, weights, inputs, shape);
            self.record_ffn(&mut recording, index, weights, m);
        }
        let rows = shape.logits_rows;
        if rows > 0 {
            let gathered = gather_rows::dispatch(scratch.x, inputs.logits_rows, scratch.delta, rows, dim);
            recording.push(at(None, "logits rows"), gathered);
            self.norm(
                &mut recording,
                at(None, "output_norm"),
                scratch.delta,
                self.weights.output_norm,
                scratch.h,
                rows,
            );
            let label = at(None, "output");
            self.linear(&mut recording, label, &self.weights.output, scratch.h, scratch.logits, rows);
        }
        let width = config.vocabulary as u32;
        match shape.choice {
            Choice::None => {}
            Choice::Greedy => {
                let params = argmax::Params { rows, width };
                recording.push(at(None, "argmax"), argmax::dispatch(scratch.logits, scratch.tokens, params));
            }
            Choice::Drawn => {
                let params = run_peaks::Params { rows, width };
                recording.push(at(None, "run_peaks"), run_peaks::dispatch(scratch.logits, scratch.peaks, params));
                let slices = sample::Slices {
                    logits: scratch.logits,
                    peaks: scratch.peaks,
                    draws: inputs.draws,
                    tokens: scratch.tokens,
                };
                recording.push(at(None, "sample"), sample::dispatch(slices, params));
            }
        }
        recording
    }

    /// From its normed input in `h` to that of the feed-forward block.
    fn record_attention(
        &self,
        recording: &mut Recording,
        index: usize,
        weights: &LayerWeights,
        inputs: &Sections,
        shape: StepShape,
    ) {
        let (config, scratch) = (&self.config, &self.scratch);
        let at = |what| at(Some(index as u32), what);
        let m = shape.tokens;
        let (heads, kv_heads) = (config.heads as u32, config.kv_heads as u32);
        let head_dim = config.head_dim as u32;
        let window = config.layers[index].window;

        self.linear(recording, at("attn_q"), &weights.query, scratch.h, scratch.q, m);
        self.linear(recording, at("attn_k"), &weights.key, scratch.h, scratch.k, m);
        self.linear(recording, at("attn_v"), &weights.value, scratch.h, scratch.v, m);
        let mut head_norm = |what, x: Slice, weight: Option<Slice>, normed: Slice, heads: u32| match weight {
            Some(weight) => {
                let params = self.norm_params(m * heads, head_dim);
                recording.push(at(what), rms_norm::dispatch(x, weight, normed, params));
                normed
            }
            None => x,
        };
        let q = head_norm("attn_q_norm", scratch.q, weights.query_norm, scratch.q_normed, heads);
        let k = head_norm("attn_k_norm", scratch.k, weights.key_norm, scratch.k_normed, kv_heads);

        let turns = if config.layers[index].sliding { inputs.turns_sliding } else { inputs.turns };
        let params = rope::Params { tokens: m, heads, kv_heads, head_dim, rotary: head_dim };
        recording.push(at("rope"), rope::dispatch(config.pairing, q, k, turns, params));
        let cache = self.cache.layers[index];
        let slices = kv_append::Slices { k, v: scratch.v, slot_mapping: inputs.slot_mapping, cache };
        let params = kv_append::Params { tokens: m, kv_heads, dim4: head_dim / 4 };
        recording.push(at("kv_append"), kv_append::dispatch(self.options.kv_type, slices, params));

        let slices = attention::Slices {
            q,
            cache,
            page_table: inputs.page_table,
            sequences: inputs.sequences,
            tiles: inputs.tiles,
            out: scratch.attention,
        };
        let with = attention::Heads {
            heads,
            kv_heads,
            head_dim,
            kv_type: self.options.kv_type,
            window: window.unwrap_or(0),
            scale: config.attention_scale,
        };
        let (tiling, stride, cost) = (&self.limits.tiling, shape.page_stride, self.attention_cost(shape));
        let whole = attention::dispatch(tiling.whole(), with, shape.tiles, stride, slices);
        recording.push(at("attention"), whole.costing(cost));
        if let Some(split) = tiling.split() {
            let partials = scratch.partials;
            let slices = attention::Slices { tiles: inputs.parts, out: partials, ..slices };
            let dispatch = attention::dispatch_split(split, with, shape.parts, stride, slices);
            recording.push(at("attention_split"), dispatch.costing(cost));
            let (sequences, merges, out) = (inputs.sequences, inputs.merges, scratch.attention);
            let slices = attention_merge::Slices { partials, sequences, merges, out };
            recording.push(at("attention_merge"), attention_merge::dispatch(split, with, shape.merges, slices));
        }
        self.linear(recording, at("attn_output"), &weights.attention_output, scratch.attention, scratch.delta, m);
        self.residual_and_norm(recording, at("residual"), weights.post_attention_norm, weights.ffn_norm, m);
    }

    /// Of one layer's, in multiplications with an addition. How far a step is into the context is not known here: a quarter
    /// of it is a guess that is not far off in the steps that are long.
    fn attention_cost(&self, shape: StepShape) -> u64 {
        let keys = u64::from(shape.page_stride) * u64::from(PAGE_SIZE) / 4;
        2 * u64::from(shape.tokens) * keys * (self.config.heads * self.config.head_dim) as u64
    }

    /// From its normed input in `h` to that of the next layer.
    fn record_ffn(&self, recording: &mut Recording, index: usize, weights: &LayerWeights, m: u32) {
        let scratch = &self.scratch;
        let at = |what| at(Some(index as u32), what);
        self.linear(recording, at("ffn_gate"), &weights.gate, scratch.h, scratch.gate, m);
        self.linear(recording, at("ffn_up"), &weights.up, scratch.h, scratch.up, m);
        let count = m * self.config.ffn_dim as u32;
        let activation = gated_activation::dispatch(self.config.activation, scratch.gate, scratch.up, count);
        recording.push(at("ffn_activation"), activation);
        self.linear(recording, at("ffn_down"), &weights.down, scratch.gate, scratch.delta, m);
        match self.weights.layers.get(index + 1) {
            Some(next) => {
                self.residual_and_norm(recording, at("residual"), weights.post_ffn_norm, next.attention_norm, m);
            }
            // Only some of the rows are normed for the logits.
            None => {
                let mut delta = scratch.delta;
                if let Some(weight) = weights.post_ffn_norm {
                    self.norm(recording, at("post_ffw_norm"), delta, weight, scratch.h, m);
                    delta = scratch.h;
                }
                recording.push(at("residual"), add::dispatch(scratch.x, delta, m * self.config.dim as u32));
            }
        }
    }

    /// `x += delta`, which is normed first where the family has a norm behind its blocks, and the norm of the next block.
    fn residual_and_norm(
        &self,
        recording: &mut Recording,
        label: Label,
        post_weight: Option<Slice>,
        weight: Slice,
        rows: u32,
    ) {
        let Scratch { x, h, delta, .. } = self.scratch;
        let slices = residual_norm::Slices { delta, weight, x, h, post_weight };
        recording.push(label, residual_norm::dispatch(slices, self.norm_params(rows, self.config.dim as u32)));
    }

    fn norm(&self, recording: &mut Recording, label: Label, x: Slice, weight: Slice, y: Slice, rows: u32) {
        let params = self.norm_params(rows, self.config.dim as u32);
        recording.push(label, rms_norm::dispatch(x, weight, y, params));
    }

    fn norm_params(&self, rows: u32, width: u32) -> rms_norm::Params {
        rms_norm::Params { rows, dim4: width / 4, eps: self.config.norm_eps, offset: self.config.norm_offset }
    }

    fn linear(&self, recording: &mut Recording, label: Label, layer: &Linear, x: Slice, y: Slice, m: u32) {
        let y_stride = layer.shards.iter().map(|shard| shard.rows).sum();
        for shard in &layer.shards {
            let slices = linear::Slices { x, y, bias: layer.bias };
            recording.push(label, linear::dispatch(&self.options.selection, shard, slices, m, y_stride));
        }
    }
}

fn at(layer: Option<u32>, what: &'static str) -> Label {
    Label { layer, what }
}

fn check_available(memory: Memory, available: Option<u64>) -> Result<(), ModelError> {
    let needed = memory.weights + memory.kv_cache + memory.scratch;
    match available {
        Some(available) if needed > available => Err(out_of_memory(memory, Some(available))),
        _ => Ok(()),
    }
}

fn out_of_memory(memory: Memory, available: Option<u64>) -> ModelError {
    let mib = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    ModelError::OutOfMemory {
        needed: mib(memory.weights + memory.kv_cache + memory.scratch),
        weights: mib(memory.weights),
        kv_cache: mib(memory.kv_cache),
        scratch: mib(memory.scratch),
        available: available.map_or("fewer".to_owned(), mib),
    }
}

/// Bytes of each activation, in the order of [`Scratch`].
struct ScratchSizes([u64; 15]);

impl ScratchSizes {
    fn new(config: &Config, limits: StepLimits, memory: MemoryLimits) -> Result<ScratchSizes, ModelError> {
        let StepLimits { tokens, sequences, logits_rows, context, tiling, .. } = limits;
        let (q_dim, kv_dim) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        // The gathered rows share a buffer with the tokens' own.
        let rows = tokens.max(logits_rows);
        let elements = [
            tokens * config.dim,
            rows * config.dim,
            rows * config.dim,
            tokens * q_dim,
            tokens * kv_dim,
            tokens * kv_dim,
            tokens * q_dim,
            tokens * kv_dim,
            tokens * q_dim,
            tiling.partials(config.kv_heads as u32, tiling.most_parts(sequences, context)).max(1),
            tokens * config.ffn_dim,
            tokens * config.ffn_dim,
            logits_rows * config.vocabulary,
            logits_rows * run_peaks::runs(config.vocabulary as u32) as usize,
            logits_rows,
        ];
        let sizes = elements.map(|n| 4 * n as u64);
        let limit = memory.max_binding;
        let logits = 4 * (logits_rows * config.vocabulary) as u64;
        if logits > limit {
            return Err(ModelError::Unsupported(format!(
                "a step with {logits_rows} rows of {} logits, {logits} bytes, on a device that binds {limit} at once,",
                config.vocabulary
            )));
        }
        if let Some(bytes) = sizes.into_iter().find(|bytes| *bytes > limit) {
            let possible = (u128::from(limit) * tokens as u128 / u128::from(bytes)) as usize;
            return Err(ModelError::StepTooLarge { what: "the activations", tokens, bytes, limit, possible });
        }
        Ok(ScratchSizes(sizes))
    }

    fn bytes(&self) -> u64 {
        self.0.iter().sum()
    }

    fn allocate(&self, executor: &mut dyn Executor) -> Result<Scratch, ModelError> {
        let mut slices = [Slice { buffer: crate::recording::BufferId(0), offset: 0, size: 0 }; 15];
        for (slice, size) in slices.iter_mut().zip(self.0) {
            *slice = Slice { buffer: executor.allocate("the activations", size)?, offset: 0, size };
        }
        let [x, h, delta, q, k, v, q_normed, k_normed, attention, partials, gate, up, logits, peaks, tokens] = slices;
        Ok(Scratch { x, h, delta, q, k, v, q_normed, k_normed, attention, partials, gate, up, logits, peaks, tokens })
    }
}
