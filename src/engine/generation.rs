//! Runs requests to their ends.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::active::Active;
use super::sampler::SamplingOptions;
use super::steps::Steps;
use super::{Engine, EngineError};
use crate::model::{Choice, ModelError};
use crate::schedule::Request;

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
    /// Is told how far the prompt has come.
    pub on_prompt: Option<OnPrompt>,
}

/// Gets how many tokens of a prompt have been computed and how many there are: at the start, and after each step that does
/// not end the prompt.
#[derive(Clone)]
pub struct OnPrompt(Arc<dyn Fn(usize, usize) + Send + Sync>);

impl OnPrompt {
    /// Calls this.
    pub fn new(call: impl Fn(usize, usize) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(super) fn tell(&self, computed: usize, tokens: usize) {
        (self.0)(computed, tokens);
    }
}

impl fmt::Debug for OnPrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnPrompt(..)")
    }
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
    /// Of a decode step of the run, on average: what the host does itself, from scheduling it to having its tokens, without
    /// waiting for the device.
    pub host_per_step: Duration,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Generation {
    pub text: String,
    pub prompt_tokens: usize,
    /// Of these, the tokens that were not computed since the cache held their keys and values.
    pub cached_prompt_tokens: usize,
    /// Tokens that the device computed for it behind its end, ahead of knowing that it is one.
    pub wasted_tokens: usize,
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
        // Of a call that a panic of its `on_text` has ended.
        self.let_go();
        let steps = self.scheduler.stats().steps;
        let done = self.run(requests, on_text);
        self.let_go();
        // A device may report late that a step failed, when its pages have been offered to others.
        if done.is_err() && self.scheduler.stats().steps > steps {
            self.scheduler.forget_prefixes();
        }
        done
    }

    /// Lets go of requests that failed, and of the steps ahead of them and of those that ended: nobody waits for these.
    fn let_go(&mut self) {
        self.flight.forget();
        self.executor.forget_kept();
        self.scheduler.abort_all();
    }

    fn run(
        &mut self,
        requests: &[GenerationRequest],
        on_text: &mut OnText<'_>,
    ) -> Result<Vec<Generation>, EngineError> {
        let started = Instant::now();
        let Engine { executor, model, tokenizer, scheduler, flight, info, .. } = self;
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
            let vocabulary = model.config().vocabulary;
            if let Some(&token) = prompt.iter().find(|token| **token as usize >= vocabulary) {
                return Err(ModelError::TokenOutOfRange { token, vocabulary }.into());
            }
            let prompt_tokens = prompt.len();
            let room = info.context as usize;
            let most = request.max_new_tokens.map_or(room, |n| n as usize);
            let id = scheduler.add(Request::new(prompt, most))?;
            active.push(Active::new(id, request, prompt_tokens, tokenizer)?);
        }
        active.iter().for_each(|one| one.tell_of_prompt(scheduler));
        let choice = choice(requests);
        let mut steps = Steps::new(executor.as_mut(), model, scheduler, flight, choice);
        let mut sampled = Vec::new();
        let tokenised = started.elapsed();
        while steps.next(&mut active, &mut sampled)? {
            for (id, token) in &sampled {
                if let Some(index) = active.iter().position(|one| one.id == *id) {
                    active[index].take(*token, started, tokenizer, &mut |text| on_text(index, text));
                }
            }
            for (index, one) in active.iter_mut().enumerate() {
                one.retire_if_ended(steps.scheduler, &mut |text| on_text(index, text));
                one.tell_of_prompt(steps.scheduler);
            }
            if active.iter().all(Active::has_retired) {
                break;
            }
        }
        let host_per_step = steps.host_per_step();
        Ok(active.into_iter().map(|one| one.finished(tokenised, started.elapsed(), host_per_step)).collect())
    }
}

/// Where the tokens of these requests, which share their steps, are chosen.
fn choice(requests: &[GenerationRequest]) -> Choice {
    let mut options = requests.iter().map(|request| &request.sampling);
    if !options.clone().all(SamplingOptions::fits_device) {
        return Choice::None;
    }
    if options.all(SamplingOptions::is_greedy) { Choice::Greedy } else { Choice::Drawn }
}
