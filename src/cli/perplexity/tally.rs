//! The scores so far, and the running figures on stderr.

use std::time::Instant;

use rayon::prelude::*;
use wgpt::engine::scoring::saved_logits::SavedRow;
use wgpt::engine::scoring::{Divergence, LogitRows, Moments, TokenDivergence};

use crate::cli::figures::seconds;
use crate::cli::terminal::{note, progress};

/// What a scoring run has found out so far.
pub struct Tally {
    /// Windows that are to be scored.
    planned: usize,
    /// The tokens' negative log-likelihoods, by window; the last one may be unfinished.
    windows: Vec<Moments>,
    finished: usize,
    total: Moments,
    divergence: Option<Divergence>,
    started: Instant,
    quiet: bool,
}

impl Tally {
    pub fn new(planned: usize, compares: bool, quiet: bool) -> Self {
        let divergence = compares.then(Divergence::default);
        let (windows, total) = (Vec::new(), Moments::default());
        Self { planned, windows, finished: 0, total, divergence, started: Instant::now(), quiet }
    }

    /// Takes a step's rows.
    pub fn add(&mut self, rows: &LogitRows<'_>) {
        self.take(rows, rows.rows.iter().map(|row| row.nll()).collect());
    }

    /// Takes a step's rows and the base's rows for the same tokens.
    pub fn compare(&mut self, rows: &LogitRows<'_>, base: &[SavedRow<'_>]) {
        let compared: Vec<_> =
            rows.rows.par_iter().zip(base).map(|(row, base)| TokenDivergence::of(row, base)).collect();
        if let Some(divergence) = &mut self.divergence {
            compared.iter().for_each(|token| divergence.push(*token));
        }
        self.take(rows, compared.iter().map(|token| token.nll).collect());
    }

    fn take(&mut self, rows: &LogitRows<'_>, nlls: Moments) {
        self.windows.resize(rows.window + 1, Moments::default());
        self.windows[rows.window] += nlls;
        self.total += nlls;
        if rows.ends_window {
            self.finished += 1;
            if !self.quiet {
                self.show();
            }
        }
    }

    /// The running figures after a window.
    fn show(&self) {
        let Self { finished, planned, .. } = *self;
        if finished == 1 {
            let one = self.started.elapsed();
            let all = one.saturating_mul(u32::try_from(planned).unwrap_or(u32::MAX));
            note(&format!("wgpt: {planned} windows, {} each, about {} in all", seconds(one), seconds(all)));
        }
        match &self.divergence {
            None => progress(&format!("[{finished}]{:.4},", self.total.mean().exp().value)),
            Some(divergence) => {
                if finished == 1 {
                    note(RUNNING_HEADER);
                }
                note(&running_row(finished, divergence));
            }
        }
    }

    /// Ends the line of the running figures.
    pub fn end(&self) {
        if self.finished > 0 && self.divergence.is_none() && !self.quiet {
            progress("\n");
        }
    }

    /// All windows are done.
    pub fn is_complete(&self) -> bool {
        self.finished == self.planned
    }

    pub fn planned(&self) -> usize {
        self.planned
    }

    pub fn finished(&self) -> usize {
        self.finished
    }

    pub fn windows(&self) -> &[Moments] {
        &self.windows
    }

    pub fn total(&self) -> Moments {
        self.total
    }

    pub fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }
}

const RUNNING_HEADER: &str = "chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence              \
                              Δp RMS            Same top p";

fn running_row(window: usize, divergence: &Divergence) -> String {
    let (ppl, ratio, kld) = (divergence.perplexity(), divergence.log_ratio(), divergence.kld());
    let (rms, top) = (divergence.rms_p_diff(), divergence.same_top());
    format!(
        "{window:4}    {:9.4} ± {:9.4}    {:10.5} ± {:10.5}    {:10.5} ± {:10.5}    {:6.3} ± {:6.3} %    {:6.3} ± {:6.3} %",
        ppl.value,
        ppl.error,
        ratio.value,
        ratio.error,
        kld.value,
        kld.error,
        100.0 * rms.value,
        100.0 * rms.error,
        100.0 * top.value,
        100.0 * top.error
    )
}
