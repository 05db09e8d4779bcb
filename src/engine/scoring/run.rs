//! Runs windows of tokens through the model and hands out their logits.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{LogitRows, Window};
use crate::engine::{Engine, EngineError, not_finite};
use crate::model::ModelError;
use crate::schedule::{Request, RequestId, RequestState};

/// A step's logits on the host.
struct Computed {
    window: usize,
    /// Index in the window of the first row's target.
    first: usize,
    rows: usize,
    ends_window: bool,
}

impl Engine {
    /// Runs the windows one after the other, each from an empty cache, and hands out the logits from which each scored
    /// token is predicted: window by window and in the order of the tokens. All tokens of a chunk run in one step;
    /// `on_rows` gets a step's rows while the device computes the next step. An engine that was not loaded for
    /// [scoring](crate::engine::EngineOptions::scoring) works too, in small steps.
    ///
    /// When `interrupt` is raised no further step begins. Returns how many windows are done.
    ///
    /// # Errors
    /// [`EngineError`], and whatever `on_rows` returns; the run ends there.
    pub fn score<E: From<EngineError>>(
        &mut self,
        windows: &[Window],
        interrupt: Option<&AtomicBool>,
        on_rows: &mut dyn FnMut(LogitRows<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        self.check_windows(windows)?;
        let chunk = self.scheduler.limits().max_tokens_per_request;
        self.scheduler.set_chunk_size(chunk.min(self.model.logits_rows()));
        let mut running = None;
        let done = self.run_windows(windows, interrupt, &mut running, on_rows);
        if let Some(id) = running {
            self.scheduler.abort(id);
        }
        self.scheduler.set_chunk_size(chunk);
        // The largest product of a step that scores is the head's, of every row: that says nothing of prompts.
        while self.executor.take_load().is_some() {}
        done
    }

    /// Why the logits after these tokens are not numbers. What the cache holds is lost.
    fn not_finite(&mut self, tokens: &[u32]) -> EngineError {
        self.scheduler.forget_prefixes();
        not_finite::explain_text(self.executor.as_mut(), &mut self.model, tokens)
    }

    fn check_windows(&self, windows: &[Window]) -> Result<(), EngineError> {
        let vocabulary = self.model.config().vocabulary;
        for Window { tokens, first_scored } in windows {
            if *first_scored == 0 || *first_scored >= tokens.len() {
                return Err(EngineError::Window { tokens: tokens.len(), first: *first_scored });
            }
            if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
                return Err(ModelError::TokenOutOfRange { token, vocabulary }.into());
            }
        }
        Ok(())
    }

    fn run_windows<E: From<EngineError>>(
        &mut self,
        windows: &[Window],
        interrupt: Option<&AtomicBool>,
        running: &mut Option<RequestId>,
        on_rows: &mut dyn FnMut(LogitRows<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut waiting = windows.iter();
        let mut window = 0;
        let mut logits = Vec::new();
        let mut computed: Option<Computed> = None;
        let mut done = 0;
        loop {
            let goes_on = !interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed))
                && self.start_step(&mut waiting, running)?;
            if let Some(Computed { window, first, rows, ends_window }) = computed.take() {
                let targets = &windows[window].tokens[first..first + rows];
                let rows = LogitRows::of(window, first, targets, &logits, ends_window);
                on_rows(rows.map_err(|target| self.not_finite(&windows[window].tokens[..target]))?)?;
                done += usize::from(ends_window);
            }
            if !goes_on {
                return Ok(done);
            }
            computed = Some(self.finish_step(window, running, &mut logits)?);
            window += usize::from(running.is_none());
        }
    }

    /// Starts the next step of the window that is running, or of the next one; false if none is left.
    fn start_step<'w>(
        &mut self,
        waiting: &mut impl Iterator<Item = &'w Window>,
        running: &mut Option<RequestId>,
    ) -> Result<bool, EngineError> {
        if running.is_none() {
            let Some(window) = waiting.next() else { return Ok(false) };
            // What the last token predicts lies outside of the window.
            let tokens = window.tokens[..window.tokens.len() - 1].to_vec();
            let request = Request::new(tokens, 0).with_logits_from(window.first_scored - 1);
            *running = Some(self.scheduler.add(request)?);
        }
        let Engine { executor, model, scheduler, batch, .. } = self;
        if !scheduler.schedule(batch) {
            return Ok(false);
        }
        model.step(executor.as_mut(), batch, false)?;
        Ok(true)
    }

    /// Waits for the step and takes its logits; `running` is `None` afterwards if the window is done.
    fn finish_step(
        &mut self,
        window: usize,
        running: &mut Option<RequestId>,
        logits: &mut Vec<f32>,
    ) -> Result<Computed, EngineError> {
        let Engine { executor, model, scheduler, batch, .. } = self;
        let rows = batch.logits_rows.len();
        logits.resize(rows * model.config().vocabulary, 0.0);
        if rows > 0 {
            model.read_logits(executor.as_mut(), 0, logits)?;
        }
        scheduler.complete(batch, &[])?;
        let computed = batch.sequences().next().map_or(0, |(_, _, context)| context);
        let state = running.and_then(|id| scheduler.request(id)).map(Request::state);
        let ends_window = matches!(state, Some(RequestState::Finished(_)));
        if ends_window && let Some(id) = running.take() {
            scheduler.finish(id)?;
        }
        // The row of token i predicts token i + 1, and the rows are those of the last tokens computed.
        Ok(Computed { window, first: computed + 1 - rows, rows, ends_window })
    }
}
