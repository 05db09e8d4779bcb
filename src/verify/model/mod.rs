//! A whole model on a device beside the same model on the [CPU reference](crate::reference).
//!
//! Both sides run the same recordings. A prompt shows how far the residual stream has parted after each layer, and a forced
//! decoding what becomes of the next-token distributions: the device decodes greedily, one token a step as in any run, and
//! the reference is given the device's tokens. Where the two part by more than [`tolerances`](super::tolerances) allow,
//! `lockstep` names the first dispatch that is to blame.

mod distribution;
mod lockstep;
mod report;
mod side;

pub use distribution::Divergence;
pub use lockstep::Culprit;
pub use report::{Distance, Forced, LayerReport, ModelReport, NotFinite, Parting};

use std::ops::Range;
use std::time::Instant;

use self::distribution::Comparison;
use self::side::Side;
use super::compare::Errors;
use super::tolerances::{self, ModelTolerance};
use crate::formats::Checkpoint;
use crate::kernels::Selection;
use crate::kernels::argmax;
use crate::kernels::kv_cache::KvType;
use crate::model::{Config, ModelError, ModelOptions, linear_types};
use crate::recording::{ExecutionError, Executor, Label};
use crate::reference::ReferenceExecutor;
use crate::schedule::{BatchError, LogitsWanted};

/// Tokens of a step and rows of its logits; fewer where a device cannot bind so many rows.
const STEP: usize = 64;

/// What both sides are given.
#[derive(Clone, Debug)]
pub struct Settings {
    pub prompt: Vec<u32>,
    /// Tokens that are decoded after the prompt.
    pub forced_tokens: usize,
    pub kv_type: KvType,
    /// The kernels that the device uses.
    pub selection: Selection,
}

/// Why two models cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ModelCheckError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("the prompt is empty; give it some text")]
    EmptyPrompt,
    #[error(
        "the prompt and {forced} more tokens exceed the context of {context} that the model was made for; use fewer"
    )]
    TooLong { forced: usize, context: usize },
    #[error("the two models differ in {0}, so they cannot be compared; name a copy of the same model")]
    Unlike(&'static str),
}

impl From<ExecutionError> for ModelCheckError {
    fn from(error: ExecutionError) -> Self {
        ModelCheckError::Model(ModelError::Execution(error))
    }
}

/// How far the check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the file that are on one side.
    Loading { bytes: u64 },
    /// Tokens that both sides have computed, of the prompt and the forced ones.
    Tokens { done: usize, total: usize },
    /// The sides have parted; the dispatches of one step are compared one by one.
    Searching,
}

/// Runs `model` on the device and `against`, the same file or a good copy of it, on the reference.
///
/// # Errors
/// When one side cannot load or run its model at all. Results that differ are no error but a report that has not passed.
pub fn check(
    device: &mut dyn Executor,
    model: &Checkpoint,
    against: &Checkpoint,
    settings: &Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<ModelReport, ModelCheckError> {
    let began = Instant::now();
    let config = Config::from_checkpoint(model)?;
    if config != Config::from_checkpoint(against)? {
        return Err(ModelCheckError::Unlike("their descriptions"));
    }
    if settings.prompt.is_empty() {
        return Err(ModelCheckError::EmptyPrompt);
    }
    let (context, forced) = (settings.prompt.len() + settings.forced_tokens, settings.forced_tokens);
    if context > config.context {
        return Err(ModelCheckError::TooLong { forced, context: config.context });
    }
    let types = linear_types(&config, model)?;
    let limits = device.memory_limits();
    let rows = (limits.max_binding / (4 * config.vocabulary as u64)).clamp(1, STEP as u64) as usize;
    let options = ModelOptions {
        context,
        sequences: 1,
        step_tokens: STEP,
        logits_rows: rows,
        kv_type: settings.kv_type,
        selection: settings.selection,
        available_memory: None,
    };
    // With the device's limits, so that tensors are cut into the same shards and the recordings are the same.
    let mut executor = ReferenceExecutor::with_limits(limits);
    let mut load = |bytes| progress(Progress::Loading { bytes });
    let device = Side::load(device, model, config.clone(), options, &mut load)?;
    let reference = Side::load(&mut executor, against, config, options, &mut load)?;

    let tolerance = tolerances::of_model(settings.kv_type, &settings.selection, &types);
    // Kernels that round activations serve some numbers of rows and not others: then both sides decode alike, token by token.
    let rows = if settings.selection.rounds_activations(&types) { 1 } else { rows };
    let mut check = Check { device, reference, tolerance, rows, parted: None, progress };
    let mut report = check.run(settings)?;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// A check that is running.
struct Check<'e, 'p> {
    device: Side<'e>,
    reference: Side<'e>,
    tolerance: &'static ModelTolerance,
    /// Forced tokens that the reference takes in a step.
    rows: usize,
    /// The positions of the first step after which the sides were too far apart.
    parted: Option<Range<usize>>,
    progress: &'p mut dyn FnMut(Progress),
}

impl Check<'_, '_> {
    fn run(&mut self, settings: &Settings) -> Result<ModelReport, ModelCheckError> {
        let mut tokens = settings.prompt.clone();
        let total = tokens.len() + settings.forced_tokens;
        let (layers, logits, next) = self.prompt(&tokens, total)?;
        let forced = self.forced(&mut tokens, next, settings.forced_tokens, total)?;
        let parting = match self.parted.clone() {
            Some(positions) => Some(self.pin(&tokens, positions, settings.prompt.len())?),
            None => None,
        };
        let prompt_tokens = settings.prompt.len();
        let tolerance = self.tolerance;
        Ok(ModelReport { prompt_tokens, layers, logits, forced, parting, tolerance, seconds: 0.0 })
    }

    /// Computes the prompt as any run does, and once more a layer at a time. Gives the distance after each layer, that of
    /// the last token's logits, and the device's next token.
    fn prompt(&mut self, tokens: &[u32], total: usize) -> Result<(Vec<LayerReport>, Distance, u32), ModelCheckError> {
        let mut layers: Vec<(Label, Errors)> = Vec::new();
        for first in (0..tokens.len()).step_by(STEP) {
            let positions = first..tokens.len().min(first + STEP);
            let wanted = if positions.end == tokens.len() { LogitsWanted::Last } else { LogitsWanted::None };
            let step = &tokens[positions.clone()];
            self.compare_layers(step, first, wanted, &mut layers)?;
            // Also puts what the device computes in one go into its cache.
            self.device.step(step, first, wanted)?;
            let far = layers.iter().any(|(_, errors)| !Distance::of(errors).within(&self.tolerance.residual));
            if far {
                self.parted.get_or_insert(positions.clone());
            }
            (self.progress)(Progress::Tokens { done: positions.end, total });
        }
        let (actual, expected) = (self.device.logits(0)?, self.reference.logits(0)?);
        let logits = Distance::between(&actual, &expected);
        if !logits.within(&self.tolerance.logits) || actual.iter().any(|logit| !logit.is_finite()) {
            self.parted.get_or_insert((tokens.len() - 1) / STEP * STEP..tokens.len());
        }
        let next = self.device.token()?;
        let layers = layers.into_iter().map(|(label, errors)| LayerReport::new(label, Distance::of(&errors)));
        Ok((layers.collect(), logits, next))
    }

    /// Runs one step on both sides, and compares the residual stream after the embedding and after each layer; after the last
    /// one there are only the rows whose logits are wanted.
    fn compare_layers(
        &mut self,
        tokens: &[u32],
        first: usize,
        wanted: LogitsWanted,
        layers: &mut Vec<(Label, Errors)>,
    ) -> Result<(), ModelCheckError> {
        let ours = self.device.record(tokens, first, wanted)?;
        let theirs = self.reference.record(tokens, first, wanted)?;
        lockstep::check_alike(&ours, &theirs)?;
        let last_layer = ours.dispatches.iter().filter_map(|dispatch| dispatch.label.layer).max();
        let mut start = 0;
        for (index, part) in ours.dispatches.chunk_by(|a, b| a.label.layer == b.label.layer).enumerate() {
            let range = start..start + part.len();
            start = range.end;
            self.device.run(&ours.part(range.clone()))?;
            self.reference.run(&theirs.part(range.clone()))?;
            let last = &part[part.len() - 1];
            let first_row = if last.label.layer == last_layer { wanted.first_of(tokens.len()) } else { 0 };
            let rows = tokens.len() - first_row;
            // Behind the layers come the logits, which have a distance of their own.
            if rows == 0 || (index > 0 && last.label.layer.is_none()) {
                continue;
            }
            // The last dispatch of a layer, and of the embedding, writes the residual stream.
            let actual = self.device.residual(last, rows)?;
            let expected = self.reference.residual(&theirs.dispatches[range.end - 1], rows)?;
            if layers.len() == index {
                layers.push((last.label, Errors::default()));
            }
            layers[index].1.extend(&actual, &expected);
        }
        Ok(())
    }

    /// Lets the device decode, and compares its distributions with those that the reference makes of the same tokens.
    fn forced(
        &mut self,
        tokens: &mut Vec<u32>,
        mut next: u32,
        count: usize,
        total: usize,
    ) -> Result<Forced, ModelCheckError> {
        let mut comparison = Comparison::default();
        let end = tokens.len() + count;
        while tokens.len() < end && next != argmax::INVALID {
            let first = tokens.len();
            let mut rows = Vec::new();
            while tokens.len() < end && rows.len() < self.rows && next != argmax::INVALID {
                let token = next;
                self.device.step(&[token], tokens.len(), LogitsWanted::Last)?;
                next = self.device.token()?;
                rows.push((self.device.logits(0)?, next));
                tokens.push(token);
            }
            self.reference.step(&tokens[first..], first, LogitsWanted::ALL)?;
            for (row, (actual, choice)) in rows.iter().enumerate() {
                let divergence = Divergence::of(actual, *choice, &self.reference.logits(row)?);
                if !divergence.within(self.tolerance) {
                    self.parted.get_or_insert(first + row..first + row + 1);
                }
                comparison.add(divergence);
            }
            (self.progress)(Progress::Tokens { done: tokens.len(), total });
        }
        let forced = comparison.finish();
        if !forced.within(self.tolerance) {
            self.parted.get_or_insert(tokens.len() - 1..tokens.len());
        }
        Ok(forced)
    }

    /// Looks for the dispatch that is to blame for what the step at these positions gave.
    fn pin(&mut self, tokens: &[u32], positions: Range<usize>, prompt: usize) -> Result<Parting, ModelCheckError> {
        (self.progress)(Progress::Searching);
        let (step, first) = (&tokens[positions.clone()], positions.start);
        let culprit = lockstep::first_wrong(&mut self.device, &mut self.reference, step, first)?;
        let not_finite = NotFinite {
            device: self.device.find_non_finite(step, first)?,
            reference: self.reference.find_non_finite(step, first)?,
        };
        Ok(Parting { decoding: positions.start >= prompt, positions, culprit, not_finite })
    }
}
