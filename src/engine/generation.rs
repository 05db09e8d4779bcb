//! Runs requests to their ends.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::sampler::{self, SampleError, Sampler, SamplingOptions};
use super::{Engine, EngineError, load::is_plain_greedy, not_finite};
use crate::kernels::argmax;
use crate::schedule::{self, Request, RequestId, RequestState, Scheduler};
use crate::text::{Detokenizer, StopStrings, Tokenizer};

/// A prompt to continue.
#[derive(Clone, Debug, Default)]
pub struct GenerationRequest {
    pub prompt: String,
    /// The prompt as tokens, in place of its text.
    pub prompt_tokens: Option<Vec<u32>>,
    /// Puts the tokens that the model wants around a text, such as BOS, where the prompt does not have them.
    pub add_special: bool,
    /// `None`: until the context is full.
    pub max_new_tokens: Option<u32>,
    pub sampling: SamplingOptions,
    /// Text that ends the generation; it is not part of the output.
    pub stop: Vec<String>,
    /// Goes on after an end-of-generation token.
    pub ignore_eos: bool,
    /// Raised by another thread or a signal handler to end the generation after the step that is running.
    pub interrupt: Option<Arc<AtomicBool>>,
}

/// Why a generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model said that it is done.
    Eos,
    /// This stop string came.
    Stop(String),
    /// `max_new_tokens` were made.
    Length,
    /// The context is full.
    Context,
    /// The caller stopped it.
    Interrupted,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the first step to the first token, its sampling included.
    pub prefill: Duration,
    /// From the start, tokenisation included, to the first token.
    pub time_to_first_token: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Generation {
    pub text: String,
    pub prompt_tokens: usize,
    /// Of these, the tokens that were not computed since the cache held their keys and values.
    pub cached_prompt_tokens: usize,
    /// With the end-of-generation token, if there was one.
    pub token_ids: Vec<u32>,
    pub finish_reason: FinishReason,
    pub timings: Timings,
}

impl Generation {
    /// Of the tokens that were computed; 0 where the run ended before the prompt did.
    pub fn prompt_tokens_per_second(&self) -> f64 {
        let computed = self.prompt_tokens - self.cached_prompt_tokens;
        if self.token_ids.is_empty() { 0.0 } else { rate(computed, self.timings.prefill) }
    }

    /// Of the tokens after the first, which belongs to the prefill.
    pub fn decode_tokens_per_second(&self) -> f64 {
        rate(self.token_ids.len().saturating_sub(1), self.timings.decode)
    }
}

fn rate(count: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// Gets the text of one of several requests, by its position among them.
pub type OnText<'a> = dyn FnMut(usize, &str) -> ControlFlow<()> + 'a;

impl Engine {
    /// Runs one request to its end. `on_text` gets whole characters as they come, and stops the run by returning
    /// [`ControlFlow::Break`].
    ///
    /// # Errors
    /// [`EngineError`]; what was generated until then has gone to `on_text`.
    pub fn generate(
        &mut self,
        request: &GenerationRequest,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, EngineError> {
        let mut done = self.generate_batch(std::slice::from_ref(request), &mut |_, text| on_text(text))?;
        done.pop().ok_or(EngineError::EmptyPrompt)
    }

    /// Runs several requests side by side: their prefill chunks and decode tokens share steps, as far as the engine was
    /// made for so many sequences. The results are in the order of the requests.
    ///
    /// # Errors
    /// [`EngineError`]; none of the requests goes on then.
    pub fn generate_batch(
        &mut self,
        requests: &[GenerationRequest],
        on_text: &mut OnText<'_>,
    ) -> Result<Vec<Generation>, EngineError> {
        let mut added = Vec::new();
        let steps = self.scheduler.stats().steps;
        let done = self.run(requests, &mut added, on_text);
        if done.is_err() {
            for id in added {
                self.scheduler.abort(id);
            }
            // A device may report late that a step failed, when its pages have been offered to others.
            if self.scheduler.stats().steps > steps {
                self.scheduler.forget_prefixes();
            }
        }
        done
    }

    fn run(
        &mut self,
        requests: &[GenerationRequest],
        added: &mut Vec<RequestId>,
        on_text: &mut OnText<'_>,
    ) -> Result<Vec<Generation>, EngineError> {
        let started = Instant::now();
        let Engine { executor, model, tokenizer, scheduler, batch, info, .. } = self;
        let executor = executor.as_mut();
        let mut active = Vec::with_capacity(requests.len());
        for request in requests {
            request.sampling.validate()?;
            let prompt = match &request.prompt_tokens {
                Some(tokens) => tokens.clone(),
                None => tokenizer.encode_prompt(&request.prompt, request.add_special)?,
            };
            if prompt.is_empty() {
                return Err(EngineError::EmptyPrompt);
            }
            let prompt_tokens = prompt.len();
            let room = info.context as usize;
            let most = request.max_new_tokens.map_or(room, |n| n as usize);
            let id = scheduler.add(Request::new(prompt, most))?;
            added.push(id);
            active.push(Active::new(id, request, prompt_tokens, tokenizer)?);
        }
        let all_greedy = requests.iter().all(|request| is_plain_greedy(&request.sampling));
        let mut logits = if all_greedy { Vec::new() } else { vec![0f32; model.config().vocabulary] };
        let mut greedy_tokens = Vec::new();
        let mut sampled = Vec::new();
        let mut first_step = None;
        while scheduler.schedule(batch) {
            first_step.get_or_insert_with(|| started.elapsed());
            let greedy = all_greedy && !batch.logits_rows.is_empty();
            model.step(executor, batch, greedy)?;
            if greedy {
                greedy_tokens.resize(batch.logits_rows.len(), 0);
                model.read_tokens(executor, &mut greedy_tokens)?;
            }
            sampled.clear();
            for (index, (id, ..)) in batch.sequences().enumerate() {
                let row = batch.logits_range(index).end;
                let Some(one) = active.iter_mut().find(|one| one.id == id) else { continue };
                if row == 0 || !scheduler.awaits_token(id) {
                    continue;
                }
                let token = if greedy {
                    greedy_tokens[row - 1]
                } else {
                    model.read_logits(executor, row - 1, &mut logits)?;
                    one.sample(&logits, scheduler.request(id))?
                };
                if token == argmax::INVALID {
                    let tokens = scheduler.request(id).map_or(&[][..], Request::tokens);
                    return Err(not_finite::explain(executor, model, batch, index, tokens));
                }
                sampled.push((id, token));
            }
            scheduler.complete(batch, &sampled)?;
            for (id, token) in &sampled {
                if let Some(index) = active.iter().position(|one| one.id == *id) {
                    active[index].take(*token, started, tokenizer, &mut |text| on_text(index, text));
                }
            }
            retire(scheduler, &mut active, on_text);
        }
        let tokenised = first_step.unwrap_or_default();
        Ok(active.into_iter().map(|one| one.finished(tokenised, started.elapsed())).collect())
    }
}

/// Takes the requests that have ended out of the scheduler.
fn retire(scheduler: &mut Scheduler, active: &mut [Active<'_>], on_text: &mut OnText<'_>) {
    for (index, one) in active.iter_mut().enumerate() {
        if one.retired {
            continue;
        }
        if one.finish.is_none() && one.interrupted() {
            one.finish = Some(FinishReason::Interrupted);
        }
        if let Some(RequestState::Finished(reason)) = scheduler.request(one.id).map(Request::state) {
            one.finish.get_or_insert(match reason {
                schedule::FinishReason::Length => FinishReason::Length,
                schedule::FinishReason::ContextFull => FinishReason::Context,
            });
        }
        if one.finish.is_some() {
            one.cached_prompt_tokens = scheduler.abort(one.id).map_or(0, |request| request.num_cached());
            one.retire(&mut |text| on_text(index, text));
        }
    }
}

/// A request that is running.
struct Active<'a> {
    id: RequestId,
    request: &'a GenerationRequest,
    prompt_tokens: usize,
    cached_prompt_tokens: usize,
    sampler: Sampler,
    detokenizer: Option<Detokenizer<'a>>,
    stop: Option<StopStrings>,
    text: String,
    token_ids: Vec<u32>,
    finish: Option<FinishReason>,
    retired: bool,
    /// The caller wants no more text.
    closed: bool,
    first_token: Option<Duration>,
    last_token: Duration,
}

impl<'a> Active<'a> {
    fn new(
        id: RequestId,
        request: &'a GenerationRequest,
        prompt_tokens: usize,
        tokenizer: &'a Tokenizer,
    ) -> Result<Self, EngineError> {
        Ok(Active {
            id,
            request,
            prompt_tokens,
            cached_prompt_tokens: 0,
            sampler: Sampler::new(request.sampling)?,
            detokenizer: Some(tokenizer.detokenizer()),
            stop: Some(StopStrings::new(request.stop.iter().cloned())),
            text: String::new(),
            token_ids: Vec::new(),
            finish: None,
            retired: false,
            closed: false,
            first_token: None,
            last_token: Duration::ZERO,
        })
    }

    fn interrupted(&self) -> bool {
        self.request.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// The next token; [`argmax::INVALID`] where the model's own numbers are broken.
    fn sample(&mut self, logits: &[f32], request: Option<&Request>) -> Result<u32, SampleError> {
        match self.sampler.sample(logits, request.map_or(&[][..], Request::tokens)) {
            Err(_) if sampler::greedy(logits).is_err() => Ok(argmax::INVALID),
            sampled => sampled,
        }
    }

    /// A sampled token becomes text.
    fn take(
        &mut self,
        token: u32,
        started: Instant,
        tokenizer: &Tokenizer,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) {
        if self.finish.is_some() {
            return;
        }
        self.last_token = started.elapsed();
        self.first_token.get_or_insert(self.last_token);
        self.token_ids.push(token);
        if tokenizer.is_end_of_generation(token) && !self.request.ignore_eos {
            self.finish = Some(FinishReason::Eos);
            return;
        }
        if let Some(text) = self.detokenizer.as_mut().and_then(|detokenizer| detokenizer.push(token)) {
            self.emit(&text, on_text);
        }
    }

    /// Passes text on unless it may be the beginning of a stop string.
    fn emit(&mut self, text: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        let Some(stop) = &mut self.stop else { return };
        let (shown, stopped) = stop.push(text);
        if stopped {
            self.finish = Some(FinishReason::Stop(stop.matched().unwrap_or_default().to_owned()));
        }
        self.show(&shown, on_text);
    }

    fn show(&mut self, text: &str, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        if text.is_empty() || self.closed {
            return;
        }
        self.text.push_str(text);
        if on_text(text).is_break() {
            self.closed = true;
            self.finish.get_or_insert(FinishReason::Interrupted);
        }
    }

    /// Shows what was held back.
    fn retire(&mut self, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        self.retired = true;
        if self.closed || matches!(self.finish, Some(FinishReason::Stop(_))) {
            return;
        }
        if let Some(rest) = self.detokenizer.take().map(Detokenizer::finish) {
            self.emit(&rest, on_text);
        }
        if let Some(stop) = self.stop.take()
            && !matches!(self.finish, Some(FinishReason::Stop(_)))
        {
            self.show(&stop.finish(), on_text);
        }
    }

    /// `tokenised` is when the first step began, `ended` when the last one ended.
    fn finished(self, tokenised: Duration, ended: Duration) -> Generation {
        let first = self.first_token.unwrap_or(ended);
        Generation {
            text: self.text,
            prompt_tokens: self.prompt_tokens,
            cached_prompt_tokens: self.cached_prompt_tokens,
            token_ids: self.token_ids,
            finish_reason: self.finish.unwrap_or(FinishReason::Interrupted),
            timings: Timings {
                prefill: first.saturating_sub(tokenised),
                time_to_first_token: first,
                decode: self.last_token.saturating_sub(first),
            },
        }
    }
}
