//! The logits that a step of a scoring run computed.

use rayon::prelude::*;

use crate::model::LogSoftmax;

/// The rows of one step, from which successive tokens of a window are predicted. There may be none: a step's tokens need
/// not be among those from which scored ones are predicted.
#[derive(Clone, Debug)]
pub struct LogitRows<'a> {
    /// Index of the window.
    pub window: usize,
    pub rows: Vec<LogitRow<'a>>,
    /// No rows of this window come after these.
    pub ends_window: bool,
}

/// What a model predicts for one token.
#[derive(Clone, Copy, Debug)]
pub struct LogitRow<'a> {
    /// The token that the text has there.
    pub target: u32,
    /// `[vocabulary]`, all finite.
    pub logits: &'a [f32],
    pub softmax: LogSoftmax,
}

impl<'a> LogitRows<'a> {
    /// Takes `logits`, `[targets][vocabulary]`, apart on all threads; the first row predicts token `first` of the window.
    ///
    /// # Errors
    /// The token of the window that a row cannot predict, since it is not made of numbers.
    pub(super) fn of(
        window: usize,
        first: usize,
        targets: &[u32],
        logits: &'a [f32],
        ends_window: bool,
    ) -> Result<Self, usize> {
        let vocabulary = logits.len() / targets.len().max(1);
        let rows = logits.par_chunks_exact(vocabulary.max(1)).zip(targets.par_iter()).zip(first..first + targets.len());
        let rows = rows.map(|((logits, &target), index)| {
            let softmax = LogSoftmax::of(logits).ok_or(index)?;
            Ok(LogitRow { target, logits, softmax })
        });
        Ok(Self { window, rows: rows.collect::<Result<_, usize>>()?, ends_window })
    }
}

impl LogitRow<'_> {
    /// The negative log-likelihood of the target, in nats.
    pub fn nll(&self) -> f64 {
        // The engine has seen to it that the targets are in the vocabulary.
        self.logits.get(self.target as usize).map_or(f64::INFINITY, |&logit| -self.softmax.log_probability(logit))
    }
}
