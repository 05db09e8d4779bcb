//! The steps of a run: handed to the device ahead of time, and landed in the order in which they were.
//!
//! While the device computes a step, the host prepares the next one, whose tokens it does not know: the device chooses them
//! itself and embeds them ([`Model::step_ahead`]). They arrive a step or two later. Where the host has to see the logits
//! first, steps run one at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::active::Active;
use super::chunks::Chunks;
use super::{EngineError, not_finite};
use crate::gpu::DeviceInfo;
use crate::kernels::argmax;
use crate::kernels::sample::Draw;
use crate::model::{Choice, Model};
use crate::recording::Executor;
use crate::schedule::{Batch, Request, RequestId, SAMPLED, Scheduler};

/// Steps in flight, of which the device computes one: another waits behind it, so that the device goes on whatever holds the
/// host up for a moment, and the third is the one whose tokens the host is handling.
const MOST: usize = 3;
/// Where the host and the device are the same processor, or steps are long, nothing is gained by the one that waits; and an
/// end that nobody foresaw wastes all that is in flight.
const FEW: usize = 2;
/// A decode step is long from here on: half of what a submit may take, so that two of them end within that.
const LONG_STEP: Duration = Duration::from_millis(50);

/// The batches of the steps that were handed over and have not landed, the oldest first.
pub(crate) struct Flight {
    batches: VecDeque<Batch>,
    /// Batches to fill again: a step allocates none.
    spare: Vec<Batch>,
    most: usize,
    /// Chunks follow how long they take; `None`: the user chose their size.
    chunks: Option<Chunks>,
    /// When the last step landed, and how long the device took from the one before it to that one.
    last: Option<Instant>,
    step: Duration,
}

impl Flight {
    pub fn new(device: &DeviceInfo, chunks: Option<Chunks>) -> Flight {
        let most = if device.is_software() { FEW } else { MOST };
        Flight { batches: VecDeque::new(), spare: Vec::new(), most, chunks, last: None, step: Duration::ZERO }
    }

    /// How many steps may be in flight now.
    fn limit(&self) -> usize {
        let is_long = |batch: &Batch| batch.num_tokens() > batch.num_sequences();
        if self.step > LONG_STEP || self.batches.iter().any(is_long) { self.most.min(FEW) } else { self.most }
    }

    fn has_landed(&mut self) {
        let now = Instant::now();
        self.step = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
    }

    /// Lets go of all that is in flight.
    pub fn forget(&mut self) {
        self.spare.extend(self.batches.drain(..));
        self.last = None;
    }
}

/// A run's steps.
pub(super) struct Steps<'e> {
    executor: &'e mut dyn Executor,
    model: &'e mut Model,
    pub scheduler: &'e mut Scheduler,
    flight: &'e mut Flight,
    /// Who chooses the tokens; [`Choice::None`]: the host.
    choice: Choice,
    draws: Vec<Draw>,
    tokens: Vec<u32>,
    logits: Vec<f32>,
    host: Duration,
    decode_steps: u32,
}

impl<'e> Steps<'e> {
    pub fn new(
        executor: &'e mut dyn Executor,
        model: &'e mut Model,
        scheduler: &'e mut Scheduler,
        flight: &'e mut Flight,
        choice: Choice,
    ) -> Steps<'e> {
        let logits = if choice == Choice::None { vec![0.0; model.config().vocabulary] } else { Vec::new() };
        let (draws, tokens) = Default::default();
        Steps {
            executor,
            model,
            scheduler,
            flight,
            choice,
            draws,
            tokens,
            logits,
            host: Duration::ZERO,
            decode_steps: 0,
        }
    }

    /// The host's own time, on average over the steps in which every sequence computed one token.
    pub fn host_per_step(&self) -> Duration {
        self.host.checked_div(self.decode_steps).unwrap_or_default()
    }

    /// Lands the next step, after handing over as many of those behind it as may be in flight; puts the tokens that it
    /// gives into `sampled`. False if no step is left.
    ///
    /// # Errors
    /// [`EngineError`]; the run cannot go on.
    pub fn next(
        &mut self,
        active: &mut [Active<'_>],
        sampled: &mut Vec<(RequestId, u32)>,
    ) -> Result<bool, EngineError> {
        let (began, waited) = (Instant::now(), self.executor.time_waited());
        let mut decodes = true;
        while let Some(batch) = self.scheduled() {
            decodes &= batch.num_tokens() == batch.num_sequences();
            self.launch(&batch, active)?;
            self.flight.batches.push_back(batch);
        }
        let Some(mut batch) = self.flight.batches.pop_front() else { return Ok(false) };
        self.land(&mut batch, active, sampled)?;
        self.flight.has_landed();
        if decodes && batch.num_tokens() == batch.num_sequences() {
            let waited = self.executor.time_waited() - waited;
            self.host += began.elapsed().saturating_sub(waited);
            self.decode_steps += 1;
        }
        self.flight.spare.push(batch);
        self.adapt_chunks();
        Ok(true)
    }

    /// Lets the chunks to come follow how long those took that have ended.
    fn adapt_chunks(&mut self) {
        let Some(chunks) = &mut self.flight.chunks else { return };
        while let Some(load) = self.executor.take_load() {
            // Its recording may be gone.
            let Some(shape) = self.model.shape_of(load.prepared) else { continue };
            let (tokens, decodes) = (shape.tokens as usize, shape.tokens == shape.logits_rows);
            if !decodes && let Some(size) = chunks.learn(tokens, load.of_budget) {
                self.scheduler.set_chunk_size(size);
                self.scheduler.set_token_budget(chunks.step_tokens());
            }
        }
    }

    /// The next step to hand over, if one may be in flight and there is any.
    fn scheduled(&mut self) -> Option<Batch> {
        let ahead = self.choice != Choice::None;
        let limit = if ahead { self.flight.limit() } else { 1 };
        if self.flight.batches.len() >= limit {
            return None;
        }
        let mut batch = self.flight.spare.pop().unwrap_or_default();
        let is_filled = match ahead {
            true => self.scheduler.schedule_ahead(&mut batch),
            false => self.scheduler.schedule(&mut batch),
        };
        if !is_filled {
            self.flight.spare.push(batch);
            return None;
        }
        Some(batch)
    }

    fn launch(&mut self, batch: &Batch, active: &mut [Active<'_>]) -> Result<(), EngineError> {
        if self.choice == Choice::None || batch.logits_rows.is_empty() {
            return Ok(self.model.step(self.executor, batch, false)?);
        }
        self.draws.clear();
        if self.choice == Choice::Drawn {
            for (index, id) in batch.request_ids.iter().enumerate() {
                // A request wants the logits of one token, the last.
                if !batch.logits_range(index).is_empty() {
                    let one = active.iter_mut().find(|one| one.id == *id);
                    self.draws.push(one.map_or(Draw::GREEDY, Active::draw));
                }
            }
        }
        Ok(self.model.step_ahead(self.executor, batch, &self.draws)?)
    }

    fn land(
        &mut self,
        batch: &mut Batch,
        active: &mut [Active<'_>],
        sampled: &mut Vec<(RequestId, u32)>,
    ) -> Result<(), EngineError> {
        sampled.clear();
        self.tokens.resize(batch.logits_rows.len(), 0);
        if self.choice != Choice::None && !self.tokens.is_empty() {
            self.model.collect_tokens(self.executor, &mut self.tokens)?;
        }
        for index in 0..batch.num_sequences() {
            // Not of one that has ended while the step was in flight.
            if !self.scheduler.awaits_token(batch, index) {
                continue;
            }
            let (id, rows) = (batch.request_ids[index], batch.logits_range(index));
            let Some(one) = active.iter_mut().find(|one| one.id == id) else { continue };
            let row = rows.end - 1;
            let token = if self.choice == Choice::None {
                self.model.read_logits(self.executor, row, &mut self.logits)?;
                one.sample(&self.logits, self.scheduler.request(id))?
            } else {
                self.tokens[row]
            };
            if token == argmax::INVALID {
                name_tokens(batch, self.scheduler);
                let tokens = self.scheduler.request(id).map_or(&[][..], Request::tokens);
                return Err(not_finite::explain(self.executor, self.model, batch, index, tokens));
            }
            sampled.push((id, token));
        }
        Ok(self.scheduler.complete(batch, sampled)?)
    }
}

/// Puts the tokens that have arrived where the batch has their places, so that the step can be run again. Those of requests
/// that have ended may be any: their logits are not looked at.
fn name_tokens(batch: &mut Batch, scheduler: &Scheduler) {
    for index in 0..batch.num_sequences() {
        let known = scheduler.request(batch.request_ids[index]).map_or(&[][..], Request::tokens);
        for token in batch.query_start[index] as usize..batch.query_start[index + 1] as usize {
            if batch.token_ids[token] & SAMPLED != 0 {
                batch.token_ids[token] = known.get(batch.positions[token] as usize).copied().unwrap_or_default();
            }
        }
    }
}
