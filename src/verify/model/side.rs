//! One side of the comparison: a model on an executor, with one sequence.

use super::ModelCheckError;
use crate::formats::Checkpoint;
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::model::{Config, Model, ModelError, ModelOptions, NonFinite};
use crate::recording::{Dispatch, ExecutionError, Executor, Recording, Slice};
use crate::schedule::{Batch, BatchError, LogitsWanted};

pub(super) struct Side<'e> {
    executor: &'e mut dyn Executor,
    model: Model,
    pages: Vec<u32>,
}

impl<'e> Side<'e> {
    pub fn load(
        executor: &'e mut dyn Executor,
        checkpoint: &Checkpoint,
        config: Config,
        options: ModelOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Side<'e>, ModelError> {
        let model = Model::load(executor, checkpoint, config, options, &[], progress)?;
        let pages = (0..model.pages()).collect();
        Ok(Side { executor, model, pages })
    }

    /// The tokens at these positions of the sequence.
    fn batch(&self, tokens: &[u32], first: usize, wanted: LogitsWanted) -> Result<Batch, BatchError> {
        Batch::single(tokens, first, &self.pages, PAGE_SIZE, wanted)
    }

    /// Runs a step as the engine does, with the largest logit looked for on the device.
    pub fn step(&mut self, tokens: &[u32], first: usize, wanted: LogitsWanted) -> Result<(), ModelCheckError> {
        let batch = self.batch(tokens, first, wanted)?;
        Ok(self.model.step(self.executor, &batch, true)?)
    }

    /// Writes a step's inputs and gives its recording, to be run in parts.
    pub fn record(&mut self, tokens: &[u32], first: usize, wanted: LogitsWanted) -> Result<Recording, ModelCheckError> {
        let batch = self.batch(tokens, first, wanted)?;
        let shape = self.model.write_inputs(self.executor, &batch, true)?;
        Ok(self.model.record(shape))
    }

    pub fn run(&mut self, part: &Recording) -> Result<(), ExecutionError> {
        self.executor.run_once(part)
    }

    /// A row of the last step's logits, `[vocabulary]`.
    pub fn logits(&mut self, row: usize) -> Result<Vec<f32>, ModelError> {
        let mut logits = vec![0.0; self.model.config().vocabulary];
        self.model.read_logits(self.executor, row, &mut logits)?;
        Ok(logits)
    }

    /// The best token of the last step's first row.
    pub fn token(&mut self) -> Result<u32, ModelError> {
        let mut token = [0];
        self.model.read_tokens(self.executor, &mut token)?;
        Ok(token[0])
    }

    /// What a dispatch has written to the residual stream, `[rows][dim]`.
    pub fn residual(&mut self, dispatch: &Dispatch, rows: usize) -> Result<Vec<f32>, ExecutionError> {
        let mut values = vec![0.0; rows * self.model.config().dim];
        // A kernel that does more writes the residual stream first.
        if let Some(slice) = dispatch.outputs().next() {
            self.executor.read(slice, bytemuck::cast_slice_mut(&mut values))?;
        }
        Ok(values)
    }

    pub fn read(&mut self, slice: Slice) -> Result<Vec<u32>, ExecutionError> {
        let mut words = vec![0; (slice.size / 4) as usize];
        self.executor.read(slice, bytemuck::cast_slice_mut(&mut words))?;
        Ok(words)
    }

    pub fn write(&mut self, slice: Slice, words: &[u32]) -> Result<(), ExecutionError> {
        self.executor.write(slice, bytemuck::cast_slice(words))
    }

    /// Where a step first computes NaN or infinity.
    pub fn find_non_finite(&mut self, tokens: &[u32], first: usize) -> Result<Option<NonFinite>, ModelCheckError> {
        let batch = self.batch(tokens, first, LogitsWanted::Last)?;
        Ok(self.model.find_non_finite(self.executor, &batch)?)
    }
}
