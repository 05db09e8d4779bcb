//! A model on a device: loads it, and runs steps.

use super::ModelError;
use super::config::Config;
use super::kv_cache::{KvCache, KvCachePlan};
use super::linear_layers::types_of;
use super::names::Names;
use super::rope_table::RopeTable;
use super::scratch::{Scratch, ScratchSizes};
use super::step_inputs::{Staging, StepInputs, StepLimits};
use super::weight_upload::{Plan, UploadTimings};
use super::weights::{Weights, items};
use crate::formats::Checkpoint;
use crate::kernels::attention_tiles::{Tiles, Tiling};
use crate::kernels::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use crate::kernels::sample::Draw;
use crate::kernels::{Selection, attention};
use crate::recording::{ExecutionError, Executor, Prepared, Recording, Slice};
use crate::schedule::{Batch, SAMPLED, ValidationScratch};

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

/// A step that is likely to come, with the logits of each sequence's last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedStep {
    /// Of one sequence.
    pub tokens: usize,
    /// Other sequences, of which there is one token each.
    pub beside: usize,
    pub choice: Choice,
}

/// Bytes on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    pub weights: u64,
    pub kv_cache: u64,
    pub scratch: u64,
}

/// A model on a device, ready to run steps.
pub struct Model {
    pub(super) config: Config,
    pub(super) options: ModelOptions,
    pub(super) limits: StepLimits,
    pub(super) weights: Weights,
    pub(super) cache: KvCache,
    pages: u32,
    pub(super) inputs: StepInputs,
    pub(super) scratch: Scratch,
    ropes: Vec<RopeTable>,
    staging: Staging,
    validation: ValidationScratch,
    /// Recordings by shape, the one used last at the end: a sequence's decode steps have the same.
    prepared: Vec<(StepShape, Prepared)>,
    /// Rows of logits of the last step that chose tokens on the device.
    chosen_rows: usize,
    memory: Memory,
    upload: UploadTimings,
}

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
        let items = items(&config, &names)?;
        let types = types_of(&items);
        let takes_q8 = options.selection.takes_q8(&types);
        let plan = Plan::new(items, &options.selection, memory_limits)?;
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
            takes_q8,
            in_texels: options.selection.in_texels(),
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
            validation: ValidationScratch::default(),
            prepared: Vec::with_capacity(MAX_PREPARED),
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
            let (tokens, beside, position0) = (step.tokens as u32, step.beside as u32, position0 as u32);
            let mut tiles = Tiles::default();
            for (index, tokens) in std::iter::once(tokens).chain((0..beside).map(|_| 1)).enumerate() {
                let sequence = attention::Sequence { row0: 0, tokens, position0, page_row: 0 };
                self.limits.tiling.push(index as u32, &sequence, &mut tiles);
            }
            tiles.fill_up();
            StepShape {
                tokens: tokens + beside,
                tiles: tiles.whole.len() as u32,
                parts: tiles.parts.len() as u32,
                merges: tiles.merges.len() as u32,
                alone: tiles.alone,
                logits_rows: 1 + beside,
                page_stride: self.limits.page_stride as u32,
                choice: step.choice,
            }
        })
    }

    /// The steps that a recording is for; `None` if it was discarded.
    pub fn shape_of(&self, prepared: Prepared) -> Option<StepShape> {
        self.prepared.iter().find(|(_, of_shape)| *of_shape == prepared).map(|(shape, _)| *shape)
    }

    /// The recording of a shape, made once, unless many others came since it was used.
    fn prepare(&mut self, executor: &mut dyn Executor, shape: StepShape) -> Result<Prepared, ModelError> {
        let prepared = match self.prepared.iter().rposition(|(of, _)| *of == shape) {
            Some(place) => self.prepared.remove(place).1,
            None => {
                if self.prepared.len() == MAX_PREPARED {
                    executor.discard(self.prepared.remove(0).1);
                }
                executor.prepare(&self.record(shape))?
            }
        };
        self.prepared.push((shape, prepared));
        Ok(prepared)
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
        batch.validate_with(self.pages, PAGE_SIZE, &mut self.validation)?;
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
