//! Why logits came out as NaN or infinity.

use super::EngineError;
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::model::{Model, NonFinite};
use crate::recording::Executor;
use crate::schedule::{Batch, LogitsWanted};

/// The error of a step that gave one of its sequences such logits, with the dispatch where they began. `tokens` are all of
/// the sequence's.
pub(super) fn explain(
    executor: &mut dyn Executor,
    model: &mut Model,
    batch: &Batch,
    sequence: usize,
    tokens: &[u32],
) -> EngineError {
    let position = (batch.context_len[sequence] as usize).saturating_sub(1);
    describe(position, locate(executor, model, batch, sequence, tokens))
}

fn describe(position: usize, located: Result<Option<NonFinite>, EngineError>) -> EngineError {
    match located {
        Ok(Some(origin)) => EngineError::NotFinite { position, origin: Box::new(origin) },
        Ok(None) => EngineError::NotFiniteOnce { position },
        Err(error) => error,
    }
}

fn locate(
    executor: &mut dyn Executor,
    model: &mut Model,
    batch: &Batch,
    sequence: usize,
    tokens: &[u32],
) -> Result<Option<NonFinite>, EngineError> {
    let here = model.find_non_finite(executor, batch)?;
    match here {
        // It reads what earlier steps have appended, and may only pass on what began there.
        Some(origin) if origin.program.kernel.starts_with("attention") => {
            let before = locate_before(executor, model, batch, sequence, tokens)?;
            Ok(before.or(Some(origin)))
        }
        _ => Ok(here),
    }
}

/// Computes the sequence again up to where this step began.
fn locate_before(
    executor: &mut dyn Executor,
    model: &mut Model,
    batch: &Batch,
    sequence: usize,
    tokens: &[u32],
) -> Result<Option<NonFinite>, EngineError> {
    let stride = batch.page_table_stride as usize;
    let pages = &batch.page_table[sequence * stride..][..stride];
    let first = batch.positions[batch.query_start[sequence] as usize] as usize;
    replay(executor, model, &tokens[..first.min(tokens.len())], pages, LogitsWanted::None)
}

/// The error of a text whose last token has such logits. Computes it again over the first pages of the cache, whatever they
/// hold.
pub(super) fn explain_text(executor: &mut dyn Executor, model: &mut Model, tokens: &[u32]) -> EngineError {
    let position = tokens.len().saturating_sub(1);
    let pages: Vec<u32> = (0..tokens.len().div_ceil(PAGE_SIZE as usize) as u32).collect();
    describe(position, replay(executor, model, tokens, &pages, LogitsWanted::Last))
}

/// Where numbers end while the tokens are computed from the first one on.
fn replay(
    executor: &mut dyn Executor,
    model: &mut Model,
    tokens: &[u32],
    pages: &[u32],
    logits: LogitsWanted,
) -> Result<Option<NonFinite>, EngineError> {
    let size = model.step_tokens();
    for (index, chunk) in tokens.chunks(size).enumerate() {
        let step = Batch::single(chunk, index * size, pages, PAGE_SIZE, logits)?;
        if let Some(origin) = model.find_non_finite(executor, &step)? {
            return Ok(Some(origin));
        }
    }
    Ok(None)
}
