//! From a row of logits to a token, on the CPU.
//!
//! The order is llama.cpp's: penalties, top-k, top-p, min-p, temperature, then the draw. Hugging Face's `generate`
//! divides by the temperature first, so there a high temperature also lets more tokens past top-p and min-p; here the
//! filters judge the model's own distribution and the temperature only reshapes what they kept.
//!
//! A seed gives the same tokens on every platform: the generator is PCG32, `exp` is the `libm` crate's rather than the
//! system's, sums run in a fixed order, and ties go to the lower token. Where the device draws ([`Sampler::draw`]), it
//! computes in f32 and with its own `exp`: once in some hundred thousand tokens a random number lies so close to the border
//! of two that it takes the other one.

mod filters;
mod greedy;
mod options;
mod penalties;

pub use greedy::greedy;
pub use options::{OptionsError, SamplingOptions};

use crate::kernels::sample::Draw;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;
use thiserror::Error;

/// Why a row of logits cannot be sampled from.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SampleError {
    /// There are no logits.
    #[error("the row of logits is empty; ask for the logits of this token's row when the batch is built")]
    EmptyRow,
    /// A logit is NaN.
    #[error(
        "the logit of token {token} is not a number; the model file may be damaged, or try --kv-type f32 or another --device"
    )]
    NotANumber { token: usize },
    /// A logit is +infinity.
    #[error(
        "the logit of token {token} is infinite; the model file may be damaged, or try --kv-type f32 or another --device"
    )]
    Infinite { token: usize },
    /// All logits are -infinity.
    #[error("all logits are -infinity, so no token is possible; loosen the mask that was applied to them")]
    AllMasked,
    /// A token to penalise is not in the vocabulary.
    #[error("the recent token {token} is outside the vocabulary of {vocab} logits; use the model's own tokenizer")]
    UnknownToken { token: u32, vocab: usize },
}

/// A token that may be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token's id: its index in the row of logits.
    pub token: u32,
    /// Its logit, after penalties.
    pub logit: f32,
    /// Its probability among the candidates, after temperature.
    pub probability: f32,
}

/// Draws tokens under [`SamplingOptions`]. One per sequence: it holds the random generator's state, and buffers that
/// are reused from token to token.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplingOptions,
    seed: u64,
    rng: Pcg32,
    penalised: Vec<f32>,
    window: Vec<u32>,
    candidates: Vec<Candidate>,
}

/// The stream of the PCG reference implementation; the seed picks the place in it.
const PCG_STREAM: u64 = 0x0a02_bdbf_7bb3_c0a7;

impl Sampler {
    /// A sampler at the start of its seed's random numbers. Without a seed one is taken from the system.
    ///
    /// # Errors
    /// Whatever [`SamplingOptions::validate`] finds.
    pub fn new(options: SamplingOptions) -> Result<Self, OptionsError> {
        options.validate()?;
        let seed = options.seed.unwrap_or_else(rand::random);
        let rng = Pcg32::new(seed, PCG_STREAM);
        Ok(Self { options, seed, rng, penalised: Vec::new(), window: Vec::new(), candidates: Vec::new() })
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplingOptions {
        &self.options
    }

    /// The seed in use, given or taken from the system: with it a run can be repeated.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What the device needs to draw the next token as [`Sampler::sample`] does, up to its rounding, where the options
    /// [fit](SamplingOptions::fits_device) it. Takes one random number, or none at temperature 0.
    pub fn draw(&mut self) -> Draw {
        let SamplingOptions { temperature, top_k, top_p, min_p, .. } = self.options;
        if temperature == 0.0 {
            return Draw::GREEDY;
        }
        // All of the bits that an f32 below 1 can hold.
        let unit = (self.rng.next_u64() >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
        Draw::new(top_k, top_p, min_p, temperature, unit)
    }

    /// Draws the next token from `logits` `[vocab]`. `recent` is the sequence so far, newest last; the penalties look
    /// at its last `repeat_last_n` tokens.
    ///
    /// Takes one random number, or none at temperature 0.
    ///
    /// # Errors
    /// As [`Sampler::distribution`]; no random number is taken then.
    pub fn sample(&mut self, logits: &[f32], recent: &[u32]) -> Result<u32, SampleError> {
        self.distribution(logits, recent)?;
        if let [only] = self.candidates[..]
            && self.options.temperature == 0.0
        {
            return Ok(only.token);
        }
        let unit = (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        pick(&self.candidates, unit).ok_or(SampleError::AllMasked)
    }

    /// The tokens that `sample` would choose among, with their probabilities, which sum to 1. They stand in falling
    /// order of logit (ties: lower token first) for a top-k of up to
    /// [`MAX_TOP_K`](crate::kernels::sample::MAX_TOP_K), else in the order of tokens. At temperature 0 this is the greedy
    /// token alone.
    ///
    /// # Errors
    /// A row that is empty, holds NaN or +infinity, or only -infinity; a recent token that is not in the vocabulary.
    pub fn distribution(&mut self, logits: &[f32], recent: &[u32]) -> Result<&[Candidate], SampleError> {
        let options = &self.options;
        // Before the penalties, which must not hide that the model's own numbers are broken.
        let mut max = greedy::maximum(logits)?;
        let mut row = logits;
        if options.has_penalties() {
            self.penalised.clear();
            self.penalised.extend_from_slice(logits);
            penalties::apply(options, &mut self.penalised, recent, &mut self.window)?;
            row = &self.penalised;
            max = greedy::maximum(row)?;
        }
        let candidates = &mut self.candidates;
        if options.temperature == 0.0 {
            candidates.clear();
            candidates.push(Candidate { token: greedy::first_of(row, max), logit: max, probability: 1.0 });
            return Ok(candidates);
        }
        filters::top_k(row, options.top_k, candidates);
        filters::top_p(candidates, options.top_p, max);
        filters::min_p(candidates, options.min_p, max);
        filters::sort(candidates, options.top_k);
        soften(candidates, options.temperature, max);
        Ok(candidates)
    }
}

/// Probabilities of the candidates at `temperature` > 0: `softmax(logit / temperature)`. `max` is the largest logit.
fn soften(candidates: &mut [Candidate], temperature: f32, max: f32) {
    let mut total = 0.0;
    for candidate in candidates.iter_mut() {
        candidate.probability = libm::expf((candidate.logit - max) / temperature);
        total += f64::from(candidate.probability);
    }
    for candidate in candidates.iter_mut() {
        candidate.probability = (f64::from(candidate.probability) / total) as f32;
    }
}

/// The candidate in whose share of `0..1` the number `unit` lies; `None` if all shares are empty.
fn pick(candidates: &[Candidate], unit: f64) -> Option<u32> {
    // Rounding leaves the sum a little off 1.
    let total: f64 = candidates.iter().map(|c| f64::from(c.probability)).sum();
    let mut reached = 0.0;
    let drawn = candidates.iter().find(|c| {
        reached += f64::from(c.probability);
        unit * total < reached
    });
    drawn.or_else(|| candidates.iter().rfind(|c| c.probability > 0.0)).map(|c| c.token)
}
