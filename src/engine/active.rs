//! A request that is running: its sampler, its text so far, and why it ended.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::EngineError;
use super::generation::{FinishReason, Generation, GenerationRequest, Timings};
use super::sampler::{self, SampleError, Sampler};
use crate::kernels::argmax;
use crate::kernels::sample::Draw;
use crate::schedule::{self, Request, RequestId, RequestState, Scheduler};
use crate::text::{Detokenizer, StopStrings, Tokenizer};

/// A request that is running.
pub(super) struct Active<'a> {
    pub id: RequestId,
    request: &'a GenerationRequest,
    prompt_tokens: usize,
    cached_prompt_tokens: usize,
    wasted_tokens: usize,
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
    pub fn new(
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
            wasted_tokens: 0,
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

    /// How the device is to draw the next token.
    pub fn draw(&mut self) -> Draw {
        self.sampler.draw()
    }

    /// The next token; [`argmax::INVALID`] where the model's own numbers are broken.
    pub fn sample(&mut self, logits: &[f32], request: Option<&Request>) -> Result<u32, SampleError> {
        match self.sampler.sample(logits, request.map_or(&[][..], Request::tokens)) {
            Err(_) if sampler::greedy(logits).is_err() => Ok(argmax::INVALID),
            sampled => sampled,
        }
    }

    /// A sampled token becomes text.
    pub fn take(
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

    /// Says how much of the prompt has been computed, as long as no token has come.
    pub fn tell_of_prompt(&self, scheduler: &Scheduler) {
        let Some(on_prompt) = &self.request.on_prompt else { return };
        if let Some(request) = scheduler.request(self.id)
            && self.first_token.is_none()
        {
            on_prompt.tell(request.num_computed(), self.prompt_tokens);
        }
    }

    /// Whether it has ended, and all of its text has been shown.
    pub fn has_retired(&self) -> bool {
        self.retired
    }

    /// Leaves the scheduler if the request has ended.
    pub fn retire_if_ended(&mut self, scheduler: &mut Scheduler, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) {
        if self.retired {
            return;
        }
        if self.finish.is_none() && self.interrupted() {
            self.finish = Some(FinishReason::Interrupted);
        }
        if let Some(RequestState::Finished(reason)) = scheduler.request(self.id).map(Request::state) {
            self.finish.get_or_insert(match reason {
                schedule::FinishReason::Length => FinishReason::Length,
                schedule::FinishReason::ContextFull => FinishReason::Context,
            });
        }
        if self.finish.is_some() {
            if let Some(request) = scheduler.abort(self.id) {
                self.cached_prompt_tokens = request.num_cached();
                self.wasted_tokens = request.num_in_flight();
            }
            self.retire(on_text);
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
    pub fn finished(self, tokenised: Duration, ended: Duration, host_per_step: Duration) -> Generation {
        let first = self.first_token.unwrap_or(ended);
        Generation {
            text: self.text,
            prompt_tokens: self.prompt_tokens,
            cached_prompt_tokens: self.cached_prompt_tokens,
            wasted_tokens: self.wasted_tokens,
            token_ids: self.token_ids,
            finish_reason: self.finish.unwrap_or(FinishReason::Interrupted),
            timings: Timings {
                prefill: first.saturating_sub(tokenised),
                time_to_first_token: first,
                decode: self.last_token.saturating_sub(first),
                host_per_step,
            },
        }
    }
}
