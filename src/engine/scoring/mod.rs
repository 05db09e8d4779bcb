//! Scores texts: how probable a model finds each token of a text, given those before it.
//!
//! [`Windows`] cuts a text as llama.cpp's perplexity tool does, [`Engine::score`](super::Engine::score) hands out the
//! logits of each window, [`LogSoftmax`](crate::model::LogSoftmax) makes probabilities of them, and [`Moments`] and [`Divergence`] sum them up.
//! [`saved_logits`] keeps one run's probabilities in a file so that another can be compared with it.

mod divergence;
mod logit_rows;
mod run;
pub mod saved_logits;
mod windows;

pub use divergence::{Divergence, Quantiles, TokenDivergence};
pub use logit_rows::{LogitRow, LogitRows};
pub use windows::{Window, WindowError, Windows};

pub use crate::stats::{Estimate, Moments};
