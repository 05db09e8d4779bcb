//! Why logits came out as NaN or infinity.

use super::EngineError;
use crate::kernels::kv_append::PAGE_SIZE;
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
    match locate(executor, model, batch, sequence, tokens) {
        Ok(Some(origin)) => EngineError::NotFinite { position, origin },
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
        Some(origin) if origin.label.what == "attention" => {
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
    let size = model.step_tokens();
    for (index, chunk) in tokens[..first.min(tokens.len())].chunks(size).enumerate() {
        let step = Batch::single(chunk, index * size, pages, PAGE_SIZE, LogitsWanted::None)?;
        if let Some(origin) = model.find_non_finite(executor, &step)? {
            return Ok(Some(origin));
        }
    }
    Ok(None)
}
