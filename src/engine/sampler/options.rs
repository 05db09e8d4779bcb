//! What the user can set about sampling, with llama.cpp's names and defaults.

use thiserror::Error;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingOptions {
    /// Logits are divided by this before the draw: under 1 sharpens, over 1 flattens, 0 always takes the most likely
    /// token (Ackley et al. 1985, "A Learning Algorithm for Boltzmann Machines").
    pub temperature: f32,
    /// Only the k most likely tokens can be drawn, of equal ones the first; 0 for all
    /// (Fan et al. 2018, <https://arxiv.org/abs/1805.04833>).
    pub top_k: usize,
    /// Only the fewest most likely tokens whose probabilities reach this sum, of equal ones the first; 1 for all, and always at
    /// least one (nucleus sampling, Holtzman et al. 2019, <https://arxiv.org/abs/1904.09751>).
    pub top_p: f32,
    /// Only tokens at least this many times as probable as the most likely one; 0 for all
    /// (Nguyen et al. 2024, <https://arxiv.org/abs/2407.01082>).
    pub min_p: f32,
    /// Recent tokens' logits are divided by this if positive and multiplied if not; 1 for no change
    /// (CTRL, Keskar et al. 2019, <https://arxiv.org/abs/1909.05858>; the sign rule is that of all implementations).
    pub repeat_penalty: f32,
    /// How many of the last tokens the penalties look at: 0 for none, [`SamplingOptions::ALL_TOKENS`] for all.
    pub repeat_last_n: usize,
    /// Subtracted once from the logit of each recent token (as in OpenAI's API).
    pub presence_penalty: f32,
    /// Subtracted from the logit of a recent token for each time it occurs (as in OpenAI's API).
    pub frequency_penalty: f32,
    /// Where the random numbers start; `None` for a new place each time.
    pub seed: Option<u64>,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
        }
    }
}

/// Why options make no sense. Numbers that are not finite are out of every range.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum OptionsError {
    #[error("the temperature is {0}; use 0 (most likely token) or a positive number")]
    Temperature(f32),
    #[error("top-p is {0}; use a probability from 0 to 1 (1 turns it off)")]
    TopP(f32),
    #[error("min-p is {0}; use a probability from 0 to 1 (0 turns it off)")]
    MinP(f32),
    #[error("the repeat penalty is {0}; use a positive number (1 turns it off)")]
    RepeatPenalty(f32),
    #[error("the presence penalty is {0}; use a finite number (0 turns it off)")]
    PresencePenalty(f32),
    #[error("the frequency penalty is {0}; use a finite number (0 turns it off)")]
    FrequencyPenalty(f32),
}

impl SamplingOptions {
    /// For `repeat_last_n`: penalise whatever occurs in the sequence.
    pub const ALL_TOKENS: usize = usize::MAX;

    /// Always the most likely token, without penalties.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first option that is out of its range.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let probability = 0.0..=1.0;
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(OptionsError::Temperature(self.temperature));
        }
        if !probability.contains(&self.top_p) {
            return Err(OptionsError::TopP(self.top_p));
        }
        if !probability.contains(&self.min_p) {
            return Err(OptionsError::MinP(self.min_p));
        }
        if !(self.repeat_penalty.is_finite() && self.repeat_penalty > 0.0) {
            return Err(OptionsError::RepeatPenalty(self.repeat_penalty));
        }
        if !self.presence_penalty.is_finite() {
            return Err(OptionsError::PresencePenalty(self.presence_penalty));
        }
        if !self.frequency_penalty.is_finite() {
            return Err(OptionsError::FrequencyPenalty(self.frequency_penalty));
        }
        Ok(())
    }

    /// Whether the token is always the one with the largest logit of the model's own.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && !self.has_penalties()
    }

    /// Whether the device can draw: it has all filters, and no penalties.
    pub fn fits_device(&self) -> bool {
        !self.has_penalties()
    }

    /// Whether any logit can change before the filters.
    pub(super) fn has_penalties(&self) -> bool {
        let neutral = self.repeat_penalty == 1.0 && self.presence_penalty == 0.0 && self.frequency_penalty == 0.0;
        !neutral && self.repeat_last_n > 0
    }
}
